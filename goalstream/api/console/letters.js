// Dead letters, for operators.

import { ask, curlButton, get, lacks, me, panelOf, post, question } from "./api.js";
import { further } from "./contact.js";
import { ago, badge, button, check, command, empty, fill, filters, h, head, list, number, select, table, tell, words } from "./kit.js";

const PATH = "/operator/dead-letters";

export async function show(main, query) {
	if (lacks("operator")) {
		return fill(main, h("h1", "Dead letters"), empty("These are of all accounts: a token needs the scope operator.", "Sign in with one:"),
			command(`goalstream token --account ${me.account_id} --scope "goals:read goals:write operator"`));
	}
	const request = () => get(PATH, { ...query, limit: 200 });
	const found = await ask(request());
	const reasons = Object.entries(found.by_reason).map(([name, count]) => [name, `${words(name)} (${number(count)})`]);

	const act = (verb, text, past, kind) => button(verb, async () => {
		const ids = [...main.querySelectorAll("th :checked")].map((one) => one.value);
		if (!ids.length && !query.reason) return tell("Choose some, or a reason");
		const request = post(`${PATH}/${verb.toLowerCase()}`, ids.length ? { ids } : { reason: query.reason });
		let what = ids.length ? `the ${number(ids.length)} chosen` : `all with ${words(query.reason)}`;
		for (let left = 1; left; what = `the ${number(left)} that remain`) {
			const { ids: done, refused = [], remaining } = await question(`${verb} ${what}?`, text, verb, request, kind);
			tell([`${number(done.length)} ${past}`, ...refused.map((one) => one.message)].join("; "));
			dispatchEvent(new Event("hashchange"));
			left = remaining;
		}
	});

	fill(main, head("h1", "Dead letters", curlButton(request)),
		h("p.hint", "Records that could not be processed: mend the cause, then redrive."),
		filters("letters", query, { Reason: select("reason", [["", "any"], ...reasons]), Show: select("include_done", [["", "open ones"], ["true", "everything"]]) }),
		found.dead_letters.length ? [
			h("div.row",
				act("Redrive", "They go back to their topics with their original timestamps.", "redriven"),
				act("Drop", "They are marked as done with; nothing is deleted.", "dropped", "danger"),
				h("span.hint", "the chosen, or all of this reason")),
			table("Dead letters", ["What is wrong", "Reason", "Topic~", "When", "#Attempts~"], found.dead_letters.map(cells)), further(found),
		] : empty("No dead letters.", "Every record could be processed; one that cannot is kept here."));
}

const cells = (one) => [
	h("div.check", !one.done && check(one.id, { value: one.id, "aria-label": `Choose ${one.id}` }), button(one.error || one.id, () => showLetter(one.id), "link"), one.done && badge(one.done)),
	badge(one.reason), h("code", one.topic), ago(one.at), number(one.attempts),
];

const showLetter = (id) =>
	panelOf(`Dead letter ${id}`, get(`${PATH}/${encodeURIComponent(id)}`), list);
