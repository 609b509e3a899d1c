"""TLS as a client: what certificate files hold, and the context that follows. The server's name is always verified."""

from __future__ import annotations

import ssl


def require_certificates(file: str) -> None:
    """Raises ValueError, in words, where a file cannot be read or holds no certificate."""
    client_context(ca_file=file)


def client_context(
    *, ca_file: str = "", cert_file: str = "", key_file: str = "", key_password: str = ""
) -> ssl.SSLContext:
    """What verifies a server and its name, by the authorities in a PEM file (empty: the system's), and shows a certificate of
    our own where there is one. Raises ValueError in words.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError:
        raise ValueError(f"{ca_file} holds no certificate (PEM)") from None
    except OSError as error:
        raise ValueError(f"{ca_file} cannot be read: {error.strerror}") from None
    if cert_file:
        try:
            # Without a password OpenSSL would ask the terminal for one.
            context.load_cert_chain(cert_file, key_file, key_password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ValueError(f"{key_file} is not the key of {cert_file}") from None
            if key_password:
                raise ValueError(f"{key_file} is no key (PEM), or has another password") from None
            raise ValueError(f"{key_file} is no key (PEM), or needs a password") from None
        except OSError as error:
            raise ValueError(f"{cert_file} or {key_file} cannot be read: {error.strerror}") from None
    return context
