/** Words and numbers for people, in their language's notation and their time zone. */

import { h } from "./dom.js";

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const distances = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const UNITS = Object.entries({ week: 604800, day: 86400, hour: 3600, minute: 60, second: 1 });
const DURATION = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/;

export const number = (value) => value.toLocaleString();
export const percent = (value) => (value / 100).toLocaleString(undefined, { style: "percent", maximumFractionDigits: 1 });
export const exact = (moment) => moments.format(new Date(moment));
export const clock = (moment) => new Date(moment).toLocaleTimeString();
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const words = (name) => name.replaceAll("_", " ");
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** A length of time in its largest units: 52 hours → 2 days, 4 hr. */
export function span(hours, most = 2) {
	if (hours == null) return "–";
	let rest = Math.round(hours * 3600);
	const parts = UNITS.slice(1).map(([unit, size]) => {
		const count = Math.floor(rest / size);
		rest -= count * size;
		return count && count.toLocaleString(undefined, { style: "unit", unit, unitDisplay: "short" });
	});
	return parts.filter(Boolean).slice(0, most).join(" ") || "< 3 min";
}

/** The seconds of an ISO 8601 duration; 0 where there is none. */
export const secondsOf = (text) =>
	UNITS.reduce((sum, [, size], i) => sum + size * (DURATION.exec(text ?? "")?.[i + 1] ?? 0), 0);

export const duration = (text) => (text ? span(secondsOf(text) / 3600, 4) : "–");

/** A moment, as far away as it is; the moment itself as its title. */
export const ago = (moment) => h("time", { datetime: moment, title: exact(moment) }, distance(moment));

function distance(moment) {
	const seconds = (new Date(moment) - Date.now()) / 1000;
	const [unit, size] = UNITS.find(([, one]) => Math.abs(seconds) >= one) ?? UNITS.at(-1);
	return distances.format(Math.trunc(seconds / size), unit);
}

setInterval(() => document.querySelectorAll("time").forEach((one) => (one.textContent = distance(one.dateTime))), 5000);

/** What a goal asks for, in words. */
export function describe({ goal_type: type, criteria: of }) {
	const said = (text, name) => (of[name] ? ` ${text} “${of[name]}”` : "");
	if (of.any_purchase) return "any purchase";
	if (of.any_appointment) return "any appointment";
	return {
		tag_added: () => `the tag “${of.tag_name ?? of.tag_id}”`,
		purchase_made: () => ["a purchase" + said("of", "product_id"), of.min_amount ? "from" : of.currency && "in", of.min_amount, of.currency].filter(Boolean).join(" "),
		appointment_booked: () => `an appointment${said("in", "calendar_id")}${said("for", "service_id")}`,
		form_submitted: () => `the form “${of.form_id}”`,
		pipeline_stage_reached: () => `the stage “${of.stage_id}” of “${of.pipeline_id}”`,
	}[type]();
}

const GOOD = "achieved restored active accepted redriven";
const BAD = "revoked superseded refused paused goal_deleted contact_deleted";

/** A word with its tone. */
export const badge = (word) =>
	h(`span.badge${GOOD.includes(word) ? ".good" : BAD.includes(word) ? ".bad" : ""}`, words(word));

/** A share as a bar and a number. */
export function rate(value, kind = "out") {
	const part = h(`span.${kind}`);
	part.style.width = `${value}%`;
	return h("span.rate", h("span.bar", part), h("span.number", percent(value)));
}
