"""Commands about API keys: create, list, revoke. They speak with the database, and so need no key themselves."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

import typer

from goalstream.cli.moments import parse_span
from goalstream.cli.terminal import err, out, settings_in_force, wide, within_deadline
from goalstream.domain.access import Scope
from goalstream.domain.texts import MAX_TEXT_LENGTH, has_forbidden_character, is_uuid
from goalstream.errors import OperatorError, SettingsError

if TYPE_CHECKING:
    from goalstream.storage.api_keys import KeyBook

app = typer.Typer(help="Makes, lists and revokes API keys.", no_args_is_help=True)

MAX_LIFE = timedelta(days=3650)
USUAL_SCOPES = (Scope.GOALS_READ, Scope.GOALS_WRITE)

By: TypeAlias = Annotated[str, typer.Option("--by", help="who does it, for the audit")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="as JSON")]

_Result = TypeVar("_Result")


@app.command()
def create(
    account: Annotated[str, typer.Option(help="the account's UUID")],
    name: Annotated[str, typer.Option(help="what it is for")],
    scope: Annotated[list[str] | None, typer.Option(help="what it may do; repeat it for several")] = None,
    expires_in: Annotated[str | None, typer.Option(help="90d, 12h, or seconds; without it: never")] = None,
    by: By = "operator",
    as_json: Json = False,
) -> None:
    """Makes a key and prints it, this once: only a digest is kept."""
    from goalstream.cli import key_views as views

    problems = [*_text_problems("--name", name), *_text_problems("--by", by)]
    if not is_uuid(account):
        problems.append(f"--account: {account} is no UUID")
    scopes = _scopes(scope, problems)
    life = _life(expires_in, problems)
    if problems:
        raise SettingsError(*problems)
    key, record = _with_book(
        lambda book: book.create(account.lower(), name=name, scopes=scopes, expires_in=life, actor=by)
    )
    sys.stdout.write((views.line(record, key=key.text) if as_json else key.text) + "\n")
    err.print(f"{views.sentence(record)}; it is shown this once", markup=False)


@app.command("list")
def list_keys(
    account: Annotated[str | None, typer.Option(help="only those of this account, a UUID")] = None,
    include_revoked: Annotated[bool, typer.Option("--include-revoked", help="also what was revoked")] = False,
    as_json: Json = False,
) -> None:
    """Lists keys, the oldest first; what they open nobody can tell from it."""
    from goalstream.cli import key_views as views
    from goalstream.storage.api_keys import State

    if account is not None and not is_uuid(account):
        raise SettingsError(f"--account: {account} is no UUID")
    records = _with_book(lambda book: book.keys(account))
    shown = [record for record in records if include_revoked or record.state is not State.REVOKED]
    if as_json:
        for record in shown:
            sys.stdout.write(views.line(record) + "\n")
    elif shown:
        wide.print(views.table(shown))
    hidden = (
        f"; {len(records) - len(shown)} revoked are hidden (--include-revoked)" if len(records) > len(shown) else ""
    )
    err.print(f"{len(shown)} {'key' if len(shown) == 1 else 'keys'}{hidden}", markup=False)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="as `list` shows it; never the key itself")],
    by: By = "operator",
    as_json: Json = False,
) -> None:
    """Takes a key back: it opens nothing from now on. Again changes nothing."""
    from goalstream.cli import key_views as views

    problems = _text_problems("--by", by)
    if not is_uuid(key_id):
        problems.append("ID: it is no UUID; `goalstream api-keys list` shows them")
    if problems:
        raise SettingsError(*problems)
    record = _with_book(lambda book: book.revoke(key_id, actor=by))
    if record is None:
        raise OperatorError(f"there is no API key {key_id}: look with `goalstream api-keys list`")
    if as_json:
        sys.stdout.write(views.line(record) + "\n")
    else:
        out.print(f"{record.key_id} is revoked", markup=False)


def _with_book(action: Callable[[KeyBook], Awaitable[_Result]]) -> _Result:
    """Does something with the keys of all accounts. Raises DatabaseUnavailable after 30 s without a migrated database."""
    from goalstream.storage.api_keys import KeyBook
    from goalstream.storage.migrate import require_current
    from goalstream.storage.pool import Database

    url = settings_in_force().database_url.get_secret_value()

    async def run() -> _Result:
        await require_current(url)
        database = Database(url, size=1, sees_all_accounts=True)
        try:
            return await action(KeyBook(database))
        finally:
            await database.close()

    return within_deadline(run)


def _scopes(wanted: Sequence[str] | None, problems: list[str]) -> Sequence[Scope]:
    """Several in one option too, as tokens write them."""
    named = [scope for text in wanted or USUAL_SCOPES for scope in text.split()]
    known = [scope.value for scope in Scope]
    problems += [f"--scope: {scope} is none of {', '.join(known)}" for scope in named if scope not in known]
    if not named:
        problems.append(f"--scope: names none of {', '.join(known)}")
    return [scope for scope in Scope if scope in named]


def _life(text: str | None, problems: list[str]) -> timedelta | None:
    if text is None:
        return None
    life = parse_span(text)
    if life is None or not timedelta(0) < life <= MAX_LIFE:
        problems.append(f"--expires-in: {text!r} is no time such as 90d, 12h or 3600, of at most {MAX_LIFE.days} days")
    return life


def _text_problems(option: str, text: str) -> list[str]:
    if not text.strip() or len(text) > MAX_TEXT_LENGTH or has_forbidden_character(text):
        return [f"{option}: must have 1 to {MAX_TEXT_LENGTH} characters that can be stored"]
    return []
