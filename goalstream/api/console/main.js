/** The page around everything: who is signed in, where the address leads, health, theme and keys. */

import { ask, get } from "./api.js";
import { button, every, field, fill, h, input, tell } from "./dom.js";
import { number, plural } from "./format.js";
import { list } from "./contact.js";
import { command, panel, trouble } from "./panel.js";
import { forgetToken, keepToken, lacks, me, page, token } from "./session.js";

const HEALTH_SECONDS = 5;
const PAGES = ["overview", "workflow", "live", "contact", "send", "letters"];
const THEMES = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

const $ = (id) => document.getElementById(id);
const main = $("main");
let leaving = new AbortController();
let shown;
let health;

/** The token of an address, which keeps it no longer than this. */
function takeToken() {
	const [, found] = /^#token=([^&]+)/.exec(location.hash) ?? [];
	if (!found) return false;
	history.replaceState(null, "", "/");
	keepToken(decodeURIComponent(found));
	return true;
}

async function start() {
	turn();
	if (!token()) return signIn();
	try {
		Object.assign(me, await ask(get("/me")));
	} catch (problem) {
		return problem.status === 401 || fill(main, h("h1", "goalstream"), trouble(problem, start));
	}
	$("nav").hidden = $("who").hidden = false;
	fill($("who"), h("span.unseen", "Account "), h("code", me.account_id.slice(0, 8)), h("span.wide", lacks("goals:write") ? "reads only" : "may write"));
	await go();
}

/** Ends what the page before began. */
function turn() {
	leaving.abort();
	leaving = new AbortController();
	page.signal = leaving.signal;
	for (const one of document.querySelectorAll("dialog")) one.close();
}

/** Shows what the address names, once it is there. */
async function go() {
	turn();
	const { signal } = page;
	const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
	const [word, ...ids] = path.split("/");
	const name = PAGES.includes(word) ? word : "overview";
	const place = h("div");
	try {
		const { show } = await import(`./${name}.js`);
		await show(place, ids, Object.fromEntries(new URLSearchParams(query)));
	} catch (problem) {
		if (!signal.aborted) fill(place, h("h1", "Something is in the way"), trouble(problem, go));
	}
	if (signal.aborted) return;
	for (const one of $("nav").children) one.ariaCurrent = one.hash === `#/${name === "workflow" ? "" : word}` ? "page" : null;
	document.title = `${place.querySelector("h1").firstChild.textContent} – goalstream`;
	const { id } = document.activeElement;
	main.replaceChildren(place);
	if (shown !== location.hash.split("?")[0]) scrollTo(0, 0);
	if (shown) ((id && place.querySelector(`#${CSS.escape(id)}`)) || main).focus({ preventScroll: true });
	shown = location.hash.split("?")[0] || "#/";
}

function signIn(reason) {
	turn();
	forgetToken();
	shown = null;
	$("nav").hidden = $("who").hidden = true;
	const secret = input("token", { type: "password", required: true });
	const onsubmit = (event) => {
		event.preventDefault();
		keepToken(secret.value.trim());
		start();
	};
	fill(main, h("div.welcome",
		h("h1", "Contacts leave a workflow once they have done what it was for"),
		h("p", "goalstream watches what contacts do – tags, payments, appointments, forms, pipeline stages – and decides within milliseconds that a goal is achieved. Here you see the goals, how well they convert, and why."),
		reason && h("p.trouble", { role: "alert" }, reason),
		h("form", { onsubmit }, field("API key or token", secret),
			h("p.hint", "It stays in this tab, and is gone when the tab is closed."), h("div", h("button.primary", "Show the console"))),
		h("h2", "No key yet?"),
		"One that lasts, made next to the database:", command("goalstream api-keys create --account UUID --name console"),
		"A token for an hour, for development:", command("goalstream token --account UUID"),
		"Everything on your machine with a simulated CRM; it prints a link to this page:", command("goalstream dev")));
	secret.focus();
}

async function look() {
	const answer = await fetch("/readyz").catch(() => null);
	const { reasons = {} } = answer ? await answer.json() : { reasons: { API: "It does not answer. Is `goalstream api` running?" } };
	health = { isReady: Boolean(answer?.ok), reasons, told: answer && health?.told !== null ? await metrics() : null };
	const text = !health.isReady ? "Not ready" : health.told?.outbox ? `Ready, ${plural(health.told.outbox, "message")} waiting` : "Ready";
	if ($("health").textContent === text) return;
	fill($("health"), h(health.isReady ? "span.dot.good" : "span.dot"), text);
	$("health").title = Object.values(reasons).join("; ") || "The API's health";
}

/** What a worker tells, where it runs in the same process; else null, since workers have a port of their own. */
async function metrics() {
	const lines = (await (await fetch("/metrics")).text()).split("\n");
	const sum = (name) => lines.filter((line) => line.startsWith(`goalstream_${name}`)).reduce((all, line) => all + Number(line.split(" ").pop()), 0);
	if (!lines.some((line) => line.startsWith("goalstream_outbox_messages"))) return null;
	return { outbox: sum("outbox_messages"), age: sum("outbox_age_seconds"), lag: sum("lag_records") };
}

function showHealth() {
	const { isReady, reasons, told } = health;
	const worker = told && { outbox: `${plural(told.outbox, "message")} waiting, the oldest for ${number(told.age)} s`, lag: plural(told.lag, "record") };
	panel("Health", list({ API: isReady ? "ready" : "not ready", ...reasons, ...worker }),
		isReady ? "To look at everything around it, workers too:" : "It comes back by itself once that is mended. What is wrong, and what to do:", command("goalstream doctor"));
}

function showWho() {
	const can = (scope, what) => h("li", lacks(scope) ? "✗ " : "✓ ", what, " ", h("code", scope));
	const leave = () => (forgetToken(), location.replace("/"));
	panel("Signed in", list({ account: me.account_id, as: me.subject }),
		h("ul", can("goals:read", "sees goals, achievements and statistics"), can("goals:write", "changes goals, sends events"), can("operator", "handles dead letters")),
		h("div", button("Sign out", leave, "primary")));
}

function setTheme(name) {
	document.documentElement.dataset.theme = name;
	localStorage.setItem("goalstream-theme", name);
	fill($("theme"), THEMES[name][0]);
	$("theme").title = $("theme").ariaLabel = `Theme: ${THEMES[name][1]}`;
}

function nextTheme() {
	const names = Object.keys(THEMES);
	setTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
	tell($("theme").title);
}

const KEYS = {
	...Object.fromEntries([...$("nav").children].map((one) => [`g ${one.text[0].toLowerCase()}`, [one.text, () => one.click()]])),
	"/": ["the first field", () => main.querySelector("input, select, textarea")?.focus()],
	n: ["a new goal", () => $("new-goal")?.click()],
	p: ["pause or resume the feed", () => $("pause")?.click()],
	t: ["theme", nextTheme],
	"?": ["this list", showHelp],
};
const hasKeys = () => localStorage.getItem("goalstream-keys") !== "off";
let before = "";

function showHelp() {
	const onchange = ({ target }) => localStorage.setItem("goalstream-keys", target.checked ? "on" : "off");
	panel("Keyboard", h("dl", Object.entries(KEYS).map(([keys, [what]]) => [h("dt", h("kbd", keys)), h("dd", what)])),
		"Tab and Enter reach everything, Escape closes what is open.",
		field("these keys do something", input("keys", { type: "checkbox", checked: hasKeys(), onchange })),
		h("div", h("a", { href: "/docs" }, "The API to try out"), ", ", h("a", { href: "/openapi.json" }, "its contract")));
}

function press(event) {
	if (event.ctrlKey || event.metaKey || event.altKey || !hasKeys() || !shown || event.target.closest("input, select, textarea, dialog")) return;
	const found = KEYS[before + event.key];
	before = event.key === "g" ? "g " : "";
	if (!found) return;
	event.preventDefault();
	found[1]();
}

takeToken();
addEventListener("hashchange", () => (takeToken() || !shown ? start() : go()));
addEventListener("signedout", ({ detail }) => signIn(detail));
addEventListener("keydown", press);
$("skip").onclick = (event) => (event.preventDefault(), main.focus());
for (const [id, work] of Object.entries({ health: showHealth, who: showWho, theme: nextTheme, help: showHelp })) $(id).onclick = work;
setTheme(document.documentElement.dataset.theme);
every(HEALTH_SECONDS, look, new AbortController());
start();
