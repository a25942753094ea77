"""The floor: what paho costs with an empty callback.

python -m tests.bench.floor_paho PORT [MODULE...]: the modules are imported as well, and not used.
"""

import importlib
import sys

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


def main() -> None:
    """Listens until it is ended."""
    for name in sys.argv[2:]:
        importlib.import_module(name)
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    client.on_message = lambda client, userdata, message: None
    client.on_connect = lambda client, *_: client.subscribe(
        [("N/+/solarcharger/#", 0), ("N/+/heartbeat", 0)]
    )
    client.connect("127.0.0.1", int(sys.argv[1]), keepalive=20)
    client.loop_forever()


if __name__ == "__main__":
    main()
