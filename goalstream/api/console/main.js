// Who is signed in, where the address leads, health, theme and keys.

import { ask, every, get, lacks, me, page, TOKEN } from "./api.js";
import { $, button, check, command, field, fill, h, input, link, list, number, panel, trouble } from "./kit.js";

const PAGES = { workflows: "Workflows", live: "Live", contact: "Contact", send: "Send", letters: "Dead letters", webhooks: "Webhooks", hooks: "Hooks" };
let leaving = new AbortController();
let shown;
let health;
let hasWorker = true;

function turn() {
	leaving.abort();
	leaving = new AbortController();
	page.signal = leaving.signal;
	document.querySelectorAll("dialog").forEach((one) => one.close());
}

// Who has the token; one in the address leaves it at once.
async function start() {
	turn();
	const { signal } = page;
	const [, found] = location.hash.split("#token=");
	if (found) {
		history.replaceState(null, "", "/");
		sessionStorage[TOKEN] = decodeURIComponent(found);
	}
	if (!sessionStorage[TOKEN]) return signIn();
	try {
		Object.assign(me, await ask(get("/me")));
	} catch (problem) {
		return signal.aborted || fill($("main"), h("h1", "goalstream"), trouble(problem, start));
	}
	$("nav").hidden = $("who").hidden = false;
	fill($("who"), h("code", me.account_id.slice(0, 8)), h("span.wide", lacks("goals:write") ? " reads" : " may write"));
	go();
}

async function go() {
	turn();
	const { signal } = page;
	const [path, query] = location.hash.slice(2).split("?");
	const [name, id] = path.split("/");
	const place = h("div");
	try {
		const { show } = await import(`./${Object.hasOwn(PAGES, name) ? name : "workflows"}.js`);
		await show(place, Object.fromEntries(new URLSearchParams(query)), id);
	} catch (problem) {
		if (!signal.aborted) fill(place, h("h1", "Something is in the way"), trouble(problem, go));
	}
	if (signal.aborted) return;
	for (const one of $("nav").children) one.ariaCurrent = one.hash.slice(2) === (name || "workflows") ? "page" : null;
	document.title = `${place.querySelector("h1").firstChild.textContent} – goalstream`;
	const focused = document.activeElement.id;
	fill($("main"), place);
	if (shown !== path) scrollTo(0, 0);
	if (shown != null) ((focused && $(focused)) || $("main")).focus({ preventScroll: true });
	shown = path;
}

function signIn(reason) {
	turn();
	delete sessionStorage[TOKEN];
	delete me.account_id;
	$("nav").hidden = $("who").hidden = true;
	const secret = input("token", { type: "password", required: true });
	const onsubmit = (event) => {
		event.preventDefault();
		sessionStorage[TOKEN] = secret.value.trim();
		location.reload();
	};
	fill($("main"), h("section.welcome",
		h("h1", "Contacts leave a workflow once they have done what it was for"),
		"See the goals, how well they convert, and why.",
		reason && h("p.card.trouble", { role: "alert" }, reason),
		h("form", { onsubmit }, field("API key or token, for this tab alone", secret), h("div", h("button.primary", "Show the console"))),
		"A key that lasts:", command("goalstream api-keys create --account UUID --name console"),
		"A token for an hour:", command("goalstream token --account UUID")));
	secret.focus();
}

async function look() {
	const answer = await fetch("/readyz").catch(() => null);
	const { reasons } = answer ? await answer.json() : { reasons: { why: "The API does not answer. Is `goalstream api` running?" } };
	health = { API: answer?.ok ? "Ready" : "Not ready", ...reasons };
	if (answer?.ok && hasWorker) await metrics();
	const text = health.API + (health.outbox_messages ? `, ${number(health.outbox_messages)} unsent` : "");
	if ($("health").textContent !== text) fill($("health"), h(answer?.ok ? "span.dot.live" : "span.dot"), text);
}

// Of a worker in the same process; where there is none it is not asked again.
async function metrics() {
	const text = await (await fetch("/metrics")).text();
	for (const [, name, value] of text.matchAll(/^goalstream_(outbox_\w+|lag_records)\S* (\S+)$/gm)) health[name] = (health[name] ?? 0) + Number(value);
	hasWorker = "lag_records" in health;
}

const showHealth = () =>
	panel("Health", list(health), "What is away is waited for. To look at everything:", command("goalstream doctor"));

const showWho = () =>
	panel("Signed in", list({ account: me.account_id, as: me.subject, may: me.scopes.join("\n") }),
		h("div", button("Sign out", () => (delete sessionStorage[TOKEN], location.replace("/")), "primary")));

function turnTheme() {
	const { style } = document.documentElement;
	const isDark = style.colorScheme ? style.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
	style.colorScheme = localStorage.theme = isDark ? "light" : "dark";
}

fill($("nav"), Object.entries(PAGES).map((one) => link(...one)));

const KEYS = {
	...Object.fromEntries([...$("nav").children].map((one, i) => [`g ${"wlcsdeh"[i]}`, [one.text, () => one.click()]])),
	"/": ["the first field", () => $("main").querySelector("input, select, textarea")?.focus()],
	n: ["a new one", () => $("new")?.click()],
	p: ["pause the feed", () => $("pause")?.click()],
	t: ["light or dark", turnTheme],
	"?": ["this list", showHelp],
};
let before = "";

function showHelp() {
	const keys = check("keys", { checked: !localStorage.keysOff, onchange: () => (localStorage.keysOff = keys.checked ? "" : "off") });
	panel("Keyboard", h("dl", Object.entries(KEYS).map(([name, [what]]) => [h("dt", h("kbd", name)), h("dd", what)])),
		"Tab reaches everything, Escape closes what is open.", field("these keys do something", keys),
		h("a", { href: "/docs" }, "The API to try out"));
}

addEventListener("keydown", (event) => {
	if (event.ctrlKey || event.metaKey || event.altKey || localStorage.keysOff || !me.account_id || event.target.closest("input, select, textarea, dialog")) return;
	const found = KEYS[before + event.key];
	before = event.key === "g" ? "g " : "";
	if (!found) return;
	event.preventDefault();
	found[1]();
});
addEventListener("hashchange", () => (location.hash.startsWith("#token=") ? location.reload() : me.account_id && go()));
addEventListener("signedout", ({ detail }) => signIn(detail));
Object.entries({ skip: () => $("main").focus(), health: showHealth, who: showWho, theme: turnTheme, help: showHelp }).forEach(([id, work]) => ($(id).onclick = work));
every(5, look, new AbortController());
start();
