/** One workflow: who entered, what they achieved, who was let out, how fast, and over time. */

import { ask, curlButton, get } from "./api.js";
import { chart } from "./chart.js";
import { every, field, fill, h, head, select, table } from "./dom.js";
import { ago, badge, capital, exact, number, percent, rate, span, words, zone } from "./format.js";
import { goalsOf } from "./goals.js";
import { feed } from "./live.js";
import { goalName, learn, loadWorkflows, workflowName, workflows } from "./names.js";
import { empty, link } from "./panel.js";

const REFRESH_SECONDS = 5;
/** How far back, in hours, and the steps that then make a picture. */
const RANGES = { "24 hours": [24, "hour"], "7 days": [168, "day"], "30 days": [720, "day"], "1 year": [8760, "week"], "all time": [0, "week"] };

export async function show(main, [id]) {
	const range = select("range", Object.keys(RANGES).map((name) => [name]));
	const step = select("step", [["hour"], ["day"], ["week"]]);
	const numbers = h("section", { "aria-label": "How well it converts" });
	const goals = h("section");
	const side = h("section.side", h("h2", "Right now"));
	let drawn;

	/** From a full hour on, so that two answers can be compared. */
	function query() {
		const hours = RANGES[range.value][0];
		const start = hours && new Date(new Date().setMinutes(0, 0, 0) - hours * 3_600_000).toISOString();
		return get(`/workflows/${id}/goals/stats`, { start, granularity: step.value, tz: zone });
	}

	async function draw() {
		const { computed_at: _, as_of: asOf, ...stats } = await ask(query());
		const text = JSON.stringify(stats) + step.value;
		if (text === drawn) return;
		drawn = text;
		await Promise.all(Object.keys(stats.by_goal).map((goal) => learn(id, goal)));
		const open = numbers.querySelector("details")?.open ?? false;
		fill(numbers, stats.total_enrolled ? picture(stats, step.value, open) : nothing(range.value),
			h("p.hint", `By when a contact entered, in ${zone}; as of `, ago(asOf)));
	}

	range.onchange = () => {
		step.value = RANGES[range.value][1];
		draw();
	};
	step.onchange = draw;
	await loadWorkflows();
	await Promise.all([draw(), goalsOf(goals, id)]);
	const { status, goal_logic: logic } = workflows.get(id) ?? {};
	fill(main,
		h("div", link("", "Workflows"), " / ", h("code", id)),
		head("h1", [workflowName(id), " ", status && badge(status)], field("entered within", range), field("by", step), curlButton(query)),
		h("p.hint", `A contact is let out ${logic === "all" ? "once all goals are achieved" : "at the first goal that it achieves"}.`),
		h("div.columns", h("div", numbers, goals), side));
	feed(side, { workflow_id: id }, 15);
	every(REFRESH_SECONDS, draw);
}

function picture(stats, step, open) {
	const fact = (value, what) => h("div", h("strong", value), h("span.hint", what));
	const part = (name, { achieved, conversion_rate: share }, kind = "all") => h("li", h("span", name), rate(share, kind), h("strong.number", number(achieved)));
	const numbers = (one) => [number(one.achieved ?? one.goals_achieved), rate(one.conversion_rate)];
	return [
		h("div.facts", fact(percent(stats.conversion_rate), "of all who entered were let out"), stats.goals_achieved > 0 && [
			fact(span(stats.median_time_to_goal_hours), "from entry to goal: half are faster"),
			fact(span(stats.p90_time_to_goal_hours), `nine of ten are faster; the slowest: ${span(stats.slowest_time_to_goal_hours)}`)]),
		h("ol.funnel", { "aria-label": "Funnel" },
			part("Entered", { achieved: stats.total_enrolled, conversion_rate: 100 }),
			Object.entries(stats.by_goal).map(([goal, found]) => part(capital(goalName(goal)), found)),
			part("Let out", { ...stats, achieved: stats.goals_achieved }, "out")),
		chart(stats.series, step),
		h("details", { open }, h("summary", "As tables, and by goal type"),
			table("By goal type", ["Goal type", "#Achieved", "Rate"], Object.entries(stats.by_goal_type).map(([type, one]) => [words(type), ...numbers(one)])),
			table("Over time", [`Entered in the ${step} from`, "#Entered", "#Let out", "Rate"], stats.series.map((one) => [exact(one.start), number(one.total_enrolled), ...numbers(one)]))),
	];
}

const nothing = (range) =>
	empty(`Nobody entered this workflow within ${range}.`, "Choose a longer time above, or ", link("send", "send an event"), " of somebody who enters it.");
