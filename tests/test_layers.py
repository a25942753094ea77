"""Tests the structure of the package: who may import whom, and what the core must not use.

A new module needs a row here: the test fails for one that has none.
"""

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mqtt_http_bridge

PACKAGE = "mqtt_http_bridge"
ROOT = Path(mqtt_http_bridge.__file__).parent

ROWS: tuple[tuple[str, ...], ...] = (
    ("core.shard",),
    # Values that import nothing of ours, and the names of topics, which are needed first.
    (
        "__init__",
        "core.backoff",
        "core.disk_remedy",
        "core.errors",
        "core.fingerprint",
        "core.log",
        "core.omission",
        "core.settings",
        "core.watchdog",
        "core.words",
        "pause",
    ),
    ("core.broker_failure",),
    ("core.events",),
    ("core.measurement", "core.redaction", "core.venus"),
    ("core.log_line", "core.views"),
    ("core.commands", "core.delivery"),
    ("core.clock_trust", "core.solar_backend"),
    ("core.advice", "core.anonymize", "core.config_values", "core.log_limit", "core.proposal"),
    ("core.before_config", "core.config_schema"),
    ("core.config_settings",),
    # State, policy, the core, and what is told of it.
    ("core.relay",),
    ("core.status",),
    ("core.setup",),
    # What several of those below need.
    (
        "adapters.directories",
        "adapters.machine",
        "adapters.private_files",
        "adapters.small_files",
        "adapters.thread_start",
        "adapters.yaml_loading",
    ),
    ("adapters.key_file", "adapters.tls"),
    ("adapters.connection_error",),
    # One outside thing each.
    (
        "adapters.api_keys",
        "adapters.backend",
        "adapters.broker",
        "adapters.clock",
        "adapters.config",
        "adapters.config_place",
        "adapters.heap",
        "adapters.installation",
        "adapters.log_stream",
        "adapters.kernel_clock",
        "adapters.network",
        "adapters.outbox",
        "adapters.pairing",
        "adapters.recording",
        "adapters.ssdp",
        "adapters.standard_streams",
        "adapters.state_file",
        "adapters.status_page",
        "adapters.syslog",
        "adapters.systemd",
        "adapters.terminal",
    ),
    # Threads and loops, the verbs.
    ("app.log",),
    (
        "app.delivery_log",
        "app.dialect",
        "app.gx_password",
        "app.inbox",
        "app.interrupting",
        "app.own_outbox",
        "app.storing",
    ),
    (
        "app.backend_observer",
        "app.change_log",
        "app.clock_check",
        "app.dispatcher",
        "app.main_loop",
        "app.outbox_observer",
        "app.visit",
        "app.watchdog",
    ),
    ("app.prefixes", "app.relay_observer"),
    (
        "app.listen",
        "app.senders",
        "app.service_state",
        "app.state_reporter",
        "app.find_gx",
        "app.asker",
        "app.status_sources",
        "app.status_thread",
        "app.try_login",
    ),
    ("app.delivering",),
    (
        "app.check_posts",
        "app.config_test",
        "app.drain",
        "app.health",
        "app.outbox_verbs",
        "app.record",
        "app.replay",
        "app.show_status",
        "app.wiring",
    ),
    ("app.check_backend", "app.check_gx", "app.first_look", "app.run"),
    ("app.check", "app.make_config", "app.pin"),
    ("app.discover", "app.pair"),
    ("app.setup",),
    # A stand-in backend, its contract and a recording: only the verb `demo` asks for it.
    ("demo",),
    # Arguments, exit status, error text.
    ("cli_values",),
    ("cli_gx_grammar",),
    ("cli_grammar",),
    ("cli_gx",),
    ("cli",),
    ("__main__",),
)
"""From the bottom up; a module imports only from the rows above its own, as they stand here. A
package below `core` or `adapters`, and `demo`, has one row for all of its modules."""

PURE_STDLIB = {
    "array",
    "collections",
    "collections.abc",
    "dataclasses",
    "datetime",
    "difflib",
    "enum",
    "errno",
    "functools",
    "hashlib",
    "heapq",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "re",
    "types",
    "typing",
    "urllib.parse",
    "xml.parsers",
}
"""Modules that the core may import beside itself: none knows a clock, file, socket or thread."""

IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "now", "utcnow", "today"}
"""Calls by which a pure module would reach the world without an import."""

OUTSIDE = {
    "adapters.backend": {"requests", "urllib3"},
    "adapters.broker": {"paho"},
    "adapters.yaml_loading": {"yaml"},
}
"""The third-party packages, each behind one adapter."""


def modules() -> list[str]:
    """The modules of the package, by the name below it; packages without code are left out."""
    paths = (path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.py"))
    names = {".".join(path.parts) for path in paths}
    return sorted(name for name in names if name == "__init__" or not name.endswith(".__init__"))


def tree_of(module: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))


def imports_of(module: str) -> Iterator[str]:
    """The whole names of the modules that a module imports, within functions too."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: expected whole names, found a relative import"
            source = node.module or ""
            is_package = (ROOT.parent / source.replace(".", "/")).is_dir()
            if source.startswith(PACKAGE) and is_package:
                yield from (_member(source, alias.name) for alias in node.names)
            else:
                yield source


def _member(package: str, name: str) -> str:
    """A name imported from one of our packages: a module of it, or the package itself."""
    is_module = (ROOT.parent / package.replace(".", "/") / f"{name}.py").exists()
    return f"{package}.{name}" if is_module else f"{package}.__init__"


def ours(module: str) -> list[str]:
    """Returns what a module imports of this package."""
    return [n.removeprefix(f"{PACKAGE}.") for n in imports_of(module) if n.startswith(PACKAGE)]


def foreign(module: str) -> list[str]:
    """Returns what a module imports of anything else."""
    return [name for name in imports_of(module) if not name.startswith(PACKAGE)]


def unit_of(module: str) -> str:
    """Returns what has a row: the module, or the package that it is a part of."""
    return ".".join(module.split(".")[: 1 if module.startswith("demo.") else 2])


def row_of(module: str) -> int:
    """The row of a module, counted from the bottom."""
    return next(number for number, row in enumerate(ROWS) if unit_of(module) in row)


CORE = [module for module in modules() if module.startswith("core.")]


def test_every_module_has_one_row_and_every_row_a_module() -> None:
    """A module that is missing from the table is not held by it; one that is gone misleads."""
    tabled = [module for row in ROWS for module in row]
    assert len(set(tabled)) == len(tabled)
    units = {unit_of(module) for module in modules()}
    assert units - set(tabled) == set(), "give these a row in tests/test_layers.py"
    assert set(tabled) - units == set(), "these are gone: remove their row"


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_rows_above(module: str) -> None:
    """No import goes sideways or back: no cycles, and adapters do not know each other."""
    others = [name for name in ours(module) if unit_of(name) != unit_of(module)]
    assert [name for name in others if row_of(name) >= row_of(module)] == []


def test_there_is_no_cycle() -> None:
    """Not within an adapter either: CycleError names the modules of one."""
    TopologicalSorter({module: ours(module) for module in modules()}).prepare()


@pytest.mark.parametrize("module", CORE)
def test_the_core_knows_only_itself_and_pure_modules(module: str) -> None:
    """No clock, socket, thread, file, logging or third-party package below the adapters."""
    assert set(foreign(module)) - PURE_STDLIB == set()
    assert [name for name in ours(module) if not name.startswith("core.")] == []


def test_the_product_does_not_import_the_demo() -> None:
    """A stand-in backend has no business in a relay; the command line alone asks for it."""
    importers = {m for m in modules() for name in ours(m) if name.startswith("demo.")}
    assert {name for name in importers if not name.startswith("demo.")} == {"cli"}


@pytest.mark.parametrize("module", CORE)
def test_the_core_calls_nothing_that_reaches_the_world(module: str) -> None:
    """Time comes in with the events, words go out as commands: nothing is fetched or printed."""
    called = {
        node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
    }
    assert called & IMPURE_CALLS == set()


@pytest.mark.parametrize("module", modules())
def test_each_third_party_package_has_one_adapter(module: str) -> None:
    """A package that is replaced one day is replaced in one file."""
    packages = {name.partition(".")[0] for name in foreign(module)} - sys.stdlib_module_names
    assert packages - OUTSIDE.get(unit_of(module), set()) == set()


def test_the_table_is_read_as_meant() -> None:
    """The reader of imports sees both spellings, and imports within functions."""
    assert {"core.relay.keepalives", "core.relay.chargers"} <= set(ours("core.relay.site"))
    assert {"cli_grammar", "app.run", "adapters.config"} <= set(ours("cli"))
    assert "__init__" in ours("cli_grammar")
    assert "requests.auth" in foreign("adapters.backend.http")
