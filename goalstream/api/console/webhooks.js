// Webhooks: where messages about goals are sent, and what became of each.

import { ask, curlButton, every, get, page, panelOf, pause, post, question } from "./api.js";
import { further } from "./contact.js";
import { isWithheld, listOf, rotation, writing } from "./endpoints.js";
import { formOf } from "./goals.js";
import { ago, badge, button, check, empty, exact, field, fill, filters, h, head, input, link, list, number, select, table, tell, trouble } from "./kit.js";

const PATH = "/webhooks";
const TOPICS = ["workflow.goal.achieved", "workflow.exit.goal", "workflow.goal.revoked"];
const MOST_LOOKS = 40;

export async function show(main, query, id) {
	if (isWithheld(main, "Webhooks", "They tell your own systems of goals that were achieved.")) return;
	await (id ? one(main, query, id) : all(main));
}

const all = (main) => listOf(main, {
	title: "Webhooks", path: PATH, nameOf, rotation: (_, ...rest) => rotation(...rest), form: webhookForm,
	lead: "Your own systems hear of each goal: signed, and tried again for a day until they take it.",
	none: ["Nobody is told of goals yet.", "Add the URL of a system that wants to hear of them."],
	columns: ["Webhook", "Messages~", "State"],
	cells: (one) => [
		[link(`webhooks/${one.id}`, nameOf(one)), one.description && h("div.hint", one.url), h("div.hint", { "aria-live": "polite" })],
		one.topics.map((name) => h("div", h("code", name.split(/(?<=\.)/).flatMap((part) => [h("wbr"), part])))), standing(one),
	],
	isPaused: ({ state }) => state === "paused",
	texts: {
		Pause: "What comes about is kept, and sent once it is resumed.",
		Resume: "What came about meanwhile is sent at once.",
		Delete: "Nothing is sent there any more, and its delivery log is gone.",
	},
	more: (one) => writing("Test", ({ target }) => test(one, target.closest("tr").querySelector("[aria-live]"))),
});

const nameOf = ({ description, url }) => description || url;

const standing = ({ state, problem, failures_in_a_row: failures, circuit_open_until: until }) => [
	badge(state), state === "failing" && h("div.hint", `${number(failures)} failures in a row; tried again `, ago(until)),
	problem && h("p.error", problem),
];

function webhookForm(old, done) {
	const url = input("url", { type: "url", placeholder: "https://…" });
	const description = input("description");
	const topics = TOPICS.map((name) => check(name));

	function draw(of) {
		url.value = of.url;
		description.value = of.description;
		for (const one of topics) one.checked = of.topics.includes(one.id);
	}

	const written = () => ({ url: url.value.trim(), description: description.value.trim(), topics: topics.filter((one) => one.checked).map((one) => one.id) });
	const flat = (of) => ({ url: of.url, description: of.description, messages: of.topics.join(", ") });

	draw(old ?? { url: "", description: "", topics: TOPICS });
	return formOf({ path: PATH, old, what: "webhook", draw, written, flat, done },
		h("div.fields", field("URL", url), field("what it is, in your words", description)),
		h("div", h("fieldset.card.row", { id: "topics", tabindex: -1 }, h("legend.hint", "messages"), topics.map((one) => field(one.id, one)))));
}

// Sends a test, and says what became of it.
async function test({ id, state }, place, { signal } = page) {
	const path = `${PATH}/${id}`;
	try {
		const { message_id: message } = await ask(post(`${path}/test`));
		const more = button("Look at it", () => showDelivery(path, message), "link");
		fill(place, state === "paused" ? "Sent once it is resumed. " : "On its way… ", more);
		for (let look = 0; look < MOST_LOOKS && !signal.aborted; look++) {
			const [attempt] = (await ask(get(`${path}/deliveries/${message}`))).attempts;
			if (attempt) return fill(place, outcome(attempt), ago(attempt.at), more);
			await pause(0.5);
		}
	} catch (problem) {
		if (!signal.aborted) fill(place, trouble(problem));
	}
}

const outcome = ({ error, status, duration_seconds: seconds }) =>
	[badge(error ? "failed" : "delivered"), ` ${error ?? `answers ${status}`} after ${number(seconds)} s, `];

async function one(main, query, id) {
	const path = `${PATH}/${id}`;
	const request = () => get(`${path}/deliveries`, { ...query, limit: 200 });
	const facts = h("div");
	const box = h("section");
	let drawn;

	async function draw() {
		const [webhook, found] = await Promise.all([get(path), request()].map(ask));
		const text = JSON.stringify([webhook, found]);
		if (text === drawn || document.querySelector("dialog")) return webhook; // somebody reads
		drawn = text;
		fill(facts, standing(webhook), h("div.hint", webhook.secrets.map((one, i) =>
			[i ? "; with an older one too until " : "Signed with a secret that was made ", ago(i ? one.expires_at : one.added_at)])));
		fill(box, found.deliveries.length ? [table("Deliveries", ["Message", "State", "When", "#Attempts~", "Next attempt~"], found.deliveries.map(cells)), further(found)]
			: empty("No deliveries.", "What is sent there appears here, and stays for 30 days."));
		return webhook;
	}

	const cells = (one) => [
		[button(one.topic, () => showDelivery(path, one.message_id), "link"), h("div.hint", h("code", one.message_id))],
		badge(one.state), ago(one.created_at), number(one.attempt_count), one.next_attempt_at ? ago(one.next_attempt_at) : "–",
	];

	const webhook = await draw();
	fill(main, h("div", link("webhooks", "Webhooks"), " / ", h("code", id)),
		head("h1", nameOf(webhook), redriving("Redrive all parked", "All that are parked are sent again, at once and for a day if need be.", post(`${path}/redrive`)), curlButton(request)),
		h("code", webhook.url), facts,
		filters(`webhooks/${id}`, query, { State: select("state", [["", "any"], "pending", "delivered", "parked"]) }), box);
	every(5, draw);
}

const showDelivery = (path, id) =>
	panelOf("Delivery", get(`${path}/deliveries/${id}`), ({ state, topic, body, attempts, ...one }) => [
		h("div.row", h("div.first", badge(state), " ", h("code", topic), " ", ago(one.created_at)),
			redriving("Redrive", "It is sent again, at once and for a day if need be, with the same webhook-id.", post(`${path}/deliveries/${id}/redrive`))),
		list({ "webhook-id": id, "next attempt": one.next_attempt_at && exact(one.next_attempt_at), "gives up": one.next_attempt_at && one.give_up_at && exact(one.give_up_at), body: pretty(body) }),
		attempts.map((attempt) => h("details.card", h("summary", outcome(attempt), ago(attempt.at)), list({
			to: attempt.url, headers: Object.entries(attempt.headers).map((one) => one.join(": ")).join("\n"), answered: attempt.status, answer: attempt.answer || null,
		}))),
		!attempts.length && h("p.hint", "Not sent yet. ", h("code", "goalstream deliverer"), " sends what is due."),
	]);

function pretty(text) {
	try {
		return JSON.stringify(JSON.parse(text), null, 2);
	} catch {
		return text;
	}
}

const redriving = (label, text, request) => writing(label, async () => {
	const { redriven = 1, remaining } = await question(`${label}?`, text, "Redrive", request);
	dispatchEvent(new Event("hashchange"));
	tell(`${number(redriven)} redriven${remaining ? `, ${number(remaining)} remain` : ""}`);
}, "");
