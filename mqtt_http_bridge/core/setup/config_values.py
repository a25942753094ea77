"""The config that a setup results in, and the files beside it."""

from dataclasses import dataclass
from typing import Any

from mqtt_http_bridge.core.setup.steps import Plan


@dataclass(frozen=True, slots=True)
class FileNames:
    """The names of the files beside a config, which no two services in one folder share."""

    certificate: str
    web_certificate: str
    token: str
    password: str
    api_key: str


def file_names(stem: str) -> FileNames:
    """Returns them for the config `<stem>.yaml`: for `config` as `pin` and `pair` have them."""
    before = "" if stem == "config" else f"{stem}."
    return FileNames(
        certificate=f"{before}gx.pem",
        web_certificate=f"{before}gx_web.pem",
        token=f"{before}gx_token.txt",
        password=f"{before}gx_password.txt",
        api_key=f"{before}api_key.txt",
    )


def config_values(plan: Plan, names: FileNames) -> dict[str, Any]:
    """Returns the value of each key that is set; secrets stand in files of their own."""
    access = plan.access
    values: dict[str, Any] = {
        "backend.url": plan.url,
        "backend.api_key_file": names.api_key,
        "mqtt.host": access.host,
        "mqtt.port": access.port,
    }
    if access.is_tls:
        values |= {"mqtt.tls": True, "mqtt.pinned_certificate": names.certificate}
    if access.token is not None:
        values |= {"mqtt.username": access.token.name, "mqtt.password_file": names.token}
    elif access.password is not None:
        values["mqtt.password_file"] = names.password
    if len(plan.portal_ids) == 1:
        values["mqtt.portal_id"] = plan.portal_ids[0]
    if set(plan.services) - {"solarcharger"}:
        values["mqtt.services"] = list(plan.services)
    return values
