"""What kustomize would apply: sound by Kubernetes' own schemas, whole, and as tight as docs/deployment.md says."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cds_service.feedback.database import open_database
from cds_service.web.config import config_from

FOLDER = Path(__file__).resolve().parents[2] / "deploy/kubernetes"
EXAMPLE = FOLDER / "overlays/example"
VERSIONS = ("1.29", "1.37")
"""The oldest and the newest Kubernetes that the files are for."""
OF_KUSTOMIZE = {"kustomization.yaml", "config.patch.yaml", "secrets.example.env", "clients.example.toml"}


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def resources(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every object that this folder's kustomization names, those of the folders that it names in turn included."""
    for name in read(folder / "kustomization.yaml")["resources"]:
        path = (folder / name).resolve()
        if path.is_dir():
            yield from resources(path)
        else:
            yield path, read(path)


OBJECTS = dict(resources(EXAMPLE))
BY_KIND = {found["kind"]: found for found in OBJECTS.values()}


def pod_of(found: dict[str, Any]) -> dict[str, Any] | None:
    """The pod template of a Deployment, Job or CronJob."""
    spec = found.get("spec", {})
    template: dict[str, Any] | None = spec.get("jobTemplate", {}).get("spec", spec).get("template")
    return template


PODS = {found["metadata"]["name"]: pod for found in OBJECTS.values() if (pod := pod_of(found))}


def test_every_file_is_named_and_every_name_is_a_file() -> None:
    there = {path for path in FOLDER.rglob("*.*") if path.is_file()}
    assert there - set(OBJECTS) == {path for path in there if path.name in OF_KUSTOMIZE}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_each_object_keeps_kubernetes_schema(path: Path, version: str) -> None:
    kubernetes_validate.validate(OBJECTS[path], version, strict=True)


def test_the_schema_notices_a_slip() -> None:
    wrong = yaml.safe_load(yaml.safe_dump(BY_KIND["Deployment"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_shut_in(name: str) -> None:
    spec = PODS[name]["spec"]
    assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001, "the user of deploy/Containerfile"
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert "memory" in container["resources"]["limits"]
        assert "/tmp" in {one["mountPath"] for one in container["volumeMounts"]}


def test_references_lead_somewhere() -> None:
    secrets = {one["name"] for one in read(EXAMPLE / "kustomization.yaml")["secretGenerator"]}
    config = {BY_KIND["ConfigMap"]["metadata"]["name"]}
    for pod in PODS.values():
        assert pod["spec"]["serviceAccountName"] == BY_KIND["ServiceAccount"]["metadata"]["name"]
        for container in pod["spec"]["containers"]:
            assert {one["configMapRef"]["name"] for one in container["envFrom"] if "configMapRef" in one} == config
            assert {one["secretRef"]["name"] for one in container["envFrom"] if "secretRef" in one} <= secrets
            mounted = {one["name"] for one in container["volumeMounts"]}
            assert mounted == {one["name"] for one in pod["spec"]["volumes"]}
        used = {one["secret"]["secretName"] for one in pod["spec"]["volumes"] if "secret" in one}
        assert used <= secrets
    target = BY_KIND["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", BY_KIND["Deployment"]["metadata"]["name"])


def test_selectors_find_the_pods_of_the_service() -> None:
    labels = PODS["legcramp"]["metadata"]["labels"]
    for found in (BY_KIND["Deployment"], BY_KIND["PodDisruptionBudget"]):
        assert found["spec"]["selector"]["matchLabels"] == labels
    assert BY_KIND["Service"]["spec"]["selector"] == labels
    (guarded,) = BY_KIND["NetworkPolicy"]["spec"]["podSelector"]["matchExpressions"]
    assert set(guarded["values"]) == {pod["metadata"]["labels"][guarded["key"]] for pod in PODS.values()}


def test_a_drain_leaves_room_to_move_and_nothing_is_cut_off() -> None:
    budget, scaler = BY_KIND["PodDisruptionBudget"]["spec"], BY_KIND["HorizontalPodAutoscaler"]["spec"]
    assert budget["minAvailable"] < scaler["minReplicas"]
    pod = PODS["legcramp"]["spec"]
    (container,) = pod["containers"]
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > waits + 20, "the service takes up to 20 s to end"


def test_the_service_takes_its_settings() -> None:
    """As the overlay puts them together; the file of clients is read from where the pod has it."""
    environ = BY_KIND["ConfigMap"]["data"] | read(EXAMPLE / "config.patch.yaml")["data"]
    lines = (EXAMPLE / "secrets.example.env").read_text().splitlines()
    environ |= dict(line.split("=", 1) for line in lines)
    config = config_from(environ)
    assert not config.development
    open_database(config.database).close()
    (volume,) = (one for one in PODS["legcramp"]["spec"]["containers"][0]["volumeMounts"] if one["name"] == "clients")
    assert config.clients is not None
    assert str(config.clients.parent) == volume["mountPath"]
    assert tomllib.loads((EXAMPLE / "clients.example.toml").read_text())["client"]


def test_kustomize_puts_it_together() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed; the tests above read the same files without it")
    made = subprocess.run(["kubectl", "kustomize", str(EXAMPLE)], capture_output=True, check=False)
    assert made.returncode == 0, made.stderr.decode()
    objects = list(yaml.safe_load_all(made.stdout))
    assert len(objects) == len(OBJECTS) + 2, "and the two secrets"
    for found in objects:
        kubernetes_validate.validate(found, VERSIONS[-1], strict=True)
        assert found["metadata"]["namespace"] == "legcramp"
