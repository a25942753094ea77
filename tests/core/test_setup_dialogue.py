"""Tests `setup` as a sequence of questions and answers; nothing is opened here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.config_schema import SECTIONS
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import Secret
from mqtt_http_bridge.core.setup import steps
from mqtt_http_bridge.core.setup.config_values import config_values, file_names
from mqtt_http_bridge.core.setup.dialogue import setup
from mqtt_http_bridge.core.setup.steps import (
    Given,
    Heard,
    Looked,
    Pin,
    SetupFailed,
    Shown,
)
from mqtt_http_bridge.core.venus.announcement import Announcement, Found
from mqtt_http_bridge.core.venus.pairing import NoToken, Refusal, Token

ROOF = Announcement("192.168.1.20", "c0619ab2f7e1", "Workshop", "Cerbo GX", "v3.80", True, True)
BARN = Announcement("192.168.1.21", "c0619ab35133", "Barn", "Ekrano GX", "v3.60", True, False)
PRINT, OTHER_PRINT = ":".join(["AB"] * 32), ":".join(["CD"] * 32)
BROKER = Shown("broker's pem", PRINT, "CN=venus.local", file="gx.pem")
WEB = Shown("web's pem", OTHER_PRINT, "CN=venus.local", file="gx_web.pem")
REFUSED = Heard(BrokerFailure(Cause.LOGIN_REFUSED, "192.168.1.20", 8883, has_tls=True))
PLAIN_REFUSED = Heard(BrokerFailure(Cause.LOGIN_REFUSED, "192.168.1.5", 1883))
CLOSED = BrokerFailure(Cause.PORT_CLOSED, "192.168.1.20", 8883, "Connection refused")
IN = Heard(told=("c0619ab2f7e1",), answered=("c0619ab2f7e1",), services=("solarcharger",))
TOKEN = Token("token/mqtt_http_bridge/5f3a", Secret("tok-SECRET"))
PERSON = Given(is_interactive=True)
SCRIPT = Given(
    is_interactive=False,
    host="192.168.1.20",
    fingerprint=PRINT,
    url="https://a.example",
    api_key="k",
)
BACKEND = ("https://solar.example.org", "the-key")


@dataclass
class World:
    """Answers the steps of a dialogue, and keeps what it came to."""

    answers: Iterable[str] = ()
    found: Found = field(default_factory=Found)
    looked: Sequence[Looked] = (Looked(BROKER),)
    web: Shown | None = WEB
    heard: Sequence[Heard] = (IN,)
    pairs: Sequence[Token | NoToken] = ()
    holds: bool = True
    asked: list[str] = field(default_factory=list)
    secret: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    done: list[steps.Step] = field(default_factory=list)

    def play(self, given: Given) -> tuple[bool, bool]:
        """Carries the dialogue out, and returns what it comes to; every answer was asked for."""
        rest: dict[type, list[Any]] = {
            steps.Ask: list(self.answers),
            steps.Look: list(self.looked),
            steps.Listen: list(self.heard),
            steps.Pair: list(self.pairs),
        }
        fixed: dict[type, object] = {
            steps.Search: self.found,
            steps.LookAtWeb: self.web,
            steps.Check: self.holds,
        }
        talk = setup(given)
        try:
            step = next(talk)
            while True:
                step = talk.send(self._answer(step, rest, fixed))
        except StopIteration as end:
            assert rest[steps.Ask] == []
            result: tuple[bool, bool] = end.value
            return result

    def _answer(
        self, step: steps.Step, rest: Mapping[type, list[Any]], fixed: Mapping[type, object]
    ) -> object:
        match step:
            case steps.Say(text):
                self.said.append(text)
                return None
            case steps.Ask():
                self.asked.append(step.question)
                if step.is_secret:
                    self.secret.append(step.question)
                return rest[steps.Ask].pop(0) or step.default
        self.done.append(step)
        if type(step) in rest:
            return rest[type(step)].pop(0)
        return fixed.get(type(step))

    def steps(self, kind: type) -> list[Any]:
        return [step for step in self.done if isinstance(step, kind)]

    @property
    def values(self) -> dict[str, Any]:
        (write,) = self.steps(steps.Write)
        return config_values(write.plan, file_names("config"))

    @property
    def text(self) -> str:
        return "\n".join(self.said)


def no_token(refusal: Refusal) -> NoToken:
    return NoToken(refusal, f"refused: {refusal.name}")


# --- the way of a newcomer -----------------------------------------------------------------------


def test_a_new_gx_is_paired() -> None:
    """No address is typed: URL, key, trust in both certificates, the password, the start."""
    world = World(
        answers=[*BACKEND, "", "", "the-password", ""],
        found=Found((ROOF,)),
        heard=[REFUSED, IN],
        pairs=[TOKEN],
    )
    assert world.play(PERSON) == (True, True)
    assert "Found Workshop, Cerbo GX, 192.168.1.20, portal id c0619ab2f7e1" in world.text
    assert [each.shown for each in world.steps(steps.SavePin)] == [BROKER, WEB]
    assert PRINT in world.text
    assert OTHER_PRINT in world.text
    assert world.text.count("trust on first use") == 2
    assert [q.split()[0] for q in world.secret] == ["API", "Network"]
    (pair,) = world.steps(steps.Pair)
    assert pair.password == Secret("the-password")
    assert world.values == {
        "backend.url": "https://solar.example.org",
        "backend.api_key_file": "api_key.txt",
        "mqtt.host": "192.168.1.20",
        "mqtt.port": 8883,
        "mqtt.tls": True,
        "mqtt.pinned_certificate": "gx.pem",
        "mqtt.username": TOKEN.name,
        "mqtt.password_file": "gx_token.txt",
        "mqtt.portal_id": "c0619ab2f7e1",
    }
    for secret in ("the-password", "the-key", "tok-SECRET"):
        assert secret not in world.text


def test_in_pairing_mode_no_password_is_typed() -> None:
    """Nothing typed means that the GX was put into pairing mode."""
    world = World([*BACKEND, "", "", "", ""], Found((ROOF,)), heard=[REFUSED, IN], pairs=[TOKEN])
    assert world.play(PERSON) == (True, True)
    assert world.steps(steps.Pair)[0].password is None


def test_an_older_gx_takes_its_password() -> None:
    """The password is kept beside the config, not in it; the web server is left alone."""
    world = World([*BACKEND, "", "the-password", ""], Found((BARN,)), heard=[REFUSED, IN])
    assert world.play(PERSON) == (True, True)
    assert world.steps(steps.LookAtWeb) == []
    assert world.values["mqtt.password_file"] == "gx_password.txt"
    assert "mqtt.username" not in world.values
    (write,) = world.steps(steps.Write)
    assert write.plan.access.password == Secret("the-password")


def test_an_open_gx_asks_for_nothing() -> None:
    """A GX without a password is not paired, and its certificate is pinned all the same."""
    world = World([*BACKEND, "", ""], Found((ROOF,)))
    assert world.play(PERSON) == (True, True)
    assert "mqtt.password_file" not in world.values
    assert world.values["mqtt.pinned_certificate"] == "gx.pem"


def test_on_a_gx_itself() -> None:
    """Its own broker is open to it: there is nothing to find and nobody to trust."""
    world = World([*BACKEND, ""])
    assert world.play(replace(PERSON, is_gx=True)) == (True, True)
    assert (world.values["mqtt.host"], world.values["mqtt.port"]) == ("127.0.0.1", 1883)
    assert world.steps(steps.Search) == []


def test_the_second_way_round_nothing_is_asked_again() -> None:
    """A certificate that was pinned before is trusted without a question."""
    world = World([*BACKEND, ""], Found((BARN,)), [Looked(replace(BROKER, pin=Pin.SAME))])
    assert world.play(PERSON) == (True, True)
    assert "It is the one in gx.pem." in world.text


# --- what is found -------------------------------------------------------------------------------


def test_two_gx() -> None:
    """Both are shown, and one is asked for until it is one of them."""
    world = World([*BACKEND, "3", "x", "2", "", ""], Found((ROOF, BARN)))
    world.play(PERSON)
    assert f"  1  {ROOF}" in world.said
    assert f"  2  {BARN}" in world.said
    assert world.asked.count("Which one? (1-2)") == 3
    assert world.values["mqtt.host"] == BARN.address


def test_one_portal_id_at_two_addresses() -> None:
    """One of them may lie: that is told of both."""
    liar = ROOF._replace(address="192.168.1.66")
    world = World([*BACKEND, "1", "", ""], Found((ROOF, liar)))
    world.play(PERSON)
    assert world.text.count("another address claims the same portal id") == 2


def test_none() -> None:
    """The address is asked for, until it is one."""
    world = World([*BACKEND, "192.168.1.20:1883", "192.168.1.20", "", ""])
    world.play(PERSON)
    assert "No GX answers." in world.said
    assert (
        "Address of the GX: expected a host name or an IP address, without a port, found"
        " '192.168.1.20:1883'"
    ) in world.said
    assert world.values["mqtt.host"] == "192.168.1.20"


def test_by_name() -> None:
    """If the name of a GX stands for an address, that is what Enter means."""
    world = World([*BACKEND, "", "", ""], Found(by_name="192.168.1.20"))
    world.play(PERSON)
    assert world.values["mqtt.host"] == "192.168.1.20"


def test_remarks_are_shown() -> None:
    """An answer that sends us elsewhere is told."""
    remark = "192.168.1.66 sends us to http://8.8.8.8/, which is another machine: not followed"
    world = World([*BACKEND, "", ""], Found((ROOF,), (remark,)))
    world.play(PERSON)
    assert f"  {remark}" in world.said


def test_the_broker_counts_not_the_search() -> None:
    """A search that told another portal id than the broker does not get into the config."""
    heard = replace(IN, told=("c0619ab35133",), answered=("c0619ab35133",))
    world = World([*BACKEND, "", ""], Found((ROOF,)), heard=[heard])
    world.play(PERSON)
    assert "the broker counts" in world.text
    assert world.values["mqtt.portal_id"] == "c0619ab35133"


def test_several_gx_behind_one_broker() -> None:
    """All are relayed, unless the search told which one it is."""
    heard = replace(IN, told=("a", "b"), answered=("a", "b"), services=("solarcharger", "multi"))
    world = World([*BACKEND, "192.168.1.5", "", ""], heard=[heard])
    world.play(PERSON)
    assert "mqtt.portal_id" not in world.values
    assert world.values["mqtt.services"] == ["solarcharger", "multi"]


# --- trust ---------------------------------------------------------------------------------------


def test_who_does_not_trust_sends_nothing() -> None:
    """No login is tried, nothing is kept."""
    world = World([*BACKEND, "n"], Found((ROOF,)))
    with pytest.raises(SetupFailed, match="no secret was sent"):
        world.play(PERSON)
    assert {type(step) for step in world.done} == {steps.Search, steps.Look}


def test_the_web_server_is_not_trusted() -> None:
    """Nothing is sent to it, and setup goes on with the password, which goes to the broker only."""
    world = World([*BACKEND, "", "n", "the-password", ""], Found((ROOF,)), heard=[REFUSED, IN])
    assert world.play(PERSON) == (True, True)
    assert [each.shown for each in world.steps(steps.SavePin)] == [BROKER]
    assert world.steps(steps.Pair) == []
    assert "the GX is not paired. Its network password does it" in world.text
    assert world.values["mqtt.password_file"] == "gx_password.txt"


def test_a_given_password_is_not_asked_for_again_without_pairing() -> None:
    """It was meant for whichever way there is."""
    world = World([*BACKEND, "", "n", ""], Found((ROOF,)))
    assert world.play(replace(PERSON, password=Secret("pw"))) == (True, True)
    (write,) = world.steps(steps.Write)
    assert write.plan.access.password == Secret("pw")


def test_a_changed_certificate_is_refused() -> None:
    """Nobody is asked: the file that pins the other one has to go first."""
    world = World([*BACKEND], Found((ROOF,)), [Looked(replace(BROKER, pin=Pin.OTHER))])
    with pytest.raises(SetupFailed, match="if the GX was reset or replaced, remove that file"):
        world.play(PERSON)
    assert world.steps(steps.SavePin) == []


def test_a_changed_web_certificate_is_refused() -> None:
    """No password goes there."""
    world = World([*BACKEND, ""], Found((ROOF,)), web=replace(WEB, pin=Pin.OTHER), heard=[REFUSED])
    with pytest.raises(SetupFailed, match=r"expected the certificate in gx_web\.pem"):
        world.play(PERSON)
    assert world.steps(steps.Pair) == []


def test_without_tls_no_password_is_sent() -> None:
    """A broker without TLS is used with a warning; if it wants a password, it is refused."""
    plain = Looked(None, is_plain=True)
    world = World([*BACKEND, "192.168.1.5", ""], looked=[plain])
    world.play(PERSON)
    assert "can read and change what comes" in world.text
    assert world.values["mqtt.port"] == 1883
    assert "mqtt.tls" not in world.values
    world = World([*BACKEND, "192.168.1.5"], looked=[plain], heard=[PLAIN_REFUSED])
    with pytest.raises(SetupFailed, match="login refused: it wants a password, and none is sent"):
        world.play(PERSON)
    assert not any("password" in question for question in world.asked)


# --- what goes wrong -----------------------------------------------------------------------------


def test_mqtt_is_off() -> None:
    """The menu is named, and it is looked again, at another address if one is typed."""
    looked = [Looked(None, failure=CLOSED), Looked(None, failure=CLOSED), Looked(BROKER)]
    world = World([*BACKEND, "", "192.168.1.22", "", ""], Found((BARN,)), looked)
    world.play(PERSON)
    assert "MQTT Access" in world.text
    assert "mqtt-http-bridge check" not in world.text
    assert [step.host for step in world.steps(steps.Look)] == [
        "192.168.1.21",
        "192.168.1.21",
        "192.168.1.22",
    ]


def test_an_address_that_is_none_is_not_looked_at() -> None:
    """The text that follows is about the address: the failure before it is not told again."""
    looked = [Looked(None, failure=CLOSED), Looked(BROKER)]
    world = World([*BACKEND, "a b", "192.168.1.22", "", ""], Found((BARN,)), looked)
    world.play(PERSON)
    assert world.text.count(str(CLOSED)) == 1
    assert "Address of the GX: expected a host name" in world.text
    assert [step.host for step in world.steps(steps.Look)] == ["192.168.1.21", "192.168.1.22"]


def test_a_password_that_is_none_is_not_tried() -> None:
    """Neither as one nor as an empty one, which would be told of the pairing mode."""
    world = World(
        [*BACKEND, "", "", "a\tb", "right", ""], Found((ROOF,)), heard=[REFUSED, IN], pairs=[TOKEN]
    )
    world.play(PERSON)
    assert "Network password of the GX: expected printable characters" in world.text
    assert [step.password for step in world.steps(steps.Pair)] == [Secret("right")]


def test_no_password_is_typed() -> None:
    """A GX that does not pair lets nobody in without it: that is said, and counts as a try."""
    world = World([*BACKEND, "", "", "", ""], Found((BARN,)), heard=[REFUSED])
    with pytest.raises(SetupFailed, match="expected to be let in"):
        world.play(PERSON)
    assert world.text.count("Nothing was typed") == 3
    assert len(world.steps(steps.Listen)) == 1


def test_where_the_password_stands() -> None:
    """The question has the GX's menu in brackets."""
    world = World([*BACKEND, "", "the-password", ""], Found((BARN,)), heard=[REFUSED, IN])
    world.play(PERSON)
    menu = "on the GX: Settings -> General -> Access & Security"
    assert world.secret[-1] == f"Network password of the GX ({menu})"


def test_nothing_said_names_a_config_key() -> None:
    """There is no config yet: whatever fails, what to do is something that can be done here."""
    for cause in Cause:
        failure = BrokerFailure(cause, "192.168.1.20", 8883, "as it says", has_tls=True)
        looks = [Looked(None, failure=failure), Looked(None, is_plain=True)]
        heard = Heard(failure._replace(has_tls=False))
        world = World([*BACKEND, ""], Found((BARN,)), looks, heard=[heard])
        with pytest.raises(SetupFailed) as ended:
            world.play(PERSON)
        for text in (world.text, str(ended.value)):
            assert not any(f"{section}." in text for section in SECTIONS), text
            assert "mqtt-http-bridge check" not in text


def test_wrong_url_and_key_are_asked_for_again() -> None:
    """With what was expected, and not with what was typed of the key."""
    world = World(["ftp://x", BACKEND[0], "Schlüssel", "", BACKEND[1], "", ""], Found((ROOF,)))
    world.play(PERSON)
    assert "Address of the backend: expected an http or https address" in world.text
    assert "API key of the backend: expected the API key" in world.text
    assert "Schlüssel" not in world.text


def test_a_closed_window_and_a_wrong_password() -> None:
    """Each is told, and asked for again."""
    refused = (Refusal.NOT_IN_PAIRING_MODE, Refusal.PASSWORD_REFUSED)
    pairs: list[Token | NoToken] = [*(no_token(each) for each in refused), TOKEN]
    world = World(
        [*BACKEND, "", "", "", "wrong", "right", ""],
        Found((ROOF,)),
        heard=[REFUSED, IN],
        pairs=pairs,
    )
    assert world.play(PERSON) == (True, True)
    assert "refused: NOT_IN_PAIRING_MODE" in world.said
    assert "refused: PASSWORD_REFUSED" in world.said


def test_three_refusals_are_enough() -> None:
    """A GX that is asked too often refuses everybody."""
    pairs = [no_token(Refusal.PASSWORD_REFUSED)] * 3
    world = World([*BACKEND, "", "", "a", "b", "c"], Found((ROOF,)), heard=[REFUSED], pairs=pairs)
    with pytest.raises(SetupFailed, match="expected a token, got none"):
        world.play(PERSON)
    world = World([*BACKEND, "", "a", "b", "c"], Found((BARN,)), heard=[REFUSED] * 4)
    with pytest.raises(SetupFailed, match="expected to be let in"):
        world.play(PERSON)


def test_a_gx_that_cannot_pair_after_all_takes_the_password() -> None:
    """That was typed for the pairing: it is not asked for twice."""
    world = World(
        [*BACKEND, "", "", "the-password", ""],
        Found((ROOF,)),
        heard=[REFUSED, IN],
        pairs=[no_token(Refusal.NOT_OFFERED)],
    )
    world.play(PERSON)
    assert world.values["mqtt.password_file"] == "gx_password.txt"
    assert len(world.secret) == 2


def test_a_token_that_the_broker_never_knows() -> None:
    """It is not called paired, and nothing is written."""
    world = World([*BACKEND, "", "", ""], Found((ROOF,)), heard=[REFUSED, REFUSED], pairs=[TOKEN])
    with pytest.raises(SetupFailed, match="its broker refuses it"):
        world.play(PERSON)
    assert "Paired" not in world.text
    assert world.steps(steps.Write) == []


def test_a_broker_that_breaks() -> None:
    """Nothing but a refused login is a reason to ask for a password."""
    lost = Heard(BrokerFailure(Cause.TIMED_OUT, "192.168.1.20", 8883, "20 s"))
    world = World([*BACKEND, ""], Found((ROOF,)), heard=[lost])
    with pytest.raises(SetupFailed, match="no answer within 20 s"):
        world.play(PERSON)


def test_the_check_finds_something() -> None:
    """It is written, and Enter does not start it."""
    world = World([*BACKEND, "", ""], Found((ROOF,)), holds=False)
    assert world.play(PERSON) == (False, False)
    world = World([*BACKEND, "", "y"], Found((ROOF,)), holds=False)
    assert world.play(PERSON) == (False, True)


@pytest.mark.parametrize("holds", [True, False])
def test_not_now(holds: bool) -> None:
    """Tells how to start it later: after a person's no, and where nobody can be asked."""
    command = "mqtt-http-bridge run -c /etc/roof.yaml"
    for given, answers in (
        (PERSON, [*BACKEND, "", "n"]),
        (replace(SCRIPT, starts=None), []),
    ):
        world = World(answers, Found((ROOF,)), holds=holds)
        assert world.play(replace(given, start_command=command)) == (holds, False)
        assert world.said[-1] == f"To start relaying later, run: {command}"
    for starts in (True, False):
        world = World()
        world.play(replace(SCRIPT, starts=starts))
        assert "run:" not in world.text


# --- scripts -------------------------------------------------------------------------------------


def test_a_script_asks_nothing() -> None:
    """With the fingerprint, and what the GX wants; it does not start unless it was told to."""
    for starts, expected in ((None, False), (True, True), (False, False)):
        world = World()
        assert world.play(replace(SCRIPT, starts=starts)) == (True, expected)
        assert world.asked == []
        assert world.steps(steps.Search) == []


def test_a_script_without_a_fingerprint_gets_no_further() -> None:
    """The question names the option that would have answered it; the shell refuses to ask."""
    talk = setup(replace(SCRIPT, fingerprint=None))
    step = next(talk)
    while not isinstance(step, steps.Ask):
        assert not isinstance(step, steps.SavePin | steps.Listen)
        step = talk.send(Looked(BROKER) if isinstance(step, steps.Look) else None)
    assert step.option == "--fingerprint SHA256"


def test_another_fingerprint_is_refused() -> None:
    """Also one that is that of the other certificate."""
    for given in (
        replace(SCRIPT, fingerprint=OTHER_PRINT),
        replace(PERSON, fingerprint=OTHER_PRINT),
    ):
        world = World(BACKEND if given.is_interactive else (), Found((ROOF,)))
        with pytest.raises(SetupFailed, match="one for MQTT and another one for the web"):
            world.play(given)
        assert world.steps(steps.SavePin) == []


def test_a_script_with_a_password() -> None:
    """Without --web-fingerprint it is not paired, and says so; no login is wasted on trying."""
    world = World()
    world.play(replace(SCRIPT, password=Secret("pw")))
    assert "--web-fingerprint" in world.text
    assert len(world.steps(steps.Listen)) == 1
    assert world.values["mqtt.password_file"] == "gx_password.txt"
    world = World(heard=[REFUSED])
    with pytest.raises(SetupFailed, match="compare the password with the network password"):
        world.play(replace(SCRIPT, password=Secret("pw")))


def test_a_script_that_pairs() -> None:
    """By the password, or in pairing mode without one."""
    for password, heard in ((Secret("pw"), [IN]), (None, [REFUSED, IN])):
        world = World(heard=heard, pairs=[TOKEN])
        world.play(replace(SCRIPT, password=password, web_fingerprint=OTHER_PRINT))
        assert world.steps(steps.Pair)[0].password == password
        assert world.values["mqtt.username"] == TOKEN.name
    world = World(heard=[REFUSED], pairs=[no_token(Refusal.NOT_IN_PAIRING_MODE)])
    with pytest.raises(SetupFailed, match="expected a token, got none"):
        world.play(replace(SCRIPT, web_fingerprint=OTHER_PRINT))


def test_a_script_goes_nowhere_without_tls() -> None:
    """A stranger on 1883 is not the GX whose fingerprint was given."""
    world = World(looked=[Looked(None, is_plain=True)])
    with pytest.raises(SetupFailed, match="expected TLS, found none"):
        world.play(SCRIPT)
    world = World(looked=[Looked(None, failure=CLOSED)])
    with pytest.raises(SetupFailed, match="MQTT Access"):
        world.play(SCRIPT)


def test_a_name_that_does_not_resolve() -> None:
    """The remedy is what can be typed here: there is no config yet, and this is `setup`."""
    nameless = BrokerFailure(Cause.NAME_NOT_RESOLVED, "cerbo", 8883, "no such name")
    world = World(
        [*BACKEND, "cerbo", "192.168.1.20", "", ""],
        looked=[Looked(None, failure=nameless), Looked(BROKER)],
    )
    world.play(PERSON)
    assert "(no such name): give the GX's address" in world.text
    assert "mqtt.host" not in world.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "ftp://x"}, "--url: expected an http"),
        ({"api_key": "a b\n"}, "--api-key-file: expected the API key"),
        ({"host": "a b"}, "--host: expected a host name"),
    ],
)
def test_what_is_given_and_will_not_do(change: dict[str, Any], said: str) -> None:
    """It ends before anybody is spoken to."""
    world = World()
    with pytest.raises(ConfigError, match=said):
        world.play(replace(SCRIPT, **change))
    assert world.done == []


def test_the_files_of_two_services_do_not_meet() -> None:
    """They lie in one folder on a host."""
    roof, barn, plain = (file_names(stem) for stem in ("roof", "barn", "config"))
    assert roof.certificate == "roof.gx.pem"
    assert plain.certificate == "gx.pem"
    names = [getattr(each, name) for each in (roof, barn, plain) for name in roof.__slots__]
    assert len(set(names)) == len(names)
