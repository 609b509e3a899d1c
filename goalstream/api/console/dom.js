/** Elements by calls instead of markup: nothing here parses HTML, so nothing that is shown can become some. */

import { page } from "./session.js";

/** `h("p.hint", {id, onclick}, "text", node, false)`: attributes, listeners, texts and nodes, in any order. */
export const h = (kind, ...parts) => build(document.createElement(kind.split(".")[0]), kind, parts);

/** The same for pictures. */
export const s = (kind, ...parts) =>
	build(document.createElementNS("http://www.w3.org/2000/svg", kind.split(".")[0]), kind, parts);

function build(element, kind, parts) {
	const classes = kind.split(".").slice(1).join(" ");
	if (classes) element.setAttribute("class", classes);
	for (const part of parts.flat(9)) {
		if (part == null || part === false) continue;
		if (typeof part !== "object" || part instanceof Node) element.append(part);
		else Object.entries(part).forEach(([name, value]) => set(element, name, value));
	}
	return element;
}

function set(element, name, value) {
	if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
	else if (name === "value" || name === "checked") element[name] = value;
	else if (typeof value === "boolean") element.toggleAttribute(name, value);
	else if (value != null) element.setAttribute(name, value);
}

/** Puts these into an element instead of what was there. */
export function fill(element, ...parts) {
	element.replaceChildren();
	return build(element, "", parts);
}

export const button = (label, onclick, kind, attributes) =>
	h(kind ? `button.${kind}` : "button", { type: "button", onclick, ...attributes }, label);

export const input = (id, attributes) => h("input", { id, autocomplete: "off", spellcheck: "false", ...attributes });

export const options = (pairs) => pairs.map(([value, text = value]) => h("option", { value }, text));

export const select = (id, pairs, attributes) => h("select", { id, ...attributes }, options(pairs));

export const field = (label, control) =>
	control.type === "checkbox" ? h("label.check", control, label) : h("div.field", h("label", { for: control.id }, label), control);

/** Controls whose values are the query of a page's address: a change leads there. */
export function filters(name, query, controls) {
	const all = Object.values(controls);
	const onchange = () => {
		const given = all.map((one) => [one.id, one.value.trim()]).filter(([, value]) => value);
		location.hash = `#/${name}?${new URLSearchParams(given)}`;
	};
	for (const one of all) Object.assign(one, { onchange, value: query[one.id] ?? "" });
	return h("div.filters", Object.entries(controls).map(([label, one]) => field(label, one)));
}

/** A heading and what can be done with what it heads. */
export const head = (level, title, ...actions) => h("div.head", h(level, title), actions);

/** A table whose rows are named by their first cells; columns that begin with # hold numbers, and ~ is for wide screens. */
export function table(label, columns, rows) {
	const kind = (i) => ({ class: `${columns[i].includes("#") ? "number" : ""} ${columns[i].includes("~") ? "wide" : ""}` });
	return h("div.scroll", { tabindex: "0", role: "region", "aria-label": label }, h("table",
		h("thead", h("tr", columns.map((name, i) => h("th", { scope: "col", ...kind(i) }, name.replace(/[#~]/g, "") || h("span.unseen", "Actions"))))),
		h("tbody", rows.map((cells) => h("tr", cells.map((cell, i) => h(i ? "td" : "th", i ? kind(i) : { scope: "row" }, cell)))))));
}

export const pause = (seconds, signal = page.signal) =>
	new Promise((done) => {
		setTimeout(done, seconds * 1000);
		signal.addEventListener("abort", done);
	});

/** Again and again while the page is there and seen. */
export async function every(seconds, work, { signal } = page) {
	for (; !signal.aborted; await pause(seconds, signal)) if (!document.hidden) await work().catch(() => {});
}

/** Says what was done, also to those who do not see it. */
export function tell(text) {
	const line = document.getElementById("told");
	line.textContent = text;
	clearTimeout(tell.timer);
	tell.timer = setTimeout(() => (line.textContent = ""), 6000);
}

/** Copies a text, or shows it where the browser does not let pages copy. */
export const copy = (text) => (navigator.clipboard?.writeText(text) ?? Promise.reject()).then(() => tell("Copied"), () => tell(text));

/** The page anew, as the address names it. */
export const reload = () => dispatchEvent(new Event("hashchange"));
