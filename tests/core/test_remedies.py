"""Tests the names of the troubles at the backend that somebody has to fix."""

from mqtt_http_bridge.core.solar_backend import remedies


def test_each_cause_of_a_device_has_its_own_word() -> None:
    """Keeps the words that stand in the outbox: another one would make another cause of it."""
    codes = [cause.code for cause in remedies.REFUSALS]
    assert codes == ["not registered", "unauthorized", "invalid", "refused"]


def test_each_cause_of_everything_has_its_own_word() -> None:
    """Tells one trouble from the next: each is told once."""
    causes = (
        *(remedies.WRONG_KEY, remedies.PROXY_LOGIN, remedies.REDIRECT),
        *(remedies.NOT_THE_API, remedies.WRONG_PLACE),
    )
    codes = [cause.code for cause in causes]
    assert codes == ["wrong key", "proxy login", "redirect", "not the API", "wrong place"]


def test_who_looks_at_the_key_and_who_does_not() -> None:
    """Blames the key for a device of another account alone: no key registers a device."""
    of_key = {cause for cause in remedies.REFUSALS if cause.is_of_key}
    of_serial = {cause for cause in remedies.REFUSALS if cause.is_of_serial}
    assert of_key == {remedies.OTHER_ACCOUNT}
    assert of_serial == {remedies.NOT_REGISTERED}
