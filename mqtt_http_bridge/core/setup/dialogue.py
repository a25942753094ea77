"""The dialogue of `setup`: from nothing to a tested config, in as few questions as possible.

It does not ask for what was given. A secret goes only to a server whose certificate is pinned: so a
broker without TLS is used without a login, or not at all.
"""

from typing import Final

from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import Secret
from mqtt_http_bridge.core.setup.access import way_in
from mqtt_http_bridge.core.setup.answers import read_answer
from mqtt_http_bridge.core.setup.steps import (
    Dialogue,
    Given,
    Heard,
    Plan,
    Write,
    ask,
    check,
    is_yes,
    say,
    search,
)
from mqtt_http_bridge.core.venus.announcement import Announcement, Found
from mqtt_http_bridge.core.words import MENU_ADDRESS

ADDRESS: Final = "Address of the GX"
HOST_OPTION: Final = "--host ADDRESS"


def setup(given: Given) -> Dialogue[tuple[bool, bool]]:
    """Asks and does everything; returns whether all is well, and whether to start.

    Raises SetupFailed, and ConfigError for invalid values that were given.
    """
    url = yield from _url(given)
    api_key = yield from _api_key(given)
    host, announcement = yield from _gx(given)
    access, heard = yield from way_in(given, host, announcement)
    portal_ids = yield from _portal_ids(heard, announcement)
    yield Write(Plan(url, api_key, access, portal_ids, heard.services))
    holds = yield from check()
    starts = yield from _starts(given, holds=holds)
    return holds, starts


# --- the backend -------------------------------------------------------------------------------


def _url(given: Given) -> Dialogue[str]:
    question = "Address of the backend, such as https://solar.example.org"
    return str((yield from _read("backend.url", given.url, question, "--url URL")))


def _api_key(given: Given) -> Dialogue[Secret]:
    question, option = "API key of the backend", "--api-key-file FILE"
    value = yield from _read("backend.api_key", given.api_key, question, option)
    if not isinstance(value, Secret):
        raise TypeError
    return value


def _read(key: str, known: str | None, question: str, option: str) -> Dialogue[object]:
    """Asks for the value of a config key until it is valid; an invalid given value ends setup."""
    if known is not None:
        return read_answer(key, known, option.partition(" ")[0])
    while True:
        text = yield from ask(question, option, is_secret=key == "backend.api_key")
        try:
            return read_answer(key, text.strip(), question.partition(",")[0])
        except ConfigError as error:
            yield from say(str(error))


# --- which GX ----------------------------------------------------------------------------------


def _gx(given: Given) -> Dialogue[tuple[str, Announcement | None]]:
    if given.host is not None:
        read_answer("mqtt.host", given.host, "--host")
        return given.host, None
    if given.is_gx:
        yield from say("This machine is a GX: its own broker is used.")
        return "127.0.0.1", None
    yield from say("Searching the network for GX devices ...")
    found = yield from search()
    for remark in found.remarks:
        yield from say(f"  {remark}")
    match len(found.announcements):
        case 0:
            return (yield from _host(found)), None
        case 1:
            announcement = found.announcements[0]
            yield from say(f"Found {announcement}")
        case _:
            announcement = yield from _one_of(found.announcements)
    return announcement.address, announcement


def _host(found: Found) -> Dialogue[str]:
    """Asks for an address if nothing answered."""
    hint = f"; venus.local is at {found.by_name}" if found.by_name else ""
    yield from say(f"No GX answers{hint}.")
    question = f"{ADDRESS} ({MENU_ADDRESS})"
    while True:
        host = (yield from ask(question, HOST_OPTION, found.by_name)).strip()
        try:
            read_answer("mqtt.host", host, ADDRESS)
        except ConfigError as error:
            yield from say(str(error))
        else:
            return host


def _one_of(announcements: tuple[Announcement, ...]) -> Dialogue[Announcement]:
    """Asks which one; reports a portal id that two addresses claim."""
    yield from say("Found several:")
    ids = [each.portal_id for each in announcements]
    for number, each in enumerate(announcements, 1):
        twice = "; another address claims the same portal id" * (ids.count(each.portal_id) > 1)
        yield from say(f"  {number}  {each}{twice}")
    addresses = " or ".join(each.address for each in announcements)
    while True:
        typed = yield from ask(f"Which one? (1-{len(announcements)})", f"--host {addresses}")
        if typed.strip() in map(str, range(1, len(announcements) + 1)):
            return announcements[int(typed) - 1]


# --- the end -----------------------------------------------------------------------------------


def _portal_ids(heard: Heard, announcement: Announcement | None) -> Dialogue[tuple[str, ...]]:
    """Tells what was heard; returns the portal id to relay, or none for all there are."""
    if announcement and heard.told and announcement.portal_id not in heard.told:
        yield from say(
            f"The search told the portal id {announcement.portal_id}, the broker tells"
            f" {', '.join(heard.told)}: the broker counts."
        )
    for line in heard.lines:
        yield from say(f"  {line}")
    answered = heard.answered
    if announcement and announcement.portal_id in answered:
        return (announcement.portal_id,)
    if len(answered) > 1:
        yield from say(f"All {len(answered)} GX devices behind this broker are relayed.")
        return ()
    return answered


def _starts(given: Given, *, holds: bool) -> Dialogue[bool]:
    if given.starts is not None:
        return given.starts
    starts = False
    if given.is_interactive and holds:
        starts = is_yes((yield from ask("Start relaying now? [Y/n]", "--start", "y")))
    elif given.is_interactive:
        yield from say("Fix the above; the service would go on trying meanwhile.")
        starts = is_yes((yield from ask("Start it all the same? [y/N]", "--start", "n")))
    if not starts:
        yield from say(f"To start relaying later, run: {given.start_command}")
    return starts
