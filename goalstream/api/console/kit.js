// Elements by calls: nothing here parses HTML, so nothing that is shown can become some. Dialogs. Words and numbers.

export const $ = (id) => document.getElementById(id);

// h("p.hint", {id, onclick}, "text", node, false): attributes, listeners, texts and nodes, in any order; `s` for pictures.
export const h = (kind, ...parts) => build(document.createElement(kind.split(".")[0]), kind, parts);
export const s = (kind, ...parts) => build(document.createElementNS("http://www.w3.org/2000/svg", kind.split(".")[0]), kind, parts);

function build(element, kind, parts) {
	element.classList.add(...kind.split(".").slice(1));
	for (const part of parts.flat(9)) {
		if (["string", "number"].includes(typeof part) || part instanceof Node) element.append(part);
		else if (part) Object.entries(part).forEach(([name, value]) => set(element, name, value));
	}
	return element;
}

function set(element, name, value) {
	if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
	else if (typeof value === "boolean" || (name === "value" && value)) element[name] = value;
	else if (value != null) element.setAttribute(name, value);
}

export function fill(element, ...parts) {
	element.replaceChildren();
	return build(element, "", parts);
}

export const button = (label, onclick, kind = "", more) => h("button", { type: "button", class: kind, onclick, ...more }, label);
export const link = (to, text) => h("a", { href: `#/${to}` }, text);
export const input = (id, more) => h("input", { id, autocomplete: "off", spellcheck: false, ...more });
export const check = (id, more) => input(id, { type: "checkbox", ...more });
export const options = (all) => all.map((one) => [one].flat()).map(([value, text = words(value)]) => h("option", { value }, text));
export const select = (id, all) => h("select", { id }, options(all));
export const field = (label, control) =>
	control.type === "checkbox" ? h("label.check", control, label) : h("div.field", h("label", { for: control.id }, label), control);

// Controls whose values are the query of the address: a change leads there.
export function filters(name, query, controls) {
	const all = Object.values(controls);
	const onchange = () => (location.hash = `#/${name}?${new URLSearchParams(all.map((one) => [one.id, one.value.trim()]).filter(([, value]) => value))}`);
	for (const one of all) Object.assign(one, { onchange, value: query[one.id] ?? "" });
	return h("div.row", Object.entries(controls).map(([label, one]) => field(label, one)));
}

export const head = (level, title, ...actions) => h("div.row", h(`${level}.first`, title), actions);

// Rows are named by their first cells; # marks columns of numbers, ~ those for wide screens.
export function table(label, columns, rows) {
	const cell = (tag, i, ...parts) => h(`${tag}${columns[i].includes("#") ? ".number" : ""}${columns[i].includes("~") ? ".wide" : ""}`, parts);
	return h("div.scroll", { tabindex: 0, role: "region", "aria-label": label }, h("table",
		h("thead", h("tr", columns.map((name, i) => cell("th", i, { scope: "col" }, name.replace(/[#~]/g, ""))))),
		h("tbody", rows.map(([first, ...rest]) => h("tr", h("th", { scope: "row" }, first), rest.map((one, i) => cell("td", i + 1, one)))))));
}

export const list = (facts) =>
	h("dl", Object.entries(facts).filter(([, value]) => value != null).map(([name, value]) =>
		[h("dt", words(name)), h("dd", h("pre", typeof value === "object" ? JSON.stringify(value, null, 2) : value))]));

export const empty = (title, ...next) => h("div.card", h("strong", title), h("p", next));
export const command = (text) => h("div.command", h("code", text), button("Copy", () => copy(text), "quiet"));

export const copy = (text) => (navigator.clipboard?.writeText(text) ?? Promise.reject()).then(() => tell("Copied"), () => tell(text));

export function tell(text) {
	$("told").textContent = text;
	clearTimeout(tell.timer);
	tell.timer = setTimeout(() => ($("told").textContent = ""), 6000);
}

// Answers with what closes it; Escape does so too.
export function panel(title, ...content) {
	const close = () => dialog.close();
	const dialog = h("dialog.card", { "aria-label": title, onclose: () => dialog.remove() },
		head("h2", title, button("Close", close, "quiet")), h("section", content));
	document.body.append(dialog);
	dialog.showModal();
	return close;
}

// A problem in words, and ways out of it; `again` repeats what failed.
export function trouble(problem, again) {
	const { status, message, errors = [] } = problem;
	if (status === undefined) console.error(problem);
	return h("div.card.trouble", h("strong", message),
		errors.map((one) => one.pointer && h("p", h("code", one.pointer), one.message !== message && ` ${one.message}`)),
		h("p", ADVICE[status] ?? "Try again in a moment; if it stays, the API's log tells more."),
		h("div.row", again && button("Try again", again, "primary"),
			status === 403 ? button("Use another token", () => $("who").click()) : button("Look at the health", () => $("health").click()), link("", "All workflows")));
}

const ADVICE = {
	0: "`goalstream api` starts it, `goalstream doctor` says what is wrong.",
	403: "Whoever may can make a key: goalstream api-keys create --account … --name … --scope …",
	404: "It was deleted, or is another account's.",
	412: "Load the page anew.",
	422: "Nothing was changed.",
};

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const distances = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const UNITS = Object.entries({ day: 86400, hour: 3600, minute: 60, second: 1 });

export const number = (value) => value.toLocaleString();
export const percent = (value) => (value / 100).toLocaleString(undefined, { style: "percent", maximumFractionDigits: 1 });
export const exact = (moment) => new Date(moment).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
export const clock = (moment) => new Date(moment).toLocaleTimeString();
export const capital = (text) => text[0].toUpperCase() + text.slice(1);
export const words = (name) => name.replaceAll("_", " ");

// A length of time in its largest units: 52 hours → 2 days, 4 hr.
export function span(hours) {
	let rest = Math.round(hours * 3600);
	const parts = UNITS.map(([unit, size]) => {
		const count = Math.floor(rest / size);
		rest -= count * size;
		return count && count.toLocaleString(undefined, { style: "unit", unit, unitDisplay: "short" });
	});
	return hours == null ? "–" : parts.filter(Boolean).slice(0, 2).join(" ") || "< 3 min";
}

// An ISO 8601 duration, shorter: PT36H → 36h.
export const duration = (text) => (text ?? "–").replace(/[PT]/g, " ").trim().toLowerCase();

export const ago = (moment) => h("time", { datetime: moment, title: exact(moment) }, distance(moment));

function distance(moment) {
	const seconds = (new Date(moment) - Date.now()) / 1000;
	const [unit, size] = UNITS.find(([, one]) => Math.abs(seconds) >= one) ?? UNITS[3];
	return distances.format(Math.trunc(seconds / size), unit);
}

setInterval(() => document.querySelectorAll("time").forEach((one) => (one.textContent = distance(one.dateTime))), 5000);

export function describe({ goal_type: type, criteria: of }) {
	const said = (text, name) => of[name] && `${text} “${of[name]}”`;
	return {
		tag_added: [said("the tag", of.tag_name ? "tag_name" : "tag_id")],
		purchase_made: [of.any_purchase ? "any purchase" : "a purchase", said("of", "product_id"), of.min_amount ? "from" : of.currency && "in", of.min_amount, of.currency],
		appointment_booked: [of.any_appointment ? "any appointment" : "an appointment", said("in", "calendar_id"), said("for", "service_id")],
		form_submitted: [said("the form", "form_id")],
		pipeline_stage_reached: [said("the stage", "stage_id"), said("of", "pipeline_id")],
	}[type].filter(Boolean).join(" ");
}

const TONES = { good: "achieved restored active accepted delivered redriven", bad: "revoked superseded refused paused failing failed parked goal_deleted" };

export const badge = (word) => h(`span.badge.${Object.keys(TONES).find((tone) => TONES[tone].includes(word))}`, words(word));

export function rate(value, kind = "out") {
	const part = h(`span.${kind}`);
	part.style.width = `${value}%`;
	return h("span.rate", h("span.bar", part), h("span.number", percent(value)));
}
