"""Tests names of files and folders that cannot be, or that this user may not look at."""

from pathlib import Path

import pytest

from mqtt_http_bridge.cli import main

LONG = "x" * 300
"""No file system takes a name of this length."""
CONFIG = "backend: {{url: 'http://127.0.0.1:9', api_key: abcdef}}\nmqtt: {{port: 9}}\n{}\n"

pytestmark = pytest.mark.usefixtures("own_directory")


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """Returns the exit status of a verb, and all it says."""
    status = main(argv)
    captured = capsys.readouterr()
    return status, captured.out + captured.err


@pytest.mark.parametrize(
    "argv",
    [
        ["config", "make", "-o", LONG],
        ["setup", "-c", LONG, "--host", "127.0.0.1", "--port", "9"],
        ["run", "-c", LONG],
    ],
    ids=lambda argv: argv[0],
)
def test_a_config_whose_name_cannot_be(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with a line that says so, or that something else is missing."""
    status, text = said(capsys, *argv)
    assert status in (1, 2)
    assert text.startswith("mqtt-http-bridge: ")


@pytest.mark.parametrize("verb", [["check", "--no-post"], ["outbox", "drain"]], ids=" ".join)
def test_an_outbox_whose_name_cannot_be(
    verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told; nobody says that nothing waits there."""
    Path("config.yaml").write_text(CONFIG.format(f"outbox: {{directory: {LONG}}}"))
    status, text = said(capsys, *verb)
    assert status == 1
    assert "File name too long" in text
    assert "nothing waits" not in text


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), None])
@pytest.mark.parametrize(
    "section", ["backend: {{ca_file: {}}}", "mqtt: {{ca_file: {}, tls: true}}"]
)
def test_a_certificate_that_cannot_be_looked_at(
    section: str,
    error: OSError | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when the service's user may not enter the folder that it is in."""
    text = section.format("ca.pem" if error else LONG)
    if section.startswith("mqtt"):
        text = f"backend: {{url: 'http://127.0.0.1:9', api_key: abcdef}}\n{text}"
    else:
        text = text.replace("{ca", "{url: 'http://127.0.0.1:9', api_key: abcdef, ca")
    Path("config.yaml").write_text(text)

    def refuse(path: Path) -> bool:
        raise error or OSError(36, "File name too long")

    monkeypatch.setattr(Path, "is_file", refuse)
    status, told = said(capsys, "config", "test")
    assert status == 2
    assert "ca_file: expected the name of a file, found none at" in told
    assert ("Permission denied" if error else "File name too long") in told
