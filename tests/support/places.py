"""Knows where the recordings and the expected output are: use it instead of a path of your own."""

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
CHECKOUT = Path(os.environ.get("REPOSITORY", ROOT))
"""The repository: tests/run tests what is installed, in a copy without the package."""
SOURCES = CHECKOUT / "mqtt_http_bridge"
RECORDINGS = TESTS / "recordings"
GOLDEN = TESTS / "golden"
CASES = TESTS / "cases"
