// Requests to the API, the feed, and what ids stand for.

import { button, copy, describe, fill, h, panel, trouble } from "./kit.js";

export const TOKEN = "goalstream-token";

const SILENT_MS = 40_000; // and a stream is dead: the feed sends a comment every 15 seconds

// Account, subject and scopes of the token; and the page that is shown: what it began ends with its signal.
export const me = {};
export const page = {};

export const lacks = (scope) => (me.scopes.includes(scope) ? null : `Your token lacks the scope ${scope}`);

export function get(path, query = {}) {
	const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
	return { method: "GET", path: text.size ? `${path}?${text}` : path };
}

export const post = (path, body) => ({ method: "POST", path, body: JSON.stringify(body) });

// The answer to a request. Raises `{status, message, errors}`; status 0: the API does not answer.
export async function ask(request) {
	const answer = await send(request);
	return answer.status === 204 ? null : answer.json();
}

async function send(request, signal = page.signal) {
	const headers = { Authorization: `Bearer ${sessionStorage[TOKEN]}`, ...headersOf(request) };
	const answer = await fetch(urlOf(request), { ...request, headers, signal }).catch((error) => {
		throw signal.aborted ? error : { status: 0, message: "The API does not answer" };
	});
	if (answer.ok) return answer;
	const { status } = answer;
	const { message, detail, errors } = await answer.json().catch(() => ({}));
	if (status === 401) dispatchEvent(new CustomEvent("signedout", { detail: message }));
	throw { status, message: message ?? detail ?? `The API answers ${status}`, errors };
}

const urlOf = ({ path }) => `${location.origin}/api/v1${path}`;
const headersOf = ({ body, headers }) => ({ ...(body && { "Content-Type": "application/json" }), ...headers });

// Copies what `request` makes when it is pressed; the token is never in it.
export const curlButton = (request) => button("Copy as curl", () => copy(curl(request())), "quiet");

function curl(request) {
	const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
	return [
		`curl -sS -X ${request.method} ${quote(urlOf(request))}`, `-H "Authorization: Bearer $GOALSTREAM_API_TOKEN"`,
		...Object.entries(headersOf(request)).map((one) => `-H ${quote(one.join(": "))}`),
		...(request.body ? [`-d ${quote(request.body)}`] : []),
	].join(" \\\n  ");
}

export const pause = (seconds, signal = page.signal) =>
	new Promise((done) => {
		setTimeout(done, seconds * 1000);
		signal.addEventListener("abort", done);
	});

export async function every(seconds, work, { signal } = page) {
	for (; !signal.aborted; await pause(seconds, signal)) if (!document.hidden) await work().catch(() => {});
}

export async function panelOf(title, request, draw) {
	const place = h("section", "Loading…");
	panel(title, place);
	fill(place, await ask(request).then(draw, trouble), h("div", curlButton(() => request)));
}

// Asks before a request is sent or copied; resolves once it was well.
export const question = (title, text, label, request, kind = "primary") =>
	new Promise((done) => {
		const wrong = h("div", { role: "alert" });
		const go = button(label, () => ask(request).then(done).then(() => close(), (problem) => fill(wrong, trouble(problem))), kind);
		const close = panel(title, h("p", text), wrong, h("div.row", go, button("Cancel", () => close()), curlButton(() => request)));
		go.focus();
	});

// Until the page ends, going on where it was cut; `onState(state, detail)`: live, waiting (seconds), refused (a problem).
export async function follow(query, onEvent, onState) {
	const { signal } = page;
	let lastId;
	for (let failures = 0; !signal.aborted; failures++) {
		const dead = new AbortController();
		let silence;
		try {
			const headers = lastId && { "Last-Event-ID": lastId };
			const { body } = await send({ ...get("/feed", query), headers }, AbortSignal.any([signal, dead.signal]));
			onState("live");
			for await (const { id, event, data } of events(body)) {
				clearTimeout(silence);
				silence = setTimeout(() => dead.abort(), SILENT_MS);
				failures = 0;
				lastId = id ?? lastId;
				if (data) onEvent(event, JSON.parse(data));
			}
		} catch (problem) {
			if ([401, 403, 422].includes(problem.status)) return onState("refused", problem);
		}
		const seconds = Math.min(2 ** failures, 30) * (0.5 + Math.random() / 2);
		onState("waiting", seconds);
		await pause(seconds, signal);
	}
}

async function* events(body) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "";
	for (let part; !(part = await reader.read()).done; ) {
		const whole = (rest + part.value).split("\n\n");
		rest = whole.pop();
		for (const one of whole) yield Object.fromEntries(one.split("\n").map((line) => line.match(/^([^:]*): ?(.*)/).slice(1)));
	}
}

export const workflows = new Map();
export const goals = new Map();
const asked = {};

export const workflowName = (id) => workflows.get(id)?.name || `workflow ${id.slice(0, 8)}`;
export const goalName = (id) => (goals.has(id) ? describe(goals.get(id)) : `goal ${id.slice(0, 8)}`);

export async function loadWorkflows(limit = 200) {
	const found = await ask(get("/workflows", { limit }));
	for (const one of found.workflows) workflows.set(one.workflow_id, one);
	return found;
}

export async function loadGoals(workflowId) {
	const found = await ask(get(`/workflows/${workflowId}/goals`, { limit: 200 }));
	for (const one of found.goals) goals.set(one.id, one);
	return found.goals;
}

export async function learn(workflowId, goalId) {
	if (goals.has(goalId)) return;
	asked[goalId] ??= ask(get(`/workflows/${workflowId}/goals/${goalId}/versions`, { limit: 1 }));
	await asked[goalId].then(({ versions }) => goals.set(goalId, versions[0]), () => delete asked[goalId]);
}
