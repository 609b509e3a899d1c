"""Commands about hooks, over HTTP: list, add, show, edit, rotate, pause, resume, delete; presets, trials, and what was called."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from goalstream.cli.over_http import ask, given, read_newest, require_ids, show_list
from goalstream.cli.terminal import err, out, wide
from goalstream.domain.presets import PresetName
from goalstream.domain.signing import Scheme
from goalstream.errors import SettingsError

app = typer.Typer(
    help="Takes what other systems send, and makes events of it, over HTTP (GOALSTREAM_API_URL, GOALSTREAM_API_TOKEN).",
    no_args_is_help=True,
)

USUAL_LIMIT = 50

HookId: TypeAlias = Annotated[str, typer.Argument(metavar="HOOK", help="the hook's UUID, as `list` shows it")]
Name: TypeAlias = Annotated[str | None, typer.Option(help="what it is called")]
MappingFile: TypeAlias = Annotated[
    Path | None, typer.Option("--mapping", help="file with the mapping, as JSON; - reads it from stdin")
]
SecretFile: TypeAlias = Annotated[
    Path | None, typer.Option("--secret-file", help="file with the secret of the other system; - reads it from stdin")
]
IfVersion: TypeAlias = Annotated[
    int | None, typer.Option("--if-version", min=1, help="only if the hook still is in this version")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="as JSON")]


@app.command("list")
def list_hooks(as_json: Json = False) -> None:
    """Lists hooks in the order of creation."""
    from goalstream.cli import hook_views as views

    show_list(ask("GET", "/hooks")["hooks"], as_json, views.table, "hook")


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="what it is called")],
    preset: Annotated[PresetName | None, typer.Option(help="a system whose signature and mapping are known")] = None,
    scheme: Annotated[Scheme | None, typer.Option(help="how calls are signed; comes with a preset")] = None,
    mapping: MappingFile = None,
    secret_file: SecretFile = None,
    as_json: Json = False,
) -> None:
    """Adds a hook; a secret that is made for it is printed this once."""
    body = {"name": name} | given(
        preset=preset,
        scheme=scheme,
        mapping=None if mapping is None else _json(mapping),
        secret=None if secret_file is None else _text(secret_file).strip(),
    )
    _show(ask("POST", "/hooks", body=body), as_json, "added")


@app.command()
def show(hook: HookId, as_json: Json = False) -> None:
    """Shows a hook and its mapping; its secrets nobody can tell."""
    require_ids(HOOK=hook)
    _show(ask("GET", f"/hooks/{hook}"), as_json)


@app.command()
def edit(
    hook: HookId, name: Name = None, mapping: MappingFile = None, if_version: IfVersion = None, as_json: Json = False
) -> None:
    """Changes a hook; what is not named stays."""
    changes = given(name=name, mapping=None if mapping is None else _json(mapping))
    if not changes:
        raise SettingsError("nothing to change: name --name or --mapping")
    _change(hook, changes, if_version, as_json, "changed")


@app.command()
def rotate(
    hook: HookId,
    secret_file: SecretFile = None,
    overlap_seconds: Annotated[
        int | None, typer.Option(help="how long the secrets of before hold beside it: a day without it; 0: no longer")
    ] = None,
    as_json: Json = False,
) -> None:
    """Gives a hook a new secret; one that is made for it is printed this once."""
    require_ids(HOOK=hook)
    secret = None if secret_file is None else _text(secret_file).strip()
    body = given(secret=secret, overlap_seconds=overlap_seconds)
    _show(ask("POST", f"/hooks/{hook}/secret", body=body), as_json, "rotated")


@app.command()
def pause(hook: HookId, if_version: IfVersion = None, as_json: Json = False) -> None:
    """Refuses all calls for a while; most senders try again for some days."""
    _change(hook, {"paused": True}, if_version, as_json, "paused")


@app.command()
def resume(hook: HookId, if_version: IfVersion = None, as_json: Json = False) -> None:
    """Takes calls again."""
    _change(hook, {"paused": False}, if_version, as_json, "resumed")


@app.command()
def delete(hook: HookId, if_version: IfVersion = None) -> None:
    """Deletes a hook; what it brought stays."""
    from goalstream.cli.api_client import with_api

    require_ids(HOOK=hook)
    headers = {} if if_version is None else {"If-Match": f'"{if_version}"'}
    with_api(lambda api: api.ask("DELETE", f"/hooks/{hook}", headers=headers))
    out.print(f"{hook} is deleted", markup=False)


@app.command("dry-run")
def dry_run(
    body: Annotated[Path, typer.Argument(metavar="BODY", help="file with what the other system sends; - reads stdin")],
    hook: Annotated[str | None, typer.Option(help="by the mapping of this hook")] = None,
    preset: Annotated[PresetName | None, typer.Option(help="by the mapping of a preset")] = None,
    mapping: MappingFile = None,
    as_json: Json = False,
) -> None:
    """Shows the events that a body becomes, and what is wrong with each; sends nothing."""
    from goalstream.cli import hook_views as views

    chosen = given(hook=hook, preset=preset, mapping=mapping)
    if len(chosen) != 1:
        raise SettingsError("name one of --hook, --preset and --mapping")
    sent: dict[str, Any] = {"body": _json(body)}
    if hook is not None:
        require_ids(HOOK=hook)
        found = ask("POST", f"/hooks/{hook}/dry-run", body=sent)
    else:
        by = {"preset": preset} if mapping is None else {"mapping": _json(mapping)}
        found = ask("POST", "/hooks/dry-run", body=sent | by)
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        for part in views.trial(found):
            wide.print(part)
        count = len(found["events"])
        err.print(f"{count} {'event' if count == 1 else 'events'}, and nothing is sent", markup=False)
    if found["errors"] or any(one["errors"] for one in found["events"]):
        raise typer.Exit(1)


@app.command()
def calls(
    hook: HookId,
    limit: Annotated[int, typer.Option(help="at the most", min=1)] = USUAL_LIMIT,
    as_json: Json = False,
) -> None:
    """Lists calls that were signed as they should be, the newest first, each with its last answer."""
    from goalstream.cli import hook_views as views

    require_ids(HOOK=hook)
    show_list(read_newest(f"/hooks/{hook}/calls", "calls", limit), as_json, views.calls, "call")


@app.command()
def presets(as_json: Json = False) -> None:
    """Lists systems whose signature and mapping are known, and where each carries the id of a contact."""
    from goalstream.cli import hook_views as views

    show_list(ask("GET", "/hook-presets")["presets"], as_json, views.presets, "preset")


def _change(hook: str, changes: Mapping[str, Any], if_version: int | None, as_json: bool, done: str) -> None:
    """Changes the version that is asked for, or the newest one there is."""
    require_ids(HOOK=hook)
    headers = {"If-Match": "*" if if_version is None else f'"{if_version}"'}
    _show(ask("PATCH", f"/hooks/{hook}", body=changes, headers=headers), as_json, done)


def _show(hook: Mapping[str, Any], as_json: bool, done: str | None = None) -> None:
    from goalstream.cli import hook_views as views

    if as_json:
        sys.stdout.write(json.dumps(hook) + "\n")
        return
    wide.print(views.one(hook))
    if done is not None:
        err.print(f"{done}; the secret is shown this once" if "secret" in hook else done, markup=False)


def _text(file: Path) -> str:
    """What a file holds, or stdin. Raises SettingsError."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from None


def _json(file: Path) -> Any:
    """The JSON that a file holds, or stdin. Raises SettingsError."""
    try:
        return json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{file}: is no JSON: {error}") from None
