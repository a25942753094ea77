"""Plays the access profiles of a GX, as seen from the LAN: which port is open, and to whom.

The table is that of docs/gx.md, "Who may connect". The ports are the GX's own, 1883 and 8883, on a
loopback address that no other test uses. 8883 shows a self-signed certificate without a name that
would fit; every refusal is a CONNACK 5, whatever its cause.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path

from tests.support.mosquitto import Login, Mosquitto, make_certificate

PASSWORD = "correct horse battery"
TOKEN = Login(user="token/mqtt_http_bridge/1a2b3c4d", password="a token's own password")


class Profile(Enum):
    """The setting on the GX."""

    OFF = auto()
    """MQTT access is off, as it is at first."""
    SECURED = auto()
    WEAK = auto()
    UNSECURED = auto()
    PAIRED_ONLY = auto()
    """From v3.80 on: paired devices alone."""


class GxBroker(Mosquitto):
    """The broker of a GX with a profile. `inside_port` is what the GX's own software uses."""

    def __init__(self, profile: Profile, directory: Path) -> None:
        super().__init__()
        self.profile = profile
        self.address = ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))])
        self._certificate = make_certificate(directory)

    @property
    def certificate_file(self) -> Path:
        """The certificate that 8883 shows."""
        return self._certificate.certificate_file

    @property
    def _logins(self) -> list[str]:
        user = Login(user="mqtt-http-bridge", password=PASSWORD)
        login = TOKEN if self.profile is Profile.PAIRED_ONLY else user
        return ["allow_anonymous false", f"password_file {self._write_login(login)}"]

    def _lines_for_the_port(self, port: int) -> list[str]:
        profile, lines = self.profile, list[str]()
        everybody = ["allow_anonymous true"]
        if profile in (Profile.WEAK, Profile.UNSECURED):
            lines.append(f"listener 1883 {self.address}")
            lines += everybody if profile is Profile.UNSECURED else self._logins
        if profile is not Profile.OFF:
            lines.append(f"listener 8883 {self.address}")
            lines.append(f"certfile {self._certificate.certificate_file}")
            lines.append(f"keyfile {self._certificate.key_file}")
            lines += everybody if profile is Profile.UNSECURED else self._logins
        return lines


@contextmanager
def gx_broker(profile: Profile, directory: Path) -> Iterator[GxBroker]:
    """A running one, whose files are in `directory`."""
    with GxBroker(profile, directory) as broker:
        yield broker
