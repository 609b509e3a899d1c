"""Settings: read once from the environment and `.env`; the only module that looks at the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

from goalstream import secret_files
from goalstream.errors import SettingsError
from goalstream.setting_values import (
    AuthoritiesFile,
    BrokerAddresses,
    EncryptionKeys,
    HttpUrl,
    LongSecret,
    Networks,
    Origins,
    PostgresqlUrl,
)
from goalstream.tls import client_context, require_certificates

PREFIX = "GOALSTREAM_"


class Settings(BaseSettings):
    """Everything that can be set, each with its unit, default and meaning."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", frozen=True, extra="ignore")

    secrets_dir: str = Field(
        "",
        description="directory of files that are named like settings (goalstream_database_url, in any case) and hold their values",
    )
    kafka_bootstrap_servers: BrokerAddresses = Field(
        "127.0.0.1:9092", description="Kafka brokers to ask first: host:port,…"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how Kafka is spoken to: SSL encrypts, SASL asks for a user and a password"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="how the password is proved; PLAIN sends it"
    )
    kafka_sasl_username: str = Field("", validate_default=True, description="user, with SASL")
    kafka_sasl_password: SecretStr | None = Field(None, validate_default=True, description="the user's password")
    kafka_ssl_ca_file: str = Field(
        "", description="certificates (PEM) of who may vouch for brokers; empty: the system's"
    )
    kafka_ssl_cert_file: str = Field(
        "", description="certificate (PEM) to show to brokers that ask for one; empty: none"
    )
    kafka_ssl_key_file: str = Field("", validate_default=True, description="its key (PEM)")
    kafka_ssl_key_password: SecretStr | None = Field(
        None, validate_default=True, description="what the key is encrypted with; empty: nothing"
    )
    kafka_group_id: str = Field("goalstream", min_length=1, description="consumer group of the workers")
    kafka_group_instance_id: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9._-]{0,249}$",
        description="this worker's own name in the group (static membership): its partitions wait 6 s for it, after SIGTERM too;"
        " no two may share one",
    )
    kafka_topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]{0,100}$", description="put before every topic's name")
    kafka_fetch_max_wait_ms: int = Field(
        20, ge=1, le=500, description="how long a broker may hold a fetch to fill it, in ms: latency against CPU"
    )
    kafka_fetch_min_bytes: int = Field(65_536, ge=1, description="what fills a fetch, in bytes")
    topic_partitions: int = Field(
        4,
        ge=1,
        description="partitions of the topics that `goalstream topics` creates: as many workers as that can share a topic",
    )
    topic_replication_factor: int = Field(0, ge=0, description="replicas of those topics; 0: 3, or one for each broker")
    database_url: PostgresqlUrl = Field(
        SecretStr("postgresql://goalstream@127.0.0.1:5432/goalstream"),
        description="PostgreSQL, as postgresql://user:password@host/database, with sslmode and what belongs to it",
    )
    database_pool_size: int = Field(8, ge=2, le=200, description="connections of one process to PostgreSQL at the most")
    http_host: str = Field("127.0.0.1", description="address that `goalstream api` listens on")
    http_port: int = Field(8646, ge=0, le=65_535, description="port that `goalstream api` listens on; 0: a free one")
    api_url: HttpUrl = Field(
        "http://127.0.0.1:8646",
        description="where commands such as `goalstream goals` find the API: http://… or https://…",
    )
    api_token: SecretStr | None = Field(None, description="the API key or bearer token that those commands send")
    metrics_port: int = Field(
        8647, ge=0, le=65_535, description="port of a worker's /livez, /readyz and /metrics; 0: none"
    )
    jwt_secret: LongSecret | None = Field(
        None,
        description="HS256 secret of bearer tokens, at least 32 bytes; the API needs this or the next, and takes both",
    )
    jwks_url: HttpUrl | None = Field(
        None, description="address of the public keys (JWKS) of bearer tokens signed with RS256, ES256 or EdDSA"
    )
    jwks_refresh_seconds: int = Field(
        300, ge=1, le=86_400, description="how often those keys are read: a key taken from there is good for so long"
    )
    jwt_audience: str | None = Field(
        None,
        min_length=1,
        description="what tokens must name as their audience (aud); without it a token that names one is refused",
    )
    jwt_issuer: str | None = Field(None, min_length=1, description="what tokens must name as their issuer (iss)")
    jwt_leeway_seconds: int = Field(
        30, ge=0, le=600, description="how far clocks may differ from those of whoever signs tokens"
    )
    cors_origins: Origins = Field(
        "", description="pages of other origins that may use the API: https://app.example.com,…; empty: none"
    )
    rate_limit_per_minute: int = Field(
        0,
        ge=0,
        description="HTTP requests of an account in a minute, and at once, that one process of the API answers; 0: any number",
    )
    activation_delay_seconds: float = Field(
        2.0,
        ge=0,
        le=60,
        description="how long after its acceptance a goal's change takes effect; the same on every process",
    )
    allowed_lateness_seconds: int = Field(
        259_200,
        ge=1,
        le=31_536_000,
        description="how much later than it occurred an event's record may be; the same on every process",
    )
    retention_days: int = Field(
        730, ge=1, le=36_500, description="how long ended enrollments, and the audit, are kept, in days"
    )
    housekeeping_seconds: int = Field(
        60, ge=1, description="how often a worker deletes what is too old; one at a time does"
    )
    max_goals_per_workflow: int = Field(3, ge=1, le=1_000, description="goals of a workflow that are not deleted")
    max_body_bytes: int = Field(65_536, ge=1_024, description="largest HTTP request body")
    max_events_body_bytes: int = Field(
        1_048_576, ge=1_024, description="largest body of events that are sent over HTTP"
    )
    encryption_keys: EncryptionKeys | None = Field(
        None,
        description="keys that the secrets of webhooks and hooks are encrypted with: 32 bytes in base64, as `openssl rand -base64 32`"
        " makes them; of several (KEY,KEY) the first encrypts, and all decrypt; without any there are neither webhooks nor hooks",
    )
    webhook_private_networks: Networks = Field(
        "",
        description="networks that webhooks may be sent to although they are not public: 10.20.0.0/16,…; there http:// will do",
    )
    webhook_ssl_ca_file: AuthoritiesFile = Field(
        "", description="certificates (PEM) of who may vouch for receivers of webhooks; empty: the system's"
    )
    webhook_concurrency: int = Field(
        64, ge=1, le=1_000, description="endpoints that one deliverer sends webhooks to at once"
    )
    webhook_timeout_seconds: float = Field(
        15, ge=1, le=60, description="how long an endpoint may take for its whole answer"
    )
    dead_letter_max_in_a_row: int = Field(
        1_000, ge=0, description="dead letters in a row on one partition that stop a worker; 0: never"
    )
    dead_letter_max_share: float = Field(
        0.5, ge=0, le=1, description="share of the last 1,000 records of a partition that stops a worker; 0: never"
    )
    otlp_endpoint: HttpUrl | None = Field(
        None,
        description="OpenTelemetry collector that a worker's traces go to (OTLP over HTTP), such as http://collector:4318",
    )
    trace_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of the traces that are recorded, among those that their producers record or do not decide on",
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="how log lines are written; console is for a person's eyes"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level that is logged")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, `.env`, and then the directory that one of them names, unless something is wrong with it."""
        named = (dotenv_settings() | env_settings() | init_settings()).get("secrets_dir")
        directory = Path(named).expanduser() if named and not _problems_of(named) else None
        return init_settings, env_settings, dotenv_settings, SecretsSettingsSource(settings_cls, directory)

    @property
    def deliverers_group_id(self) -> str:
        """Consumer group of the deliverers."""
        return f"{self.kafka_group_id}-webhooks"

    @field_validator("secrets_dir")
    @classmethod
    def _is_well(cls, directory: str) -> str:
        if directory and (problems := _problems_of(directory)):
            raise ValueError("; ".join(problems))
        return directory

    @field_validator("kafka_security_protocol", "kafka_sasl_mechanism", mode="before")
    @classmethod
    def _is_in_any_case(cls, word: object) -> object:
        return word.upper() if isinstance(word, str) else word

    @field_validator("kafka_sasl_username", "kafka_sasl_password")
    @classmethod
    def _goes_with_sasl(cls, value: str | SecretStr | None, info: ValidationInfo) -> str | SecretStr | None:
        protocol = info.data.get("kafka_security_protocol", "")
        if protocol.startswith("SASL") and not value and "secrets_dir" in info.data:
            raise ValueError(f"is needed with {protocol}")
        if value and protocol in ("PLAINTEXT", "SSL"):
            raise ValueError(f"says nothing to {protocol}: GOALSTREAM_KAFKA_SECURITY_PROTOCOL should be SASL_SSL")
        return value

    @field_validator("kafka_ssl_ca_file", "kafka_ssl_cert_file")
    @classmethod
    def _holds_certificates(cls, file: str, info: ValidationInfo) -> str:
        protocol = info.data.get("kafka_security_protocol", "")
        if file and protocol.endswith("PLAINTEXT"):
            better = "SASL_SSL" if protocol.startswith("SASL") else "SSL"
            raise ValueError(f"says nothing to {protocol}: GOALSTREAM_KAFKA_SECURITY_PROTOCOL should be {better}")
        if file:
            require_certificates(file)
        return file

    @field_validator("kafka_ssl_key_file")
    @classmethod
    def _has_a_certificate(cls, file: str, info: ValidationInfo) -> str:
        certificate = info.data.get("kafka_ssl_cert_file")
        if file and certificate == "":
            raise ValueError("needs its certificate: set GOALSTREAM_KAFKA_SSL_CERT_FILE")
        if certificate and not file:
            raise ValueError("is needed with GOALSTREAM_KAFKA_SSL_CERT_FILE")
        return file

    @field_validator("kafka_ssl_key_password")
    @classmethod
    def _opens_the_key(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        cert_file, key_file = info.data.get("kafka_ssl_cert_file"), info.data.get("kafka_ssl_key_file")
        if password and key_file == "":
            raise ValueError("is of no key: set GOALSTREAM_KAFKA_SSL_KEY_FILE")
        if cert_file and key_file:
            key_password = password.get_secret_value() if password else ""
            client_context(cert_file=cert_file, key_file=key_file, key_password=key_password)
        return password


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingLine:
    """One setting as `goalstream config` shows it."""

    name: str
    value: str
    origin: str
    meaning: str


def load_settings() -> Settings:
    """The settings in force. Raises SettingsError with a line for every problem."""
    try:
        return Settings()
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            name = f"{PREFIX}{'_'.join(str(part) for part in problem['loc'])}".upper()
            problems.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}")
        raise SettingsError(*problems) from None


def describe_settings() -> list[SettingLine]:
    """Every setting with its value in force and where it comes from; secrets are hidden. Raises SettingsError."""
    settings = load_settings()
    environment = {name.upper() for name in os.environ}
    file = {name.upper() for name in dotenv_values(".env")}
    directory = settings.secrets_dir
    secrets = secret_files.files(Path(directory).expanduser(), prefix=PREFIX) if directory else {}
    lines = []
    for field, info in Settings.model_fields.items():
        name = f"{PREFIX}{field}".upper()
        origin = "environment" if name in environment else ".env" if name in file else str(secrets.get(name, "default"))
        value = getattr(settings, field)
        lines.append(SettingLine(name=name, value=_shown(value), origin=origin, meaning=info.description or ""))
    return lines


def _problems_of(directory: str) -> list[str]:
    names = {f"{PREFIX}{field}".upper() for field in Settings.model_fields}
    return secret_files.problems(Path(directory).expanduser(), prefix=PREFIX, names=names)


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        url = value.get_secret_value()
        return _PASSWORD_ASKED.sub(r"\1***", _PASSWORD.sub(r"\1***@", url)) if "://" in url else "***"
    return "" if value is None else str(value)


_PASSWORD = re.compile(r"(://[^:/@]*:).*@")
_PASSWORD_ASKED = re.compile(r"((?:ssl)?password=)[^&]*")
