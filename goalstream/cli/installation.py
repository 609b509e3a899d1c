"""Commands for whoever installs goalstream: migrate, topics, config, token."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from goalstream.cli.terminal import err, out, settings_in_force, within_deadline
from goalstream.config import describe_settings
from goalstream.errors import SettingsError


def migrate(
    check: Annotated[bool, typer.Option("--check", help="only tell; exit 1 when something is pending")] = False,
) -> None:
    """Brings the database up to date; safe from many places at once."""
    from goalstream.storage import migrate as migrations

    url = settings_in_force().database_url.get_secret_value()
    if check:
        pending = within_deadline(lambda: migrations.pending(url))
        for name in pending:
            out.print(f"pending  {name}")
        if pending:
            raise typer.Exit(1)
        out.print("up to date")
        return
    applied = within_deadline(lambda: migrations.migrate(url, on_wait=lambda what: err.print(what, markup=False)))
    for name in applied:
        out.print(f"applied  {name}")
    if not applied:
        out.print("up to date")


def topics() -> None:
    """Creates the topics that are missing, and tells where existing ones differ."""
    from goalstream.streams.connection import Kafka
    from goalstream.streams.topics import create_topics

    settings = settings_in_force()
    reports = within_deadline(
        lambda: create_topics(
            Kafka.of(settings),
            prefix=settings.kafka_topic_prefix,
            partitions=settings.topic_partitions,
            replication_factor=settings.topic_replication_factor,
        )
    )
    for report in reports:
        state = "created" if report.created else "differs" if report.differences else "exists"
        detail = "; ".join(report.differences) or f"{report.partitions} partitions"
        out.print(f"{state:8} {report.name}  {detail}")


def config() -> None:
    """Shows the settings in force, where each comes from and what it means; secrets stay hidden."""
    for line in describe_settings():
        out.print(f"{line.name}={line.value}", markup=False, end="")
        out.print(f"  # {line.origin}: {line.meaning}", style="dim", markup=False)


def token(
    account: Annotated[str, typer.Option(help="the account's UUID")],
    subject: Annotated[str, typer.Option(help="who acts")] = "developer",
    scope: Annotated[str, typer.Option(help="what it may do")] = "goals:read goals:write",
    expires_in: Annotated[int, typer.Option(help="seconds", min=1)] = 3600,
) -> None:
    """Prints a bearer token for development, from the HS256 secret."""
    from goalstream.api.tokens import issue_token
    from goalstream.domain.texts import is_uuid

    settings = settings_in_force()
    secret = settings.jwt_secret
    if secret is None:
        raise SettingsError("GOALSTREAM_JWT_SECRET: is not set; choose one of at least 32 bytes")
    if not is_uuid(account):
        raise SettingsError(f"--account: {account} is no UUID")
    sys.stdout.write(
        issue_token(
            secret.get_secret_value(),
            account_id=account.lower(),
            subject=subject,
            scope=scope,
            expires_in_seconds=expires_in,
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            now=int(time.time()),  # noqa: TID251 - a composition root reads the clock
        )
        + "\n"
    )
