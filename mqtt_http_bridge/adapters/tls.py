"""Decides which server is trusted, in the same way for `run`, `check`, `pin` and `pair`.

Authorities work as usual. A pinned certificate is compared by its public key: a server proves in
the handshake that it has the private key. So the name in the certificate, its dates and its signer
do not matter, and a certificate that was renewed with the same key still counts as pinned. Nobody
else can impersonate it, not even the authority that signed it.
"""

import re
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from mqtt_http_bridge.adapters.small_files import read_bytes

_CERTIFICATE: Final = "(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----"


class NotPinned(ssl.SSLCertVerificationError):
    """Raised if the server's key is in none of the pinned certificates."""

    verify_message = "another certificate than the pinned one"


class NoCertificate(ValueError):
    """Raised if a file holds no certificate in PEM format."""


def verifying(ca_file: str | None) -> ssl.SSLContext:
    """Trusts the system's authorities, or those in a file, in the same way on every Python.

    The host's name has to match. From Python 3.13 on, the default refuses certificates that do not
    follow RFC 5280 to the letter, and accepts an intermediate authority if it is in the file.
    Raises OSError for a file that cannot be read or holds no certificate.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def pinning(path: str | Path) -> ssl.SSLContext:
    """Trusts only a server that has the key of a certificate in the file at `path`.

    A handshake with any other server raises NotPinned. Raises NoCertificate.
    """
    return _PinningContext(_keys_in(path))


def is_pinned(pem: str, path: str | Path) -> bool:
    """Tells whether `pinning` trusts a server that shows `pem`. Raises NoCertificate."""
    return public_key(ssl.PEM_cert_to_DER_cert(pem)) in _keys_in(path)


def certificates_in(path: str | Path) -> list[bytes]:
    """Returns all certificates in a PEM file, whatever else is in it; none if it cannot be read."""
    try:
        text = read_bytes(Path(path)).decode(errors="replace")
        return [ssl.PEM_cert_to_DER_cert(found) for found in re.findall(_CERTIFICATE, text)]
    except (OSError, ValueError):
        return []


def _keys_in(path: str | Path) -> Sequence[bytes]:
    try:
        keys = [public_key(der) for der in certificates_in(path)]
    except ValueError as error:
        raise NoCertificate(str(path)) from error
    if not keys:
        raise NoCertificate(str(path))
    return keys


class _PinnedSocket(ssl.SSLSocket):
    """Ends a handshake with NotPinned unless the server has one of the keys of its context."""

    def do_handshake(self, block: bool = False) -> None:
        context: Any = self.context
        try:
            super().do_handshake(block)
            if self._key() not in context.keys:
                raise NotPinned(1, NotPinned.verify_message)
        except OSError:
            self.close()  # paho leaves closing to the garbage collector.
            raise

    def _key(self) -> bytes:
        try:
            return public_key(self.getpeercert(binary_form=True) or b"")
        except ValueError:
            return b""


class _PinningContext(ssl.SSLContext):
    """Verifies the key itself, in the handshake; checks that it does not use are off."""

    sslsocket_class = _PinnedSocket
    keys: Sequence[bytes]

    def __new__(cls, keys: Sequence[bytes]) -> Self:
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.keys = keys
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


# --- what stands in a certificate --------------------------------------------------------------

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_BEFORE_KEY: Final = 5
"""Serial number, algorithm, issuer, dates, subject."""


def public_key(der: bytes) -> bytes:
    """Returns the public key in a certificate, with its algorithm, as raw bytes.

    Raises ValueError if this is no certificate.
    """
    start, _ = _inside(der, 0)  # The certificate.
    at, _ = _inside(der, start)  # Its signed part.
    if der[at : at + 1] == bytes([_VERSION]):
        at = _end(der, at)
    for _ in range(_BEFORE_KEY):
        at = _end(der, at)
    _inside(der, at)
    return der[at : _end(der, at)]


def _inside(der: bytes, at: int) -> tuple[int, int]:
    """Returns where the content of the sequence at `at` begins and ends."""
    if der[at : at + 1] != bytes([_SEQUENCE]):
        raise ValueError("expected a sequence")
    return _content(der, at)


def _end(der: bytes, at: int) -> int:
    return _content(der, at)[1]


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Returns where the content of the element at `at` begins and ends: tag, length, content."""
    if at + 2 > len(der):
        raise ValueError("cut off")
    length, start = der[at + 1], at + 2
    if length > 127:
        start += length & 127
        length = int.from_bytes(der[at + 2 : start], "big")
    if start + length > len(der):
        raise ValueError("cut off")
    return start, start + length
