"""Makes MQTT packets: use them where a test plays the broker itself."""

CONNACK = b"\x20\x02\x00\x00"
SUBACK = b"\x90\x03\x00\x01\x00"
PINGRESP = b"\xd0\x00"
QOS_1 = b"\x32\x07\x00\x01t\x00\x05hi"
QOS_2 = b"\x34\x07\x00\x01t\x00\x06hi"


def publish(topic: bytes, payload: bytes, first: int = 0x30) -> bytes:
    """A QoS 0 PUBLISH."""
    body = len(topic).to_bytes(2, "big") + topic + payload
    return bytes([first]) + length_of(len(body)) + body


def length_of(count: int) -> bytes:
    """The length of a packet, in as many bytes as it takes."""
    encoded = bytearray()
    while count > 127:
        encoded.append(count & 127 | 128)
        count >>= 7
    return bytes([*encoded, count])
