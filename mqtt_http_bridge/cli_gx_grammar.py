"""Defines the command line of the verbs that find a GX, trust it and log in to it."""

import argparse
from pathlib import Path
from typing import Any, Final

from mqtt_http_bridge.cli_values import fingerprint, host, port

DEFAULT_CONFIG: Final = Path("config.yaml")
DEFAULT_CERTIFICATE: Final = Path("gx.pem")
DEFAULT_WEB_CERTIFICATE: Final = Path("gx_web.pem")
DEFAULT_TOKEN: Final = Path("gx_token.txt")


def add_setup(verbs: Any) -> None:
    """The grammar of `setup`."""
    verb = verbs.add_parser(
        "setup",
        help="find the GX, log in to it, and write a tested config",
        description="Searches the network for GX devices, shows what it finds, and asks for what it"
        " cannot know. Pins the certificate, pairs if the GX supports it, writes the config and the"
        " secrets so that only their owner can read them, checks the config, and offers to start."
        " Without a terminal it asks nothing: everything comes from options, files and the"
        " environment, and --fingerprint says which server to trust.",
    )
    verb.add_argument(
        "-c",
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help=f"the config to write, which must not exist yet; default: {DEFAULT_CONFIG}",
    )
    verb.add_argument(
        "--host",
        type=host,
        metavar="ADDRESS",
        help="the GX; default: the one that a search finds",
    )
    _add_port(verb, "the port of its broker with TLS; default: 8883")
    _add_web_port(verb)
    _add_fingerprints(verb, "required without a terminal")
    _add_password_file(verb)
    verb.add_argument("--url", help="the address of the backend")
    verb.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="a file with the backend's API key on its first line (/dev/stdin works too); or set"
        " MQTT_HTTP_BRIDGE_API_KEY",
    )
    verb.add_argument("--outbox", type=Path, metavar="DIRECTORY", help="outbox.directory")
    ends = verb.add_mutually_exclusive_group()
    ends.add_argument(
        "--start",
        dest="starts",
        action="store_true",
        default=None,
        help="start relaying here at the end, until Ctrl+C",
    )
    ends.add_argument(
        "--no-start",
        dest="starts",
        action="store_false",
        default=None,
        help="do not start, and do not ask",
    )
    verb.set_defaults(verb="setup")


def add_discover(verbs: Any) -> None:
    """The grammar of `discover`."""
    verb = verbs.add_parser(
        "discover",
        help="find the GX and its chargers, and print a config",
        description="Finds the portal id and the chargers of a GX, and prints a config for it."
        " Needs no config.",
    )
    verb.add_argument(
        "host", nargs="?", type=host, metavar="HOST", help="default: the GX that a search finds"
    )
    _add_port(verb, "default: 1883, or 8883 with --certificate")
    _add_certificate(verb, "the GX's certificate, as saved by pin; turns TLS on")
    _add_password_file(verb)
    verb.set_defaults(verb="discover")


def add_pin(verbs: Any) -> None:
    """The grammar of `pin`."""
    verb = verbs.add_parser(
        "pin",
        help="fetch the certificates of a GX, to trust only those",
        description="Fetches both certificates of a GX, its broker's and its web server's (for"
        " pair), shows their fingerprints, saves them, and prints the lines for the config. Do this"
        " on a network you trust.",
    )
    verb.add_argument("host", type=host, metavar="HOST", help="the GX")
    _add_port(verb, "the port of the broker; default: 8883")
    _add_output(verb, DEFAULT_CERTIFICATE, "where to save the broker's certificate")
    _add_web_port(verb)
    verb.add_argument(
        "--web-output",
        type=Path,
        default=DEFAULT_WEB_CERTIFICATE,
        metavar="FILE",
        help=f"where to save the web server's certificate; default: {DEFAULT_WEB_CERTIFICATE}",
    )
    _add_fingerprints(verb, "for scripts")
    verb.set_defaults(verb="pin")


def add_pair(verbs: Any) -> None:
    """The grammar of `pair`."""
    verb = verbs.add_parser(
        "pair",
        help="obtain a token from a GX (Venus OS v3.80 or later)",
        description="Obtains a token from a GX, with its password or while its pairing mode is on,"
        " saves it where only you can read it, waits until the broker accepts it, and prints the"
        " lines for the config. An earlier token in the file is replaced. Run pin first.",
    )
    verb.add_argument("host", type=host, metavar="HOST", help="the GX")
    _add_web_port(verb)
    verb.add_argument(
        "--web-certificate",
        type=Path,
        default=DEFAULT_WEB_CERTIFICATE,
        metavar="FILE",
        help="the certificate of the GX's web server, as saved by pin; default:"
        f" {DEFAULT_WEB_CERTIFICATE}",
    )
    verb.add_argument(
        "--mqtt-port", type=port, metavar="PORT", help="the port of the broker; default: 8883"
    )
    _add_certificate(
        verb, f"the broker's certificate, as saved by pin; default: {DEFAULT_CERTIFICATE}"
    )
    _add_password_file(verb)
    _add_output(verb, DEFAULT_TOKEN, "where to save the token")
    verb.set_defaults(verb="pair")


def _add_web_port(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--web-port", type=port, metavar="PORT", help="the port of the web server; default: 443"
    )


def _add_fingerprints(verb: argparse.ArgumentParser, why: str) -> None:
    for name, whose in (("--fingerprint", "broker"), ("--web-fingerprint", "web server")):
        verb.add_argument(
            name,
            type=fingerprint,
            metavar="SHA256",
            help=f"trust the {whose} only if its certificate has this fingerprint; {why}",
        )


def _add_port(verb: argparse.ArgumentParser, text: str) -> None:
    verb.add_argument("--port", type=port, help=text)


def _add_certificate(verb: argparse.ArgumentParser, text: str) -> None:
    verb.add_argument("--certificate", type=Path, metavar="FILE", help=text)


def _add_password_file(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="a file with the GX's network password on its first line; or set"
        " MQTT_HTTP_BRIDGE_MQTT_PASSWORD",
    )


def _add_output(verb: argparse.ArgumentParser, default: Path, text: str) -> None:
    verb.add_argument(
        "-o",
        "--output",
        type=Path,
        default=default,
        metavar="FILE",
        help=f"{text}; default: {default}",
    )
