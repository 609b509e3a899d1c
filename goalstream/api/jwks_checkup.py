"""What `goalstream doctor` asks of the server of the public keys."""

from __future__ import annotations

from goalstream.api.fetch import Document
from goalstream.api.jwks import KeySet, parse_jwks
from goalstream.errors import KeysUnavailable
from goalstream.observability.findings import Finding, counted, ok, wrong

_ADVICE = "is GOALSTREAM_JWKS_URL right, and its server up? Tokens with keys that are known already stay good"


async def check_jwks(url: str) -> Finding:
    """Whether keys can be read, and how many of them are of use."""
    document = Document(url)
    try:
        return judge_keys(parse_jwks(await document.fetch()))
    except (KeysUnavailable, ValueError) as error:
        return wrong(f"GOALSTREAM_JWKS_URL gives no keys: {error}", _ADVICE)
    finally:
        await document.close()


def judge_keys(keys: KeySet) -> Finding:
    """The keys of a document: at least one must be of use."""
    algorithms = ", ".join(sorted({algorithm for algorithm, _ in keys.names}))
    left_out = f", {keys.left_out} of no use here" if keys.left_out else ""
    if not keys.names:
        return wrong(
            f"GOALSTREAM_JWKS_URL has no key that is of use{left_out}",
            "it needs a public key for RS256 (2048 bits or more), ES256 or EdDSA (Ed25519), for signatures",
        )
    return ok(f"{counted(len(keys.names), 'key')} for {algorithms}{left_out}")
