"""Gets into a GX's broker: first trust, then no login, a token or the password, as required."""

from dataclasses import replace
from typing import Final

from mqtt_http_bridge.core.broker_failure import Cause
from mqtt_http_bridge.core.config_schema import read_value
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.fingerprint import FIRST_USE
from mqtt_http_bridge.core.settings import Secret
from mqtt_http_bridge.core.setup.steps import (
    Access,
    Dialogue,
    Given,
    Heard,
    Looked,
    Pin,
    SavePin,
    SetupFailed,
    Shown,
    ask,
    listen,
    look,
    look_at_web,
    pair,
    say,
)
from mqtt_http_bridge.core.venus.announcement import Announcement
from mqtt_http_bridge.core.venus.pairing import NoToken, Token
from mqtt_http_bridge.core.words import MENU_MQTT, MENU_SECURITY

MOST_TRIES: Final = 3
"""Passwords that are tried: a GX refuses all logins after 20 wrong ones."""
_REMEDIES: Final = {
    Cause.NAME_NOT_RESOLVED: "give the GX's address"
    " (on the GX: Settings -> Connectivity -> Ethernet)",
    Cause.PORT_CLOSED: f"switch on MQTT access, {MENU_MQTT}",
}
"""Those of a failure speak of a config, which is not there yet."""
PASSWORD_OPTION: Final = "--password-file FILE"  # noqa: S105 - the name of it

WayIn = tuple[Access, Heard]


def way_in(given: Given, host: str, announcement: Announcement | None) -> Dialogue[WayIn]:
    """Finds a way in, and listens once. Raises SetupFailed."""
    if given.is_gx and host == "127.0.0.1":
        return (yield from _plain(given, host))
    host, looked = yield from _open(given, host)
    if looked.shown is None:
        yield from say(
            f"{host} speaks no TLS on port {given.ports.mqtt}: whoever is in this network can read"
            " and change what comes. No password is sent to it."
        )
        if given.fingerprint or not given.is_interactive:
            raise SetupFailed(
                f"{host}:{given.ports.mqtt}: expected TLS, found none: a script goes without only"
                " by `config make`"
            )
        return (yield from _plain(given, host))
    where = f"{host}:{given.ports.mqtt} (MQTT)"
    yield from _trust(looked.shown, given.fingerprint, where, "--fingerprint SHA256")
    return (yield from _login(given, Access(host, given.ports.mqtt, True), announcement))


def _plain(given: Given, host: str) -> Dialogue[WayIn]:
    access = Access(host, given.ports.plain, False)
    heard = yield from listen(access)
    if heard.failure is not None:
        raise SetupFailed(f"{heard.failure}: {heard.failure.remedy}")
    return access, heard


def _open(given: Given, host: str) -> Dialogue[tuple[str, Looked]]:
    """Looks at a host until something is open there; a person may name a different host."""
    while True:
        looked = yield from look(host)
        failure = looked.failure
        if failure is None:
            return host, looked
        text = f"{failure}: {_REMEDIES.get(failure.cause) or failure.remedy}"
        if not given.is_interactive:
            raise SetupFailed(text)
        yield from say(text)
        question = "Enter to try again, or another address"
        typed = (yield from ask(question, "MQTT access to be on", host)).strip()
        try:
            read_value("mqtt.host", typed)
        except ConfigError as error:
            yield from say(str(error))
        else:
            host = typed


# --- trust -------------------------------------------------------------------------------------


def _trust(shown: Shown, fingerprint: str | None, where: str, option: str) -> Dialogue[None]:
    """Lets a fingerprint or a person decide whether to trust a certificate from now on."""
    if shown.pin is Pin.OTHER:
        raise SetupFailed(
            f"{where}: expected the certificate in {shown.file}, found another with SHA-256"
            f" {shown.sha256}: if the GX was reset or replaced, remove that file; else somebody"
            " else answers there"
        )
    yield from say(f"{where} shows a certificate with")
    yield from say(f"  SHA-256  {shown.sha256}")
    yield from say(f"  subject  {shown.subject}")
    if fingerprint is not None and fingerprint != shown.sha256:
        raise SetupFailed(
            f"{where}: expected the fingerprint {fingerprint}, found {shown.sha256}: somebody else"
            " answers there, or it is that of another certificate: a GX has one for MQTT and"
            " another one for the web"
        )
    if shown.pin is Pin.SAME:
        yield from say(f"It is the one in {shown.file}.")
    elif fingerprint is None:
        for line in FIRST_USE:
            yield from say(line)
        answer = yield from ask("Trust it from now on? [Y/n]", option, "y")
        if answer.strip().lower() not in ("y", "yes"):
            raise SetupFailed(f"{where}: its certificate is not trusted: no secret was sent to it")
    yield SavePin(shown)


# --- the login ---------------------------------------------------------------------------------


def _login(given: Given, access: Access, announcement: Announcement | None) -> Dialogue[WayIn]:
    """Connects without a login if that is allowed, else with a token, else with the password."""
    if given.password is None:
        heard = yield from listen(access)
        if heard.failure is None:
            yield from say("The GX lets us in without a password.")
            return access, heard
        if heard.failure.cause is not Cause.LOGIN_REFUSED:
            raise SetupFailed(f"{heard.failure}: {heard.failure.remedy}")
    token, password = yield from _token(given, access.host, announcement)
    if token is None:
        return (yield from _with_password(given, access, password))
    yield from say("The GX gave a token; waiting until its broker takes it ...")
    access = replace(access, token=token)
    heard = yield from listen(access)
    if heard.failure is not None:
        raise SetupFailed(f"the GX gave a token, and its broker refuses it: {heard.failure}")
    yield from say("Paired: the broker takes the token.")
    return access, heard


def _token(
    given: Given, host: str, announcement: Announcement | None
) -> Dialogue[tuple[Token | None, Secret | None]]:
    """Pairs if the GX supports it. Without a token, returns the password that was typed, if any."""
    if announcement is not None and not announcement.has_pairing:
        return None, given.password
    if not given.is_interactive and given.web_fingerprint is None:
        yield from say("Not pairing: where nobody can be asked, that needs --web-fingerprint.")
        return None, given.password
    shown = yield from look_at_web(host)
    if shown is None:
        return None, given.password
    where = f"{host}:{given.ports.web} (web)"
    yield from say("The GX can be paired: its web server gives a token in place of the password.")
    yield from _trust(shown, given.web_fingerprint, where, "--web-fingerprint SHA256")
    return (yield from _paired(given, host))


def _paired(given: Given, host: str) -> Dialogue[tuple[Token | None, Secret | None]]:
    password = given.password
    for _ in range(MOST_TRIES):
        if password is None and given.is_interactive:
            password = yield from _password(
                "Network password of the GX, or nothing once you have started pairing on the GX"
            )
        result = yield from pair(host, password)
        if not isinstance(result, NoToken):
            return result, None
        yield from say(str(result))
        if not result.refusal.is_for_a_person:
            return None, password
        if not given.is_interactive:
            break
        password = None
    raise SetupFailed(f"{host}: expected a token, got none: see above")


def _with_password(given: Given, access: Access, password: Secret | None) -> Dialogue[WayIn]:
    for _ in range(MOST_TRIES):
        if password is None:
            password = yield from _password(f"Network password of the GX ({MENU_SECURITY})")
        if password is None:
            continue
        tried = replace(access, password=password)
        heard = yield from listen(tried)
        if heard.failure is None:
            return tried, heard
        text = f"{heard.failure}: {heard.failure.remedy}"
        if not given.is_interactive or heard.failure.cause is not Cause.LOGIN_REFUSED:
            raise SetupFailed(text)
        yield from say(text)
        password = None
    raise SetupFailed(f"{access.host}: expected to be let in, was not: see above")


def _password(question: str) -> Dialogue[Secret | None]:
    """Asks for the password, hidden; None if it is empty or could not be put into a config."""
    typed = yield from ask(question, PASSWORD_OPTION, is_secret=True)
    if not typed:
        return None
    try:
        value = read_value("mqtt.password", typed)
    except ConfigError as error:
        yield from say(str(error))
        return None
    return value if isinstance(value, Secret) else None
