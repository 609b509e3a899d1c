"""The gate: whom the text behind `Bearer` stands for, be it a token of the secret, of a public key, or an API key."""

from __future__ import annotations

import asyncio

import structlog

from goalstream.api.fetch import Document
from goalstream.api.jwks import PUBLIC_ALGORITHMS
from goalstream.api.remote_keys import RemoteKeys
from goalstream.api.tokens import (
    SHARED_ALGORITHM,
    InvalidToken,
    Key,
    Principal,
    Rules,
    Signature,
    read_signature,
    verify_token,
)
from goalstream.config import Settings
from goalstream.domain.access import API_KEY_PREFIX, ApiKey, parse_api_key
from goalstream.errors import DatabaseUnavailable, SettingsError
from goalstream.storage.api_keys import State, look_up, note_use
from goalstream.storage.pool import Database

log = structlog.get_logger()


class Gate:
    """Lets in who proves who they are. Raises SettingsError where nothing is set that tokens could be checked with."""

    def __init__(self, settings: Settings, database: Database) -> None:
        if settings.jwt_secret is None and settings.jwks_url is None:
            raise SettingsError(
                "GOALSTREAM_JWT_SECRET: is not set; choose one of at least 32 bytes to sign bearer tokens,"
                " or set GOALSTREAM_JWKS_URL"
            )
        self._rules = Rules(
            leeway_seconds=settings.jwt_leeway_seconds, audience=settings.jwt_audience, issuer=settings.jwt_issuer
        )
        self._secret = None if settings.jwt_secret is None else settings.jwt_secret.get_secret_value()
        self._document = None if settings.jwks_url is None else Document(settings.jwks_url)
        self._keys = (
            None
            if self._document is None
            else RemoteKeys(self._document.fetch, refresh_seconds=settings.jwks_refresh_seconds)
        )
        self._database = database
        self._noting: dict[str, asyncio.Task[None]] = {}

    async def admit(self, credentials: str) -> Principal:
        """Who asks. Raises InvalidToken; KeysUnavailable or DatabaseUnavailable where it cannot be told."""
        if credentials.startswith(API_KEY_PREFIX):
            return await self._holder(parse_api_key(credentials))
        signature = read_signature(credentials)
        return verify_token(credentials, await self._key(signature), self._rules)

    @property
    def reasons(self) -> dict[str, str]:
        """Why it cannot judge tokens yet, by part; empty when it can."""
        reason = None if self._keys is None else self._keys.reason
        return {} if reason is None else {"jwks": reason}

    async def keep_fresh(self) -> None:
        """Keeps the public keys fresh, until cancelled; without an address there is nothing to do."""
        if self._keys is not None:
            await self._keys.keep_fresh()

    async def close(self) -> None:
        """Lets what was begun end, and closes connections."""
        await asyncio.gather(*self._noting.values())
        if self._document is not None:
            await self._document.close()

    async def _key(self, signature: Signature) -> Key:
        """The secret is for its algorithm alone, and that algorithm never has a public key."""
        if signature.algorithm == SHARED_ALGORITHM and self._secret is not None:
            return Key(SHARED_ALGORITHM, self._secret)
        if signature.algorithm in PUBLIC_ALGORITHMS and self._keys is not None:
            return await self._keys.find(signature)
        raise InvalidToken("its algorithm is not accepted here")

    async def _holder(self, key: ApiKey | None) -> Principal:
        """Every request asks PostgreSQL, so that a key that was revoked opens nothing any more."""
        found = None if key is None else await look_up(self._database, key)
        if key is None or found is None:
            raise InvalidToken("it is no API key of ours")
        if found.record.state is not State.ACTIVE:
            raise InvalidToken(f"the API key is {found.record.state}")
        if found.is_use_due:
            self._note(key)
        return Principal(
            account_id=key.account_id, subject=f"api-key:{key.key_id}", scopes=frozenset(found.record.scopes)
        )

    def _note(self, key: ApiKey) -> None:
        """Notes the use of a key beside the request, which does not wait for it."""
        if key.key_id not in self._noting:
            task = asyncio.create_task(self._note_use(key))
            self._noting[key.key_id] = task
            task.add_done_callback(lambda _: self._noting.pop(key.key_id, None))

    async def _note_use(self, key: ApiKey) -> None:
        try:
            await note_use(self._database, key)
        except DatabaseUnavailable as error:
            log.warning("use_of_key_not_noted", key_id=key.key_id, error=str(error))
