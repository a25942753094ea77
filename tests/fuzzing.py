"""How long to fuzz: with FUZZ_EXAMPLES=100000 in the environment, longer than a test run does."""

import os

from hypothesis import settings

fuzzed = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")))
