/** Events of one's own: made for a goal, or from the contracts' examples; and what became of each. */

import { ask, curlButton, get, post } from "./api.js";
import { button, field, fill, h, head, input, options, pause } from "./dom.js";
import { badge, words } from "./format.js";
import { verdict } from "./contact.js";
import { goalName, goals, loadGoals, loadWorkflows, workflowName, workflows } from "./names.js";
import { empty, link, trouble } from "./panel.js";
import { isUuid, lacks, me, page, uuid } from "./session.js";

const LOOKS = 20;
const LOOK_SECONDS = 0.5;
const MOST_WORKFLOWS = 10;
const EVENTS = {
	tag_added: "contact.tag.added",
	purchase_made: "payment.completed",
	appointment_booked: "appointment.booked",
	form_submitted: "form.submitted",
	pipeline_stage_reached: "pipeline.stage.changed",
};

export async function show(main, _, query) {
	const examples = await (await fetch("/console/examples.json")).json();
	await loadWorkflows();
	const few = [...new Set([query.workflow, ...workflows.keys()])].filter(Boolean).slice(0, MOST_WORKFLOWS);
	const wanted = (await Promise.all(few.map(loadGoals))).flat();
	const missing = lacks("goals:write");
	const group = (label, pairs) => h("optgroup", { label }, options(pairs));
	const what = h("select", { id: "what" },
		few.map((id) => group(`For a goal of ${workflowName(id)}`, wanted.filter((one) => one.workflow_id === id).map((one) => [one.id, goalName(one.id)]))),
		Object.entries(examples).map(([topic, all]) => group(topic, Object.keys(all).map((name) => [`${topic} ${name}`, `${topic}, ${words(name)}`]))));
	const contact = input("contact", { value: query.contact ?? uuid() });
	const enters = input("enters", { type: "checkbox", checked: true });
	const text = h("textarea", { id: "event", rows: "14", spellcheck: "false" });
	const results = h("section.side", { "aria-live": "polite" }, empty("What will become of it?", "Choose what happens, and press Send: the verdict appears here, with its reason."));

	/** The event with this account, contact and workflow in it, new ids, and the time of now. */
	function ours(event, event_type, workflow = few[0], secondsAgo = 0) {
		const time = new Date(Date.now() - 1000 * secondsAgo).toISOString();
		const id = `evt-${uuid()}`;
		const known = { event_id: id, account_id: me.account_id, accountid: me.account_id, timestamp: time, time,
			contact_id: contact.value, workflow_id: workflow, enrollment_id: uuid() };
		const put = (one) => Object.fromEntries(Object.entries(one).map(([name, value]) => [name, (value && known[name]) || value]));
		return { ...put(event), ...(event.specversion ? { id, type: event_type } : { event_type }), data: put(event.data) };
	}

	/** What achieves a goal, perhaps with the entry into its workflow before it. */
	function forGoal({ goal_type: type, criteria, workflow_id: workflow }) {
		const { any_purchase: _, any_appointment: __, ...same } = criteria;
		const paid = type === "purchase_made" && { amount: same.min_amount ?? "49.90", currency: "EUR" };
		delete same.min_amount;
		const event = (event_type, data, secondsAgo) =>
			ours({ event_id: "?", event_type, account_id: "?", timestamp: "?", data: { contact_id: "?", ...data } }, event_type, workflow, secondsAgo);
		const it = event(EVENTS[type], { ...paid, ...same });
		return enters.checked ? [event("workflow.enrollment.started", { enrollment_id: "?", workflow_id: "?" }, 1), it] : it;
	}

	function make() {
		const [topic, name] = what.value.split(" ");
		enters.disabled = Boolean(name);
		text.value = JSON.stringify(name ? ours(examples[topic][name], topic) : forGoal(goals.get(topic)), null, 2);
	}

	async function onsubmit(event) {
		event.preventDefault();
		try {
			const sent = [JSON.parse(text.value)].flat();
			const answer = await ask(post("/events", text.value));
			fill(results, answer.events.map((one) => result(one, sent[one.index])),
				h("p.hint", "Sent once more as it is, it changes nothing: goalstream knows an event by its id."));
		} catch (problem) {
			const isJson = !(problem instanceof SyntaxError);
			fill(results, isJson ? trouble(problem) : h("p.error", `This is no JSON: ${problem.message}`), problem.events?.map((one) => result(one)));
		}
	}

	fill(main, head("h1", "Send an event", missing && h("span.hint", missing)),
		h("p.hint", "It goes where the CRM’s own events go, and is judged as they are."),
		h("div.columns", h("form", { onsubmit },
			h("div.fields", field("what happens", what), field("contact", contact)),
			field("the contact enters the workflow just before", enters),
			field("the event, or a list of up to 500", text),
			h("div.buttons", h("button.primary", { disabled: Boolean(missing), title: missing }, "Send"),
				button("New contact, new ids", () => ((contact.value = uuid()), make())), curlButton(() => post("/events", text.value)))), results));
	if (goals.has(query.goal)) what.value = query.goal;
	what.onchange = enters.onchange = make;
	contact.onchange = () => isUuid(contact.value) && make();
	make();
}

/** One event's answer, and then what its contact's timeline says of it, which may change as other events arrive. */
function result({ event_id: id, status, topic, reason, errors }, event) {
	const place = h("div");
	if (status === "accepted" && event.data.contact_id) watch(id, event.data, place);
	return h("div.card", h("div", badge(status), " ", h("code", topic)), reason && h("p.error", words(reason)),
		errors?.map((one) => h("p.error", h("code", one.pointer), " ", one.message)), place);
}

async function watch(id, { contact_id: contact, enrollment_id: enrollment }, place, { signal } = page) {
	let drawn = "[]";
	fill(place, h("p.hint", "Kafka has it; waiting for the verdict…"));
	for (let look = 0; look < LOOKS && !signal.aborted; look++) {
		const { entries } = await ask(get(`/contacts/${contact}/timeline`));
		const found = entries.filter((one) => one.event?.event_id === id || (one.kind === "enrollment_started" && one.enrollment_id === enrollment));
		const text = JSON.stringify(found);
		if (text !== drawn) {
			drawn = text;
			fill(place, found.map((one) => (one.event ? verdict(one) : h("p", `Entered ${workflowName(one.workflow_id)}.`))), link(`contact/${contact}`, "The contact’s timeline"));
		}
		await pause(LOOK_SECONDS);
	}
	if (drawn === "[]") fill(place, h("p.hint", "No goal asks for it, so it was not kept. `goalstream explain --scan` reads it again from Kafka, and says what was wanted."));
}
