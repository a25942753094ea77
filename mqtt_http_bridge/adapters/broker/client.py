"""Makes paho's clients: one that reads in bulk where this paho allows that, with login and TLS."""

import logging
import struct
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt import __version__ as paho_version
from paho.mqtt.enums import CallbackAPIVersion

from mqtt_http_bridge.adapters.broker.bulk_reader import BulkClient, lacking_in
from mqtt_http_bridge.adapters.broker.one_by_one import OneByOne
from mqtt_http_bridge.adapters.broker.trust import tls_context
from mqtt_http_bridge.core.settings import MqttSettings

log = logging.getLogger(__name__)

NOT_MQTT: Final = (struct.error, IndexError, KeyError, ValueError)
"""Raised by paho's parser for an invalid packet; paho checks only some of them."""
CONNECT_TIMEOUT_S: Final = 10.0
CONNECT_TO_NEXT_S: Final = 3.0
"""The limit for each address if there are several: a dead machine does not even refuse."""


def connect_timeout_s(settings: MqttSettings) -> float:
    """Returns how long to wait for a connection to one address."""
    return CONNECT_TO_NEXT_S if len(settings.hosts) > 1 else CONNECT_TIMEOUT_S


def make_client(settings: MqttSettings, client_id: str, **bulk: Any) -> paho.Client:
    """Makes a BulkClient, or a stock client if this paho lacks something; `bulk` is for both.

    Raises ConfigError if a file with certificates is not valid.
    """
    options: dict[str, Any] = {
        "callback_api_version": CallbackAPIVersion.VERSION2,
        "client_id": client_id,
        "protocol": paho.MQTTv311,
        "reconnect_on_failure": False,
    }
    stock = paho.Client(**options)
    client = stock if lacking_in(stock) else BulkClient(**options, **bulk)
    client.on_message = OneByOne(**bulk).take
    _set_login(client, settings)
    return client


def tell_of_lack(client: paho.Client) -> None:
    """Warns that a stock client is used, because this paho lacks something."""
    if not isinstance(client, BulkClient):
        log.warning(
            "paho-mqtt %s lacks %s, which reading in bulk needs: its own reader is used, which"
            " takes ten times the CPU time; to avoid that, install the version that"
            " service/requirements.txt names",
            paho_version,
            " and ".join(lacking_in(client)),
        )


def _set_login(client: paho.Client, settings: MqttSettings) -> None:
    client.connect_timeout = connect_timeout_s(settings)
    if settings.username is not None:
        password = settings.password.reveal() if settings.password else None
        client.username_pw_set(settings.username, password)
    if settings.tls:
        context = tls_context(settings)
        client.tls_set_context(context)
        # If the context does not check the name, paho would check it itself.
        client.tls_insecure_set(not context.check_hostname)
