/** A contact: everything that it did, with the verdict on each and the sentence that says why. */

import { ask, curlButton, get } from "./api.js";
import { button, every, fill, h, head, input } from "./dom.js";
import { ago, badge, exact, words } from "./format.js";
import { goalName, learn, loadWorkflows, workflowName } from "./names.js";
import { command, empty, link, panelOf } from "./panel.js";
import { isUuid } from "./session.js";

const REFRESH_SECONDS = 5;

/** Why a contact did, or did not, achieve a goal: every event that met its criteria, newest first. */
export const explain = (contact, goal) =>
	panelOf(`Why: ${goalName(goal)}`, get(`/contacts/${contact}/goals/${goal}/explanation`), ({ contact_id: id, verdicts }) => [
		h("p", "Contact ", link(`contact/${id}`, id)),
		verdicts.length ? h("ol.cards", verdicts.map((one) => h("li", verdict(one, true)))) : [
			empty("No event of this contact met the goal's criteria.", "What Kafka still has can be read again:"),
			command(`goalstream explain --contact ${contact} --goal ${goal} --scan`)],
	]);

/** An event and what came of it. */
export function verdict({ event, achievement, verdict: word, text, wanted, got, enrollment_id, goal_version }, open = false) {
	const { messages, ...row } = achievement ?? {};
	return [
		h("div", badge(word), " ", h("code", event.event_type), " ", ago(event.occurred_at)),
		h("p", text),
		h("details", { open }, h("summary", "Event, row and messages"), list({
			event: event.event_id, source: event.source, occurred: exact(event.occurred_at), "time from": event.occurred_at_source,
			"in Kafka": exact(event.record_at), trace: event.trace_id, enrollment: enrollment_id, "goal version": goal_version,
			wanted, got, data: event.data, row: achievement && row,
			messages: messages && (messages.map((one) => `${one.topic} ${one.message_id}`).join("\n") || "none were due"),
		})),
	];
}

/** Names and values; what is null is left out. */
export const list = (facts) =>
	h("dl", Object.entries(facts).filter(([, value]) => value != null).map(([name, value]) =>
		[h("dt", name), h("dd", h("pre", typeof value === "object" ? JSON.stringify(value, null, 2) : value))]));

const KINDS = {
	enrollment_started: (one) => ["entered ", workflowName(one.workflow_id)],
	enrollment_ended: (one) => ["left ", workflowName(one.workflow_id), one.reason && `: ${words(one.reason)}`],
	exited: (one) => ["let out of ", workflowName(one.workflow_id), ": the workflow engine was told"],
	contact_merged: (one) => ["merged into ", link(`contact/${one.into_contact_id}`, one.into_contact_id)],
	contact_deleted: () => "deleted; its personal data is erased",
};

function entry(one) {
	if (one.kind !== "event") return h("li", h("strong", KINDS[one.kind](one)), " ", ago(one.at));
	const about = h("div.hint");
	learn(one.workflow_id, one.goal_id).then(() => fill(about, goalName(one.goal_id), " in ", workflowName(one.workflow_id)));
	return h("li", about, verdict(one));
}

export async function show(main, [id]) {
	const search = input("contact", { value: id ?? "", placeholder: "UUID of a contact", "aria-label": "Contact's id" });
	const wrong = h("p.error", { role: "alert" });
	const place = h("section", { "aria-label": "Timeline" });
	const request = (cursor) => get(`/contacts/${id}/timeline`, { cursor });
	const onsubmit = (event) => {
		event.preventDefault();
		const wanted = search.value.trim().toLowerCase();
		if (isUuid(wanted)) location.hash = `#/contact/${wanted}`;
		else fill(wrong, "A contact's id is a UUID; each row of the live feed leads to one.");
	};
	fill(main, head("h1", "Contact", id && curlButton(() => request())),
		h("form.buttons", { onsubmit, role: "search" }, search, h("button.primary", "Show"), wrong), place);
	if (!id) return fill(place, empty("Whose story shall be told?", "Enter a contact's id, or choose a row of the ", link("live", "live feed"), "."));
	let drawn;

	/** Unless somebody reads on: what is open, or further back, stays as it is. */
	async function draw() {
		const found = await ask(request());
		const text = JSON.stringify(found);
		if (text === drawn || place.querySelector("[open], .further")) return;
		drawn = text;
		fill(place, found.contact_id !== id && h("p", "This contact was merged into ", h("code", found.contact_id), "."),
			found.entries.length ? pages(h("ol.cards"), found, "entries", entry, request) : nothing(id));
	}

	await loadWorkflows();
	await draw();
	every(REFRESH_SECONDS, draw);
}

/** Draws a page of a listing into `rows`, and the next ones on demand. */
export function pages(rows, found, name, draw, request) {
	const add = (page) => {
		rows.append(...page[name].map(draw));
		more.hidden = !page.next_cursor;
		found = page;
	};
	const more = button("Earlier", async () => {
		add(await ask(request(found.next_cursor)));
		rows.classList.add("further");
	});
	add(found);
	return [rows, more];
}

const nothing = (id) =>
	empty("Nothing is known of this contact.", "Entries into workflows are kept, and events that met a goal's criteria. ",
		link(`send?contact=${id}`, "Send an event of it"), ", or choose a row of the ", link("live", "live feed"), ".");
