"""The grammar of the verbs that set up and look after: check, discover, pin, pair."""

import argparse
from pathlib import Path
from typing import Any, Final

DEFAULT_CERTIFICATE: Final = Path("gx.pem")
DEFAULT_TOKEN: Final = Path("gx_token.txt")
HIGHEST_PORT: Final = 65_535


def add_check(verbs: Any) -> None:
    """The grammar of `check`."""
    verb = verbs.add_parser(
        "check",
        help="say what is wrong and how to mend it",
        description="Looks at everything from the config to the backend, and stops at nothing."
        " Stores nothing and changes nothing. Exit status 0 only when all holds.",
    )
    verb.add_argument("--json", action="store_true", help="as JSON")
    verb.add_argument("-c", "--config", type=Path, metavar="FILE", help="default: config.yaml")
    verb.set_defaults(verb="check")


def add_discover(verbs: Any) -> None:
    """The grammar of `discover`."""
    verb = verbs.add_parser(
        "discover",
        help="find the GX and its chargers, and print a config",
        description="Finds the portal id and the chargers of a GX, and prints a config for it."
        " Needs no config.",
    )
    verb.add_argument("host", nargs="?", metavar="HOST", help="default: a GX on this machine")
    _add_port(verb, "default: 1883, or 8883 with --certificate")
    _add_certificate(verb, "the GX's certificate as pin saved it; with it, TLS is used")
    _add_password_file(verb)
    verb.set_defaults(verb="discover")


def add_pin(verbs: Any) -> None:
    """The grammar of `pin`."""
    verb = verbs.add_parser(
        "pin",
        help="fetch the certificate of a GX, to trust no other",
        description="Fetches the certificate of a GX, shows its fingerprint, saves it, and prints"
        " the config lines. Do this on a network you trust.",
    )
    verb.add_argument("host", metavar="HOST", help="the GX")
    _add_port(verb, "default: 8883")
    _add_output(verb, DEFAULT_CERTIFICATE, "where to save it")
    verb.set_defaults(verb="pin")


def add_pair(verbs: Any) -> None:
    """The grammar of `pair`."""
    verb = verbs.add_parser(
        "pair",
        help="obtain a token from a GX (Venus OS v3.80 or later)",
        description="Obtains a token from a GX, with its password or in its pairing window, saves"
        " it where only you can read it, and prints the config lines. Run pin first.",
    )
    verb.add_argument("host", metavar="HOST", help="the GX")
    _add_port(verb, "default: 443")
    _add_certificate(verb, f"the GX's certificate as pin saved it; default: {DEFAULT_CERTIFICATE}")
    _add_password_file(verb)
    _add_output(verb, DEFAULT_TOKEN, "where to save the token")
    verb.set_defaults(verb="pair")


def _add_port(verb: argparse.ArgumentParser, text: str) -> None:
    verb.add_argument("--port", type=_port, help=text)


def _add_certificate(verb: argparse.ArgumentParser, text: str) -> None:
    verb.add_argument("--certificate", type=Path, metavar="FILE", help=text)


def _add_password_file(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="a file with the GX's network password in its first line; or set"
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


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= HIGHEST_PORT):
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 65535, found {text!r}")
    return int(text)
