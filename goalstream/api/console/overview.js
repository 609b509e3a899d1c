/** All workflows of the account, what they come to, and what happens right now. */

import { ask, curlButton, get } from "./api.js";
import { button, every, fill, h, head, table } from "./dom.js";
import { badge, number, percent, rate, span } from "./format.js";
import { feed } from "./live.js";
import { loadWorkflows, workflowName } from "./names.js";
import { command, empty, link } from "./panel.js";

const FIRST = 20;
const MOST = 200;
const REFRESH_SECONDS = 5;
const COLUMNS = ["Workflow", "#Goals~", "#Entered", "#Let out", "Rate", "#Median time~"];

export async function show(main) {
	const steps = h("ol.steps");
	const place = h("section");
	const side = h("section.side", h("h2", "Right now"));
	let limit = FIRST;

	async function draw() {
		const { workflows, next_cursor: more } = await loadWorkflows(limit);
		for (const one of workflows) one.stats = await ask(get(`/workflows/${one.workflow_id}/goals/stats`));
		const focused = place.contains(document.activeElement) && document.activeElement.textContent;
		fill(steps, totals(workflows));
		fill(place, head("h2", "Workflows", curlButton(() => get("/workflows"))),
			workflows.length ? table("Workflows", COLUMNS, workflows.map(cells)) : nothing(),
			more && limit < MOST && button("More workflows", () => ((limit = MOST), draw())));
		if (focused) [...place.querySelectorAll("a, button")].find((one) => one.textContent === focused)?.focus();
	}

	await draw();
	fill(main, h("h1.unseen", "Workflows"), steps, h("div.columns", place, side));
	feed(side, {}, 12);
	every(REFRESH_SECONDS, draw);
}

function totals(workflows) {
	const sum = (of) => workflows.reduce((all, one) => all + of(one), 0);
	const entered = sum((one) => one.stats.total_enrolled);
	const out = sum((one) => one.stats.goals_achieved);
	return [
		[entered, "times a contact entered a workflow", "and gets its messages"],
		[sum((one) => one.goals), "goals are watched for", "tags, payments, appointments, forms, pipeline stages"],
		[out, "times a contact did it, and was let out", `${percent(entered && (100 * out) / entered)} of all: no further message`],
	].map(([count, what, then]) => h("li", h("strong", number(count)), what, h("span.hint", then)));
}

const cells = ({ workflow_id: id, status, goal_logic: logic, goals, enrolled, stats }) => [
	[link(`workflow/${id}`, workflowName(id)), " ", status && status !== "active" && badge(status),
		h("div.hint", logic === "all" ? "out once all goals are achieved" : "out at the first goal")],
	number(goals), number(enrolled), number(stats.goals_achieved), rate(stats.conversion_rate), span(stats.median_time_to_goal_hours),
];

const nothing = () => [
	empty("No workflow yet. One is known as soon as an event or a goal names it.",
		link("send", "Send an event"), " of somebody who enters one; or add a goal to a workflow by its id; or look at a simulated CRM first:"),
	command("goalstream goals add WORKFLOW form_submitted form_id=contact-us"),
	command("goalstream dev"),
];
