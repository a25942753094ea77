"""Tests which API key each GX is sent with, and a key file that is read again."""

from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.api_keys import ApiKeys
from mqtt_http_bridge.adapters.small_files import MOST_BYTES
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import BackendSettings, Secret


def keys_of(tmp_path: Path, **files: str) -> ApiKeys:
    """Keys of some GX devices, each in the file of its name."""
    paths = {}
    for portal_id, content in files.items():
        path = tmp_path / portal_id
        path.write_text(content, encoding="utf-8")
        paths[portal_id] = str(path)
    return ApiKeys(BackendSettings("http://a", Secret("default"), api_key_files=paths))


def test_each_gx_has_its_own_key_or_the_one_of_the_config(tmp_path: Path) -> None:
    """Two that share a file share a key: what is wrong with it is wrong for both."""
    keys = keys_of(tmp_path, gx1="one\n", gx2="two\nmore\n")
    assert keys.key("gx1") == Secret("one")
    assert keys.key("gx2") == Secret("two")
    assert keys.key("gx3") == Secret("default")
    assert keys.name_of("gx3") == keys.name_of("gx4") == ""
    assert keys.name_of("gx1") != keys.name_of("gx2")


def test_a_file_that_has_changed_is_another_key(tmp_path: Path) -> None:
    """Once; one that has not is the same."""
    keys = keys_of(tmp_path, gx1="one")
    name = keys.name_of("gx1")
    assert not keys.read_again(name)
    (tmp_path / "gx1").write_text("another")
    assert keys.read_again(name)
    assert not keys.read_again(name)
    assert keys.key("gx1") == Secret("another")


def test_a_changed_key_is_hidden_before_it_is_used(tmp_path: Path) -> None:
    """Once, and one that has not changed is not: the log knows it."""
    path, hidden = tmp_path / "key", list[tuple[Secret, Secret]]()
    path.write_text("old")
    settings = BackendSettings("http://a", Secret("old"), api_key_file=str(path))
    keys = ApiKeys(settings, lambda key: hidden.append((key, keys.key("gx"))))
    assert not keys.read_again(keys.default)
    path.write_text("new")
    assert keys.read_again(keys.default)
    assert not keys.read_again(keys.default)
    assert hidden == [(Secret("new"), Secret("old"))]


@pytest.mark.parametrize("content", [b"", b"\xff", b" blanks ", b"x" * (MOST_BYTES + 1)])
def test_a_file_that_has_no_key_any_more_changes_nothing(tmp_path: Path, content: bytes) -> None:
    """It may be in the middle of being written; the old key stays."""
    keys = keys_of(tmp_path, gx1="one")
    (tmp_path / "gx1").write_bytes(content)
    assert not keys.read_again(keys.name_of("gx1"))
    assert keys.key("gx1") == Secret("one")
    (tmp_path / "gx1").unlink()
    assert not keys.read_again(keys.name_of("gx1"))


def test_a_key_that_stands_in_no_file_cannot_be_read_again(tmp_path: Path) -> None:
    """Neither from the config nor from the environment."""
    keys = keys_of(tmp_path)
    assert not keys.read_again(keys.name_of("gx1"))
    assert keys.key("gx1") == Secret("default")


def test_the_file_of_the_config_is_read_again(tmp_path: Path) -> None:
    """`backend.api_key_file`: for all GX devices that have no key of their own."""
    path = tmp_path / "key"
    path.write_text("new")
    keys = ApiKeys(BackendSettings("http://a", Secret("old"), api_key_file=str(path)))
    assert keys.key("gx") == Secret("old")
    assert keys.read_again(keys.name_of("gx"))
    assert keys.key("gx") == Secret("new")


def test_a_mark_of_windows_is_no_part_of_a_key(tmp_path: Path) -> None:
    """Notepad puts one before the text."""
    file = tmp_path / "key.txt"
    file.write_bytes(b"\xef\xbb\xbfsecret\r\n")
    keys = ApiKeys(BackendSettings("http://a", Secret("x"), api_key_files={"gx": str(file)}))
    assert keys.key("gx") == Secret("secret")


def test_a_file_without_a_key_is_named(tmp_path: Path) -> None:
    """A fleet has many of them."""
    said = rf"backend\.api_keys: in {tmp_path}/gx1: backend\.api_key: expected the API key"
    with pytest.raises(ConfigError, match=said):
        keys_of(tmp_path, gx1=" blanks ")


def test_a_missing_file_is_an_error_of_the_config(tmp_path: Path) -> None:
    """Said at the start, with the key and the path."""
    settings = BackendSettings("http://a", Secret("x"), api_key_files={"gx": str(tmp_path / "no")})
    with pytest.raises(ConfigError, match=r"backend\.api_keys: expected the name of a file"):
        ApiKeys(settings)
