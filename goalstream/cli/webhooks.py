"""Commands about webhooks, over HTTP: list, add, show, edit, rotate, pause, resume, delete; and about what is delivered to them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import typer

from goalstream.cli.over_http import ask, given, read_newest, require_ids, show_list
from goalstream.cli.terminal import err, out, wide
from goalstream.errors import SettingsError

app = typer.Typer(
    help="Has messages sent to URLs, and shows what became of them, over HTTP (GOALSTREAM_API_URL, GOALSTREAM_API_TOKEN).",
    no_args_is_help=True,
)

USUAL_LIMIT = 50

WebhookId: TypeAlias = Annotated[str, typer.Argument(metavar="WEBHOOK", help="the webhook's UUID, as `list` shows it")]
MessageId: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="MESSAGE", help="the message's UUID, as `deliveries` shows it, and the header webhook-id"),
]
Topic: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="of messages that are sent; repeat it for several; without it: all")
]
Description: TypeAlias = Annotated[str | None, typer.Option(help="what it is for")]
IfVersion: TypeAlias = Annotated[
    int | None, typer.Option("--if-version", min=1, help="only if the webhook still is in this version")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="as JSON")]


@app.command("list")
def list_webhooks(as_json: Json = False) -> None:
    """Lists webhooks in the order of creation."""
    from goalstream.cli import webhook_views as views

    found = ask("GET", "/webhooks")["webhooks"]
    show_list(found, as_json, views.table, "webhook")


@app.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="https://…, of a host that is public")],
    topic: Topic = None,
    description: Description = None,
    as_json: Json = False,
) -> None:
    """Adds a webhook, and prints the secret that signs its messages, this once."""
    body = {"url": url} | given(topics=topic, description=description)
    _show(ask("POST", "/webhooks", body=body), as_json, "added; the secret is shown this once")


@app.command()
def show(webhook: WebhookId, as_json: Json = False) -> None:
    """Shows a webhook, and how it fares; its secrets nobody can tell."""
    require_ids(WEBHOOK=webhook)
    _show(ask("GET", f"/webhooks/{webhook}"), as_json)


@app.command()
def edit(
    webhook: WebhookId,
    url: Annotated[str | None, typer.Option(help="where messages are sent from now on")] = None,
    topic: Annotated[list[str] | None, typer.Option(help="in the place of all topics so far; repeat it")] = None,
    description: Description = None,
    if_version: IfVersion = None,
    as_json: Json = False,
) -> None:
    """Changes a webhook; what is not named stays."""
    changes = given(url=url, topics=topic, description=description)
    if not changes:
        raise SettingsError("nothing to change: name --url, --topic or --description")
    _change(webhook, changes, if_version, as_json, "changed")


@app.command()
def rotate(
    webhook: WebhookId,
    overlap_seconds: Annotated[
        int | None, typer.Option(help="how long the secrets of before hold beside it: a day without it; 0: no longer")
    ] = None,
    as_json: Json = False,
) -> None:
    """Makes a new secret, and prints it, this once."""
    require_ids(WEBHOOK=webhook)
    body = given(overlap_seconds=overlap_seconds)
    _show(ask("POST", f"/webhooks/{webhook}/secret", body=body), as_json, "rotated; the secret is shown this once")


@app.command()
def pause(webhook: WebhookId, if_version: IfVersion = None, as_json: Json = False) -> None:
    """Sends nothing for a while; what comes about meanwhile is kept."""
    _change(webhook, {"paused": True}, if_version, as_json, "paused")


@app.command()
def resume(webhook: WebhookId, if_version: IfVersion = None, as_json: Json = False) -> None:
    """Sends what was kept, and goes on."""
    _change(webhook, {"paused": False}, if_version, as_json, "resumed")


@app.command()
def delete(webhook: WebhookId, if_version: IfVersion = None) -> None:
    """Deletes a webhook: nothing more is sent, and its delivery log is shown no longer."""
    from goalstream.cli.api_client import with_api

    require_ids(WEBHOOK=webhook)
    headers = {} if if_version is None else {"If-Match": f'"{if_version}"'}
    with_api(lambda api: api.ask("DELETE", f"/webhooks/{webhook}", headers=headers))
    out.print(f"{webhook} is deleted", markup=False)


@app.command("test")
def send_test(webhook: WebhookId, as_json: Json = False) -> None:
    """Sends a message that says it is a test."""
    require_ids(WEBHOOK=webhook)
    delivery = ask("POST", f"/webhooks/{webhook}/test")
    told = f"look what comes of it: goalstream webhooks delivery {webhook} {delivery['message_id']}"
    _deliver(delivery, as_json, told)


@app.command()
def deliveries(
    webhook: WebhookId,
    state: Annotated[str | None, typer.Option(help="only those that are pending, delivered or parked")] = None,
    limit: Annotated[int, typer.Option(help="at the most", min=1)] = USUAL_LIMIT,
    as_json: Json = False,
) -> None:
    """Lists deliveries, the newest first."""
    from goalstream.cli import webhook_views as views

    require_ids(WEBHOOK=webhook)
    found = read_newest(f"/webhooks/{webhook}/deliveries", "deliveries", limit, state=state)
    show_list(found, as_json, views.deliveries, "delivery", "deliveries")


@app.command()
def delivery(webhook: WebhookId, message: MessageId, as_json: Json = False) -> None:
    """Shows a delivery: what is sent, and what was answered."""
    from goalstream.cli import webhook_views as views

    require_ids(WEBHOOK=webhook, MESSAGE=message)
    found = ask("GET", f"/webhooks/{webhook}/deliveries/{message}")
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for part in views.in_full(found):
        wide.print(part)


@app.command()
def redrive(
    webhook: WebhookId,
    message: Annotated[
        str | None,
        typer.Argument(metavar="[MESSAGE]", help="only this one, whatever became of it; without it: all parked"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Sends messages again: one, or all that are parked."""
    require_ids(WEBHOOK=webhook, **({} if message is None else {"MESSAGE": message}))
    if message is not None:
        _deliver(ask("POST", f"/webhooks/{webhook}/deliveries/{message}/redrive"), as_json, "sent again at once")
        return
    redriven = 0
    while True:
        done = ask("POST", f"/webhooks/{webhook}/redrive")
        redriven += done["redriven"]
        if not (done["remaining"] and done["redriven"]):
            break
    if as_json:
        sys.stdout.write(json.dumps({"redriven": redriven}) + "\n")
    else:
        out.print(f"{redriven} {'message is' if redriven == 1 else 'messages are'} sent again", markup=False)


def _change(webhook: str, changes: Mapping[str, Any], if_version: int | None, as_json: bool, done: str) -> None:
    """Changes the version that is asked for, or the newest one there is."""
    require_ids(WEBHOOK=webhook)
    headers = {"If-Match": "*" if if_version is None else f'"{if_version}"'}
    _show(ask("PATCH", f"/webhooks/{webhook}", body=changes, headers=headers), as_json, done)


def _show(webhook: Mapping[str, Any], as_json: bool, done: str | None = None) -> None:
    from goalstream.cli import webhook_views as views

    if as_json:
        sys.stdout.write(json.dumps(webhook) + "\n")
        return
    wide.print(views.one(webhook))
    if done is not None:
        err.print(done, markup=False)


def _deliver(delivery: Mapping[str, Any], as_json: bool, done: str) -> None:
    from goalstream.cli import webhook_views as views

    if as_json:
        sys.stdout.write(json.dumps(delivery) + "\n")
        return
    wide.print(views.deliveries([delivery]))
    err.print(done, markup=False)
