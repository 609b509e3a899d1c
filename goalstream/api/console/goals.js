// A workflow's goals: edited in place, their history, and what to do when somebody was faster.

import { ask, curlButton, get, goalName, lacks, loadGoals, panelOf, post, question } from "./api.js";
import { $, ago, badge, button, capital, check, clock, describe, duration, empty, field, fill, h, head, input, link, select, table, tell, trouble, words } from "./kit.js";

const FIELDS = {
	form_submitted: ["form_id"],
	purchase_made: ["min_amount", "currency", "product_id", "any_purchase"],
	appointment_booked: ["calendar_id", "service_id", "any_appointment"],
	tag_added: ["tag_name", "tag_id"],
	pipeline_stage_reached: ["pipeline_id", "stage_id"],
};
const TIMES = { window: "within, after the entry", measure_after_exit: "still counts after the exit for" };

export async function goalsOf(box, workflowId) {
	const path = `/workflows/${workflowId}/goals`;
	const missing = lacks("goals:write");
	const writing = (label, work, kind = "quiet", id = null) => button(label, work, kind, { id, disabled: Boolean(missing), title: missing });
	const place = h("div");

	async function draw() {
		const goals = await loadGoals(workflowId);
		fill(box, head("h2", "Goals", writing("Add a goal", () => edit(), "primary", "new"), curlButton(() => get(path))), fill(place),
			goals.length ? table("Goals", ["Goal", "Within~", "State", "Version~", "Actions"], goals.map(cells)) : empty("No goals yet: contacts stay in this workflow whatever they do.", "Say what counts with “Add a goal”."));
	}

	const cells = (goal) => [
		capital(describe(goal)), duration(goal.window),
		badge(goal.is_active ? "active" : "paused"),
		[`${goal.version} `, h("span.hint", "by ", goal.updated_by, " ", ago(goal.updated_at))],
		h("div.row",
			writing("Edit", ({ target }) => edit(goal, target.closest("tr")), "quiet", `edit-${goal.id}`),
			goal.is_active ? asking("Pause", goal, "does not count until it is resumed.", change(path, goal, { is_active: false }))
				: asking("Resume", goal, "counts again; what happened meanwhile does not.", change(path, goal, { is_active: true })),
			button("History", () => showHistory(workflowId, goal.id), "quiet"),
			asking("Delete", goal, "counts no more.", change(path, goal, undefined, "DELETE"), "danger"), link(`send?goal=${goal.id}&workflow=${workflowId}`, "Try")),
	];

	const asking = (verb, goal, text, request, kind) => writing(verb, async () => {
		await question(`${verb} this goal?`, `${capital(describe(goal))} ${text} What was achieved stays.`, verb, request, kind);
		await draw();
		tell(`${verb}d`);
	});

	function edit(goal, at) {
		const form = goalForm(path, goal, async (saved) => {
			await draw();
			if (saved) tell(`Saved: version ${saved.version} holds from ${clock(saved.effective_from)}`);
			$(at ? `edit-${goal.id}` : "new")?.focus();
		});
		fill(at ?? place, at ? h("td", { colspan: 5 }, form) : form);
		form.querySelector("select, input").focus();
	}

	await draw();
}

export const change = (path, { id, version }, body, method = "PATCH") => ({ ...post(`${path}/${id}`, body), method, headers: { "If-Match": `"${version}"` } });

export const showHistory = (workflowId, goalId) =>
	panelOf(`History: ${goalName(goalId)}`, get(`/workflows/${workflowId}/goals/${goalId}/versions`), ({ versions }) =>
		versions.map((one, i) => h("div.card",
			h("strong", `Version ${one.version}`), one.is_deleted ? " deleted by " : " by ", one.updated_by, " ", ago(one.updated_at),
			versions[i + 1] ? compare(["before", "then"], flat(versions[i + 1]), flat(one)) : h("p", capital(describe(one)), one.window && ` within ${duration(one.window)}`))));

function compare(columns, ...flats) {
	const names = [...new Set(flats.flatMap(Object.keys))].filter((name) => new Set(flats.map((one) => one[name])).size > 1);
	return names.length > 0 && table("What differs", ["What", ...columns], names.map((name) => [name, ...flats.map((one) => one[name] ?? "–")]));
}

const flat = ({ criteria, window, measure_after_exit: after, is_active: isActive }) => ({
	...Object.fromEntries(Object.entries(criteria).sort().map(([name, value]) => [words(name), String(value)])),
	within: duration(window), "after the exit": duration(after), state: isActive ? "active" : "paused",
});

function goalForm(path, goal, done) {
	const type = select("goal_type", Object.keys(FIELDS));
	const criteria = h("div.fields");
	const times = Object.keys(TIMES).map((name) => input(name, { placeholder: "such as 7d or 36h" }));

	function draw(of) {
		type.value = of?.goal_type ?? type.value;
		fill(criteria, FIELDS[type.value].map((name) => {
			const value = of?.criteria[name];
			return field(words(name), name.startsWith("any_") ? check(name, { checked: Boolean(value) }) : input(name, { value }));
		}));
		if (of) times.forEach((one) => (one.value = of[one.id] ? duration(of[one.id]) : ""));
	}

	const written = () => ({
		goal_type: type.value,
		criteria: Object.fromEntries([...criteria.querySelectorAll("input")].map((one) => [one.id, one.type === "checkbox" ? one.checked : one.value.trim()]).filter(([, value]) => value)),
		...Object.fromEntries(times.map((one) => [one.id, isoOf(one.value)])),
	});

	type.onchange = () => draw();
	draw(goal);
	return formOf({ path, old: goal, what: "goal", draw, written, flat, done }, goal ? h("strong", words(goal.goal_type)) : field("what counts", type),
		criteria, h("div.fields", times.map((one) => field(TIMES[one.id], one))));
}

// Adds to `path`, or changes `old`: `written` reads the fields, `draw` fills them, `flat` makes versions comparable;
// `done` hears of what was saved, or of nothing when it is left.
export function formOf({ path, old, what, draw, written, flat, done, label = old ? "Save" : "Add" }, ...fields) {
	const wrong = h("div", { role: "alert" });

	// Nothing but what differs from the version that was opened: it can be put on top of a newer one.
	const changes = () => Object.fromEntries(Object.entries(written())
		.filter(([name, value]) => JSON.stringify(flat({ ...old, [name]: value })) !== JSON.stringify(flat(old))));

	const request = () => (old ? change(path, old, changes()) : post(path, written()));

	async function onsubmit(event) {
		event?.preventDefault();
		fill(wrong);
		form.querySelectorAll(".error").forEach((one) => one.remove());
		for (const one of form.elements) one.ariaInvalid = null;
		await ask(request()).then(done, (problem) => (old && [404, 412].includes(problem.status) ? conflict() : tellProblem(problem)));
	}

	// Each problem at the field of its name; what has none in words of its own.
	function tellProblem(problem) {
		for (const { pointer, message } of problem.errors ?? []) {
			const control = form.elements.namedItem(pointer.replace(/^.(criteria.)?/, ""));
			if (!control) continue;
			const id = `${control.id}-error`;
			control.ariaInvalid = true;
			control.setAttribute("aria-describedby", id);
			control.parentNode.append(h("p.error", { id }, message));
		}
		const first = form.querySelector("[aria-invalid]");
		if (first) first.focus();
		else fill(wrong, trouble(problem));
	}

	async function conflict() {
		const theirs = await ask(get(`${path}/${old.id}`)).catch(() => null);
		if (!theirs) return fill(wrong, h("div.card.trouble", `Somebody deleted this ${what} meanwhile.`, button("Close", () => done())));
		const mine = { ...theirs, ...changes() };
		const onTop = button("Put mine on top", () => {
			draw(mine);
			old = theirs;
			onsubmit();
		}, "primary");
		fill(wrong, h("div.card.trouble",
			h("p", h("strong", theirs.updated_by), ` changed this ${what} `, ago(theirs.updated_at), `: it is version ${theirs.version} now. Nothing is lost.`),
			compare(["was", "theirs", "with yours on top"], ...[old, theirs, mine].map(flat)),
			h("div.row", onTop, button("Take theirs", () => done()))));
		onTop.focus();
	}

	const form = h("form", { onsubmit, novalidate: "" }, fields, wrong,
		h("div.row", h("button.primary", label), button("Cancel", () => done()), curlButton(request)));
	return form;
}

// "7d", "36 h", "1d 12h" → P7D, PT36H, P1DT12H; anything else becomes something that is refused.
function isoOf(text) {
	const [, days = "", rest] = text.replace(/[\sPT]/gi, "").toUpperCase().match(/^(\d+D)?(.*)/);
	return text.trim() ? `P${days}${rest && `T${rest}`}` : null;
}
