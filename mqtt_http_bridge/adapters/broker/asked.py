"""Keeps what we have asked to subscribe to, until the broker answers."""

import threading
from collections.abc import Sequence
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

MOST_ASKED: Final = 20_000
"""The most subscriptions whose answers we wait for."""


class Asked:
    """Holds the subscriptions of one connection that wait for an answer. For any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: dict[int, tuple[str, ...]] = {}
        """The topic filters of each SUBSCRIBE."""

    def start_afresh(self) -> None:
        """Starts a new connection."""
        with self._mutex:
            self._waiting.clear()

    def subscribe(self, client: paho.Client, topics: tuple[str, ...]) -> None:
        """Subscribes with QoS 0; does nothing while there is no connection."""
        with self._mutex:  # Another thread may hear the answer before paho says its number.
            _, number = client.subscribe([(topic, 0) for topic in topics])
            if number is not None and len(self._waiting) < MOST_ASKED:
                self._waiting[number] = topics

    def refused(self, number: int, codes: Sequence[ReasonCode]) -> tuple[str, ...]:
        """Takes in the answer to a SUBSCRIBE; returns the topic filters that are refused."""
        with self._mutex:
            topics = self._waiting.pop(number, ())
        return tuple(t for t, code in zip(topics, codes, strict=False) if code.is_failure)
