// A contact: all that it did, with verdicts and reasons.

import { ask, curlButton, every, get, goalName, learn, loadGoals, loadWorkflows, panelOf, workflowName, workflows } from "./api.js";
import { ago, badge, command, empty, fill, h, head, input, link, list, words } from "./kit.js";

export const explain = (contact, goal) =>
	panelOf(`Why: ${goalName(goal)}`, get(`/contacts/${contact}/goals/${goal}/explanation`), ({ contact_id: id, verdicts }) => [
		h("p", "Contact ", link(`contact/${id}`, id)),
		verdicts.map((one) => h("div.card", verdict(one, true))),
		!verdicts.length && "No event of this contact met the goal's criteria.", scan(contact, [goal]),
	]);

// Where events are that are not shown.
export const scan = (contact, goals) =>
	h("details.card", h("summary", "Is an event missing?"), h("section", "What meets no criteria is not kept. This reads it from Kafka, and says why:",
		goals.map((goal) => [goalName(goal), command(`goalstream explain --contact ${contact} --goal ${goal} --scan`)])));

function verdict({ event: { data, ...event }, achievement, verdict: word, text, wanted, got, enrollment_id, goal_version }, open) {
	const { messages, ...row } = achievement ?? {};
	return [
		h("div", badge(word), " ", h("code", event.event_type), " ", ago(event.occurred_at)), h("p", text),
		h("details", { open }, h("summary", "Event, row and messages"), list({
			...event, enrollment_id, goal_version, wanted, got, data, row: achievement && row,
			messages: messages && (messages.map((one) => `${one.topic} ${one.message_id}`).join("\n") || "none were due"),
		})),
	];
}

const KINDS = {
	enrollment_started: (one) => `entered ${workflowName(one.workflow_id)}`,
	enrollment_ended: (one) => `left ${workflowName(one.workflow_id)}: ${words(one.reason ?? "no reason")}`,
	exited: (one) => `let out of ${workflowName(one.workflow_id)} (exit sent)`,
	contact_merged: (one) => ["merged into ", link(`contact/${one.into_contact_id}`, one.into_contact_id)],
	contact_deleted: () => "deleted; its personal data is erased",
};

export function entry(one) {
	if (one.kind !== "event") return h("div.card", h("strong", KINDS[one.kind](one)), " ", ago(one.at));
	const about = h("div.hint");
	learn(one.workflow_id, one.goal_id).then(() => fill(about, goalName(one.goal_id), " in ", workflowName(one.workflow_id)));
	return h("div.card", about, verdict(one, false));
}

export async function show(main, _, id) {
	const search = input("contact", { value: id, size: 38, "aria-label": "Contact's id", required: true });
	const place = h("section", { "aria-label": "Timeline" });
	const other = [", or choose a row of the ", link("live", "live feed"), "."];
	const request = () => get(`/contacts/${id}/timeline`, { limit: 200 });
	const onsubmit = (event) => {
		event.preventDefault();
		location.hash = `#/contact/${search.value.trim()}`;
	};
	fill(main, head("h1", "Contact", id && curlButton(request)), h("form", { onsubmit, role: "search" }, h("div.row", search, h("button.primary", "Show"))), place);
	if (!id) return fill(place, empty("Whose story shall be told?", "Enter a contact's id", other));
	let drawn;

	async function draw() {
		const found = await ask(request());
		const text = JSON.stringify(found);
		if (text === drawn || place.querySelector("[open]")) return; // somebody reads
		drawn = text;
		const ids = new Set(found.entries.map((one) => one.workflow_id).filter(Boolean));
		const goals = (await Promise.all([...(ids.size ? ids : workflows.keys())].slice(0, 10).map(loadGoals))).flat();
		fill(place, found.contact_id !== id.toLowerCase() && h("p", "This contact was merged into ", h("code", found.contact_id), "."),
			found.entries.length ? found.entries.map(entry) : empty("Nothing is known of this contact.", link(`send?contact=${id}`, "Send an event"), other),
			further(found), goals.length > 0 && scan(id, goals.map((one) => one.id)));
	}

	await loadWorkflows();
	await draw();
	every(5, draw);
}

export const further = ({ next_cursor: cursor }) => cursor && h("p.hint", "The newest 200; for older ones copy as curl, and add ", h("code", `cursor=${cursor}`));
