/** The feed of what is decided and changed: drawn once per frame however much comes, and never more rows than fit. */

import { curlButton, follow, get } from "./api.js";
import { button, filters, fill, h, head, input, select } from "./dom.js";
import { badge, clock, exact, number, words } from "./format.js";
import { explain } from "./contact.js";
import { showHistory } from "./goals.js";
import { goalName, learn, loadGoals, loadWorkflows, workflowName } from "./names.js";
import { empty, link } from "./panel.js";

const MOST_ROWS = 500;
/** Entries that are recognized when a feed that was cut tells them again. */
const MOST_KNOWN = 5000;
const ACTIONS = {
	achieved: "achieved",
	moved: "did earlier than was known:",
	revoked: "no longer counts for",
	restored: "counts again for",
	goal_created: "added",
	goal_changed: "changed",
	goal_deleted: "deleted",
};

/** A list in `box` that follows the feed; answers with what pauses and resumes it. */
export function feed(box, query, most) {
	const list = h("ol.feed", { "aria-label": "Feed, newest first" });
	const state = h("p.hint", "Connecting…");
	const none = empty("Nothing has happened yet.", "What is achieved and changed appears here. ", link("send", "Send an event"), " to cause something.");
	const known = new Set();
	let waiting = [];
	let skipped = 0;
	let isPaused = false;
	let isDue = false;

	function draw() {
		isDue = false;
		if (isPaused) return;
		list.prepend(...waiting.splice(0).slice(-most).reverse().map(row));
		while (list.children.length > most) list.lastChild.remove();
		none.hidden = list.children.length > 0;
	}

	function onEvent(name, entry) {
		if (name === "skipped") skipped += entry.entries;
		else if (!known.has(entry.entry_id)) {
			known.add(entry.entry_id);
			if (known.size > MOST_KNOWN) known.delete(known.values().next().value);
			waiting.push(entry);
			if (waiting.length > 2 * most) waiting = waiting.slice(-most);
			if (!isDue) requestAnimationFrame(draw);
			isDue = true;
		}
		if (skipped || isPaused) onState("live");
	}

	function onState(name, detail) {
		const text = {
			live: () => (isPaused ? `Paused, ${number(waiting.length)} new` : skipped ? `Live; ${number(skipped)} more than can be shown` : "Live"),
			waiting: () => `Cut off; goes on in ${Math.ceil(detail)} s from where it was`,
			refused: () => detail.message,
		}[name]();
		if (state.textContent !== text) fill(state, h(name === "live" ? "span.dot.good" : "span.dot"), text);
	}

	box.append(state, none, list);
	follow(query, onEvent, onState);
	return () => {
		isPaused = !isPaused;
		onState("live");
		draw();
		return isPaused;
	};
}

function row({ at, action, actor, contact_id: contact, goal_id: goal, workflow_id: workflow, after }) {
	const about = h("span");
	const write = () =>
		fill(about, contact ? h("code", contact.slice(0, 8)) : h("strong", actor), ` ${ACTIONS[action]} `, goalName(goal), " in ", workflowName(workflow),
			action === "revoked" && after?.revoked_reason && `: ${words(after.revoked_reason)}`);
	write();
	learn(workflow, goal).then(write);
	return h("li", button([h("span.at", { title: exact(at) }, clock(at)), badge(action), about],
		() => (contact ? explain(contact, goal) : showHistory(workflow, goal)), "entry"));
}

export async function show(main, _, query) {
	const { workflows } = await loadWorkflows();
	const goals = query.workflow_id ? await loadGoals(query.workflow_id) : [];
	const box = h("section");
	const stop = button("Pause", () => (stop.textContent = turn() ? "Resume" : "Pause"), "", { id: "pause" });
	fill(main, head("h1", "Live", stop, curlButton(() => get("/feed", query))),
		filters("live", query, {
			Workflow: select("workflow_id", [["", "any workflow"], ...workflows.map(({ workflow_id: id }) => [id, workflowName(id)])]),
			Goal: select("goal_id", [["", "any goal"], ...goals.map(({ id }) => [id, goalName(id)])]),
			What: select("action", [["", "anything"], ...Object.keys(ACTIONS).map((name) => [name, words(name)])]),
			Contact: input("contact_id", { placeholder: "UUID" }),
		}), box);
	const turn = feed(box, query, MOST_ROWS);
}
