"""Tests the search for GX devices: what is found, and how false answers are handled."""

import socket
import threading
import time
from functools import partial

import pytest

from mqtt_http_bridge.adapters import ssdp
from mqtt_http_bridge.adapters.ssdp import search
from mqtt_http_bridge.core.venus.announcement import Found
from tests.support.ssdp import GROUP, LOOPBACK, Device, Network, description, response

SEARCH_S = 0.75
"""Everybody is asked at its beginning, and has until its end to answer."""
ROOF, BARN = "c0619ab2f7e1", "c0619ab35133"


def found(*devices: Device) -> Found:
    """Returns what a search finds among devices on loopback."""
    with Network(devices) as network:
        return search(port=network.port, interfaces=[LOOPBACK], search_s=SEARCH_S)


def portal_ids(result: Found) -> list[str]:
    return [each.portal_id for each in result.announcements]


def test_one_gx() -> None:
    """It is asked for twice, by both names of its kind, and found once."""
    with Network([gx := Device(description())]) as network:
        result = search(port=network.port, interfaces=[LOOPBACK], search_s=1.2)
    (announcement,) = result.announcements
    assert (announcement.address, announcement.name) == ("127.0.0.1", "Workshop")
    assert result.remarks == ()
    assert gx.fetched == 1
    assert len(network.questions) == 4
    assert all(f"HOST: {GROUP}:{network.port}".encode() in each for each in network.questions)


def test_two_gx_among_others() -> None:
    """In the order of their addresses; what is no GX is none."""
    result = found(
        Device(description(BARN), address="127.0.0.3"),
        Device(description(manufacturer="Somebody else"), address="127.0.0.4"),
        Device(description(ROOF), address="127.0.0.2"),
        Device(reply=b"HTTP/1.1 200 OK\r\n\r\n"),
        Device(reply=b"\xff\xfe"),
    )
    assert portal_ids(result) == [ROOF, BARN]


def test_none() -> None:
    """Nobody answers, or nothing can be asked: nothing is found, and it takes no longer."""
    began_s = time.monotonic()
    assert found() == Found()
    assert search(interfaces=["no-such-interface"], search_s=9.0) == Found()
    assert time.monotonic() - began_s < 5.0


def test_a_liar_leads_nowhere_else() -> None:
    """An answer that names another machine makes us ask nobody, and is told."""
    victim = Device(description(), address="127.0.0.2")
    liar = Device(location=f"http://127.0.0.2:{victim.port}/", reply=None, address="127.0.0.3")
    with Network([liar]) as network:
        result = search(port=network.port, interfaces=[LOOPBACK], search_s=SEARCH_S)
    victim.close()
    assert result.announcements == ()
    (remark,) = result.remarks
    assert remark.startswith("127.0.0.3 sends us to http://127.0.0.2:")
    assert "another machine: not followed" in remark
    assert victim.fetched == 0


def trickle(connection: socket.socket, closing: threading.Event) -> None:
    """Sends a byte now and then, for ever."""
    connection.recv(4096)
    while not closing.wait(0.05):
        connection.sendall(b"H")


def flood(connection: socket.socket, closing: threading.Event) -> None:
    """Sends without an end."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    while not closing.is_set():
        connection.sendall(b" " * 65_536)


def test_a_flood_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is more than a description can be is left where it is."""
    monkeypatch.setattr(ssdp, "FETCH_S", 20.0)
    sent: list[int] = []

    def flood_and_count(connection: socket.socket, closing: threading.Event) -> None:
        connection.recv(4096)
        while not closing.is_set():
            sent.append(connection.send(b" " * 65_536))

    began_s = time.monotonic()
    assert found(Device(serve=flood_and_count)) == Found()
    assert time.monotonic() - began_s < ssdp.FETCH_S
    # What is under way in the buffers of a socket counts, too.
    assert sum(sent) < 20_000_000


def say_nothing(connection: socket.socket, closing: threading.Event) -> None:
    """Holds the connection."""
    closing.wait()


def redirect(to: int, connection: socket.socket, closing: threading.Event) -> None:
    """Sends us elsewhere by HTTP."""
    connection.recv(4096)
    connection.sendall(f"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:{to}/\r\n\r\n".encode())


def test_hostile_web_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they do, the honest one beside them is found, and the search ends in time."""
    monkeypatch.setattr(ssdp, "FETCH_S", 1.0)
    victim = Device(description(BARN))
    began_s = time.monotonic()
    result = found(
        Device(address="127.0.0.2", serve=trickle),
        Device(address="127.0.0.3", serve=say_nothing),
        Device(address="127.0.0.4", serve=flood),
        Device(address="127.0.0.5", serve=partial(redirect, victim.port)),
        Device(b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", address="127.0.0.6"),
        Device(description(ROOF), address="127.0.0.7"),
    )
    took_s = time.monotonic() - began_s
    victim.close()
    assert portal_ids(result) == [ROOF]
    assert victim.fetched == 0
    assert took_s < 5.0


def test_a_server_that_does_not_tell_the_length() -> None:
    """The end of the connection is the end of what it says."""

    def serve(connection: socket.socket, closing: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + description(ROOF))

    assert portal_ids(found(Device(serve=serve))) == [ROOF]


def test_one_machine_cannot_crowd_out_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one sender some places are followed, and no more."""
    crowd = [
        Device(description(), address="127.0.0.9", location=f"http://127.0.0.9:{{port}}/{n}")
        for n in range(ssdp.MOST_FROM_ONE + 3)
    ]
    monkeypatch.setattr(ssdp, "MOST_DESCRIPTIONS", ssdp.MOST_FROM_ONE + 1)
    result = found(*crowd, Device(description(BARN), address="127.0.0.10"))
    assert BARN in portal_ids(result)
    assert sum(device.fetched for device in crowd) == ssdp.MOST_FROM_ONE


def test_the_stand_in_is_like_a_web_server() -> None:
    """So that the tests above are about the relay."""
    assert response(b"ab").endswith(b"Content-Length: 2\r\n\r\nab")
