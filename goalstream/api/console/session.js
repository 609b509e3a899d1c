/** Who is signed in, as the API tells it, and the page that is shown. */

const TOKEN = "goalstream-token";

export const token = () => sessionStorage.getItem(TOKEN);
export const keepToken = (text) => sessionStorage.setItem(TOKEN, text);
export const forgetToken = () => sessionStorage.removeItem(TOKEN);

export const me = {};

/** What a page began ends with its signal, when the address leads elsewhere. */
export const page = {};

/** What to say where a scope is missing; null where it is not. */
export const lacks = (scope) => (me.scopes.includes(scope) ? null : `Your token lacks the scope ${scope}`);

/** A UUID; `crypto.randomUUID` is missing on pages that came over plain HTTP. */
export const uuid = () =>
	"10000000-1000-4000-8000-100000000000".replace(/[018]/g, (digit) =>
		(digit ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (digit / 4)))).toString(16));

export const isUuid = (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
