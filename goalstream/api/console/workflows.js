// All workflows; and one: who entered, achieved, was let out, how fast, and over time.

import { ask, curlButton, every, get, goalName, learn, loadWorkflows, workflowName, workflows } from "./api.js";
import { goalsOf } from "./goals.js";
import { ago, badge, capital, command, empty, exact, field, fill, h, head, link, number, percent, rate, s, select, span, table, words, zone } from "./kit.js";
import { feed } from "./live.js";

const MOST = 50;
const RANGES = { "24 hours": [24, "hour"], "7 days": [168, "day"], "30 days": [720, "day"], "1 year": [8760, "week"], "all time": [0, "week"] };
const LENGTHS = { hour: 3_600_000, day: 86_400_000, week: 604_800_000 };

export const show = (main, _, id) => (id ? one(main, id) : all(main));

async function all(main) {
	const steps = h("ol.steps");
	const place = h("section");
	const side = h("section.side");

	async function draw() {
		const { workflows: found, next_cursor: more } = await loadWorkflows(MOST);
		for (const one of found) one.stats = await ask(get(`/workflows/${one.workflow_id}/goals/stats`));
		const sum = (of) => found.reduce((all, one) => all + of(one), 0);
		const step = (count, what, then) => h("li.card", h("strong", number(count)), what, h("span.hint", then));
		const focused = document.activeElement.hash;
		fill(steps,
			step(sum((one) => one.stats.total_enrolled), "times a contact entered a workflow", "and gets its messages"),
			step(sum((one) => one.goals), "goals are watched for", "tags, payments, forms and more"),
			step(sum((one) => one.stats.goals_achieved), "times a contact did it, and was let out", "no further message"));
		fill(place, head("h2", "Workflows", curlButton(() => get("/workflows"))),
			found.length ? table("Workflows", ["Workflow", "#Goals~", "#Entered", "#Let out", "Rate", "#Median time~"], found.map(cells)) : [
				empty("No workflow yet: an event or a goal makes one known.", link("send", "Send an event"), ", or add a goal:"),
				command("goalstream goals add WORKFLOW form_submitted form_id=contact-us")],
			more && `The first ${MOST}; others are at /#/workflows/ID.`);
		place.querySelector(`[href="${focused}"]`)?.focus();
	}

	await draw();
	fill(main, h("h1.unseen", "Workflows"), steps, h("div.columns", place, side));
	feed(side, {}, 12, "Right now");
	every(5, draw);
}

const logicOf = (one) => (one?.goal_logic === "all" ? "out once all goals are achieved" : "out at the first goal");

const cells = (one) => [
	[link(`workflows/${one.workflow_id}`, workflowName(one.workflow_id)), " ", one.status !== "active" && one.status && badge(one.status), h("div.hint", logicOf(one))],
	number(one.goals), number(one.enrolled), number(one.stats.goals_achieved), rate(one.stats.conversion_rate), span(one.stats.median_time_to_goal_hours),
];

async function one(main, id) {
	const range = select("range", Object.keys(RANGES));
	const step = select("step", Object.keys(LENGTHS));
	const numbers = h("section");
	const goals = h("section");
	const side = h("section.side");
	let drawn;

	// From a full hour on, so that two answers can be compared.
	function query() {
		const [hours] = RANGES[range.value];
		const start = hours && new Date(new Date().setMinutes(0, 0, 0) - hours * LENGTHS.hour).toISOString();
		return get(`/workflows/${id}/goals/stats`, { start, granularity: step.value, tz: zone });
	}

	async function draw() {
		const { computed_at: _, as_of: asOf, ...stats } = await ask(query());
		const text = JSON.stringify(stats) + step.value;
		if (text === drawn) return;
		drawn = text;
		await Promise.all(Object.keys(stats.by_goal).map((goal) => learn(id, goal)));
		fill(numbers, stats.total_enrolled ? picture(stats, step.value)
			: empty(`Nobody entered within ${range.value}.`, "Choose a longer time, or ", link("send", "send an event"), " of somebody who enters."),
		h("p.hint", `By when a contact entered, in ${zone}; as of `, ago(asOf)));
	}

	range.onchange = () => {
		step.value = RANGES[range.value][1];
		draw();
	};
	step.onchange = draw;
	await loadWorkflows();
	await Promise.all([draw(), goalsOf(goals, id)]);
	const known = workflows.get(id);
	fill(main,
		h("div", link("", "Workflows"), " / ", h("code", id)),
		head("h1", [workflowName(id), " ", known?.status && badge(known.status)], field("entered within", range), field("by", step), curlButton(query)),
		h("p.hint", "A contact is ", logicOf(known), "."),
		h("div.columns", h("section", numbers, goals), side));
	feed(side, { workflow_id: id }, 15, "Right now");
	every(5, draw);
}

function picture(stats, step) {
	const fact = (value, what) => h("div", h("strong", value), h("span.hint", what));
	const part = (name, achieved, share, kind = "all") => h("li", h("span", name), rate(share, kind), h("strong.number", number(achieved)));
	return [
		h("div.facts", fact(percent(stats.conversion_rate), "of all who entered were let out"),
			fact(span(stats.median_time_to_goal_hours), "from entry to goal: half are faster"),
			fact(span(stats.p90_time_to_goal_hours), `nine of ten are faster; slowest: ${span(stats.slowest_time_to_goal_hours)}`)),
		h("ol.funnel", { "aria-label": "Funnel" },
			part("Entered", stats.total_enrolled, 100),
			Object.entries(stats.by_goal).map(([goal, one]) => part(capital(goalName(goal)), one.achieved, one.conversion_rate)),
			part("Let out", stats.goals_achieved, stats.conversion_rate, "out")),
		chart(stats.series, step),
		table("By goal type", ["Type", "#Achieved", "Rate"], Object.entries(stats.by_goal_type).map(([type, one]) => [words(type), number(one.achieved), rate(one.conversion_rate)])),
	];
}

function chart(series, step) {
	const place = h("div");
	new ResizeObserver(() => place.replaceChildren(columns(series, step, place.clientWidth || 300))).observe(place);
	return h("figure", h("figcaption", h("span.key.all", "entered"), h("span.key.out", "of them let out")), place);
}

// Steps without entries are missing from a series: columns stand by their time, up to now.
function columns(series, step, width) {
	const [left, floor] = [40, 130];
	const first = Date.parse(series[0].start);
	const slots = Math.floor((Date.now() - first) / LENGTHS[step]) + 1;
	const slot = (width - left) / slots;
	const bar = Math.min(slot * 0.8, 36);
	const most = Math.max(...series.map((one) => one.total_enrolled));
	const y = (value) => floor - (120 * value) / most;
	const told = (one) => `${exact(one.start)}: ${number(one.total_enrolled)} entered, ${number(one.goals_achieved)} let out (${percent(one.conversion_rate)})`;
	const column = (one) => {
		const x = left + (Math.round((Date.parse(one.start) - first) / LENGTHS[step]) + 0.5) * slot - bar / 2;
		const rect = (kind, value) => s(`rect.${kind}`, { x, width: bar, y: y(value), height: floor - y(value) });
		return s("g", s("title", told(one)), rect("all", one.total_enrolled), rect("out", one.goals_achieved));
	};
	const line = (value) => [s("line", { x1: left, x2: width, y1: y(value), y2: y(value) }), s("text", { y: y(value) + 4 }, number(value))];
	const each = Math.ceil(110 / slot);
	const format = { day: "numeric", month: "short", hour: step === "hour" ? "2-digit" : undefined };
	const label = (_, i) => s("text", { x: left + i * each * slot, y: 146 }, new Date(first + i * each * LENGTHS[step]).toLocaleString(undefined, format));
	return s("svg", { viewBox: `0 0 ${width} 150`, height: 150, role: "img", "aria-label": `By ${step}: ${series.map(told).join("; ")}` },
		line(0), line(most), series.map(column), Array.from({ length: Math.ceil(slots / each) }, label));
}
