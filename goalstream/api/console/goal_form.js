/** The form of a goal: a field for each criterion, problems at their fields, and what to do when somebody was faster. */

import { ask, curlButton, get, post } from "./api.js";
import { button, field, fill, h, input, select } from "./dom.js";
import { ago, secondsOf, words } from "./format.js";
import { change, compare, flat } from "./goals.js";
import { trouble } from "./panel.js";

const FIELDS = {
	form_submitted: ["form_id"],
	purchase_made: ["min_amount", "currency", "product_id", "any_purchase"],
	appointment_booked: ["calendar_id", "service_id", "any_appointment"],
	tag_added: ["tag_name", "tag_id"],
	pipeline_stage_reached: ["pipeline_id", "stage_id"],
};
const UNITS = { days: [86400, "P", "D"], hours: [3600, "PT", "H"], minutes: [60, "PT", "M"], seconds: [1, "PT", "S"] };

/** Adds a goal, or changes `goal`; `done` hears of what was saved, or of nothing when it is left. */
export function goalForm(path, goal, done) {
	const type = select("goal_type", Object.keys(FIELDS).map((name) => [name, words(name)]));
	const criteria = h("div.fields", { "data-pointer": "/criteria" });
	const times = [durationField("window", "within, after the entry"), durationField("measure_after_exit", "still counts after the exit for")];
	const wrong = h("div", { role: "alert" });

	function draw(of) {
		type.value = of?.goal_type ?? type.value;
		fill(criteria, FIELDS[type.value].map((name) => {
			const value = of?.criteria[name];
			const control = name.startsWith("any_") ? input(name, { type: "checkbox", checked: value === true }) : input(name, { value: value ?? "" });
			return at(`/criteria/${name}`, field(words(name), control));
		}));
		if (of) times.forEach((one) => one.write(of[one.name]));
	}

	const written = () => ({
		criteria: Object.fromEntries([...criteria.querySelectorAll("input")]
			.map((one) => [one.id, one.type === "checkbox" ? one.checked : one.value.trim()]).filter(([, value]) => value)),
		...Object.fromEntries(times.map((one) => [one.name, one.read()])),
	});

	/** What differs from the version that was opened, and nothing else: it can be put on top of a newer one. */
	const changes = () => Object.fromEntries(Object.entries(written())
		.filter(([name, value]) => JSON.stringify(flat({ ...goal, [name]: value })) !== JSON.stringify(flat(goal))));

	const request = () =>
		goal ? change(path, goal, changes()) : post(path, { goal_type: type.value, ...written() });

	async function submit(event) {
		event?.preventDefault();
		fill(wrong);
		for (const one of form.querySelectorAll(".error")) one.remove();
		for (const one of form.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
		try {
			await done(await ask(request()));
		} catch (problem) {
			if (goal && [404, 412].includes(problem.status)) await conflict();
			else tellProblem(problem);
		}
	}

	/** Each problem at its field; what has none in words of its own. */
	function tellProblem(problem) {
		for (const { pointer, message } of problem.errors) {
			const control = form.querySelector(`[data-pointer="${pointer}"] :is(input, select)`);
			if (!control) continue;
			control.setAttribute("aria-invalid", "true");
			control.setAttribute("aria-describedby", `${control.id}-error`);
			control.closest("[data-pointer]").append(h("p.error", { id: `${control.id}-error` }, message));
		}
		const first = form.querySelector("[aria-invalid]");
		if (first) first.focus();
		else fill(wrong, trouble(problem));
	}

	/** Somebody changed the goal since it was opened: says who and what, and lets choose. */
	async function conflict() {
		const theirs = await ask(get(`${path}/${goal.id}`)).catch(() => null);
		const take = button(theirs ? "Take theirs" : "Close", () => done());
		if (!theirs) return fill(wrong, h("div.trouble", h("p", "Somebody deleted this goal while you were editing it."), take));
		const mine = { ...theirs, ...changes() };
		const onTop = () => {
			goal = theirs;
			draw(mine);
			submit();
		};
		fill(wrong, h("div.trouble",
			h("p", h("strong", theirs.updated_by), " changed this goal ", ago(theirs.updated_at), `, while you were editing it: it is version ${theirs.version} now. Nothing of yours is lost.`),
			compare(["was", "theirs", "with yours on top"], goal, theirs, mine),
			h("div.buttons", button("Put mine on top", onTop, "primary"), take)));
		take.previousSibling.focus();
	}

	const form = h("form.goal", { onsubmit: submit, novalidate: true },
		goal ? h("strong", words(goal.goal_type)) : at("/goal_type", field("what counts", type)),
		criteria, h("div.fields", times.map((one) => one.element)), wrong,
		h("div.buttons", h("button.primary", goal ? "Save" : "Add"), button("Cancel", () => done()), curlButton(request)));
	type.onchange = () => draw();
	draw(goal);
	return form;
}

/** The place that a problem with this pointer is told at. */
function at(pointer, element) {
	element.dataset.pointer = pointer;
	return element;
}

/** A length of time as a number and a unit; empty means none. */
function durationField(name, label) {
	const count = input(name, { type: "number", min: "1", placeholder: "any time" });
	const unit = select(`${name}-unit`, Object.keys(UNITS).map((one) => [one]), { "aria-label": `${label}: unit` });
	return {
		name,
		element: at(`/${name}`, h("div.field", h("label", { for: name }, label), h("div.pair", count, unit))),
		read: () => (count.value ? UNITS[unit.value].slice(1).join(count.value) : null),
		write(text) {
			const seconds = secondsOf(text);
			unit.value = Object.keys(UNITS).find((one) => seconds % UNITS[one][0] === 0);
			count.value = seconds ? seconds / UNITS[unit.value][0] : "";
		},
	};
}
