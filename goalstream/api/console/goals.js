/** A workflow's goals: a table that is edited in place, and what a goal was before. */

import { curlButton, get } from "./api.js";
import { button, fill, h, head, table, tell } from "./dom.js";
import { ago, badge, capital, clock, describe, duration, words } from "./format.js";
import { goalForm } from "./goal_form.js";
import { goalName, loadGoals } from "./names.js";
import { empty, link, panelOf, question } from "./panel.js";
import { lacks } from "./session.js";

const COLUMNS = ["Goal", "Within~", "State", "Version~", ""];

/** Draws the goals into `box`, and again after every change. */
export async function goalsOf(box, workflowId) {
	const path = `/workflows/${workflowId}/goals`;
	const missing = lacks("goals:write");
	const writing = (label, work, kind = "quiet", id = null) => button(label, work, kind, { id, disabled: Boolean(missing), title: missing });
	const place = h("div");

	async function draw() {
		const goals = await loadGoals(workflowId);
		fill(box, head("h2", "Goals", missing && h("span.hint", missing), writing("Add a goal", () => edit(), "primary", "new-goal"), curlButton(() => get(path))),
			fill(place), goals.length ? table("Goals", COLUMNS, goals.map(cells))
				: empty("No goals yet: contacts stay in this workflow whatever they do.", "Say what counts as success with “Add a goal”."));
	}

	const cells = (goal) => [
		capital(describe(goal)), duration(goal.window),
		[badge(goal.is_active ? "active" : "paused"), new Date(goal.effective_from) > new Date() && h("span.hint", ` from ${clock(goal.effective_from)}`)],
		[`${goal.version} `, h("span.hint", "by ", goal.updated_by, " ", ago(goal.updated_at))],
		h("div.buttons",
			writing("Edit", ({ target }) => edit(goal, target.closest("tr")), "quiet", `edit-${goal.id}`),
			writing(goal.is_active ? "Pause" : "Resume", () => turn(goal)),
			button("History", () => showHistory(workflowId, goal.id), "quiet"),
			writing("Delete", () => remove(goal)), link(`send?goal=${goal.id}&workflow=${workflowId}`, "Try it")),
	];

	/** A form in the place of a goal's row; of a new goal above the table. */
	function edit(goal, at) {
		const done = async (saved) => {
			await draw();
			if (saved) tell(`Saved: version ${saved.version} holds from ${clock(saved.effective_from)}`);
			box.querySelector(at ? `#edit-${CSS.escape(goal.id)}` : "#new-goal")?.focus();
		};
		const form = goalForm(path, goal, done);
		fill(at ?? place, at ? h("td", { colspan: COLUMNS.length }, form) : form);
		form.querySelector("select, input").focus();
	}

	async function turn(goal) {
		const [verb, text] = goal.is_active
			? ["Pause", "does not count from then on, until it is resumed. What was achieved stays."]
			: ["Resume", "counts again from then on; what happened meanwhile does not."];
		await question(`${verb} this goal?`, `${capital(describe(goal))} ${text}`, verb, change(path, goal, { is_active: !goal.is_active }));
		await draw();
		tell(`${verb}d`);
	}

	async function remove(goal) {
		const text = `${capital(describe(goal))} counts no more. What was achieved stays, and so does its history.`;
		await question("Delete this goal?", text, "Delete", { ...change(path, goal), method: "DELETE" }, "danger");
		await draw();
		tell("Deleted");
	}

	await draw();
}

/** The request that changes this version of a goal, and no other. */
export const change = (path, goal, body) => ({ method: "PATCH", path: `${path}/${goal.id}`, body, headers: { "If-Match": `"${goal.version}"` } });

/** What a goal was, version by version, and who made it so. */
export const showHistory = (workflowId, goalId) =>
	panelOf(`History: ${goalName(goalId)}`, get(`/workflows/${workflowId}/goals/${goalId}/versions`), ({ versions }) =>
		h("ol.cards", versions.map((one, i) => h("li",
			h("strong", `Version ${one.version}`), one.is_deleted ? " deleted by " : " by ", one.updated_by, " ", ago(one.updated_at),
			h("span.hint", ", in force from ", ago(one.effective_from)),
			versions[i + 1] ? compare(["before", "then"], versions[i + 1], one) : h("p", capital(describe(one)), one.window && ` within ${duration(one.window)}`)))));

/** A table of what differs between documents of a goal. */
export function compare(columns, ...documents) {
	const all = documents.map(flat);
	const names = [...new Set(all.flatMap(Object.keys))].filter((name) => new Set(all.map((one) => one[name])).size > 1);
	return names.length > 0 && table("What differs", ["", ...columns], names.map((name) => [name, ...all.map((one) => one[name] ?? "–")]));
}

/** What people set of a goal, in words. */
export const flat = ({ criteria, window, measure_after_exit: after, is_active: isActive }) => ({
	...Object.fromEntries(Object.entries(criteria).sort().map(([name, value]) => [words(name), String(value)])),
	within: duration(window), "after the exit": duration(after), state: isActive ? "active" : "paused",
});
