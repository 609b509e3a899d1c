"""What a run of `goalstream dev` may be told, and the settings that follow: for this machine and this run alone."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from goalstream.config import Settings
from goalstream.dev.feed import FETCH_MAX_WAIT_MS
from goalstream.errors import OperatorError

ENCRYPTION_KEY = base64.b64encode(hashlib.sha256(b"goalstream dev").digest()).decode()
"""The same for each run, since a database may be kept; whoever can read that may read all of it."""

LOOPBACK = "127.0.0.0/8,::1/128"

GROUP_ID = "goalstream-dev"

PARTITIONS = 2
"""Of each topic. The embedded Kafka keeps up to 5 MiB of every partition in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOptions:
    """`rate` is in records per second; `keep` is a folder for the database; port 0 is a free one.

    `plain`: lines, also in a terminal.
    """

    rate: float = 40.0
    seed: int = 7
    keep: Path | None = None
    simulate: bool = True
    plain: bool = False
    http_host: str = "127.0.0.1"
    http_port: int = 0


def require_loopback(host: str) -> None:
    """Raises OperatorError for an address that other machines can reach: the embedded stack has no secrets."""
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    raise OperatorError(
        f"`goalstream dev` serves this machine only, not {host}: leave the host at 127.0.0.1, "
        "or use `goalstream worker` and `goalstream api` with your own Kafka and PostgreSQL"
    )


def require_posix(name: str) -> None:
    """Raises OperatorError on an operating system (`os.name`) whose processes the embedded services cannot use."""
    if name != "posix":
        raise OperatorError(
            f"`goalstream dev` needs Linux or macOS, and this is {name}: start it in a Linux beside it (WSL), "
            "or use `docker compose up`"
        )


def require_free(host: str, port: int) -> None:
    """Raises OperatorError when somebody listens on the port; 0 is always free."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OperatorError(
                f"cannot listen on {host}:{port} ({error.strerror}): take another port with --port, or a free one with --port 0"
            ) from None


def make_settings(options: DevOptions, *, kafka: str, database_url: str) -> Settings:
    """Settings of this run alone: what a person has set for real services is not looked at."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    ours = {
        "kafka_bootstrap_servers": kafka,
        "kafka_group_id": GROUP_ID,
        # The embedded broker wakes no waiting fetch: this is latency, and the shorter it is the more it costs.
        "kafka_fetch_max_wait_ms": FETCH_MAX_WAIT_MS,
        "topic_partitions": PARTITIONS,
        "database_url": database_url,
        "http_host": options.http_host,
        "http_port": options.http_port,
        "metrics_port": 0,
        "jwt_secret": secrets.token_urlsafe(48),
        "encryption_keys": ENCRYPTION_KEY,
        "webhook_private_networks": LOOPBACK,
        "activation_delay_seconds": 0,
        "log_format": "console",
        "log_level": "error",
    }
    return Settings(_env_file=None, **(defaults | ours))
