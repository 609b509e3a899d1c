// Hooks: addresses for other systems, and what their calls become.

import { ask, curlButton, every, get, post } from "./api.js";
import { further } from "./contact.js";
import { isWithheld, listOf, rotation } from "./endpoints.js";
import { formOf } from "./goals.js";
import { ago, badge, button, capital, command, copy, empty, field, fill, h, head, input, link, list, number, panel, select, table, trouble } from "./kit.js";

const PATH = "/hooks";
const STANDARD = "standard";
const EXAMPLE = {
	call_id: "order.id",
	events: [{
		when: "type == 'order.paid'",
		event_type: "payment.completed",
		event_id: "order.id",
		timestamp: "order.paid_at",
		data: { contact_id: "order.customer.crm_id", amount: "order.total", currency: "order.currency" },
	}],
};

export async function show(main, _, id) {
	if (isWithheld(main, "Hooks", "They are addresses to which other systems send what becomes events.")) return;
	const { presets } = await ask(get("/hook-presets"));
	await (id ? one(main, id, presets) : all(main, presets));
}

const urlOf = (hook) => location.origin + hook.url;
const stateOf = (hook) => badge(hook.paused ? "paused" : "active");

const all = (main, presets) => listOf(main, {
	title: "Hooks", path: PATH, nameOf: ({ name }) => name, form: (old, done) => hookForm(presets, old, done),
	rotation: ({ scheme }, path, done) => rotation(path, done, scheme !== STANDARD && input("secret", { placeholder: `as ${capital(scheme)} shows it` })),
	lead: "Shops, calendars and forms send what happens to an address of their own; a mapping makes events of it.",
	none: ["No other system sends anything yet.", "Add an address for one: payments of Stripe, appointments of Calendly, forms of Typeform, or whatever sends JSON."],
	columns: ["Hook", "Signed as~", "Changed~", "State"],
	cells: (one) => [link(`hooks/${one.id}`, one.name), one.scheme, h("span.hint", "by ", one.updated_by, " ", ago(one.updated_at)), stateOf(one)],
	isPaused: ({ paused }) => paused,
	texts: {
		Pause: "Calls are refused until it is resumed; most systems try again for a while.",
		Resume: "Calls are taken again.",
		Delete: "Calls are refused from now on. What it brought stays.",
	},
	more: (one) => button("Copy URL", () => copy(urlOf(one)), "quiet"),
});

const leaves = (path, value) =>
	value instanceof Object ? Object.entries(value).flatMap(([name, one]) => leaves(`${path}/${name}`, one)) : [[path, value]];

function hookForm(presets, old, done) {
	const name = input("name");
	const preset = select("preset", [...presets.map((one) => [one.name, one.title]), ["", "Another system, by a mapping of your own"]]);
	const scheme = select("scheme", [STANDARD, ...presets.map((one) => one.scheme)]);
	const secret = input("secret");
	const text = h("textarea", { id: "mapping", rows: 18, spellcheck: false });
	const wrong = h("div", { role: "alert" });
	const hint = h("p.hint");
	const secretField = h("div");
	const own = [field("signed as", scheme), h("div", field("mapping: every leaf but event_type is JMESPath", text), wrong)];
	const known = () => !old && presets.find((one) => one.name === preset.value);

	function turn() {
		const found = known();
		own.forEach((one) => (one.hidden = Boolean(found)));
		fill(secretField, field(found || scheme.value !== STANDARD ? "the secret that they sign with" : "secret; without one it is made", secret));
		fill(hint, found && `The id of a contact is expected in ${found.contact_id}.`);
	}

	function draw(of) {
		name.value = of.name;
		text.value = JSON.stringify(of.mapping, null, 2);
	}

	// What is no JSON is sent as it is: the API refuses it.
	function mapping() {
		fill(wrong);
		try {
			return JSON.parse(text.value);
		} catch (problem) {
			fill(wrong, h("p.error", `This is no JSON: ${problem.message}`));
			return text.value;
		}
	}

	const written = () => ({
		name: name.value.trim(),
		...(known() ? { preset: preset.value } : { mapping: mapping(), ...(!old && { scheme: scheme.value }) }),
		...(secret.value && { secret: secret.value.trim() }),
	});
	const flat = (of) => ({ name: of.name, ...Object.fromEntries(leaves("mapping", of.mapping)) });

	preset.onchange = scheme.onchange = turn;
	draw(old ?? { name: "", mapping: EXAMPLE });
	turn();
	return formOf({ path: PATH, old, what: "hook", draw, written, flat, done },
		h("div.fields", field("name", name), !old && [field("what comes", preset), own[0], secretField]), hint, own[1],
		trial(`${PATH}/dry-run`, () => (known() ? { preset: preset.value } : { mapping: mapping() })));
}

// What a body becomes; `beside` stands beside it in the request.
function trial(path, beside = () => ({})) {
	const text = h("textarea", { id: "body", rows: 8, spellcheck: false });
	const results = h("section.side", { "aria-live": "polite" });
	// The body goes as it is written: numbers keep their digits.
	const request = () => ({ ...post(path), body: `${JSON.stringify({ ...beside(), body: 0 }).slice(0, -2)}${text.value || null}}` });
	const work = () => ask(request()).then(draw, (problem) => fill(results, trouble(problem)));
	const told = (errors) => errors.map((one) => h("p.error", h("code", one.pointer), " ", one.message));

	function draw({ call_id: id, events, errors }) {
		fill(results, told(errors), !events.length && empty("It becomes no event.", "No rule takes it: a call would be answered 202, as one that nobody wants."),
			events.map(({ event, errors }) => h("div.card", badge(errors.length ? "refused" : "accepted"), " ", h("code", event.event_type), told(errors), h("pre", JSON.stringify(event, null, 2)))),
			h("p.hint", "Nothing was sent. ", id && ["Their id of it is ", h("code", id), "."]));
	}

	return h("details.card", h("summary", "Dry run: see what a body becomes"),
		h("section", field("the body of a call", text), h("div.row", button("Try it", work), curlButton(request)), results));
}

async function one(main, id, presets) {
	const path = `${PATH}/${id}`;
	const hook = await ask(get(path));
	const preset = presets.find((one) => one.scheme === hook.scheme);
	const request = () => get(`${path}/calls`, { limit: 200 });
	const box = h("section");
	let drawn;

	async function draw() {
		const found = await ask(request());
		const text = JSON.stringify(found);
		if (text === drawn) return;
		drawn = text;
		fill(box, found.calls.length ? [table("Recent calls", ["Call", "Became", "When"], found.calls.map(cells)), further(found)]
			: empty("No calls yet.", "Those that are signed as they should be appear here, and stay for 30 days."));
	}

	await draw();
	fill(main, h("div", link("hooks", "Hooks"), " / ", h("code", id)),
		head("h1", [hook.name, " ", stateOf(hook)]), h("p", "Their calls go to:"), command(urlOf(hook)),
		h("p.hint", `Signed as ${hook.scheme}, with a secret that was made `, ago(hook.secrets[0].added_at), preset && `. The id of a contact is expected in ${preset.contact_id}.`),
		h("details.card", h("summary", "Mapping"), h("pre", JSON.stringify(hook.mapping, null, 2))),
		trial(`${path}/dry-run`), head("h2", "Recent calls", curlButton(request)), box);
	every(5, draw);
}

const cells = ({ call_id: id, received_at: at, status, answer }) => [
	button(id, () => panel("Call", list({ call: id, answered: status, ...answer })), "link"),
	status === 202 ? (answer.accepted ? `${number(answer.accepted)} accepted` : "no event") : [badge("refused"), " ", answer.message], ago(at),
];
