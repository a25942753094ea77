"""Errors, one leaf for each thing a caller would do differently.

The text of every error says where, what was expected, what was found and, where a person can
mend it, what to do.
"""


class BridgeError(Exception):
    """The root of all errors this package raises on purpose."""


class ConfigError(BridgeError):
    """A setting is wrong: only a person can mend it, so trying again is of no use."""


class MalformedMessage(BridgeError):
    """An MQTT message is not of the form the GX sends: count it, and take nothing from it."""


class MalformedMeasurement(BridgeError):
    """Bytes that should be a measurement are none: set the entry aside."""


class MalformedRecording(BridgeError):
    """A recording breaks its format: the person has to bring another file."""


class OutboxBusy(BridgeError):
    """Another process owns the spool directory: stop, or both would send the same entries."""

    def __init__(self, directory: object) -> None:
        super().__init__(
            f"{directory}: expected to own this outbox, found that another mqtt-http-bridge does:"
            " stop it, or set another outbox.directory"
        )


class LocalFault(BridgeError):
    """This machine refuses what the verb needs (a file, a directory, a port)."""
