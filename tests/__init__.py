"""Has pytest say what an assertion found in `tests.support`, too, as it does in the tests.

The benchmark's processes are in this package as well, and do without pytest.
"""

import sys

if pytest := sys.modules.get("pytest"):
    pytest.register_assert_rewrite("tests.support")
