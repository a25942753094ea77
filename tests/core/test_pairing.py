"""Tests what a GX's answer to a pairing request means, whatever it is."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.venus.pairing import (
    ROLE,
    NoToken,
    Refusal,
    form,
    token_in,
    token_name,
)

NAME = token_name(ROLE, "5f3a")


def refusal(status: int, body: bytes = b"", *, has_password: bool = False) -> Refusal:
    with pytest.raises(NoToken) as caught:
        token_in(status, body, name=NAME, has_password=has_password)
    assert "\n" not in str(caught.value)
    return caught.value.refusal


def test_a_token() -> None:
    """Its name is the one that was asked for."""
    body = json.dumps({"token_name": NAME, "password": "secret"}).encode()
    token = token_in(200, body, name=NAME, has_password=True)
    assert (token.name, token.password.reveal(), token.device_id) == (NAME, "secret", "5f3a")
    assert "secret" not in repr(token)


def test_our_own_fields_are_fit() -> None:
    """The GX takes letters, digits and _ alone: no hyphen."""
    assert form(ROLE, "5f3a") == "role=mqtt_http_bridge&device_id=5f3a"
    for field in ("mqtt-http-bridge", "", "a b", "ä", "a\n"):
        with pytest.raises(ValueError, match="expected letters"):
            form(ROLE, field)


@pytest.mark.parametrize(
    ("status", "has_password", "expected"),
    [
        (400, False, Refusal.BAD_REQUEST),
        (400, True, Refusal.BAD_REQUEST),
        (401, False, Refusal.NOT_IN_PAIRING_MODE),
        (403, False, Refusal.NOT_IN_PAIRING_MODE),
        (401, True, Refusal.PASSWORD_REFUSED),
        (403, True, Refusal.FORBIDDEN),
        (404, True, Refusal.NOT_OFFERED),
        (500, True, Refusal.NOT_UNDERSTOOD),
        (302, False, Refusal.NOT_UNDERSTOOD),
    ],
)
def test_refusals_are_told_apart(status: int, has_password: bool, expected: Refusal) -> None:
    """By the status, and whether there was a password to refuse."""
    assert refusal(status, has_password=has_password) is expected


def test_what_the_gx_says_is_told_in_one_line() -> None:
    """Its plain text says which field; a page or a control character says nothing to us."""
    for body, said in (
        (b"Invalid role\nmore", " (Invalid role)"),
        (b"\x1b[2J", " (\\x1b[2J)"),
        (b"<html>", ":"),
    ):
        with pytest.raises(NoToken, match="found 400") as caught:
            token_in(400, body, name=NAME, has_password=False)
        assert f"found 400{said}" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {"token_name": "token/other/5f3a", "password": "x"},
        {"token_name": NAME},
        {"token_name": NAME, "password": 1},
        {"token_name": NAME, "password": ""},
        {"token_name": NAME, "password": "a\nb"},
        {"token_name": NAME, "password": "x" * 1001},
        [],
        None,
    ],
)
def test_a_token_that_is_none(body: object) -> None:
    """Another name, or a password that no file could hold in its first line."""
    assert refusal(200, json.dumps(body).encode()) is Refusal.NOT_UNDERSTOOD


@given(st.integers(100, 599), st.binary(max_size=200), st.booleans())
def test_any_answer(status: int, body: bytes, has_password: bool) -> None:
    """It is a token or one error, never another."""
    with suppress(NoToken):
        token_in(status, body, name=NAME, has_password=has_password)
