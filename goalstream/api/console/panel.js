/** Dialogs beside the page, questions before something is done, and what is said when something is in the way. */

import { ask, curlButton } from "./api.js";
import { button, copy, fill, h, head } from "./dom.js";

/** Opens a dialog. Escape, its button and a click beside it close it. */
export function panel(title, ...content) {
	const body = h("div.body", content);
	const close = () => dialog.close();
	const dialog = h("dialog", { "aria-label": title, onclose: () => dialog.remove(), onclick: ({ target }) => target === dialog && close() },
		head("h2", title, button("Close", close, "quiet")), body);
	document.body.append(dialog);
	dialog.showModal();
	return { body, close };
}

/** A dialog about the answer to a request. */
export async function panelOf(title, request, draw) {
	const { body } = panel(title, h("p.hint", "Loading…"));
	const content = await ask(request).then(draw, trouble);
	fill(body, content, h("div", curlButton(() => request)));
}

/** Asks before a request is sent, which can be copied instead; resolves once it was well. */
export const question = (title, text, label, request, kind = "primary") =>
	new Promise((done) => {
		const wrong = h("div", { role: "alert" });
		const work = () => ask(request).then((answer) => (close(), done(answer)), (problem) => fill(wrong, trouble(problem)));
		const { body, close } = panel(title, h("p", text), wrong);
		body.append(h("div.buttons", button(label, work, kind, { autofocus: true }), button("Cancel", () => close()), curlButton(() => request)));
		body.querySelector("[autofocus]").focus();
	});

/** A problem in words, and ways out of it; `again` repeats what failed. */
export function trouble(problem, again) {
	const { status, message, errors } = problem;
	if (status === undefined) console.error(problem);
	const press = (label, id) => button(label, () => document.getElementById(id).click());
	return h("div.trouble",
		h("strong", message),
		errors?.map((one) => one.pointer && one.message !== message && h("p", h("code", one.pointer), " ", one.message)),
		h("p", ADVICE[status] ?? "If it stays, the log of the API tells more."),
		h("div.buttons", again && button("Try again", again, "primary"),
			status === 403 ? press("Use another token", "who") : press("Look at the health", "health"), h("a.button", { href: "#/" }, "All workflows")));
}

const ADVICE = {
	0: "Is it running? `goalstream api` starts it, and `goalstream doctor` says what is missing around it.",
	403: "Whoever may can make a key: goalstream api-keys create --account … --name … --scope …",
	404: "It may have been deleted, or be another account's.",
	409: "Somebody was first: look at what is there now, or change what you wanted.",
	412: "It was changed meanwhile: load it again to see what holds now.",
	429: "Wait a moment, or have GOALSTREAM_RATE_LIMIT_PER_MINUTE raised.",
	503: "It comes back by itself once what it needs is there.",
};

/** What stands where nothing is yet, and what to do about it. */
export const empty = (title, ...next) => h("div.empty", h("strong", title), h("p", next));

/** A command to paste. */
export const command = (text) => h("div.command", h("code", text), button("Copy", () => copy(text), "quiet"));

export const link = (to, text) => h("a", { href: `#/${to}` }, text);
