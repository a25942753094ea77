"""Plays a whole GX with Venus OS v3.80 on loopback: broker with TLS and a login, web server."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.support.gx import StandInGx
from tests.support.gx_web import GxWeb
from tests.support.mosquitto import Certificate, Login, Mosquitto, make_certificate

PASSWORD = "correct horse battery"


class PairedGx:
    """A GX as it is by default: two certificates, a password; use it as a context manager."""

    def __init__(self, directory: Path, **gx: Any) -> None:
        self.directory = directory
        self._gx = gx

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.certificate = self._certificate("broker")
            login = Login(user="mqtt-http-bridge", password=PASSWORD)
            self.broker = stack.enter_context(Mosquitto(certificate=self.certificate, login=login))
            self.web_certificate = self._certificate("web")
            web = GxWeb(self.web_certificate, PASSWORD, self.broker)
            self.web = stack.enter_context(web)
            self.gx = stack.enter_context(StandInGx(self.broker, heartbeat_s=0.2, **self._gx))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _certificate(self, name: str) -> Certificate:
        (self.directory / name).mkdir(parents=True, exist_ok=True)
        return make_certificate(self.directory / name)

    def renew(self, name: str) -> Certificate:
        """Makes a certificate with another key, as a GX that was reset has."""
        return self._certificate(f"{name}-again")
