"""Describes anything that is not as it should be: its kind, what was found, and the remedy."""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """The kinds of problem, by which programs tell them apart; the texts are for people."""

    # These are reasons not to be well.
    NO_CONNECTION = "no_connection"
    SUBSCRIPTION_REFUSED = "subscription_refused"
    NO_PORTAL_ID = "no_portal_id"
    GX_SILENT = "gx_silent"
    GX_NOT_MEASURED = "gx_not_measured"
    BACKEND_TAKES_NOTHING = "backend_takes_nothing"
    """The backend has not even judged the newest measurement of a GX."""
    NOT_STORED = "not_stored"
    """The backend has judged it but not stored all of it, or has not answered yet."""
    OWED_FOR_LONG = "owed_for_long"
    PARKED = "parked"
    # A person should know about these, although everything is measured and stored.
    GX_NEVER_HEARD = "gx_never_heard"
    CHARGER_LEFT_OUT = "charger_left_out"
    CHARGER_IN_DOUBT = "charger_in_doubt"
    DISK = "disk"
    """Measurements are in memory only."""
    LOST = "lost"
    DAMAGED = "damaged"
    OTHER = "other"
    """A kind from a later version."""


class Problem(NamedTuple):
    """One thing that is wrong, and what to do about it."""

    kind: Kind
    text: str
    fix: str
    subject: str = ""
    """The name of the charger it is about; empty: it is about none, or about several."""
