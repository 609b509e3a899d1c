// The feed: drawn once per frame however much comes, and never more rows than fit.

import { curlButton, follow, get, goalName, learn, loadGoals, loadWorkflows, workflowName } from "./api.js";
import { explain } from "./contact.js";
import { showHistory } from "./goals.js";
import { badge, button, clock, empty, exact, fill, filters, h, head, input, link, number, select, words } from "./kit.js";

const MOST_ROWS = 500;
const MOST_KNOWN = 5000; // entries that are recognized when a feed that was cut tells them again
const ACTIONS = ["achieved", "moved", "revoked", "restored", "goal_created", "goal_changed", "goal_deleted"];

// A list in `box` that follows the feed; answers with what pauses and resumes it.
export function feed(box, query, most, title) {
	const list = h("ol.feed", { "aria-label": "Feed, newest first" });
	const state = h("p.hint", "Connecting…");
	const none = empty("Nothing has happened yet.", "It appears here: ", link("send", "send an event"), " to cause something.");
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
			if (known.size > MOST_KNOWN) known.clear();
			waiting.push(entry);
			if (waiting.length > 2 * most) waiting = waiting.slice(-most);
			if (!isDue) requestAnimationFrame(draw);
			isDue = true;
		}
		if (skipped || isPaused) onState("live");
	}

	function onState(name, detail) {
		const live = isPaused ? `Paused, ${number(waiting.length)} new` : skipped ? `Live; ${number(skipped)} more than can be shown` : "Live";
		const text = { live, waiting: `Cut off; goes on in ${Math.ceil(detail)} s from where it was`, refused: detail?.message }[name];
		if (state.textContent !== text) fill(state, h(`span.dot.${name}`), text);
	}

	fill(box, title && h("h2", title), state, none, list);
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
	learn(workflow, goal).then(() => fill(about, contact ? h("code", contact.slice(0, 8)) : h("strong", actor), ": ", goalName(goal), " in ", workflowName(workflow),
		action === "revoked" && after?.revoked_reason && `: ${words(after.revoked_reason)}`));
	return h("li", button([h("span.hint", { title: exact(at) }, clock(at)), " ", badge(action), " ", about],
		() => (contact ? explain(contact, goal) : showHistory(workflow, goal)), "entry"));
}

export async function show(main, query) {
	const { workflows } = await loadWorkflows();
	const goals = query.workflow_id ? await loadGoals(query.workflow_id) : [];
	const box = h("section");
	const stop = button("Pause", () => (stop.textContent = turn() ? "Resume" : "Pause"), "", { id: "pause" });
	fill(main, head("h1", "Live", stop, curlButton(() => get("/feed", query))),
		filters("live", query, {
			Workflow: select("workflow_id", [["", "any workflow"], ...workflows.map(({ workflow_id: id }) => [id, workflowName(id)])]),
			Goal: select("goal_id", [["", "any goal"], ...goals.map(({ id }) => [id, goalName(id)])]),
			What: select("action", [["", "anything"], ...ACTIONS]),
			Contact: input("contact_id", { placeholder: "UUID" }),
		}), box);
	const turn = feed(box, query, MOST_ROWS);
}
