"""Errors, one class for each case that callers handle differently.

The text of every error says where it happened, what was expected, what was found and, if a person
can fix it, what to do.
"""


class BridgeError(Exception):
    """The root of all errors this package raises on purpose."""


class ConfigError(BridgeError):
    """A setting is wrong: only a person can fix it, so retrying is pointless."""


class MalformedMessage(BridgeError):
    """An MQTT message does not have the form that a GX sends: count it and ignore it."""


class MalformedMeasurement(BridgeError):
    """Bytes that should be a measurement are not one: set the entry aside."""


class MalformedRecording(BridgeError):
    """A recording breaks its format: the person has to bring another file."""


class OutboxBusy(BridgeError):
    """Another process owns the outbox directory: stop, or both would send the same entries."""

    def __init__(self, directory: object) -> None:
        super().__init__(
            f"{directory}: expected to own this outbox, found that another mqtt-http-bridge does:"
            " stop it, or set another outbox.directory"
        )


class LocalFault(BridgeError):
    """This machine denies the verb something it needs (a file, a directory, a port)."""


class MalformedState(BridgeError):
    """A state file cannot be understood: go on as if there was none."""
