// What the pages of webhooks and hooks have in common.

import { ask, curlButton, get, lacks, me, question } from "./api.js";
import { change, formOf } from "./goals.js";
import { $, button, command, empty, field, fill, h, head, panel, select, table, tell } from "./kit.js";

const OVERLAPS = [[86_400, "for a day"], [3600, "for an hour"], [604_800, "for a week"], [0, "no longer"]];

// Whether there is nothing to see without a scope; it is said then.
export function isWithheld(main, title, purpose) {
	if (!lacks("webhooks:read")) return false;
	fill(main, h("h1", title), empty(purpose, "A token needs the scope webhooks:read, and webhooks:write to change something. Sign in with one:"),
		command(`goalstream token --account ${me.account_id} --scope "${[...me.scopes, "webhooks:read", "webhooks:write"].join(" ")}"`));
	return true;
}

export function writing(label, work, kind = "quiet", id = null) {
	const missing = lacks("webhooks:write");
	return button(label, work, kind, { id, disabled: Boolean(missing), title: missing });
}

// A list of what is added, edited in its row, paused, given another secret, and deleted.
export async function listOf(main, { title, path, lead, none, columns, cells, nameOf, isPaused, texts, form, rotation, more }) {
	const place = h("div");
	const box = h("section");

	async function draw() {
		const { [path.slice(1)]: found } = await ask(get(path));
		fill(place);
		fill(box, found.length ? table(title, [...columns, "Actions"], found.map((one) => [...cells(one), actions(one)])) : empty(...none));
	}

	const actions = (one) => h("div.row",
		more(one), writing("Edit", ({ target }) => open(form, one, target.closest("tr")), "quiet", `edit-${one.id}`),
		isPaused(one) ? asking("Resume", one, change(path, one, { paused: false })) : asking("Pause", one, change(path, one, { paused: true })),
		writing("New secret", ({ target }) => open((_, done) => rotation(one, `${path}/${one.id}/secret`, done), one, target.closest("tr"))),
		asking("Delete", one, change(path, one, undefined, "DELETE"), "danger"));

	const asking = (verb, one, request, kind) => writing(verb, async () => {
		await question(`${verb} ${nameOf(one)}?`, texts[verb], verb, request, kind);
		await draw();
		tell(`${verb}d`);
	});

	function open(make, one, at) {
		const made = make(one, async (saved) => {
			await draw();
			$(one ? `edit-${one.id}` : "new")?.focus();
			if (saved?.secret) panel("The secret, shown this once", "Signatures are checked with it. Nobody can tell it again; another one can be made.", command(saved.secret));
			else if (saved) tell("Saved");
		});
		fill(at ?? place, at ? h("td", { colspan: columns.length + 1 }, made) : made);
		made.querySelector("input, select").focus();
	}

	await draw();
	fill(main, head("h1", title, writing(`Add a ${title.toLowerCase().slice(0, -1)}`, () => open(form), "primary", "new"), curlButton(() => get(path))), h("p.hint", lead), place, box);
}

export function rotation(path, done, secret) {
	const overlap = select("overlap_seconds", OVERLAPS);
	const written = () => ({ overlap_seconds: Number(overlap.value), ...(secret?.value && { secret: secret.value.trim() }) });
	return formOf({ path, written, done, label: "Rotate" },
		h("div.fields", secret && field("the new secret", secret), field("the one of before holds", overlap)));
}
