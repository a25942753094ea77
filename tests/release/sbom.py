"""Makes the SBOM in CycloneDX's JSON: what the archive and the image contain.

It is made from the lock file, which says of each package its version and the hash of its wheel, and
from the wheels themselves, which say what they need and under which licence they are.
"""

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from typing import Any

from tests.release.sources import Version

SPECIFICATION = "1.6"
NAME = "mqtt-http-bridge"
LOCKED = re.compile(r"(?P<name>[\w.-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Locked:
    """One line of the lock file."""

    name: str
    version: str
    sha256: str


def locked(text: str) -> list[Locked]:
    """Reads a lock file. Raises ValueError for a line that is neither a package nor a comment."""
    found = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = LOCKED.fullmatch(line)
        if match is None:
            raise ValueError(f"expected NAME==VERSION --hash=sha256:..., found {line!r}")
        found.append(Locked(**match.groupdict()))
    return found


def sbom(version: Version, packages: Iterable[Locked], metadata: Mapping[str, str]) -> Document:
    """Makes the document.

    `metadata` is what each wheel says of itself, by the hash of the wheel, and what ours says under
    the empty text.
    """
    said = {sha256: HeaderParser().parsestr(text) for sha256, text in metadata.items()}
    packages = sorted(packages, key=lambda package: normal(package.name))
    references = {normal(p.name): purl(p.name, p.version) for p in packages}
    ours = purl(NAME, version.name)
    needs = {ours: said[""], **{references[normal(p.name)]: said[p.sha256] for p in packages}}
    document = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {
            "timestamp": version.released.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": _component(NAME, version.name, said[""]) | {"type": "application"},
        },
        "components": [
            _component(p.name, p.version, said[p.sha256])
            | {"hashes": [{"alg": "SHA-256", "content": p.sha256}]}
            for p in packages
        ],
        "dependencies": [
            {
                "ref": reference,
                "dependsOn": sorted(references[n] for n in required(about) if n in references),
            }
            for reference, about in needs.items()
        ],
    }
    # Of its content, so that it is another one whenever anything is.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return {"serialNumber": f"urn:uuid:{number}", **document}


def _component(name: str, version: str, about: Message) -> Document:
    reference = purl(name, version)
    found = {
        "type": "library",
        "bom-ref": reference,
        "name": name,
        "version": version,
        "purl": reference,
    }
    licences = licences_in(about)
    return found | ({"licenses": licences} if licences else {})


def licences_in(about: Message) -> list[Document]:
    """The licence as a wheel states it: as an expression, or in its own words."""
    if expression := about["License-Expression"]:
        return [{"expression": expression}]
    text = (about["License"] or "").strip()
    return [{"license": {"name": text}}] if text and "\n" not in text else []


def required(about: Message) -> set[str]:
    """The names of what a wheel always needs; what only its extras need is left out."""
    return {
        normal(re.split(r"[^\w.-]", need, maxsplit=1)[0])
        for need in about.get_all("Requires-Dist", [])
        if "extra ==" not in need
    }


def purl(name: str, version: str) -> str:
    """The address of a package of the Python package index."""
    return f"pkg:pypi/{normal(name)}@{version}"


def normal(name: str) -> str:
    """A name as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()
