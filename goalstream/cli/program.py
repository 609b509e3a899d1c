"""The commands. Exit codes: 0 done, 1 failed, 2 wrong usage or settings; never a traceback."""

from __future__ import annotations

import sys

import structlog
import typer

from goalstream.cli import api_keys, dead_letters, events, goals, hooks, installation, processes, schemas, webhooks
from goalstream.cli.doctor import doctor
from goalstream.cli.explain import explain
from goalstream.cli.terminal import err
from goalstream.errors import GoalstreamError, SettingsError

app = typer.Typer(
    name="goalstream",
    help="Decides that an enrolled contact has achieved a workflow's goal, and tells the workflow engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    processes.worker,
    processes.api,
    processes.deliverer,
    installation.migrate,
    installation.topics,
    events.send,
    installation.token,
    installation.config,
    doctor,
    explain,
    processes.dev,
):
    app.command()(command)
app.add_typer(goals.app, name="goals")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(hooks.app, name="hooks")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(api_keys.app, name="api-keys")
app.add_typer(schemas.app, name="schemas")


def main() -> None:
    """Runs a command and turns what goes wrong into one line and an exit code."""
    try:
        app()
    except SettingsError as error:
        for problem in error.problems:
            err.print(f"goalstream: {problem}", style="red", markup=False)
        sys.exit(2)
    except GoalstreamError as error:
        err.print(f"goalstream: {error}", style="red", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - a defect of ours: the log has the details, the person gets one line
        structlog.get_logger().error("defect", exc_info=error)
        err.print(f"goalstream: a defect of goalstream: {type(error).__name__}: {error}", style="red", markup=False)
        sys.exit(1)
