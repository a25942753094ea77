"""Tests that the installer on a Linux host runs `setup`: nobody edits a config."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.install.test_install_host import ETC, ids, install
from tests.support.faulty_backend import FaultyBackend
from tests.support.gx import PORTAL_ID
from tests.support.installing import replace, unpack
from tests.support.look_alike import PATH, LookAlike, is_root, make_host
from tests.support.paired_gx import PASSWORD, PairedGx
from tests.support.terminal import Terminal

pytestmark = pytest.mark.once

STEPS = "lib/mqtt_http_bridge/core/setup/steps.py"


@pytest.fixture
def host(firmware: Path) -> Iterator[LookAlike]:
    """A host on which systemd is installed, and does not run."""
    if not is_root():
        pytest.skip("adding a system user needs root")
    with LookAlike(firmware) as look_alike:
        make_host(look_alike)
        yield look_alike


@pytest.fixture
def backend() -> Iterator[FaultyBackend]:
    with FaultyBackend() as backend:
        yield backend


@pytest.fixture
def place(host: LookAlike, archive: Path, paired_gx: PairedGx) -> str:
    """The archive on the host; it looks for a GX on the ports of the stand-in."""
    unpacked = unpack(archive, host / "srv")
    replace(unpacked / STEPS, "mqtt: int = 8883", f"mqtt: int = {paired_gx.broker.port}")
    replace(unpacked / STEPS, "web: int = 443", f"web: int = {paired_gx.web.server_port}")
    return "/" + str(unpacked.relative_to(host.path))


def test_a_person_is_asked_and_the_gx_is_paired(
    host: LookAlike, place: str, paired_gx: PairedGx, backend: FaultyBackend
) -> None:
    """The service's group reads the secrets, root alone changes them; purged, all is gone."""
    command = host.command("/bin/sh", "-c", f"cd {place} && ./install.sh --gx 127.0.0.1")
    with Terminal(command, Path("/"), {"PATH": PATH}) as terminal:
        terminal.answer("Address of the backend", backend.url)
        terminal.answer("API key of the backend (not shown)", backend.api_key)
        terminal.answer("Trust it from now on? [Y/n]", "")
        terminal.answer("Trust it from now on? [Y/n]", "")
        terminal.answer("Network password of the GX", PASSWORD)
        terminal.expect("Paired: the broker takes the token.")
        terminal.expect("the service starts at the next boot")
        assert terminal.end() == 0
        assert terminal.seen.count("API key ") == 2  # The question, and one check.
        for secret in (PASSWORD, backend.api_key, *paired_gx.web.tokens.values()):
            assert secret not in terminal.seen
    config = yaml.safe_load(host.read(f"{ETC}/config.yaml"))
    assert config["mqtt"]["portal_id"] == PORTAL_ID
    assert config["outbox"]["directory"] == "/var/lib/mqtt-http-bridge/outbox"
    _, group = ids(host)
    for name in ("config.yaml", "api_key.txt", "gx_token.txt", "gx.pem", "gx_web.pem"):
        state = (host / ETC / name).stat()
        assert (state.st_uid, state.st_gid, state.st_mode & 0o777) == (0, group, 0o640), name
    install(host, place, "--uninstall --purge --yes")
    assert not (host / ETC).exists()


def test_a_script_names_the_fingerprint(
    host: LookAlike, place: str, paired_gx: PairedGx, tmp_path: Path
) -> None:
    """If the GX cannot be reached, nothing is left behind."""
    for name, text in (("key", "k\n"), ("password", f"{PASSWORD}\n")):
        (host / "srv" / name).write_text(text, encoding="utf-8")
    before = host.tree("srv", "tmp")
    options = (
        f"--instance barn --gx 127.0.0.1 --fingerprint {':'.join(['AB'] * 32)}"
        " --url https://a.example --api-key-file /srv/key --password-file /srv/password"
    )
    # Without a network, as all that the look-alike runs.
    said = install(host, place, options, status=1)
    assert "no config was made: see above" in said
    assert "the user mqtt-http-bridge was removed" in said
    assert {name for name in host.tree("srv", "tmp") - before if "mqtt" in name} == set()


def test_the_pins_of_an_instance_go_with_it(host: LookAlike, place: str) -> None:
    """Those of the other instances stay; a fingerprint has to agree with what is pinned."""
    (host / "srv/key").write_text("k\n", encoding="utf-8")
    options = "--gx 10.0.0.1 --url https://a.example --api-key-file /srv/key"
    for name in ("roof", "barn"):
        install(host, place, f"{options} --instance {name}")
        (host / ETC / f"{name}.gx.pem").write_text("x", encoding="utf-8")
    said = install(host, place, f"--instance roof --fingerprint {'AB' * 32}", status=2)
    assert "--fingerprint: expected the same as in /etc/mqtt-http-bridge/roof.yaml" in said
    install(host, place, "--uninstall --purge --yes --instance barn")
    assert not (host / ETC / "barn.gx.pem").exists()
    assert (host / ETC / "roof.gx.pem").exists()
