"""Tests which subscriptions a broker has refused, also if it answers before we know our number."""

import threading
from typing import Any, Final

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_http_bridge.adapters.broker.asked import Asked
from tests.support.patience import PATIENCE_S

GRANTED: Final = ReasonCode(PacketTypes.SUBACK, "Granted QoS 0")
REFUSED: Final = ReasonCode(PacketTypes.SUBACK, "Unspecified error")
AT_ONCE_S: Final = 0.2


class QuickBroker:
    """Stands in for paho's client: another thread hears the answer while `subscribe` still runs."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.refused: tuple[str, ...] | None = None
        self.thread = threading.Thread(target=self._answer)

    def subscribe(self, topics: list[tuple[str, int]]) -> tuple[int, int]:
        assert [qos for _, qos in topics] == [0, 0]
        self.thread.start()
        self.thread.join(AT_ONCE_S)
        return 0, 7

    def _answer(self) -> None:
        self.refused = self._asked.refused(7, [GRANTED, REFUSED])


def test_an_answer_that_comes_at_once_is_understood() -> None:
    """Otherwise nobody would say why a GX is silent."""
    asked = Asked()
    client: Any = QuickBroker(asked)
    asked.subscribe(client, ("N/a/#", "N/b/#"))
    client.thread.join(PATIENCE_S)
    assert client.refused == ("N/b/#",)
    assert asked.refused(7, [REFUSED]) == (), "it is answered once"
