"""Prints the options for a first config that contradict an existing config.

usage: python3 agrees.py CONFIG [--url URL] [--gx ADDRESS] [--api-key-file FILE]
                         [--fingerprint SHA256] [--web-fingerprint SHA256]

It needs PyYAML, which is in the archive. If it cannot read the config, it prints nothing: that is
reported by `config test`.
"""

import argparse
import hashlib
import ssl
import sys
from pathlib import Path
from typing import Any

import yaml


def main() -> None:
    """Prints the options, one per line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--url")
    parser.add_argument("--gx")
    parser.add_argument("--api-key-file", type=Path)
    parser.add_argument("--fingerprint")
    parser.add_argument("--web-fingerprint")
    given = parser.parse_args()
    try:
        found = yaml.safe_load(given.config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return
    found = found if isinstance(found, dict) else {}
    if given.url is not None and given.url != value(found, "backend", "url"):
        print("--url")
    if given.gx is not None and given.gx != value(found, "mqtt", "host"):
        print("--gx")
    if given.api_key_file and key_in(given.api_key_file) != key_of(found, given.config.parent):
        print("--api-key-file")
    beside = given.config.parent
    broker = value(found, "mqtt", "pinned_certificate")
    if not is_pinned(given.fingerprint, beside / broker if broker else None):
        print("--fingerprint")
    stem = given.config.stem
    web = "gx_web.pem" if stem == "config" else f"{stem}.gx_web.pem"
    if not is_pinned(given.web_fingerprint, beside / web):
        print("--web-fingerprint")


def is_pinned(fingerprint: str | None, path: Path | None) -> bool:
    """Tells whether the certificate in a file has this fingerprint; true if it is None."""
    if fingerprint is None:
        return True
    try:
        der = ssl.PEM_cert_to_DER_cert(path.read_text(encoding="ascii") if path else "")
    except (OSError, ValueError):
        return False
    return hashlib.sha256(der).hexdigest() == fingerprint.replace(":", "").lower()


def value(config: dict[Any, Any], section: str, key: str) -> str | None:
    """Returns a value of the config as text."""
    found = config.get(section)
    said = found.get(key) if isinstance(found, dict) else None
    return None if said is None else str(said)


def key_of(config: dict[Any, Any], directory: Path) -> str | None:
    """Returns the API key in the config, or in the file that the config names."""
    file = value(config, "backend", "api_key_file")
    return key_in(directory / file) if file else value(config, "backend", "api_key")


def key_in(path: Path) -> str | None:
    """Returns the first line of a file."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()[0].strip()
    except (OSError, UnicodeDecodeError, IndexError):
        return None


if __name__ == "__main__":
    sys.exit(main())
