"""The Kubernetes manifests fit the API's schemas and each other, and confine every pod."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click import Context

from cli.main import main
from tests.optional_programs import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
KUSTOMIZATIONS = sorted(KUBERNETES.rglob("kustomization.yaml"))
VERSIONS = ("1.29.0", "1.32.0")
Manifest = dict[str, Any]


def manifests() -> list[Manifest]:
    found: list[Manifest] = []
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        if path.name != "kustomization.yaml":
            found += yaml.safe_load_all(path.read_text())
    return found


MANIFESTS = manifests()
WORKLOADS = [each for each in MANIFESTS if each["kind"] in ("Deployment", "Job")]
SERVING = [
    each
    for each in WORKLOADS
    if each["metadata"]["name"] not in ("nivisco-migrate", "nivisco-operator")
]


def name_of(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def pod(workload: Manifest) -> Any:
    return workload["spec"]["template"]["spec"]


def of_kind(kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in MANIFESTS if each["kind"] == kind}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", MANIFESTS, ids=name_of)
def test_a_manifest_fits_the_schema_of_its_kind(manifest: Manifest, version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_validation_finds_an_unknown_field() -> None:
    wrong = MANIFESTS[0] | {"specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_a_kustomization_names_files_that_exist(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    missing = [each for each in content["resources"] if not (path.parent / each).exists()]
    unlisted = {each.name for each in path.parent.glob("*.yaml")} - {
        path.name,
        *content["resources"],
    }
    assert (missing, unlisted) == ([], set())
    for generator in content.get("configMapGenerator", []):
        assert all((path.parent / file).exists() for file in generator.get("files", []))


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_what_a_pod_mounts_is_generated(workload: Manifest) -> None:
    generated: set[str] = set()
    for path in KUSTOMIZATIONS:
        content = yaml.safe_load(path.read_text())
        for generator in ("configMapGenerator", "secretGenerator"):
            generated |= {each["name"] for each in content.get(generator, [])}
    for volume in pod(workload)["volumes"]:
        name = volume.get("configMap", {}).get("name") or volume["secret"]["secretName"]
        assert name in generated
        assert volume.get("secret", {}).get("defaultMode", 0o440) == 0o440


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_a_pod_has_no_privilege(workload: Manifest) -> None:
    spec = pod(workload)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert container["resources"]["limits"]["memory"]
    assert [
        each for each in container.get("args", []) if each not in main.list_commands(Context(main))
    ] == []


@pytest.mark.parametrize("workload", SERVING, ids=name_of)
def test_a_process_has_probes_and_time_to_drain(workload: Manifest) -> None:
    spec = pod(workload)
    (container,) = spec["containers"]
    paths = [
        container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")
    ]
    assert [each["path"] for each in paths] == ["/healthz", "/healthz", "/readyz"]
    assert {each["port"] for each in paths} == {"metrics"}
    assert {"name": "metrics", "containerPort": 9464} in container["ports"]
    lame_duck, drain = 5, 28
    rounds = 2 if container["name"] == "adapter" else 1
    assert spec["terminationGracePeriodSeconds"] > rounds * lame_duck + drain


def test_every_pod_has_a_network_policy_and_every_process_a_disruption_budget() -> None:
    names = {each["metadata"]["name"] for each in WORKLOADS}
    assert of_kind("NetworkPolicy").keys() == names
    assert of_kind("PodDisruptionBudget").keys() == {each["metadata"]["name"] for each in SERVING}
    scaled = of_kind("HorizontalPodAutoscaler")
    assert scaled.keys() == {"nivisco-core", "nivisco-adapter"}
    for each in SERVING:  # who is scaled has no number of its own, which an apply would restore
        assert ("replicas" in each["spec"]) is (each["metadata"]["name"] not in scaled)


def test_a_job_that_ended_leaves_before_the_next_apply_meets_it() -> None:
    for job in of_kind("Job").values():
        assert job["spec"]["ttlSecondsAfterFinished"] <= 3600


@pytest.mark.parametrize(
    ("name", "ports"),
    [
        ("core", {53, 443, 4318, 5432, 8200}),  # the gateways, traces, PostgreSQL, Vault
        ("adapter", {53, 4318, 50051}),
        ("scheduler", {53, 4318, 50051}),
        ("migrate", {53, 5432, 8200}),
        ("operator", {53, 50051}),
    ],
)
def test_a_pod_reaches_what_its_settings_can_name_and_nothing_else(
    name: str, ports: set[int]
) -> None:
    egress = of_kind("NetworkPolicy")[f"nivisco-{name}"]["spec"]["egress"]
    assert {port["port"] for rule in egress for port in rule["ports"]} == ports
    anywhere = {port["port"] for rule in egress if "to" not in rule for port in rule["ports"]}
    assert anywhere == ports & {443, 5432}


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment"])
def test_a_selector_selects_the_pods_of_its_name(kind: str) -> None:
    for name, manifest in of_kind(kind).items():
        spec = manifest["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        assert selector.get("matchLabels", selector) == {"app.kubernetes.io/name": name}


def test_a_service_names_a_port_of_its_pods() -> None:
    for name, service in of_kind("Service").items():
        (container,) = pod(of_kind("Deployment")[name])["containers"]
        ports = {each["name"] for each in container["ports"]}
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports
