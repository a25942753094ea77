"""The verb `setup`: carries out the dialogue of `core.setup`, at a terminal or for a script."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from mqtt_http_bridge.adapters import network, pairing
from mqtt_http_bridge.adapters.private_files import write_private
from mqtt_http_bridge.adapters.small_files import is_there
from mqtt_http_bridge.adapters.standard_streams import say
from mqtt_http_bridge.adapters.terminal import ask
from mqtt_http_bridge.app.check import check
from mqtt_http_bridge.app.find_gx import find_gx
from mqtt_http_bridge.app.listen import listen
from mqtt_http_bridge.app.make_config import make_config
from mqtt_http_bridge.app.own_outbox import own_outbox, taken_words
from mqtt_http_bridge.app.pair import device_id_in, new_device_id, token_text
from mqtt_http_bridge.app.pin import is_pinned, save_certificate
from mqtt_http_bridge.app.try_login import failure_after_waiting
from mqtt_http_bridge.core.broker_failure import Cause, failure_at
from mqtt_http_bridge.core.config_settings import DEFAULT_USERNAME
from mqtt_http_bridge.core.errors import ConfigError, LocalFault
from mqtt_http_bridge.core.settings import DeviceSettings, MqttSettings
from mqtt_http_bridge.core.setup import steps
from mqtt_http_bridge.core.setup.config_values import FileNames, config_values, file_names
from mqtt_http_bridge.core.setup.dialogue import setup as dialogue
from mqtt_http_bridge.core.setup.steps import Access, Dialogue, Given, Heard, Looked, Pin, Shown
from mqtt_http_bridge.core.status import findings
from mqtt_http_bridge.core.status.findings import all_hold
from mqtt_http_bridge.core.venus.pairing import NoToken, Token
from mqtt_http_bridge.core.venus.paths import SERVICES

T = TypeVar("T")

SECRET_VARIABLES: Final = ("MQTT_HTTP_BRIDGE_API_KEY", "MQTT_HTTP_BRIDGE_MQTT_PASSWORD")
"""They would beat what was just written."""


def setup(given: Given, config: Path, outbox: str | None) -> tuple[bool, bool]:
    """Writes the config `config`, and what belongs to it beside it.

    Returns whether `check` found nothing wrong, and whether the service is to be started.
    Raises ConfigError, LocalFault and SetupFailed; then no config is left behind.
    """
    if is_there(config):
        raise ConfigError(
            f"{config}: expected no config yet, found one: run check to see how it stands, or name"
            " another one with -c"
        )
    if not os.access(config.absolute().parent, os.W_OK | os.X_OK):
        raise LocalFault(f"{config.absolute().parent}: expected a folder to write to, found none")
    own = own_outbox(config, outbox)
    if own != outbox:
        say(f"{taken_words(config)}: the measurements of this one wait in {own}.")
    given = replace(given, start_command=_start_command(config))
    return carried_out(dialogue(given), _World(given, config, own).do)


def _start_command(config: Path) -> str:
    """Returns what starts the relay from any folder, with the program that runs here."""
    program = "mqtt-http-bridge"
    if shutil.which(program) is None:
        program = f"{shlex.quote(sys.executable)} -m mqtt_http_bridge"
    return f"{program} run -c {shlex.quote(str(config.absolute()))}"


def carried_out(talk: Dialogue[T], do: Callable[[steps.Step], object]) -> T:
    """Carries out a dialogue step by step, and returns its result."""
    try:
        step = next(talk)
        while True:
            step = talk.send(do(step))
    except StopIteration as end:
        result: T = end.value
        return result


@dataclass(frozen=True, slots=True)
class _World:
    """Carries out the steps: it has the terminal, the network, the folder of the config."""

    given: Given
    config: Path
    outbox: str | None
    written: list[Path] = field(default_factory=list)
    """The files that were written beside the config, in order."""

    def do(self, step: steps.Step) -> object:
        """Carries out one step, and returns its result."""
        doing: Mapping[type, Callable[[Any], object]] = {
            steps.Say: lambda step: say(step.text),
            steps.Ask: self._ask,
            steps.Search: lambda _: find_gx(),
            steps.Look: lambda step: self._look(step.host),
            steps.LookAtWeb: lambda step: self._look_at_web(step.host),
            steps.SavePin: lambda step: self._save_pin(step.shown),
            steps.Listen: lambda step: self._listen(step.access),
            steps.Pair: self._pair,
            steps.Write: lambda step: self._write(step.plan),
            steps.Check: lambda _: self._check(),
        }
        return doing[type(step)](step)

    @property
    def _names(self) -> FileNames:
        return file_names(self.config.stem)

    def _beside(self, name: str) -> Path:
        return self.config.with_name(name)

    # --- the person ----------------------------------------------------------------------------

    def _ask(self, step: steps.Ask) -> str:
        if not self.given.is_interactive:
            raise ConfigError(f"setup: expected {step.option}, found none, and nobody to ask")
        hint = " (not shown)" if step.is_secret else f" [{step.default}]" * _is_told(step)
        return ask(f"{step.question}{hint}", is_secret=step.is_secret) or step.default

    # --- the GX --------------------------------------------------------------------------------

    def _look(self, host: str) -> Looked:
        ports = self.given.ports
        mqtt = MqttSettings((host,), ports.mqtt, tls=True)
        failure = network.port_failure(mqtt)
        if failure is None:
            try:
                return Looked(self._shown(host, ports.mqtt, self._names.certificate))
            except OSError as error:
                failure = failure_at(mqtt, Cause.NO_TLS, network.words(error))
        if network.port_failure(MqttSettings((host,), ports.plain)) is None:
            return Looked(None, is_plain=True)
        return Looked(None, failure=failure)

    def _look_at_web(self, host: str) -> Shown | None:
        if not pairing.is_offered(host, self.given.ports.web):
            return None
        try:
            return self._shown(host, self.given.ports.web, self._names.web_certificate)
        except OSError:
            return None

    def _shown(self, host: str, port: int, name: str) -> Shown:
        shown, path = network.certificate(host, port), self._beside(name)
        pin = Pin.NEW
        if is_there(path):
            pin = Pin.SAME if is_pinned(shown.pem, path) else Pin.OTHER
        return Shown(shown.pem, shown.sha256, shown.subject, pin, str(path))

    def _save_pin(self, shown: Shown) -> None:
        save_certificate(Path(shown.file), shown.pem, shown.sha256)
        self.written.append(Path(shown.file))

    def _mqtt(self, access: Access) -> MqttSettings:
        certificate = self._beside(self._names.certificate)
        password = access.token.password if access.token else access.password
        return MqttSettings(
            hosts=(access.host,),
            port=access.port,
            username=_username(access),
            password=password,
            tls=access.is_tls,
            pinned_certificate=str(certificate) if access.is_tls else None,
            services=SERVICES,
        )

    def _listen(self, access: Access) -> Heard:
        mqtt = self._mqtt(access)
        if access.token is not None and (failure := failure_after_waiting(mqtt)):
            return Heard(failure)
        heard = listen(mqtt, DeviceSettings())
        if not heard.is_connected:
            return Heard(heard.failure)
        answered = [portal_id for portal_id in heard.seen if heard.gxs[portal_id].is_answered]
        chargers = [charger for each in answered for charger in heard.gxs[each].chargers]
        kinds = {charger.key.service for charger in chargers}
        return Heard(
            told=tuple(heard.seen),
            answered=tuple(answered),
            services=tuple(service for service in SERVICES if service in kinds),
            lines=tuple(finding.text for finding in findings.chargers(chargers, SERVICES)),
        )

    def _pair(self, step: steps.Pair) -> Token | NoToken:
        path = self._beside(self._names.token)
        try:
            token = pairing.request_token(
                step.host,
                self.given.ports.web,
                certificate=self._beside(self._names.web_certificate),
                device_id=device_id_in(path) or new_device_id(),
                password=step.password,
            )
        except NoToken as error:
            return error
        self._keep(path, token_text(token))
        return token

    # --- the files -----------------------------------------------------------------------------

    def _write(self, plan: steps.Plan) -> None:
        """Writes the secrets first: the config is only there when all that it names is."""
        names = self._names
        self._keep(self._beside(names.api_key), plan.api_key.reveal() + "\n")
        if plan.access.password is not None:
            self._keep(self._beside(names.password), plan.access.password.reveal() + "\n")
        make_config(self.config, config_values(plan, names), None, self.outbox)
        # A token that was asked for again replaced the one before, in the same file.
        files = dict.fromkeys((self.config, *self.written))
        say(f"Wrote {', '.join(map(str, files))}.")

    def _keep(self, path: Path, secret: str) -> None:
        write_private(path, secret)
        self.written.append(path)

    def _check(self) -> bool:
        say("Checking:")
        return all_hold(check(self.config, without_secrets(os.environ), as_json=False))


def _is_told(step: steps.Ask) -> bool:
    """Tells whether a default is to be shown: a question for yes or no shows its own."""
    return bool(step.default) and "[" not in step.question


def _username(access: Access) -> str | None:
    if access.token is not None:
        return access.token.name
    return DEFAULT_USERNAME if access.password is not None else None


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment in which the config's own secrets count."""
    return {name: text for name, text in environment.items() if name not in SECRET_VARIABLES}
