"""Fingerprints of certificates, in the form that people compare."""

import re
from typing import Final

FIRST_USE: Final = (
    "Nothing vouches for it but the network it came through: this is trust on first use.",
    "When in doubt, compare the fingerprint with what another machine gets. From now on",
    "another key is refused.",
)
"""Shown when a certificate is pinned, one text a line."""
_DIGITS: Final = re.compile(r"[0-9A-F]{64}")


def fingerprint(text: str) -> str:
    """Returns a SHA-256 as pairs of hex digits with colons, however it was typed.

    Raises ValueError if it is not one.
    """
    digits = re.sub(r"[\s:]", "", text).upper().removeprefix("SHA256").removeprefix("SHA-256")
    if not _DIGITS.fullmatch(digits):
        raise ValueError("expected a SHA-256 of 64 hex digits")
    return ":".join(digits[at : at + 2] for at in range(0, 64, 2))
