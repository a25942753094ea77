"""Removes secrets from texts, however they are encoded there.

A server that repeats part of a request may have encoded it for JSON, a URL, an HTML page or
Python's `repr`, or even twice. So each character of a secret is looked for in every possible
encoding, and a secret that is only half escaped is found too.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Final

from mqtt_http_bridge.core.settings import Secret, Settings

SHOWN: Final = "***"
"""Replaces a secret."""
SHORTEST: Final = 6
"""A shorter secret may be a part of any word, so it is taken out only where it stands alone."""
MOST_ADDED: Final = 100
"""The most secrets to keep of those that are added later."""
LONGEST_SPELLING: Final = 28
"""Characters that one of a secret may take: four bytes as `repr` shows them, quoted twice."""
_ESCAPE: Final = r"\\\\{0,3}"
"""One to four backslashes; written so that a search skips quickly to where one may begin."""
_MARKS: Final = "\\%&+"
"""Each spelling but the plain one has one of these."""
_ENTITIES: Final = {'"': "quot", "&": "amp", "<": "lt", ">": "gt", "'": "apos"}


class Redaction:
    """Knows some secrets, and shows texts without them.

    Any thread may read it at any time; one at a time may add to it.
    """

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._first = [secret.reveal() for secret in secrets]
        self._added: list[str] = []
        self._known = _Known(self._first)

    def add(self, secret: Secret) -> None:
        """Takes one more secret out from now on; of many added, the last MOST_ADDED are kept."""
        self._added = [*self._added, secret.reveal()][-MOST_ADDED:]
        # As a whole: other threads are reading it.
        self._known = _Known([*self._first, *self._added])

    @property
    def longest(self) -> int:
        """Returns how many characters a secret takes at most, however it is spelled."""
        return LONGEST_SPELLING * max(map(len, self._known.texts), default=0)

    def without_secrets(self, text: str) -> str:
        """The text with SHOWN in place of each secret."""
        known = self._known
        return text if known.is_clean(text) else known.pattern.sub(SHOWN, text)


class _Known:
    """Holds the secrets that are known at one time."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.texts: Final = sorted({*secrets} - {""}, key=len, reverse=True)

    def is_clean(self, text: str) -> bool:
        """Tells whether no secret can be in a text: most texts have none, and nothing escaped."""
        is_plain = not any(mark in text for mark in _MARKS)
        return not self.texts or (is_plain and not any(each in text for each in self.texts))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """All spellings: it takes milliseconds to make."""
        return re.compile("|".join(map(_spellings, self.texts)))


def of_settings(settings: Settings) -> Redaction:
    """Returns a Redaction with the secrets of a config."""
    one = settings.backend and settings.backend.api_key
    found = (one, settings.mqtt.password, *settings.more_secrets)
    return Redaction(secret for secret in found if secret)


def _spellings(secret: str) -> str:
    """A pattern for a secret in all its spellings."""
    pattern = "".join(map(_spelling, secret))
    return pattern if len(secret) >= SHORTEST else rf"(?<![\w.-]){pattern}(?![\w.-])"


def _spelling(character: str) -> str:
    code = ord(character)
    octets = character.encode(errors="surrogatepass")
    named = _ENTITIES.get(character)
    ways = [
        r"\\{0,4}" + re.escape(character) if character in "\"'\\/" else re.escape(character),
        "".join(_ESCAPE + _escaped(unit) for unit in _json_units(character)),
        "".join(rf"%(?:25)?(?i:{octet:02x})" for octet in octets),
        "".join(rf"{_ESCAPE}x(?i:{octet:02x})" for octet in octets),
        rf"&#(?:0{{0,4}}{code}|(?i:x0{{0,4}}{code:x}));",
    ]
    ways += [f"&{named};"] if named else []
    ways += [r"\+"] if character == " " else []
    return f"(?:{'|'.join(dict.fromkeys(ways))})"


def _json_units(character: str) -> list[str]:
    """The hex digits by which JSON escapes a character: two groups beyond the first 65,536."""
    return re.findall("....", character.encode("utf-16-be", errors="surrogatepass").hex())


def _escaped(digits: str) -> str:
    return rf"u(?i:{digits})"
