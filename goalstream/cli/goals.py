"""Commands about a workflow's goals, over HTTP: add, list, show, edit, pause, resume, delete, stats."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias
from uuid import uuid4

import typer

from goalstream.cli.over_http import ask, given, require_ids, show_list
from goalstream.cli.terminal import err, out, wide
from goalstream.domain.goals import GoalType
from goalstream.errors import SettingsError

app = typer.Typer(
    help="Shows and changes the goals of a workflow, over HTTP (GOALSTREAM_API_URL, GOALSTREAM_API_TOKEN).",
    no_args_is_help=True,
)

_TRUTHS = {"true": True, "false": False}

Workflow: TypeAlias = Annotated[str, typer.Argument(metavar="WORKFLOW", help="the workflow's UUID")]
GoalId: TypeAlias = Annotated[str, typer.Argument(metavar="GOAL", help="the goal's UUID, as `list` shows it")]
Window: TypeAlias = Annotated[
    str | None, typer.Option(help="counts only so long after enrollment: P7D, PT36H (ISO 8601)")
]
AfterExit: TypeAlias = Annotated[
    str | None, typer.Option("--measure-after-exit", help="still counts so long after an exit, for measuring: P7D")
]
IfVersion: TypeAlias = Annotated[
    int | None, typer.Option("--if-version", min=1, help="only if the goal still is in this version")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="as JSON")]


@app.command()
def add(
    workflow: Workflow,
    goal_type: Annotated[GoalType, typer.Argument(metavar="TYPE", help=", ".join(GoalType))],
    criteria: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="tag_name=Purchased, min_amount=100 …")],
    window: Window = None,
    measure_after_exit: AfterExit = None,
    as_json: Json = False,
) -> None:
    """Adds a goal; it holds from a moment later on."""
    require_ids(WORKFLOW=workflow)
    body: dict[str, Any] = {"goal_type": goal_type.value, "criteria": _criteria(criteria)}
    body |= given(window=window, measure_after_exit=measure_after_exit)
    # The same key however often it is tried: nothing is added twice.
    headers = {"Idempotency-Key": str(uuid4())}
    _show(ask("POST", _goals(workflow), body=body, headers=headers), as_json, "added")


@app.command("list")
def list_goals(workflow: Workflow, as_json: Json = False) -> None:
    """Lists the goals of a workflow in the order of creation."""
    from goalstream.cli import goal_views as views
    from goalstream.cli.api_client import Api, pages, with_api

    require_ids(WORKFLOW=workflow)

    async def read(api: Api) -> list[dict[str, Any]]:
        return [goal async for page in pages(api, _goals(workflow)) for goal in page["goals"]]

    show_list(with_api(read), as_json, views.table, "goal")


@app.command()
def show(workflow: Workflow, goal: GoalId, as_json: Json = False) -> None:
    """Shows a goal in its newest version, which may not be in force yet."""
    require_ids(WORKFLOW=workflow, GOAL=goal)
    _show(ask("GET", f"{_goals(workflow)}/{goal}"), as_json)


@app.command()
def edit(
    workflow: Workflow,
    goal: GoalId,
    criteria: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE…]", help="in the place of all criteria so far")
    ] = None,
    window: Window = None,
    no_window: Annotated[bool, typer.Option("--no-window", help="counts however long after enrollment")] = False,
    measure_after_exit: AfterExit = None,
    if_version: IfVersion = None,
    as_json: Json = False,
) -> None:
    """Changes a goal; what is not named stays."""
    require_ids(WORKFLOW=workflow, GOAL=goal)
    if window is not None and no_window:
        raise SettingsError("--no-window: says the opposite of --window")
    changes = given(window=window, measure_after_exit=measure_after_exit)
    if no_window:
        changes["window"] = None
    if criteria:
        changes["criteria"] = _criteria(criteria)
    if not changes:
        raise SettingsError("nothing to change: name criteria, --window, --no-window or --measure-after-exit")
    _change(workflow, goal, changes, if_version, as_json, "changed")


@app.command()
def pause(workflow: Workflow, goal: GoalId, if_version: IfVersion = None, as_json: Json = False) -> None:
    """Makes a goal inactive: from a moment later on, no event achieves it."""
    require_ids(WORKFLOW=workflow, GOAL=goal)
    _change(workflow, goal, {"is_active": False}, if_version, as_json, "paused")


@app.command()
def resume(workflow: Workflow, goal: GoalId, if_version: IfVersion = None, as_json: Json = False) -> None:
    """Makes a goal active again."""
    require_ids(WORKFLOW=workflow, GOAL=goal)
    _change(workflow, goal, {"is_active": True}, if_version, as_json, "active")


@app.command()
def delete(workflow: Workflow, goal: GoalId, if_version: IfVersion = None) -> None:
    """Deletes a goal; its achievements and its history stay."""
    require_ids(WORKFLOW=workflow, GOAL=goal)
    headers = {} if if_version is None else {"If-Match": f'"{if_version}"'}
    from goalstream.cli.api_client import with_api

    answer = with_api(lambda api: api.ask("DELETE", f"{_goals(workflow)}/{goal}", headers=headers))
    out.print(f"{goal} is deleted, from {answer.headers['effective-from']} on", markup=False)


@app.command()
def stats(
    workflow: Workflow,
    start: Annotated[str | None, typer.Option(help="enrolled from: RFC 3339, or a date in --tz")] = None,
    end: Annotated[str | None, typer.Option(help="enrolled before")] = None,
    granularity: Annotated[str | None, typer.Option(help="a series by hour, day or week")] = None,
    tz: Annotated[str | None, typer.Option(help="time zone of dates and of the series: Europe/Berlin")] = None,
    as_json: Json = False,
) -> None:
    """Shows how many of a workflow's enrollments achieved its goals, and how fast."""
    from goalstream.cli import goal_views as views

    require_ids(WORKFLOW=workflow)
    query = given(start=start, end=end, granularity=granularity, tz=tz)
    found = ask("GET", f"{_goals(workflow)}/stats", query=query)
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for part in views.statistics(found):
        wide.print(part)


def _change(
    workflow: str, goal: str, changes: Mapping[str, Any], if_version: int | None, as_json: bool, done: str
) -> None:
    """Changes the version that is asked for, or the newest one there is."""
    from goalstream.cli.api_client import Api, with_api

    path = f"{_goals(workflow)}/{goal}"

    async def change(api: Api) -> dict[str, Any]:
        etag = f'"{if_version}"' if if_version else (await api.ask("GET", path)).headers["etag"]
        document: dict[str, Any] = (await api.ask("PATCH", path, body=changes, headers={"If-Match": etag})).json()
        return document

    _show(with_api(change), as_json, done)


def _show(goal: Mapping[str, Any], as_json: bool, done: str | None = None) -> None:
    from goalstream.cli import goal_views as views

    if as_json:
        sys.stdout.write(json.dumps(goal) + "\n")
        return
    wide.print(views.one(goal))
    if done is not None:
        err.print(f"{done}: version {goal['version']} holds from {goal['effective_from']} on", markup=False)


def _goals(workflow: str) -> str:
    return f"/workflows/{workflow}/goals"


def _criteria(pairs: Sequence[str]) -> dict[str, Any]:
    """The criteria of `key=value` pairs; what they may be, the API knows. Raises SettingsError."""
    found: dict[str, Any] = {}
    problems = []
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (key and equals):
            problems.append(f"KEY=VALUE: {pair!r} must be like tag_name=Purchased")
        elif key in found:
            problems.append(f"KEY=VALUE: {key} is there twice")
        found[key] = _value(key, text)
    if problems:
        raise SettingsError(*problems)
    return found


def _value(key: str, text: str) -> object:
    """Yes-or-no criteria are truths; ids, names and amounts are texts, so that amounts keep their digits."""
    return _TRUTHS.get(text, text) if key.startswith("any_") else text
