"""The floor: what paho costs with an empty callback.

python -m tests.bench.floor_paho PORT [--count] [MODULE...]: the modules are imported as well, and
not used. With --count the callback counts, and SIGUSR1 has the count printed.
"""

import importlib
import signal
import sys
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


class Counter:
    """Counts messages."""

    def __init__(self) -> None:
        self.count = 0

    def take(self, client: Any, userdata: Any, message: Any) -> None:
        self.count += 1

    def tell(self, number: int, frame: Any) -> None:
        print(self.count, flush=True)


def main() -> None:
    """Listens until it is ended; a connection that is lost is the end, too."""
    port, is_counting, modules = int(sys.argv[1]), sys.argv[2:3] == ["--count"], sys.argv[2:]
    for name in modules[is_counting:]:
        importlib.import_module(name)
    client = paho.Client(
        CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311, reconnect_on_failure=False
    )
    client.on_message = lambda client, userdata, message: None
    if is_counting:
        counter = Counter()
        client.on_message = counter.take
        signal.signal(signal.SIGUSR1, counter.tell)
    client.on_connect = lambda client, *_: client.subscribe(
        [("N/+/solarcharger/#", 0), ("N/+/heartbeat", 0)]
    )
    client.connect("127.0.0.1", port, keepalive=20)
    client.loop_forever()
    sys.exit("the connection is lost")


if __name__ == "__main__":
    main()
