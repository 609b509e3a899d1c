"""Secrets at rest: encrypted, and bound to the row that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from goalstream.domain.signing import SigningSecret
from goalstream.errors import OperatorError

SETTING = "GOALSTREAM_ENCRYPTION_KEYS"


class _Sealed(msgspec.Struct):
    """What is encrypted; `of` keeps it from being put into another row."""

    of: str
    secrets: list[tuple[str, datetime, datetime | None]]


class Seal:
    """Encrypts with the first of some keys (as `GOALSTREAM_ENCRYPTION_KEYS` has them), and decrypts with any."""

    def __init__(self, keys: str) -> None:
        self._fernet = MultiFernet([Fernet(key.strip()) for key in keys.split(",")])

    def seal(self, of: str, secrets: Sequence[SigningSecret]) -> bytes:
        """Encrypts the secrets of a row, which `of` names."""
        sealed = _Sealed(of=of, secrets=[(one.text, one.added_at, one.expires_at) for one in secrets])
        return self._fernet.encrypt(msgspec.json.encode(sealed))

    def look(self, of: str, sealed: bytes) -> tuple[tuple[SigningSecret, ...], str | None]:
        """The secrets of a row; none, and why, where they cannot be decrypted."""
        try:
            return self.open(of, sealed), None
        except OperatorError as error:
            return (), str(error)

    def open(self, of: str, sealed: bytes) -> tuple[SigningSecret, ...]:
        """The secrets of a row. Raises OperatorError where none of the keys has encrypted them for it."""
        try:
            content = msgspec.json.decode(self._fernet.decrypt(sealed), type=_Sealed)
        except InvalidToken:
            raise OperatorError(f"the secrets of {of} were encrypted with a key that {SETTING} no longer has") from None
        if content.of != of:
            raise OperatorError(f"the secrets of {of} belong to {content.of}: somebody has moved them")
        return tuple(
            SigningSecret(text=text, added_at=added_at, expires_at=expires_at)
            for text, added_at, expires_at in content.secrets
        )
