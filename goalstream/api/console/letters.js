/** Dead letters: records that could not be processed, for operators. */

import { ask, curlButton, get, post } from "./api.js";
import { button, filters, fill, h, head, input, reload, select, table, tell } from "./dom.js";
import { ago, badge, exact, number, plural, words } from "./format.js";
import { list, pages } from "./contact.js";
import { command, empty, panelOf, question } from "./panel.js";
import { lacks, me } from "./session.js";

const PATH = "/operator/dead-letters";
const COLUMNS = ["What is wrong", "Reason", "Topic~", "When", "#Attempts~"];

export async function show(main, _, query) {
	if (lacks("operator")) {
		return fill(main, h("h1", "Dead letters"), empty("Dead letters are of all accounts: a token needs the scope operator.", "Sign in with one, or look at them next to Kafka:"),
			command(`goalstream token --account ${me.account_id} --scope "goals:read goals:write operator"`), command("goalstream dead-letters list"));
	}
	const request = (cursor) => get(PATH, { ...query, cursor });
	const found = await ask(request());
	const reasons = Object.entries(found.by_reason).map(([name, count]) => [name, `${words(name)} (${number(count)})`]);
	const chosen = () => [...main.querySelectorAll(":checked[value]:not(option)")].map((one) => one.value);

	const act = (verb, text, said, kind) => button(verb, async () => {
		const ids = chosen();
		if (!ids.length && !query.reason) return tell("Choose dead letters, or a reason");
		const what = ids.length ? plural(ids.length, "dead letter") : `all with the reason ${words(query.reason)}`;
		await question(`${verb} ${what}?`, text, verb, post(`${PATH}/${verb.toLowerCase()}`, ids.length ? { ids } : { reason: query.reason }), kind);
		tell(said);
		reload();
	});

	const rows = (page) => table("Dead letters", COLUMNS, page.dead_letters.map(cells));
	fill(main, head("h1", "Dead letters", curlButton(() => request())),
		h("p.hint", "Records that break the contract, or that the database refuses for ever. Nothing is lost: mend the cause, and send them again."),
		filters("letters", query, { Reason: select("reason", [["", "any"], ...reasons]), Show: select("include_done", [["", "what is to be done"], ["true", "everything"]]) }),
		found.dead_letters.length ? [
			h("div.buttons",
				act("Redrive", "They go back to their topics with their original timestamps. What fails again is a new dead letter.", "Redriven"),
				act("Drop", "They are marked as done with; nothing is deleted.", "Dropped", "danger"),
				h("span.hint", "those that are chosen, or all with the reason above")),
			pages(h("div"), { ...found, tables: [found] }, "tables", rows, request),
		] : empty("No dead letters.", "Every record could be processed. One that cannot is kept here, with what is wrong with it, and can be sent again."));
}

const cells = (one) => [
	h("div.check", !one.done && input(null, { type: "checkbox", value: one.id, "aria-label": `Choose ${one.id}` }),
		button(one.error || one.id, () => showLetter(one.id), "link"), one.done && badge(one.done)),
	badge(one.reason), h("code", one.topic), ago(one.at), number(one.attempts),
];

const showLetter = (id) =>
	panelOf(`Dead letter ${id}`, get(`${PATH}/${encodeURIComponent(id)}`), ({ key, value, headers, topic, partition, offset, at, ...rest }) =>
		list({ ...rest, when: exact(at), from: `${topic}, partition ${partition}, offset ${offset}`, key, headers, value: pretty(value) }));

/** JSON as one can read it, anything else as it is. */
function pretty(text) {
	try {
		return JSON.parse(text);
	} catch {
		return text;
	}
}
