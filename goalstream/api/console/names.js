/** What ids stand for: workflows and goals that were seen. */

import { ask, get } from "./api.js";
import { describe } from "./format.js";

export const workflows = new Map();
export const goals = new Map();
const asked = new Map();

export const workflowName = (id) => workflows.get(id)?.name || `workflow ${id.slice(0, 8)}`;
export const goalName = (id) => (goals.has(id) ? describe(goals.get(id)) : `goal ${id.slice(0, 8)}`);

/** A page of workflows, by id. */
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

/** Learns a goal's name, deleted or not; each is asked for once. */
export async function learn(workflowId, goalId) {
	if (goals.has(goalId)) return;
	if (!asked.has(goalId)) asked.set(goalId, ask(get(`/workflows/${workflowId}/goals/${goalId}/versions`, { limit: 1 })));
	await asked.get(goalId).then(({ versions }) => goals.set(goalId, versions[0]), () => asked.delete(goalId));
}
