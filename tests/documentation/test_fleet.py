"""Tests the manifests of a fleet: they start a relay for each shard, with its own outbox."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.core.shard import Shard
from tests.documentation.pages import page
from tests.documentation.test_reference import verbs
from tests.support.places import ROOT

FOLDER = ROOT / "docs" / "fleet"
VARIABLE = "MQTT_HTTP_BRIDGE_SHARD"


def manifests() -> dict[str, Any]:
    """The objects for Kubernetes, by kind."""
    text = (FOLDER / "statefulset.yaml").read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def container() -> dict[str, Any]:
    """The one container of a pod."""
    (found,) = manifests()["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


# --- Kubernetes ----------------------------------------------------------------------------------


def test_each_pod_has_a_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its host name, with the config of the manifest; together they are all, and no more."""
    stateful = manifests()["StatefulSet"]
    (tmp_path / "api_key").write_text("key\n", encoding="utf-8")
    text = manifests()["ConfigMap"]["data"]["config.yaml"].replace("/secrets", str(tmp_path))
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    replicas = stateful["spec"]["replicas"]
    shards = []
    for ordinal in range(replicas):
        name = f"{stateful['metadata']['name']}-{ordinal}"
        uname = os.uname_result(("Linux", name, "6.1", "#1", "x86_64"))
        monkeypatch.setattr(os, "uname", lambda uname=uname: uname)
        shards.append(load(tmp_path / "config.yaml", {}).mqtt.shard)
    assert shards == [Shard(ordinal, replicas) for ordinal in range(replicas)]


def test_the_outbox_is_on_the_volume_of_the_pod(tmp_path: Path) -> None:
    """And the config, the key and the state file are where the relay looks for them."""
    config = yaml.safe_load(manifests()["ConfigMap"]["data"]["config.yaml"])
    mounts = {each["mountPath"]: each["name"] for each in container()["volumeMounts"]}
    (claim,) = manifests()["StatefulSet"]["spec"]["volumeClaimTemplates"]
    assert mounts["/data"] == claim["metadata"]["name"]
    assert config["outbox"]["directory"].startswith("/data/")
    room = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 2**30
    assert config["outbox"]["max_bytes"] < room / 2
    assert config["backend"]["api_key_file"].rpartition("/")[0] in mounts
    docker = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "WORKDIR /config" in docker
    assert "/config" in mounts
    compose = (ROOT / "docs" / "compose.yaml").read_text(encoding="utf-8")
    assert "/run/mqtt-http-bridge" in mounts
    assert "/run/mqtt-http-bridge" in compose
    user = manifests()["StatefulSet"]["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}:" in docker


def test_the_probes_are_verbs_of_ours() -> None:
    """Only what stands still is restarted: whether all is well is another question."""
    assert container()["args"] == ["run"]
    alive = container()["livenessProbe"]["exec"]["command"]
    ready = container()["readinessProbe"]["exec"]["command"]
    assert alive == ["mqtt-http-bridge", "health", "--alive"]
    assert ready == ["mqtt-http-bridge", "health"]
    assert {"run", "health"} <= set(verbs())


def test_the_parts_of_the_manifest_fit_each_other() -> None:
    """Names and labels by which they refer to each other."""
    found = manifests()
    spec = found["StatefulSet"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels == found["Service"]["spec"]["selector"]
    assert spec["serviceName"] == found["Service"]["metadata"]["name"]
    volumes = {each["name"]: each for each in spec["template"]["spec"]["volumes"]}
    assert volumes["config"]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    mounted = {each["name"] for each in container()["volumeMounts"]}
    assert mounted == set(volumes) | {"data"}
    secret = volumes["keys"]["secret"]["secretName"]
    assert (
        f"kubectl create secret generic {secret} --from-file=api_key=" in page("docs/fleet.md").text
    )
    (port,) = container()["ports"]
    config = yaml.safe_load(found["ConfigMap"]["data"]["config.yaml"])
    assert config["status"]["listen"].endswith(f":{port['containerPort']}")


# --- one machine ---------------------------------------------------------------------------------


def test_the_compose_file_has_each_shard_once() -> None:
    """With an outbox for each, and all else as the compose file for one relay has it."""
    fleet = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    services = list(fleet["services"].values())
    count = len(services)
    found = [service["environment"][VARIABLE] for service in services]
    assert found == [str(Shard(ordinal, count)) for ordinal in range(count)]
    outboxes = [service["volumes"][0] for service in services]
    assert {each.partition(":")[0] for each in outboxes} == set(fleet["volumes"])
    assert len(set(outboxes)) == count
    assert all(each.endswith(":/data") for each in outboxes)
    ports = [service["ports"] for service in services]
    assert ports == [[f"127.0.0.1:{8480 + ordinal}:8480"] for ordinal in range(count)]
    one = yaml.safe_load((ROOT / "docs" / "compose.yaml").read_text(encoding="utf-8"))
    (alone,) = one["services"].values()
    for service in services:
        assert (FOLDER / service["build"] / "Dockerfile").exists()
        for key in ("read_only", "cap_drop", "security_opt", "tmpfs", "restart"):
            assert service[key] == alone[key]


def test_each_instance_of_the_unit_has_its_shard(tmp_path: Path) -> None:
    """The instances that the page installs are all shards; their outboxes and ports differ."""
    text = page("docs/fleet.md").text
    ((instances, loop),) = re.findall(
        r"for n in ([0-9 ]+); do\n((?:(?! *done).*\n)*.*install\.sh --config .*\n)", text
    )
    assert 'sed "s/NUMBER/$n/g" fleet.yaml >$n.yaml' in loop
    template = (FOLDER / "shard.yaml").read_text(encoding="utf-8")
    unit = (ROOT / "service" / "mqtt-http-bridge@.service").read_text(encoding="utf-8")
    assert "StateDirectory=mqtt-http-bridge/%i\n" in unit
    numbers = [int(n) for n in instances.split()]
    ports = set()
    for n in numbers:
        for secret in ("api_key.txt", "gx_password.txt"):
            assert f"/etc/mqtt-http-bridge/$n.{secret}" in loop
            (tmp_path / f"{n}.{secret}").write_text("secret\n", encoding="utf-8")
        config = tmp_path / f"{n}.yaml"
        config.write_text(template.replace("NUMBER", str(n)), encoding="utf-8")
        settings = load(config, {})
        assert settings.mqtt.password
        assert settings.mqtt.shard == Shard(n, len(numbers))
        assert str(settings.outbox.directory) == f"/var/lib/mqtt-http-bridge/{n}/outbox"
        ports.add(settings.status.listen)
    assert len(ports) == len(numbers)


def test_the_page_changes_the_shard_of_an_instance() -> None:
    """Its `sed` meets the one line of the config that it means, and only that."""
    (pattern,) = re.findall(r"s\|(\^  shard: \.\*)\|", page("docs/fleet.md").text)
    template = (FOLDER / "shard.yaml").read_text(encoding="utf-8")
    assert re.findall(pattern, template, re.MULTILINE) == ["  shard: NUMBER/4"]
