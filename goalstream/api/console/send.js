// Events of one's own, and what became of each.

import { ask, curlButton, get, goalName, goals, lacks, loadGoals, loadWorkflows, me, page, pause, post, workflowName, workflows } from "./api.js";
import { entry, scan } from "./contact.js";
import { badge, button, check, empty, field, fill, h, head, input, link, options, trouble } from "./kit.js";

const EVENTS = {
	tag_added: "contact.tag.added",
	purchase_made: "payment.completed",
	appointment_booked: "appointment.booked",
	form_submitted: "form.submitted",
	pipeline_stage_reached: "pipeline.stage.changed",
};

// The end of such an address is one; `crypto.randomUUID` is missing over plain HTTP.
const uuid = () => URL.createObjectURL(new Blob()).slice(-36);

export async function show(main, query) {
	const examples = await (await fetch("/console/examples.json")).json();
	await loadWorkflows();
	const few = [...new Set([query.workflow, ...workflows.keys()])].filter(Boolean).slice(0, 10);
	const wanted = (await Promise.all(few.map(loadGoals))).flat();
	const missing = lacks("goals:write");
	const group = (label, pairs) => h("optgroup", { label }, options(pairs));
	const what = h("select", { id: "what" },
		few.map((id) => group(workflowName(id), wanted.filter((one) => one.workflow_id === id).map((one) => [one.id, goalName(one.id)]))),
		Object.entries(examples).map(([topic, all]) => group(topic, Object.keys(all).map((name) => `${topic} ${name}`))));
	const contact = input("contact", { value: query.contact ?? uuid() });
	const enters = check("enters", { checked: true });
	const text = h("textarea", { id: "event", rows: 14, spellcheck: false });
	const results = h("section.side", { "aria-live": "polite" }, empty("What will become of it?", "Send: the verdict comes here."));
	const request = () => ({ ...post("/events"), body: text.value });

	const envelope = (event_type, data, secondsAgo = 0) => ({
		event_id: `evt-${uuid()}`,
		event_type,
		account_id: me.account_id,
		timestamp: new Date(Date.now() - 1000 * secondsAgo).toISOString(),
		data: { contact_id: contact.value, ...data },
	});

	// What achieves a goal, perhaps with the entry into its workflow before it.
	function forGoal({ goal_type: type, criteria, workflow_id }) {
		const { any_purchase: _, any_appointment: __, min_amount: amount = "49.90", ...same } = criteria;
		const event = envelope(EVENTS[type], { ...(type === "purchase_made" && { amount, currency: "EUR" }), ...same });
		return enters.checked ? [envelope("workflow.enrollment.started", { enrollment_id: uuid(), workflow_id }, 1), event] : event;
	}

	// An example with this account, contact and workflow in it, new ids, and the time of now.
	function ours(example, topic) {
		const { data, ...event } = envelope(topic, { workflow_id: few[0], enrollment_id: uuid() });
		const known = { ...event, ...data, accountid: event.account_id, time: event.timestamp };
		const put = (one) => Object.fromEntries(Object.entries(one).map(([name, value]) => [name, (value && known[name]) || value]));
		return { ...put(example), ...(example.specversion ? { id: event.event_id, type: topic } : { event_type: topic }), data: put(example.data) };
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
			const answer = await ask(request());
			fill(results, answer.events.map((one) => result(one, sent[one.index].data)),
				h("p.hint", "Sent again as it is, it changes nothing."));
		} catch (problem) {
			fill(results, problem instanceof SyntaxError ? h("p.error", `This is no JSON: ${problem.message}`) : trouble(problem));
		}
	}

	fill(main, head("h1", "Send an event", missing && h("span.hint", missing)),
		h("div.columns", h("form", { onsubmit },
			h("div.fields", field("what happens", what), field("contact", contact)),
			field("the contact enters the workflow just before", enters),
			field("the event, or a list of up to 500", text),
			h("div.row", h("button.primary", { disabled: Boolean(missing), title: missing }, "Send"),
				button("New contact, new ids", () => ((contact.value = uuid()), make())), curlButton(request))), results));
	if (goals.has(query.goal)) what.value = query.goal;
	what.onchange = enters.onchange = contact.onchange = make;
	make();
}

function result({ event_id: id, status, topic, errors }, data) {
	const place = h("section");
	if (status === "accepted" && data.contact_id) watch(id, data, place);
	return h("div.card.result", badge(status), " ", h("code", topic), errors.map((one) => h("p.error", h("code", one.pointer), " ", one.message)), place);
}

// What the contact's timeline says of an event, which may change as others arrive.
async function watch(id, { contact_id: contact, enrollment_id: enrollment = "" }, place, { signal } = page) {
	let drawn;
	fill(place, h("p.hint", "Kafka has it…"));
	for (let look = 0; look < 20 && !signal.aborted; look++) {
		const { entries } = await ask(get(`/contacts/${contact}/timeline`));
		const found = entries.filter((one) => one.event?.event_id === id || (one.kind === "enrollment_started" && one.enrollment_id === enrollment));
		const text = JSON.stringify(found);
		if (found.length && text !== drawn) fill(place, found.map(entry), link(`contact/${contact}`, "The contact’s timeline"));
		drawn = text;
		await pause(0.5);
	}
	if (drawn === "[]") fill(place, h("p.hint", "No goal asks for it."), scan(contact, [...goals.keys()].slice(0, 10)));
}
