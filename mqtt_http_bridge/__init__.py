"""A relay from Victron GX devices to an HTTP backend: MQTT in, a JSON measurement per interval out.

Where to look: `core` decides everything and touches nothing, `adapters` each touch one outside
thing, `app` owns the threads and loops, `cli` turns words into calls and errors into words.
"""

__version__ = "0.1.0"

RELEASED = "2026-11-27"
"""The day of this version, UTC: a clock that shows an earlier one is wrong."""
