"""Tests the table of config keys: what each accepts and refuses, and which setting it becomes."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.config_schema import (
    FILE_KEYS,
    FORMAT,
    KEYS,
    SECTIONS,
    read_document,
)
from mqtt_http_bridge.core.config_settings import DEFAULT_USERNAME, settings_from
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import (
    BackendSettings,
    DeviceSettings,
    MqttSettings,
    OutboxSettings,
    Secret,
    Settings,
    StatusSettings,
)
from mqtt_http_bridge.core.shard import AutoShard, Shard

CANARY = "canary-5e1f"
MINIMAL: dict[str, Any] = {
    "backend.url": "https://solar.example.org",
    "backend.api_key": Secret("key"),
    "outbox.directory": "/var/spool/bridge",
}

GOOD: dict[str, tuple[tuple[object, object], ...]] = {
    "backend.url": (
        ("https://solar.example.org", "https://solar.example.org"),
        ("http://10.0.0.7:8080/api/", "http://10.0.0.7:8080/api"),
        ("HTTPS://[fd00::1]/", "https://[fd00::1]"),
    ),
    "backend.api_key": (("s3cr3t key", Secret("s3cr3t key")),),
    "backend.api_key_file": (("key.txt", "key.txt"),),
    "backend.timeout": ((1, 1.0), (2.5, 2.5), (600, 600.0)),
    "backend.ca_file": (("ca.pem", "ca.pem"),),
    "device.cerbo_serial": (
        ("auto", None),
        ("Workshop", "Workshop"),
        ("123", "123"),
        (
            {"c0619ab35133": "Workshop", "b-_1": "Barn"},
            {"c0619ab35133": "Workshop", "b-_1": "Barn"},
        ),
    ),
    "backend.api_keys": (({}, {}), ({"c0619ab1": {"file": "a.txt"}}, {"c0619ab1": "a.txt"})),
    "backend.connections": (("auto", None), (1, 1), (64, 64)),
    "device.update_interval": ((1, 1.0), (30, 30.0), (3600, 3600.0)),
    "device.serials": (
        ({}, {}),
        ({0: "A", 281: "B C"}, {"0": "A", "281": "B C"}),
        ({"281": "A", "multi/0": "B"}, {"281": "A", "multi/0": "B"}),
        ({"c0619ab35133/solarcharger/281": "A"}, {"c0619ab35133/solarcharger/281": "A"}),
    ),
    "device.ignore": (
        ([], frozenset()),
        ([281, "multi/0", "HQ2208AXN7V"], frozenset({"281", "multi/0", "HQ2208AXN7V"})),
    ),
    "device.drop_frozen_after": (("off", None), (False, None), (600, 600.0), (86_400, 86_400.0)),
    "device.forget_after": ((0, 0.0), (31_536_000, 31_536_000.0)),
    "mqtt.host": (
        ("venus.local", ("venus.local",)),
        ("fe80::1%eth0", ("fe80::1%eth0",)),
        (f"{'a' * 63}.example.", (f"{'a' * 63}.example.",)),
        (["node1"], ("node1",)),
        (["n:1884", "fd00::1", "[fd00::1]:1884"], ("n:1884", "fd00::1", "[fd00::1]:1884")),
    ),
    "mqtt.port": ((1, 1), (65535, 65535)),
    "mqtt.username": (("token/abc", "token/abc"),),
    "mqtt.password": ((" pässword ", Secret(" pässword ")),),
    "mqtt.password_file": (("password.txt", "password.txt"),),
    "mqtt.tls": ((True, True), (False, False)),
    "mqtt.ca_file": (("ca.pem", "ca.pem"),),
    "mqtt.pinned_certificate": (("gx.pem", "gx.pem"),),
    "mqtt.client_id": (("auto", None), ("bridge-1", "bridge-1")),
    "mqtt.portal_id": (
        ("auto", ()),
        ("c0619ab2f7e1", ("c0619ab2f7e1",)),
        (["c0619ab2f7e1", "c0619ab35133"], ("c0619ab2f7e1", "c0619ab35133")),
    ),
    "mqtt.shard": (
        *(("0/1", Shard(0, 1)), ("2/8", Shard(2, 8)), ("1023/1024", Shard(1023, 1024))),
        ("auto/8", AutoShard(8)),
    ),
    "mqtt.topic_prefix": (("venus", "venus"), ("a site/GX 1", "a site/GX 1"), ("x" * 100,) * 2),
    "mqtt.services": ((["multi"], ("multi",)), (["solarcharger", "inverter"],) * 2),
    "mqtt.refresh_interval": ((60, 60.0), (86_400, 86_400.0)),
    "outbox.directory": (("outbox", "outbox"),),
    "outbox.max_bytes": (("auto", None), (100_000, 100_000)),
    "outbox.max_rate": ((0.1, 0.1), (1000, 1000.0)),
    "status.listen": (
        ("off", None),
        (False, None),
        ("127.0.0.1:8480", ("127.0.0.1", 8480)),
        ("[::1]:80", ("::1", 80)),
    ),
    "status.host_names": (([], ()), (["Relay.example.org", "pi"], ("relay.example.org", "pi"))),
    "status.per_charger_metrics": ((True, True), (False, False)),
    "logging.syslog": ((True, True), (False, False)),
    "logging.level": (("INFO", "INFO"), ("debug", "DEBUG")),
}
"""Values that each key takes, and what they are read as."""

NO_TEXT: tuple[object, ...] = (7, True, "", " ", "a\nb", "a\0b", ["a"], {"a": 1})
NO_NUMBER: tuple[object, ...] = ("30", True, [30], float("nan"), float("inf"), -1, 10**400)
WRONG: dict[str, tuple[object, ...]] = {
    "backend.url": (
        *NO_TEXT,
        "solar.example.org",
        "ftp://solar.example.org",
        "https://",
        "https://a:b@solar.example.org",
        "https://solar.example.org?key=1",
        "https://solar.example.org#top",
        "https://solar.example.org:99999",
        "https://solar example.org",
        "https://[fd00::1",
        "https://solar..example.org",
        f"https://{'a' * 64}.example.org",
    ),
    "backend.api_key": (*NO_TEXT, " padded", "padded ", "schlüssel"),
    "backend.api_key_file": NO_TEXT,
    "backend.timeout": (*NO_NUMBER, 0, 0.99, 601),
    "backend.ca_file": NO_TEXT,
    "device.cerbo_serial": (
        *NO_TEXT,
        {},
        {7: "Workshop"},
        {"a/b": "Workshop"},
        {"a": ""},
        {"a": 7},
        {"a": "Workshop", "b": "Workshop"},
    ),
    "backend.api_keys": ([], "a.txt", {"a": "a.txt"}, {"a/b": {"file": "x"}}, {"a": {"key": "x"}}),
    "backend.connections": (0, 65, 1.5, True, "many"),
    "device.update_interval": (*NO_NUMBER, 0, 0.5, 3601),
    "device.serials": (
        *([], "A", 7, {-1: "A"}, {True: "A"}, {281: 7}, {281: ""}, {281: "A", "281": "B"}),
        *(
            {"0281": "A"},
            {"battery/0": "A"},
            {"multi/": "A"},
            {"a/b/multi/0": "A"},
            {"multi/x": "A"},
        ),
    ),
    "device.ignore": ("HQ2208AXN7V", 281, {}, [-1], [True], [None], [""], [["A"]]),
    "device.drop_frozen_after": (*NO_NUMBER, True, 59, 86_401, "on"),
    "device.forget_after": (*NO_NUMBER, 31_536_001),
    "mqtt.host": (
        *(each for each in NO_TEXT if each != ["a"]),
        *("mqtt://gx", "two words", "a..b", "x." * 127, "[fd00::1]:1883"),
        *(".", ".a", "a" * 64, f"{'a' * 64}.example", ["a", "."], [".:1883"]),
        *([], ["a", "a"], ["a:0"], ["a:65536"], ["a", ""], [7], [["a"]], ["a b:1883"]),
        [f"node{number}" for number in range(33)],
    ),
    "mqtt.port": (0, 65536, "1883", 1883.0, True),
    "mqtt.username": NO_TEXT,
    "mqtt.password": NO_TEXT,
    "mqtt.password_file": NO_TEXT,
    "mqtt.tls": ("true", 1, 0, []),
    "mqtt.ca_file": NO_TEXT,
    "mqtt.pinned_certificate": NO_TEXT,
    "mqtt.client_id": (*NO_TEXT, "a+b", "a#b"),
    "mqtt.portal_id": (
        7,
        True,
        "",
        "a/b",
        "+",
        "#",
        "a b",
        "a" * 65,
        "ä",
        [],
        ["a", "a"],
        [7],
        [["a"]],
        {"a": 1},
    ),
    "mqtt.shard": (
        *NO_TEXT,
        *("2", "auto", "2/0", "-1/8", "02/8", "2/08", "2/1025", "a/8", "2/8/1", "auto/0", "2 / 8"),
    ),
    "mqtt.topic_prefix": (
        *NO_TEXT,
        *("a//b", "a/+", "#", "$share/x", "x" * 101, "ä" * 51),
    ),
    "mqtt.services": ("solarcharger", [], ["battery"], ["multi", "multi"], [["multi"]], [7], {}),
    "mqtt.refresh_interval": (*NO_NUMBER, 59, 86_401),
    "outbox.directory": NO_TEXT,
    "outbox.max_bytes": (True, "64 MB", 99_999, 1e6, [100_000]),
    "outbox.max_rate": (*NO_NUMBER, 0, 10001),
    "status.listen": (*NO_TEXT, "8480", "localhost:8480", "127.0.0.1:0", "127.0.0.300:80", "[:80"),
    "status.host_names": ("pi", ["http://pi"], [1], {"pi": 1}),
    "logging.level": (*NO_TEXT, "LOUD"),
    "logging.syslog": ("yes", 1, []),
    "status.per_charger_metrics": ("yes", 1, []),
}
"""Values that each key refuses."""


def document(name: str, value: object) -> dict[str, dict[str, object]]:
    """A config file with one key, as YAML gives it."""
    section, _, leaf = name.partition(".")
    return {section: {leaf: value}}


def settings(**values: object) -> Settings:
    """The settings of a minimal config with more keys; `__` stands for the dot of a key."""
    more = {name.replace("__", "."): value for name, value in values.items()}
    return settings_from(MINIMAL | more, needs_backend=True)


def refusal(**values: object) -> str:
    """Returns what is said of a minimal config with these keys, which must be refused."""
    with pytest.raises(ConfigError) as caught:
        settings(**values)
    return str(caught.value)


# --- the table -------------------------------------------------------------------------------


def test_every_key_is_tested() -> None:
    """A new key needs a good and a wrong value here."""
    assert set(GOOD) == set(WRONG) == set(KEYS)


def test_file_keys_and_sections_are_those_of_the_table() -> None:
    """The file keys and the sections follow the table."""
    assert set(FILE_KEYS) <= set(KEYS)
    assert set(SECTIONS) == {name.partition(".")[0] for name in KEYS}
    assert {n for n in KEYS if n.endswith(("_file", "directory", "certificate"))} == set(FILE_KEYS)


def test_secrets_are_marked_as_such() -> None:
    """Whatever is read as a Secret is never quoted in an error."""
    secret = {name for name, pairs in GOOD.items() if isinstance(pairs[0][1], Secret)}
    assert secret == {name for name, key in KEYS.items() if key.is_secret}


SETTING_OF: dict[str, tuple[str, object]] = {
    "backend.url": ("backend.url", "https://other.example.org"),
    "backend.api_key": ("backend.api_key", Secret("another")),
    "backend.timeout": ("backend.timeout_s", 7.0),
    "backend.ca_file": ("backend.ca_file", "/etc/ca.pem"),
    "backend.api_key_file": ("backend.api_key_file", "/etc/key"),
    "backend.api_keys": ("backend.api_key_files", {"c0619ab1": "/etc/key"}),
    "backend.connections": ("backend.connections", 3),
    "device.cerbo_serial": ("device.cerbo_serial", "Workshop"),
    "device.update_interval": ("device.update_interval_s", 7.0),
    "device.serials": ("device.serials", {"281": "A"}),
    "device.ignore": ("device.ignored", frozenset({"A"})),
    "device.drop_frozen_after": ("device.drop_frozen_after_s", 700.0),
    "device.forget_after": ("device.forget_after_s", 7.0),
    "mqtt.host": ("mqtt.hosts", ("venus.local",)),
    "mqtt.port": ("mqtt.port", 7),
    "mqtt.username": ("mqtt.username", "somebody"),
    "mqtt.password": ("mqtt.password", Secret("another")),
    "mqtt.tls": ("mqtt.tls", True),
    "mqtt.ca_file": ("mqtt.ca_file", "/etc/ca.pem"),
    "mqtt.pinned_certificate": ("mqtt.pinned_certificate", "/etc/gx.pem"),
    "mqtt.client_id": ("mqtt.client_id", "bridge"),
    "mqtt.portal_id": ("mqtt.portal_ids", ("a",)),
    "mqtt.shard": ("mqtt.shard", Shard(2, 8)),
    "mqtt.topic_prefix": ("mqtt.topic_prefix", "venus"),
    "mqtt.services": ("mqtt.services", ("multi",)),
    "mqtt.refresh_interval": ("mqtt.refresh_interval_s", 77.0),
    "outbox.directory": ("outbox.directory", "/other"),
    "outbox.max_bytes": ("outbox.max_bytes", 7_000_000),
    "outbox.max_rate": ("outbox.max_rate_per_s", 7.0),
    "status.listen": ("status.listen", ("127.0.0.2", 8480)),
    "status.host_names": ("status.host_names", ("relay.example.org",)),
    "status.per_charger_metrics": ("status.per_charger_metrics", False),
    "logging.syslog": ("logs_to_syslog", True),
    "logging.level": ("logging_level", "DEBUG"),
}
"""The setting that each key becomes, and a value that is not its default."""


@pytest.mark.parametrize("name", SETTING_OF)
def test_each_key_becomes_its_setting(name: str) -> None:
    """A key that is set and forgotten on the way would be worse than one that is refused."""
    path, value = SETTING_OF[name]
    more: dict[str, object] = (
        {"mqtt.tls": True} if name.endswith(("ca_file", "certificate")) else {}
    )
    found: Any = settings_from(MINIMAL | more | {name: value}, needs_backend=True)
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value


def test_keys_and_settings_are_the_same_set() -> None:
    """Every setting can be set by a key, and every key but the names of secrets' files sets one."""
    parts: dict[str, Any] = {
        "backend": BackendSettings,
        "mqtt": MqttSettings,
        "device": DeviceSettings,
        "outbox": OutboxSettings,
        "status": StatusSettings,
    }
    settable = {f"{part}.{name}" for part, kind in parts.items() for name in kind._fields}
    assert {path for path, _ in SETTING_OF.values()} == settable | {
        "logging_level",
        "logs_to_syslog",
    }
    assert set(KEYS) - set(SETTING_OF) == {"mqtt.password_file"}


def test_a_key_that_is_not_set_leaves_the_default() -> None:
    """Everything but the backend has a default."""
    assert settings() == Settings(
        backend=BackendSettings("https://solar.example.org", Secret("key")),
        outbox=OutboxSettings("/var/spool/bridge"),
    )


REMEDIES: dict[tuple[str, object], str] = {
    (name, 7): ": put it in quotes, or YAML takes it for a number"
    for name in ("backend.api_key", "mqtt.password")
}
"""Words that are added for a mistake that is often made."""


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("mqtt.host", "venus.local:1883", "put the port into mqtt.port"),
        ("mqtt.shard", "8/8", "shards are counted from 0, so the last one is 7/8"),
        ("mqtt.topic_prefix", "venus/", "leave the / before and after it out"),
        ("mqtt.topic_prefix", "/venus", "leave the / before and after it out"),
        ("backend.api_key", 12345678, "put it in quotes, or YAML takes it for a number"),
    ],
)
def test_what_mends_a_common_mistake_is_said(name: str, value: object, remedy: str) -> None:
    """At the end of the line."""
    with pytest.raises(ConfigError, match=rf": {re.escape(remedy)}$"):
        read_document(document(name, value))


# --- one key ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "setting"),
    [
        pytest.param(name, value, setting, id=f"{name}: {value!r}")
        for name, pairs in GOOD.items()
        for value, setting in pairs
    ],
)
def test_a_good_value_is_read(name: str, value: object, setting: object) -> None:
    """A value that the table promises to take is taken."""
    found = read_document(document(name, value))[name]
    assert (list(found) if isinstance(setting, list) else found) == setting


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}: {value!r}"[:80])
        for name, values in WRONG.items()
        for value in values
    ],
)
def test_a_wrong_value_is_refused_in_one_line(name: str, value: object) -> None:
    """The line names the key, what was expected and, but for a secret, what was found."""
    with pytest.raises(ConfigError) as caught:
        read_document(document(name, value))
    found = "something else (not shown here)" if KEYS[name].is_secret else repr(value)[:120]
    for hidden, shown in (("//a:b@", "//***@"), ("?key=1'", "?***"), ("#top'", "#***")):
        found = found.replace(hidden, shown)
    said, mistake = str(caught.value), f"{name}: expected {KEYS[name].expected}, found {found}"
    assert said == mistake + REMEDIES.get((name, value if isinstance(value, int) else ""), "")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name, key in KEYS.items() if key.is_secret])
@pytest.mark.parametrize("value", [f"{CANARY}\n", [CANARY], {CANARY: 1}, f"\0{CANARY}"])
def test_a_wrong_secret_is_not_shown(name: str, value: object) -> None:
    """Not even the value that is refused gets into the error."""
    with pytest.raises(ConfigError) as caught:
        read_document(document(name, value))
    assert CANARY not in str(caught.value)


def test_a_password_in_an_address_is_not_shown() -> None:
    """An address with a login is refused without quoting the login."""
    with pytest.raises(ConfigError) as caught:
        read_document(document("backend.url", f"https://me:{CANARY}@solar.example.org"))
    assert CANARY not in str(caught.value)


# --- the document ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            [],
            (
                "expected sections (backend, device, mqtt, outbox, status, logging), each with its"
                " keys below it, found a list: take the dashes away"
            ),
        ),
        (
            "backend",
            (
                "expected sections (backend, device, mqtt, outbox, status, logging), each with its"
                " keys below it, found a single value"
            ),
        ),
        (
            {"backnd": {}},
            "backnd: expected a known section, found this one: did you mean backend?",
        ),
        (
            {7: {}},
            (
                "expected a known section (backend, device, mqtt, outbox, status, logging), found"
                " another (not shown here: it may be a secret)"
            ),
        ),
        (
            {"a\nb": {}},
            (
                "expected a known section (backend, device, mqtt, outbox, status, logging), found"
                " another (not shown here: it may be a secret)"
            ),
        ),
        ({"mqtt": "gx"}, "mqtt: expected keys below it, found a single value"),
        ({"mqtt": ["gx"]}, "mqtt: expected keys below it, found a list: take the dashes away"),
        (
            {"mqtt": {"hots": "gx"}},
            "mqtt.hots: expected a known key, found this one: did you mean mqtt.host?",
        ),
        (
            {"outbox": {"broker": None}},
            (
                "outbox: expected a known key (directory, max_bytes, max_rate), found another"
                " (not shown here: it may be a secret)"
            ),
        ),
        (
            {"backend": {"apikey": CANARY}},
            "backend.apikey: expected a known key, found this one: did you mean backend.api_key?",
        ),
        (
            {"device": {"update-interval": 30}},
            (
                "device.update-interval: expected a known key, found this one:"
                " did you mean device.update_interval?"
            ),
        ),
    ],
)
def test_a_wrong_document_is_refused_in_one_line(found: object, message: str) -> None:
    """An unknown key is named with the nearest known one; its value is not shown."""
    with pytest.raises(ConfigError) as caught:
        read_document(found)
    assert str(caught.value) == message


def test_a_config_of_this_format_or_of_none_is_read() -> None:
    """A config from before there were formats is of the first one."""
    assert read_document({"format": FORMAT}) == read_document({"format": None}) == {}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            {"new-section": 1, "format": FORMAT + 1},
            (
                "format: expected 1 or lower, found a newer one: a newer version has written this"
                " config: install that one again"
            ),
        ),
        ({"format": 0}, "format: expected a whole number such as 1, found something else"),
        ({"format": True}, "format: expected a whole number such as 1, found something else"),
        ({"format": {"a": 1}}, "format: expected a whole number such as 1, found something else"),
    ],
)
def test_a_config_of_another_format_is_refused(found: object, message: str) -> None:
    """Before anything else in it is looked at: a key may mean something else there."""
    with pytest.raises(ConfigError) as caught:
        read_document(found)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "empty",
    [None, {}, {"mqtt": None}, {"mqtt": {}}, {"mqtt": {"host": None}}],
    ids=["no document", "no section", "no keys", "no key", "no value"],
)
def test_what_is_left_empty_is_not_set(empty: object) -> None:
    """A section or key without a value, as when its value is commented out, keeps the default."""
    assert read_document(empty) == {}


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["format", *SECTIONS, *(name.partition(".")[2] for name in KEYS)])
                | st.text()
                | st.integers(),
                inner,
            )
        ),
    )
)
def test_any_document_gives_settings_or_a_config_error(found: object) -> None:
    """Whatever YAML can say is taken or refused in one line, and nothing else is raised."""
    said = ""
    try:
        values = read_document(found)
        settings_from({"outbox.directory": "outbox"} | values, needs_backend=False)
    except ConfigError as error:
        said = str(error)
    assert "\n" not in said


# --- keys that belong together ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (
            "backend.url",
            (
                "backend.url: expected an http or https address such as https://solar.example.org,"
                " found nothing: set it to where the measurements go"
            ),
        ),
        (
            "backend.api_key",
            (
                "backend.api_key: expected the API key, printable ASCII without spaces around it,"
                " found nothing: set it, or backend.api_key_file, or MQTT_HTTP_BRIDGE_API_KEY"
            ),
        ),
    ],
)
def test_the_backend_has_to_be_set(missing: str, message: str) -> None:
    """The two keys without a default are asked for, with what to do."""
    values = {name: value for name, value in MINIMAL.items() if name != missing}
    with pytest.raises(ConfigError) as caught:
        settings_from(values, needs_backend=True)
    assert str(caught.value) == message
    assert settings_from(values, needs_backend=False).backend is None


@pytest.mark.parametrize(
    ("tls", "port", "expected"),
    [(None, None, 1883), (False, None, 1883), (True, None, 8883), (True, 1, 1), (False, 2, 2)],
)
def test_tls_brings_its_port(tls: bool | None, port: int | None, expected: int) -> None:
    """8883 with TLS and 1883 without, unless a port is set."""
    values = {"mqtt__tls": tls, "mqtt__port": port}
    found = settings(**{name: value for name, value in values.items() if value is not None})
    assert found.mqtt.port == expected


@pytest.mark.parametrize("trusted", ["mqtt.ca_file", "mqtt.pinned_certificate"])
@pytest.mark.parametrize("tls", [None, False], ids=["not set", "false"])
def test_a_certificate_without_tls_is_refused(trusted: str, tls: bool | None) -> None:
    """Whoever names a certificate means to be safe: plain MQTT would not be."""
    values = {trusted.replace(".", "__"): "/gx.pem"} | ({} if tls is None else {"mqtt__tls": tls})
    assert refusal(**values) == f"mqtt.tls: expected true, as {trusted} is set, found false"


def test_only_one_kind_of_trust_is_taken() -> None:
    """A pinned certificate and an authority contradict each other."""
    assert refusal(mqtt__tls=True, mqtt__ca_file="/a", mqtt__pinned_certificate="/b") == (
        "mqtt.pinned_certificate: expected only one of mqtt.ca_file and mqtt.pinned_certificate,"
        " found both"
    )


@pytest.mark.parametrize(
    ("username", "expected"),
    [(None, DEFAULT_USERNAME), ("somebody", "somebody")],
    ids=["not set", "set"],
)
def test_a_password_never_goes_without_a_user_name(username: str | None, expected: str) -> None:
    """The GX ignores the name, but some firmware refuses an empty one."""
    values: dict[str, object] = {"mqtt__username": username} if username else {}
    assert settings(mqtt__password=Secret("p"), **values).mqtt.username == expected


def test_one_name_for_several_gx_devices_is_refused() -> None:
    """Measurements of two GX devices under one name could not be told apart."""
    assert refusal(device__cerbo_serial="Workshop", mqtt__portal_id=("a", "b")) == (
        "device.cerbo_serial: expected auto, or a name for each portal id, as mqtt.portal_id"
        " lists several GX devices, found 'Workshop'"
    )
    assert settings(device__cerbo_serial=None, mqtt__portal_id=("a", "b")).mqtt.portal_ids


def test_a_name_for_a_gx_that_is_not_listed_is_refused() -> None:
    """A portal id is easily mistyped; on auto, whoever is told of may have a name."""
    names = {"a": "Workshop", "c": "Barn"}
    assert refusal(device__cerbo_serial=names, mqtt__portal_id=("a", "b")) == (
        "device.cerbo_serial: expected portal ids that mqtt.portal_id lists, found 'c'"
    )
    assert settings(device__cerbo_serial=names).device.cerbo_serial == names
    assert (
        settings(device__cerbo_serial=names, mqtt__portal_id=("a", "b", "c")).device.cerbo_serial
        == names
    )


# --- secrets ---------------------------------------------------------------------------------


def test_no_repr_of_the_settings_shows_a_secret() -> None:
    """Tracebacks and logs print settings: the secrets in them print as stars."""
    found = settings(backend__api_key=Secret(CANARY), mqtt__password=Secret(CANARY))
    assert CANARY not in f"{found!r} {found!s} {found.mqtt} {found.backend} {Secret(CANARY):}"
    assert found.mqtt.password is not None
    assert found.mqtt.password.reveal() == CANARY


def test_secrets_are_equal_by_their_text() -> None:
    """They can be compared and be in sets, and are equal to no bare text."""
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
    assert Secret("a") != "a"
