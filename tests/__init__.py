"""Has pytest say what an assertion found in `tests.support`, too, as it does in the tests."""

import pytest

pytest.register_assert_rewrite("tests.support")
