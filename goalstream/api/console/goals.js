// A workflow's goals: edited in place, their history, and what to do when somebody was faster.

import { ask, curlButton, get, goalName, lacks, loadGoals, post } from "./api.js";
import { $, ago, badge, button, capital, check, clock, describe, duration, empty, field, fill, h, head, input, link, panelOf, question, select, table, tell, trouble, words } from "./kit.js";

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
		fill(box, head("h2", "Goals", writing("Add a goal", () => edit(), "primary", "new-goal"), curlButton(() => get(path))), fill(place),
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
			$(at ? `edit-${goal.id}` : "new-goal")?.focus();
		});
		fill(at ?? place, at ? h("td", { colspan: 5 }, form) : form);
		form.querySelector("select, input").focus();
	}

	await draw();
}

const change = (path, { id, version }, body, method = "PATCH") => ({ ...post(`${path}/${id}`, body), method, headers: { "If-Match": `"${version}"` } });

export const showHistory = (workflowId, goalId) =>
	panelOf(`History: ${goalName(goalId)}`, get(`/workflows/${workflowId}/goals/${goalId}/versions`), ({ versions }) =>
		versions.map((one, i) => h("div.card",
			h("strong", `Version ${one.version}`), one.is_deleted ? " deleted by " : " by ", one.updated_by, " ", ago(one.updated_at),
			versions[i + 1] ? compare(["before", "then"], versions[i + 1], one) : h("p", capital(describe(one)), one.window && ` within ${duration(one.window)}`))));

function compare(columns, ...documents) {
	const all = documents.map(flat);
	const names = [...new Set(all.flatMap(Object.keys))].filter((name) => new Set(all.map((one) => one[name])).size > 1);
	return names.length > 0 && table("What differs", ["What", ...columns], names.map((name) => [name, ...all.map((one) => one[name] ?? "–")]));
}

const flat = ({ criteria, window, measure_after_exit: after, is_active: isActive }) => ({
	...Object.fromEntries(Object.entries(criteria).sort().map(([name, value]) => [words(name), String(value)])),
	within: duration(window), "after the exit": duration(after), state: isActive ? "active" : "paused",
});

// Adds a goal, or changes `goal`; `done` hears of what was saved, or of nothing when it is left.
function goalForm(path, goal, done) {
	const type = select("goal_type", Object.keys(FIELDS).map((name) => [name, words(name)]));
	const criteria = at("/criteria", h("div.fields"));
	const times = Object.keys(TIMES).map((name) => input(name, { placeholder: "such as 7d or 36h" }));
	const wrong = h("div", { role: "alert" });

	function draw(of) {
		type.value = of?.goal_type ?? type.value;
		fill(criteria, FIELDS[type.value].map((name) => {
			const value = of?.criteria[name];
			return at(`/criteria/${name}`, field(words(name), name.startsWith("any_") ? check(name, { checked: Boolean(value) }) : input(name, { value })));
		}));
		if (of) times.forEach((one) => (one.value = of[one.id] ? duration(of[one.id]) : ""));
	}

	const written = () => ({
		criteria: Object.fromEntries([...criteria.querySelectorAll("input")].map((one) => [one.id, one.type === "checkbox" ? one.checked : one.value.trim()]).filter(([, value]) => value)),
		...Object.fromEntries(times.map((one) => [one.id, isoOf(one.value)])),
	});

	// Nothing but what differs from the version that was opened: it can be put on top of a newer one.
	const changes = () => Object.fromEntries(Object.entries(written())
		.filter(([name, value]) => JSON.stringify(flat({ ...goal, [name]: value })) !== JSON.stringify(flat(goal))));

	const request = () => (goal ? change(path, goal, changes()) : post(path, { goal_type: type.value, ...written() }));

	async function onsubmit(event) {
		event?.preventDefault();
		fill(wrong);
		form.querySelectorAll(".error").forEach((one) => one.remove());
		form.querySelectorAll("[aria-invalid]").forEach((one) => (one.ariaInvalid = null));
		await ask(request()).then(done, (problem) => (goal && [404, 412].includes(problem.status) ? conflict() : tellProblem(problem)));
	}

	// Each problem at its field; what has none in words of its own.
	function tellProblem(problem) {
		for (const { pointer, message } of problem.errors ?? []) {
			const control = form.querySelector(`[data-pointer="${pointer}"] :is(input, select)`);
			if (!control) continue;
			const id = `${control.id}-error`;
			control.ariaInvalid = "true";
			control.setAttribute("aria-describedby", id);
			control.closest("[data-pointer]").append(h("p.error", { id }, message));
		}
		const first = form.querySelector("[aria-invalid]");
		if (first) first.focus();
		else fill(wrong, trouble(problem));
	}

	async function conflict() {
		const theirs = await ask(get(`${path}/${goal.id}`)).catch(() => null);
		if (!theirs) return fill(wrong, h("div.card.trouble", "Somebody deleted this goal meanwhile.", button("Close", () => done())));
		const mine = { ...theirs, ...changes() };
		const onTop = button("Put mine on top", () => {
			draw(mine);
			goal = theirs;
			onsubmit();
		}, "primary");
		fill(wrong, h("div.card.trouble",
			h("p", h("strong", theirs.updated_by), " changed this goal ", ago(theirs.updated_at), `: it is version ${theirs.version} now. Nothing is lost.`),
			compare(["was", "theirs", "with yours on top"], goal, theirs, mine),
			h("div.row", onTop, button("Take theirs", () => done()))));
		onTop.focus();
	}

	const form = h("form", { onsubmit, novalidate: "" },
		goal ? h("strong", words(goal.goal_type)) : at("/goal_type", field("what counts", type)),
		criteria, h("div.fields", times.map((one) => at(`/${one.id}`, field(TIMES[one.id], one)))), wrong,
		h("div.row", h("button.primary", goal ? "Save" : "Add"), button("Cancel", () => done()), curlButton(request)));
	type.onchange = () => draw();
	draw(goal);
	return form;
}

const at = (pointer, element) => (element.dataset.pointer = pointer, element);

// "7d", "36 h", "1d 12h" → P7D, PT36H, P1DT12H; anything else becomes something that is refused.
function isoOf(text) {
	const [, days = "", rest] = text.replace(/[\sPT]/gi, "").toUpperCase().match(/^(\d+D)?(.*)/);
	return text.trim() ? `P${days}${rest && `T${rest}`}` : null;
}
