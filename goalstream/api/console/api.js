/** Requests to the API: the token in a header, problems as errors, the feed, and each request as a curl command. */

import { button, copy, pause } from "./dom.js";
import { page, token } from "./session.js";

const API = "/api/v1";
/** After so long without a sign of life a stream is taken for dead; the feed sends a comment every 15 seconds. */
const SILENT_SECONDS = 40;
const LONGEST_WAIT_SECONDS = 30;

/** What the API refuses; status 0: it does not answer. `errors` are `{pointer, message}`. */
export class Problem extends Error {
	constructor(status, { message, detail, errors = [], events = [] }) {
		super(message ?? detail ?? `The API answers ${status}`);
		Object.assign(this, { status, errors, events });
	}
}

/** A request that reads; what is empty in the query is left out. */
export function get(path, query = {}) {
	const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
	return { method: "GET", path: text.size ? `${path}?${text}` : path };
}

export const post = (path, body) => ({ method: "POST", path, body });

/** The answer to a request. Raises Problem. */
export async function ask(request) {
	const answer = await send(request);
	return answer.status === 204 ? null : answer.json();
}

async function send({ method, path, body, headers }, signal = page.signal) {
	const sent = { Authorization: `Bearer ${token()}`, ...typed(body), ...headers };
	const answer = await fetch(API + path, { method, headers: sent, signal, body: text(body) }).catch((error) => {
		throw signal?.aborted ? error : new Problem(0, { message: "The API does not answer" });
	});
	if (answer.ok) return answer;
	const problem = new Problem(answer.status, await answer.json().catch(() => ({})));
	if (problem.status === 401) dispatchEvent(new CustomEvent("signedout", { detail: problem.message }));
	throw problem;
}

const text = (body) => (typeof body === "object" ? JSON.stringify(body) : body);
const typed = (body) => body && { "Content-Type": "application/json" };

/** The request as a command; the token is never in it. */
export function curl({ method, path, body, headers }) {
	const quote = (one) => `'${one.replaceAll("'", `'\\''`)}'`;
	const parts = [`curl -sS -X ${method} ${quote(location.origin + API + path)}`, `-H "Authorization: Bearer $GOALSTREAM_TOKEN"`];
	for (const [name, value] of Object.entries({ ...typed(body), ...headers })) parts.push(`-H ${quote(`${name}: ${value}`)}`);
	if (body) parts.push(`-d ${quote(text(body))}`);
	return parts.join(" \\\n  ");
}

/** A button that copies what `request` makes when it is pressed. */
export const curlButton = (request) => button("Copy as curl", () => copy(curl(request())), "quiet");

/** Follows the feed until the page ends, and goes on where it was cut.
 *
 *  `onEvent(name, data)`; `onState(state, detail)`: live, waiting (seconds), or refused (a Problem).
 */
export async function follow(query, onEvent, onState, { signal } = page) {
	let lastId;
	for (let failures = 0; !signal.aborted; failures++) {
		let silence;
		const dead = new AbortController();
		const heard = () => {
			clearTimeout(silence);
			silence = setTimeout(() => dead.abort(), SILENT_SECONDS * 1000);
		};
		try {
			heard();
			const headers = lastId && { "Last-Event-ID": lastId };
			const { body } = await send({ ...get("/feed", query), headers }, AbortSignal.any([signal, dead.signal]));
			onState("live");
			for await (const { id, event, data } of events(body)) {
				heard();
				failures = 0;
				lastId = id ?? lastId;
				if (data) onEvent(event, JSON.parse(data));
			}
		} catch (problem) {
			if ([401, 403, 422].includes(problem.status)) return onState("refused", problem);
		}
		clearTimeout(silence);
		const seconds = Math.min(2 ** failures, LONGEST_WAIT_SECONDS) * (0.5 + Math.random() / 2);
		onState("waiting", seconds);
		await pause(seconds, signal);
	}
}

/** The fields of each event of a stream; of a comment there are none that matter. */
async function* events(body) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "";
	for (let part; !(part = await reader.read()).done; ) {
		const whole = (rest + part.value).split("\n\n");
		rest = whole.pop();
		for (const one of whole) yield Object.fromEntries(one.split("\n").map((line) => line.match(/^([^:]*): ?(.*)/).slice(1)));
	}
}
