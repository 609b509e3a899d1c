"""What encrypts the secrets of webhooks and hooks, without which there are none."""

from __future__ import annotations

from fastapi import Request

from goalstream.api.problems import ApiError
from goalstream.config import Settings
from goalstream.storage.sealing import SETTING, Seal

RETRY_AFTER_SECONDS = "60"


def seal_of(settings: Settings) -> Seal | None:
    """The seal with the keys of the settings; None where there are none."""
    keys = settings.encryption_keys
    return None if keys is None else Seal(keys.get_secret_value())


def require_seal(request: Request) -> Seal:
    """The seal of the application. Raises ApiError: 503."""
    seal: Seal | None = request.app.state.seal
    if seal is None:
        message = (
            f"{SETTING} is not set: without a key to encrypt their secrets with there are neither webhooks nor hooks"
        )
        raise ApiError(503, message, headers={"Retry-After": RETRY_AFTER_SECONDS})
    return seal
