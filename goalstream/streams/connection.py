"""The way to Kafka: where it is, and as whom. Every client is made with it, and what keeps one out is told in words."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from goalstream.config import Settings
from goalstream.errors import BrokerUnavailable, SettingsError
from goalstream.tls import client_context

ASK_MS = 1_000
"""For each attempt to learn what keeps clients out."""

_TLS_ALERT = 0x1503
"""What the answer of a port with TLS begins with, to somebody who does not speak it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """Where Kafka is, and as whom it is spoken to; without more than the servers, as anybody and unencrypted."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    ssl_context: ssl.SSLContext | None = None
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Kafka:
        """As the settings say. Raises SettingsError where a file of certificates has changed since they were read."""
        protocol, password = settings.kafka_security_protocol, settings.kafka_sasl_password
        return cls(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            security_protocol=protocol,
            ssl_context=_context(settings) if protocol.endswith("SSL") else None,
            sasl_mechanism=settings.kafka_sasl_mechanism,
            sasl_username=settings.kafka_sasl_username if protocol.startswith("SASL") else None,
            sasl_password=password.get_secret_value() if password else None,
        )

    @property
    def options(self) -> dict[str, Any]:
        """What every client of aiokafka takes."""
        return {"bootstrap_servers": self.bootstrap_servers, **self._security}

    @property
    def _security(self) -> dict[str, Any]:
        return {
            "security_protocol": self.security_protocol,
            "ssl_context": self.ssl_context,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
        }

    async def unavailable(self, error: BaseException) -> BrokerUnavailable:
        """What a client's error comes to. A client only tells that it found no broker; why, each is asked once more."""
        told = [] if isinstance(error, TimeoutError | RequestTimedOutError) else await self._obstacles()
        obstacle = next((one for one in told if one.advice), told[0] if told else None)
        if obstacle is not None:
            return BrokerUnavailable(f"Kafka at {obstacle.server} {obstacle.what}", advice=obstacle.advice)
        what = str(error) if isinstance(error, KafkaError) else f"{type(error).__name__} {error}".strip()
        return BrokerUnavailable(f"Kafka at {self.bootstrap_servers} does not answer: {what}")

    async def _obstacles(self) -> list[_Obstacle]:
        """What keeps us from the first brokers, and from those that they name."""
        first = {(host, port) for host, port, _ in collect_hosts(self.bootstrap_servers)}
        answers = await self._ask(first)
        named = {place for answer in answers if not isinstance(answer, _Obstacle) for place in answer}
        answers += await self._ask(named - first)
        return [answer for answer in answers if isinstance(answer, _Obstacle)]

    async def _ask(self, places: Iterable[tuple[str, int]]) -> list[set[tuple[str, int]] | _Obstacle]:
        return await asyncio.gather(*(self._brokers_known_to(host, port) for host, port in places))

    async def _brokers_known_to(self, host: str, port: int) -> set[tuple[str, int]] | _Obstacle:
        connection = AIOKafkaConnection(host, port, request_timeout_ms=ASK_MS, **self._security)
        try:
            await connection.connect()
            metadata = await connection.send(MetadataRequest([]))
            return {(broker_host, broker_port) for _, broker_host, broker_port, *_ in metadata.brokers}
        except (KafkaError, OSError, TimeoutError, EOFError) as error:
            return _Obstacle(f"{host}:{port}", *self._in_words(error))
        finally:
            connection.close()

    def _in_words(self, error: BaseException) -> tuple[str, str]:
        """What is in the way, and what to do about it where waiting does not help."""
        protocol = "look at GOALSTREAM_KAFKA_SECURITY_PROTOCOL"
        match error.__cause__ or error:
            case ssl.SSLCertVerificationError() as refused:
                return f"shows a certificate that is not taken: {refused.verify_message}", (
                    "look at GOALSTREAM_KAFKA_SSL_CA_FILE, and at the names in that certificate"
                )
            case ssl.SSLError(reason=str(reason)) if "ALERT" in reason:
                return "does not take our certificate, or wants one", "look at GOALSTREAM_KAFKA_SSL_CERT_FILE"
            case asyncio.IncompleteReadError(expected=int(size)) if size >> 16 == _TLS_ALERT:
                return f"speaks TLS, and not {self.security_protocol}", protocol
            case ssl.SSLError() | asyncio.IncompleteReadError() | ConnectionResetError():
                return f"breaks off at once: it is away, or does not speak {self.security_protocol} there", ""
            case SaslAuthenticationFailed():
                return "does not take the user or the password", (
                    "look at GOALSTREAM_KAFKA_SASL_USERNAME and GOALSTREAM_KAFKA_SASL_PASSWORD"
                )
            case UnsupportedSaslMechanismError():
                return f"does not take {self.sasl_mechanism}", "look at GOALSTREAM_KAFKA_SASL_MECHANISM"
            case IllegalSaslStateError():
                return f"asks for no user, so it does not speak {self.security_protocol}", protocol
            case asyncio.CancelledError():  # the cause of a TimeoutError: we have waited long enough
                return f"does not answer within {ASK_MS // 1000} s", ""
            case KafkaError() as other:
                return f"does not answer: {other}", ""
            case other:
                return f"does not answer: {type(other).__name__} {other}".strip(), ""


def _context(settings: Settings) -> ssl.SSLContext:
    password = settings.kafka_ssl_key_password
    try:
        return client_context(
            ca_file=settings.kafka_ssl_ca_file,
            cert_file=settings.kafka_ssl_cert_file,
            key_file=settings.kafka_ssl_key_file,
            key_password=password.get_secret_value() if password else "",
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None


class _Obstacle(NamedTuple):
    """What keeps us from a broker; the advice is empty where it may pass."""

    server: str
    what: str
    advice: str
