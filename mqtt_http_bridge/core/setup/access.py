"""Gets into a GX's broker: first trust, then no login, a token or the password, as required."""

from dataclasses import replace
from typing import Final

from mqtt_http_bridge.core import before_config
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.fingerprint import FIRST_USE
from mqtt_http_bridge.core.settings import Secret
from mqtt_http_bridge.core.setup.answers import read_answer
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
    is_yes,
    listen,
    look,
    look_at_web,
    pair,
    say,
)
from mqtt_http_bridge.core.venus.announcement import Announcement
from mqtt_http_bridge.core.venus.pairing import NoToken, Token
from mqtt_http_bridge.core.words import MENU_SECURITY

MOST_TRIES: Final = 3
"""Passwords that are tried: a GX refuses all logins after 20 wrong ones."""
PASSWORD_OPTION: Final = "--password-file FILE"  # noqa: S105 - the name of it

_NOT_TRUSTED: Final = (
    "its certificate is not trusted: no secret was sent to it, and without trust in it there is no"
    " way into this GX. Compare the fingerprint with what another machine gets, then run setup"
    " again"
)
_NOT_PAIRED: Final = (
    "Nothing was sent to the web server, and the GX is not paired. Its network password does it,"
    " too: that goes only to the broker, which you trust. (A GX that takes paired devices only"
    " refuses it: run setup again then, and trust both.)"
)
_NO_PASSWORD_WITHOUT_TLS: Final = (
    "it wants a password, and none is sent without TLS: choose another security profile"
    f" ({MENU_SECURITY}), Secured with a password or Unsecured without, then run setup again"
)
_PAIRED_ONLY: Final = (
    f"{before_config.WRONG_PASSWORD}. A GX that takes paired devices only refuses every password"
)

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
    if not (yield from _trust(looked.shown, given.fingerprint, where, "--fingerprint SHA256")):
        raise SetupFailed(f"{where}: {_NOT_TRUSTED}")
    return (yield from _login(given, Access(host, given.ports.mqtt, True), announcement))


def _plain(given: Given, host: str) -> Dialogue[WayIn]:
    access = Access(host, given.ports.plain, False)
    heard = yield from listen(access)
    if heard.failure is not None:
        raise SetupFailed(_in_words(heard.failure))
    return access, heard


def _in_words(failure: BrokerFailure) -> str:
    """Says what failed, and what to do about it here, where no config has been written."""
    todo = before_config.remedy(failure)
    if failure.cause is Cause.LOGIN_REFUSED:
        todo = _PAIRED_ONLY if failure.has_tls else _NO_PASSWORD_WITHOUT_TLS
    return f"{failure}: {todo}"


def _open(given: Given, host: str) -> Dialogue[tuple[str, Looked]]:
    """Looks at a host until something is open there; a person may name a different host."""
    while True:
        looked = yield from look(host)
        failure = looked.failure
        if failure is None:
            return host, looked
        if not given.is_interactive:
            raise SetupFailed(_in_words(failure))
        yield from say(_in_words(failure))
        host = yield from _next_host(host)


def _next_host(host: str) -> Dialogue[str]:
    """Asks for an address until it is one: only then is there something new to look at."""
    while True:
        question = "Enter to try again, or another address"
        typed = (yield from ask(question, "MQTT access to be on", host)).strip()
        try:
            read_answer("mqtt.host", typed, "Address of the GX")
        except ConfigError as error:
            yield from say(str(error))
        else:
            return typed


# --- trust -------------------------------------------------------------------------------------


def _trust(shown: Shown, fingerprint: str | None, where: str, option: str) -> Dialogue[bool]:
    """Lets a fingerprint or a person decide whether to trust a certificate from now on.

    Returns False if a person says no; whatever else is no reason to trust it raises SetupFailed.
    """
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
        if not is_yes(answer):
            return False
    yield SavePin(shown)
    return True


# --- the login ---------------------------------------------------------------------------------


def _login(given: Given, access: Access, announcement: Announcement | None) -> Dialogue[WayIn]:
    """Connects without a login if that is allowed, else with a token, else with the password."""
    if given.password is None:
        heard = yield from listen(access)
        if heard.failure is None:
            yield from say("The GX lets us in without a password.")
            return access, heard
        if heard.failure.cause is not Cause.LOGIN_REFUSED:
            raise SetupFailed(_in_words(heard.failure))
    token, password = yield from _token(given, access.host, announcement)
    if token is None:
        return (yield from _with_password(given, access, password))
    yield from say("The GX gave a token; waiting until its broker takes it ...")
    access = replace(access, token=token)
    heard = yield from listen(access)
    if heard.failure is not None:
        raise SetupFailed(
            f"the GX gave a token, and its broker refuses it: {heard.failure}: wait a minute, and"
            " run setup again"
        )
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
    option = "--web-fingerprint SHA256"
    if not (yield from _trust(shown, given.web_fingerprint, where, option)):
        yield from say(_NOT_PAIRED)
        return None, given.password
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
            yield from say("Nothing was typed, and this GX lets nobody in without its password.")
            continue
        tried = replace(access, password=password)
        heard = yield from listen(tried)
        if heard.failure is None:
            return tried, heard
        if not given.is_interactive or heard.failure.cause is not Cause.LOGIN_REFUSED:
            raise SetupFailed(_in_words(heard.failure))
        yield from say(_in_words(heard.failure))
        password = None
    raise SetupFailed(f"{access.host}: expected to be let in, was not: see above")


def _password(question: str) -> Dialogue[Secret | None]:
    """Asks for the password, hidden, until it could be put into a config; None if it is empty."""
    while True:
        typed = yield from ask(question, PASSWORD_OPTION, is_secret=True)
        if not typed:
            return None
        try:
            value = read_answer("mqtt.password", typed, "Network password of the GX")
        except ConfigError as error:
            yield from say(str(error))
        else:
            return value if isinstance(value, Secret) else None
