"""Reads what was typed or given, and says what is wrong with it in words of the dialogue.

There is no config yet: who is asked for an address has never heard of `mqtt.host`.
"""

from typing import Final

from mqtt_http_bridge.core.config_schema import KEYS, shown_value
from mqtt_http_bridge.core.errors import ConfigError

_EXPECTED: Final = {
    "mqtt.host": "a host name or an IP address, without a port",
    "mqtt.password": "printable characters",
}
"""For keys that take more in a config than what is asked for here."""


def read_answer(key: str, text: str, asked_for: str) -> object:
    """Returns the setting that `text` stands for. Raises ConfigError, which names no key.

    `asked_for` names it in the words of the question, or by its option.
    """
    try:
        return KEYS[key].read(text)
    except (ValueError, TypeError) as error:
        expected = _EXPECTED.get(key, KEYS[key].expected)
        raise ConfigError(
            f"{asked_for}: expected {expected}, found {shown_value(key, text)}"
        ) from error
