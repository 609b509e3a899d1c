/** The picture of a series: columns of those who entered, and of those among them who were let out. */

import { h, s } from "./dom.js";
import { exact, number, percent, plural } from "./format.js";

const HEIGHT = 150;
const LEFT = 40;
const TOP = 8;
const FLOOR = 130;
const LABEL_WIDTH = 110;
const MOST_WIDTH = 36;
const LENGTHS = { hour: 3_600_000, day: 86_400_000, week: 604_800_000 };

/** As wide as its place, whatever that becomes. */
export function chart(series, step) {
	const place = h("div");
	new ResizeObserver(() => place.replaceChildren(picture(series, step, place.clientWidth))).observe(place);
	return h("figure", h("figcaption", h("span.key.all", "entered"), h("span.key.out", "of them let out")), place);
}

/** Steps in which nobody entered are missing from a series: columns stand by their time, up to now. */
function picture(series, step, width) {
	const first = Date.parse(series[0].start);
	const place = (one) => Math.round((Date.parse(one.start) - first) / LENGTHS[step]);
	const slots = Math.floor((Date.now() - first) / LENGTHS[step]) + 1;
	const slot = (width - LEFT) / slots;
	const bar = Math.max(1, Math.min(slot * 0.8, MOST_WIDTH));
	const most = Math.max(...series.map((one) => one.total_enrolled));
	const size = 10 ** Math.floor(Math.log10(most));
	const top = [1, 2, 4, 6, 8, 10].find((one) => one * size >= most) * size;
	const y = (value) => FLOOR - ((FLOOR - TOP) * value) / top;
	const column = (one) => {
		const rect = (kind, value) => s(`rect.${kind}`, { x: LEFT + (place(one) + 0.5) * slot - bar / 2, width: bar, y: y(value), height: FLOOR - y(value) });
		const told = `${exact(one.start)}: ${number(one.total_enrolled)} entered, ${number(one.goals_achieved)} let out (${percent(one.conversion_rate)})`;
		return s("g", s("title", told), rect("all", one.total_enrolled), rect("out", one.goals_achieved));
	};
	const line = (value) => [
		s("line", { x1: LEFT, x2: width, y1: y(value), y2: y(value) }),
		s("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, number(value)),
	];
	const each = Math.ceil(LABEL_WIDTH / slot);
	const labels = Array.from({ length: Math.ceil(slots / each) }, (_, i) => s("text", { x: LEFT + i * each * slot, y: HEIGHT - 4 }, when(first + i * each * LENGTHS[step], step)));
	const told = `${plural(slots, step)}, at most ${plural(most, "entry", "entries")} in one; the numbers are in the tables below`;
	return s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": told },
		[0, top / 2, top].filter(Number.isInteger).map(line), series.map(column), labels);
}

const when = (time, step) =>
	new Date(time).toLocaleString(undefined, { day: "numeric", month: "short", ...(step === "hour" && { hour: "2-digit", minute: "2-digit" }) });
