"""Tests where the password of a GX comes from if there is no config."""

from pathlib import Path

import pytest

from mqtt_http_bridge.app.gx_password import PASSWORD_VARIABLE, password_from
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import Secret


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"secret \n", Secret("secret ")),
        (b"\xef\xbb\xbfsecret\r\n", Secret("secret")),
        (b"\n", None),
        (b"", None),
    ],
    ids=["its first line", "made on Windows", "an empty line", "nothing"],
)
def test_a_file(tmp_path: Path, content: bytes, expected: Secret | None) -> None:
    """Spaces may be part of a password; the mark of Windows is not."""
    file = tmp_path / "password.txt"
    file.write_bytes(content)
    assert password_from(file, {}) == expected


def test_the_environment_comes_first(tmp_path: Path) -> None:
    """Then the file is not even read."""
    assert password_from(tmp_path / "none", {PASSWORD_VARIABLE: "x"}) == Secret("x")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """Such as one in UTF-16."""
    file = tmp_path / "password.txt"
    file.write_text("secret", encoding="utf-16")
    with pytest.raises(ConfigError, match=r"password\.txt \(it is not UTF-8\)"):
        password_from(file, {})
