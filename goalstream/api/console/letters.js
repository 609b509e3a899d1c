// Dead letters, for operators.

import { ask, curlButton, get, lacks, me, post } from "./api.js";
import { further } from "./contact.js";
import { ago, badge, button, check, command, empty, fill, filters, h, head, list, number, panelOf, question, select, table, tell, words } from "./kit.js";

const PATH = "/operator/dead-letters";

export async function show(main, query) {
	if (lacks("operator")) {
		return fill(main, h("h1", "Dead letters"), empty("These are of all accounts: a token needs the scope operator.", "Sign in with one:"),
			command(`goalstream token --account ${me.account_id} --scope "goals:read goals:write operator"`));
	}
	const request = () => get(PATH, { ...query, limit: 200 });
	const found = await ask(request());
	const reasons = Object.entries(found.by_reason).map(([name, count]) => [name, `${words(name)} (${number(count)})`]);

	const act = (verb, text, said, kind) => button(verb, async () => {
		const ids = [...main.querySelectorAll("th :checked")].map((one) => one.value);
		if (!ids.length && !query.reason) return tell("Choose some, or a reason");
		const what = ids.length ? `the ${number(ids.length)} chosen` : `all with ${words(query.reason)}`;
		await question(`${verb} ${what}?`, text, verb, post(`${PATH}/${verb.toLowerCase()}`, ids.length ? { ids } : { reason: query.reason }), kind);
		tell(said);
		dispatchEvent(new Event("hashchange"));
	});

	fill(main, head("h1", "Dead letters", curlButton(request)),
		h("p.hint", "Records that could not be processed: mend the cause, and send them again."),
		filters("letters", query, { Reason: select("reason", [["", "any"], ...reasons]), Show: select("include_done", [["", "what is to be done"], ["true", "everything"]]) }),
		found.dead_letters.length ? [
			h("div.row",
				act("Redrive", "They go back to their topics with their original timestamps.", "Redriven"),
				act("Drop", "They are marked as done with; nothing is deleted.", "Dropped", "danger"),
				h("span.hint", "what is chosen, or all with the reason above")),
			table("Dead letters", ["What is wrong", "Reason", "Topic~", "When", "#Attempts~"], found.dead_letters.map(cells)), further(found),
		] : empty("No dead letters.", "Every record could be processed; one that cannot is kept here."));
}

const cells = (one) => [
	h("div.check", !one.done && check(one.id, { value: one.id, "aria-label": `Choose ${one.id}` }), button(one.error || one.id, () => showLetter(one.id), "link"), one.done && badge(one.done)),
	badge(one.reason), h("code", one.topic), ago(one.at), number(one.attempts),
];

const showLetter = (id) =>
	panelOf(`Dead letter ${id}`, get(`${PATH}/${encodeURIComponent(id)}`), list);
