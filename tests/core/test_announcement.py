"""Tests what an answer to a search may make us do, whatever it says."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.venus.announcement import (
    MOST_XML_BYTES,
    Announcement,
    Location,
    NoAnnouncement,
    NotFollowed,
    announcement_in,
    description_request,
    is_whole,
    location_in,
    search_request,
)
from tests.support.ssdp import DEVICE, VENUS, description, response

SENDER = "192.168.1.20"


def reply(location: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nST: x\r\nLocation: {location}\r\n\r\n".encode()


def test_the_question() -> None:
    """It is the search of UPnP, with the fields it has to have."""
    lines = search_request("upnp:rootdevice", "239.255.255.250", 1900, 1).split(b"\r\n")
    assert lines[0] == b"M-SEARCH * HTTP/1.1"
    assert b"HOST: 239.255.255.250:1900" in lines
    assert b'MAN: "ssdp:discover"' in lines
    assert b"MX: 1" in lines
    assert lines[-2:] == [b"", b""]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("http://192.168.1.20/gx.xml", Location(SENDER, 80, "/gx.xml")),
        ("http://192.168.1.20:49152/a/b.xml?c=d", Location(SENDER, 49152, "/a/b.xml?c=d")),
        ("http://192.168.1.20", Location(SENDER, 80, "/")),
    ],
)
def test_a_place_of_the_sender_is_followed(place: str, expected: Location) -> None:
    """With its port and path; one field of the head alone counts, in any case."""
    assert location_in(reply(place), SENDER) == expected
    assert description_request(expected).startswith(f"GET {expected.path} HTTP/1.0\r\n".encode())


@pytest.mark.parametrize(
    ("place", "sender", "why"),
    [
        ("http://192.168.1.21/", SENDER, "another machine"),
        ("http://127.0.0.1:8080/", SENDER, "another machine"),
        ("http://169.254.169.254/latest/meta-data", SENDER, "another machine"),
        ("http://8.8.8.8/", "8.8.8.8", "not in a local network"),
        ("http://venus.local/", SENDER, "no address"),
        ("http://[::1]/", SENDER, "no address"),
        ("http://192.168.1.20:99999/", SENDER, "no address"),
        ("https://192.168.1.20/", SENDER, "not plain HTTP"),
        ("file:///etc/passwd", SENDER, "no address"),
        ("http://a:b@192.168.1.20/", SENDER, "not plain HTTP"),
        ("http://192.168.1.20/a b", SENDER, "not plain HTTP"),
        ("http://192.168.1.20/" + "a" * 300, SENDER, "too long"),
    ],
)
def test_any_other_place_is_not(place: str, sender: str, why: str) -> None:
    """Nobody sends us to a third machine, to this one or out of the network; it is told who."""
    with pytest.raises(NotFollowed, match=why) as caught:
        location_in(reply(place), sender)
    assert str(caught.value).startswith(f"{sender} sends us to ")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"NOTIFY * HTTP/1.1\r\nLocation: http://192.168.1.20/\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        reply("http://192.168.1.20/", "404 Not Found"),
        reply("http://192.168.1.20/\r\nLocation: http://192.168.1.20/2"),
    ],
)
def test_what_is_no_answer(said: bytes) -> None:
    """It is passed over without a word."""
    with pytest.raises(NoAnnouncement):
        location_in(said, SENDER)


def test_a_gx() -> None:
    """All that it says of itself is read, and put into words."""
    found = announcement_in(response(description()), SENDER)
    assert found == Announcement(
        SENDER, "c0619ab2f7e1", "Workshop", "Cerbo GX", "v3.80", has_mqtt=True, has_pairing=True
    )
    assert str(found) == (
        "Workshop, Cerbo GX, 192.168.1.20, portal id c0619ab2f7e1, Venus OS v3.80, MQTT on"
    )
    off = announcement_in(response(description(mqtt="0", pairing="")), SENDER)
    assert (off.has_mqtt, off.has_pairing) == (False, False)


ENTITIES = b"""<?xml version="1.0"?>
<!DOCTYPE root [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<root>&b;</root>"""
OUTSIDE = b"""<!DOCTYPE root SYSTEM "http://192.168.1.99/evil.dtd"><root/>"""


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        (description(manufacturer="Somebody"), "not a GX"),
        (description("../../etc"), "an invalid portal id"),
        (description("a" * 65), "an invalid portal id"),
        (ENTITIES, "a document type"),
        (OUTSIDE, "a document type"),
        (b"<root>" * 5000, "too long|not XML"),
        (b"a" * (MOST_XML_BYTES + 1), "too long"),
        (b"", "not XML"),
        (b"<root", "not XML"),
        (b'<?xml version="1.0" encoding="klingon"?><root/>', "not XML"),
        (description(name="<b>x</b>").replace(b"<b>", b"<ve:b>"), "not XML"),
        (
            description().replace(b"<modelName>", b"<friendlyName>x</friendlyName><modelName>"),
            "duplicate",
        ),
        (b"<html><body>Welcome</body></html>", "not a GX"),
    ],
    ids=range(13),
)
def test_what_is_no_gx(xml: bytes, why: str) -> None:
    """Neither entities nor anything outside is ever read."""
    with pytest.raises(NoAnnouncement, match=why):
        announcement_in(response(xml), SENDER)


def test_texts_are_for_people() -> None:
    """A name does not speak to the terminal, and is no book."""
    found = announcement_in(response(description(name="Roof&#10;ok" + "x" * 200)), SENDER)
    assert found.name.startswith("Roof\\nok")
    assert len(found.name) <= 70
    assert str(found).isprintable()


def test_a_device_within_the_device_does_not_count() -> None:
    """The outermost one alone is read."""
    inner = f'<device xmlns:v="{VENUS}"><v:X_VrmPortalId>evil</v:X_VrmPortalId></device>'
    device = f"<device><manufacturer>Victron Energy</manufacturer>{inner}</device>"
    xml = f'<root xmlns="{DEVICE}">{device}</root>'
    with pytest.raises(NoAnnouncement, match="not a GX"):
        announcement_in(response(xml.encode()), SENDER)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\na", False),
        (b"HTTP/1.0 200 OK\r\n\r\nab", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\nab", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2", False),
    ],
)
def test_the_end_of_a_response(said: bytes, expected: bool) -> None:
    """If its length is told, nobody waits for the end of the connection."""
    assert is_whole(said) is expected


@given(st.binary(max_size=300))
def test_anything_may_answer(said: bytes) -> None:
    """It is read, or one of two errors; never another."""
    with suppress(NoAnnouncement, NotFollowed):
        location_in(said, SENDER)
    with suppress(NoAnnouncement, NotFollowed):
        location_in(b"HTTP/1.1 200 OK\r\nLocation: " + said, SENDER)
    for response_to in (said, response(said)):
        is_whole(response_to)
        with suppress(NoAnnouncement):
            announcement_in(response_to, SENDER)
