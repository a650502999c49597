"""What Kubernetes is sent, held against Kubernetes' own schemas and its restricted standard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from pymacaron_ci.model import Secret
from pymacaron_ci.targets.gke import names, surroundings, workload
from pymacaron_ci.targets.gke.wanted import Place, Spot, Wanted
from pymacaron_ci.targets.gke.workload import Manifest
from tests.ci.targets.cloud_run_world import SECRET, release

REPOSITORY = Path(__file__).resolve().parents[3]
CONTRACTS = REPOSITORY / "tests" / "contracts"
FOLDER = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
VERSIONS = sorted(
    {tuple(map(int, p.name[1:].split("-")[0].split(".")[:2])) for p in FOLDER.glob("v1.*-strict")}
)
OLDEST, NEWEST = (".".join(map(str, v)) for v in (VERSIONS[0], VERSIONS[-1]))
PLAIN = Wanted(
    name="hello",
    live=Spot("main", "hello"),
    staging=Spot("main", "hello-staging"),
    live_url="https://hello.example.com",
)
FULL = replace(
    PLAIN,
    labels={"team": "web"},
    annotations={"example.com/owner": "web"},
    node_selector={"cloud.google.com/gke-spot": "true"},
    service_account="hello@my-project.iam.gserviceaccount.com",
    static_address="hello-address",
)
WANTED = {
    "plain": PLAIN,
    "full": FULL,
    "without a load balancer": replace(PLAIN, ingress=False),
    "without a certificate": replace(PLAIN, certificate=False),
    "not Google's": replace(PLAIN, on_gke=False, certificate=False),
}
GOOGLES = ("BackendConfig", "ManagedCertificate", "FrontendConfig")


def manifests(wanted: Wanted, place: Place) -> list[Manifest]:
    new = release("1", PLAIN="$(HOME)")
    return [
        *surroundings.before_rollout(wanted, place, new),
        workload.deployment(wanted, place, new),
        *surroundings.after_rollout(wanted, place),
    ]


def every() -> Iterator[Manifest]:
    for wanted in WANTED.values():
        for place in ("staging", "live"):
            yield from manifests(wanted, place)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_manifest_is_valid_for_the_oldest_and_the_newest_kubernetes(version: str) -> None:
    kinds = set()
    for manifest in every():
        if manifest["kind"] not in GOOGLES:
            kubernetes_validate.validate(manifest, version, strict=True)
            kinds.add(manifest["kind"])
    assert len(kinds) == 8


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    """By kind: the version and the schema of `spec`, as Google documents them."""
    found: dict[str, Any] = json.loads((CONTRACTS / "gke_resources.json").read_text("utf-8"))
    return found


def test_googles_own_resources_are_as_google_documents_them(documented: Any) -> None:
    found = [m for m in every() if m["kind"] in GOOGLES]
    assert {m["kind"] for m in found} == set(GOOGLES)
    for manifest in found:
        assert manifest["apiVersion"] == documented[manifest["kind"]]["apiVersion"]
        jsonschema.validate(manifest["spec"], documented[manifest["kind"]]["spec"])


def test_a_field_that_google_does_not_document_is_noticed(documented: Any) -> None:
    (backend,) = (m for m in manifests(PLAIN, "live") if m["kind"] == "BackendConfig")
    wrong = {**backend["spec"], "healthCheck": {**backend["spec"]["healthCheck"], "interval": 5}}
    with pytest.raises(jsonschema.ValidationError, match="interval"):
        jsonschema.validate(wrong, documented["BackendConfig"]["spec"])


def test_the_simulated_cluster_knows_the_fields_that_google_documents(documented: Any) -> None:
    file = REPOSITORY / "pymacaron_ci/simulator/kubernetes/crds.json"
    known = json.loads(file.read_text(encoding="utf-8"))["schemas"]
    for kind in GOOGLES:
        (schema,) = (s for name, s in known.items() if name.endswith(f".{kind}"))
        assert fields(schema["properties"]["spec"]) == fields(documented[kind]["spec"])


def fields(schema: Mapping[str, Any]) -> Any:
    """Names and types, without what limits the values."""
    if schema["type"] == "array":
        return [fields(schema["items"])]
    if schema["type"] != "object":
        return schema["type"]
    return {name: fields(child) for name, child in schema["properties"].items()}


# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
           "projected", "secret"}  # fmt: skip


@pytest.mark.parametrize("wanted", WANTED.values(), ids=list(WANTED))
def test_pods_pass_the_restricted_standard(wanted: Wanted) -> None:
    pod = workload.template(wanted, "live", release("1"))["spec"]
    assert not any(pod.get(k) for k in ("hostNetwork", "hostPID", "hostIPC", "initContainers"))
    assert all(set(v) - {"name"} <= VOLUMES for v in pod["volumes"])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] != 0
    assert pod["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost")
    for container in pod["containers"]:
        assert not any("hostPort" in p for p in container["ports"])
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["readOnlyRootFilesystem"] is True
        assert not security.get("privileged")


def test_secret_values_stand_in_the_secret_alone() -> None:
    for manifest in every():
        text = json.dumps(manifest)
        assert SECRET not in text
        if manifest["kind"] == "Secret":
            assert manifest["immutable"] is True
            manifest = {**manifest, "data": None}
            text = json.dumps(manifest)
        assert "YS1wbGFudGVkLXNlY3JldC12YWx1ZQ" not in text  # the value in base 64


def test_another_secret_has_another_name_and_another_value_too() -> None:
    one = release("1")
    other = replace(one, environment={"A_SECRET": Secret("A_SECRET", "another")})
    renamed = replace(one, environment={"B_SECRET": Secret("B_SECRET", SECRET)})
    assert len({names.secret("hello", r) for r in (one, other, renamed)}) == 3
    assert names.secret("hello", one) == names.secret("hello", replace(one, id="2"))
    assert workload.secret(PLAIN, "live", replace(one, environment={})) is None


def test_another_run_of_a_release_does_not_change_its_pods() -> None:
    one = release("1")
    again = replace(one, run_url="https://ci.test/2")
    made = [workload.deployment(PLAIN, "live", r) for r in (one, again)]
    assert made[0]["spec"] == made[1]["spec"]
    assert made[0]["metadata"] != made[1]["metadata"]


def test_selectors_find_the_pods_and_ports_have_the_names_that_lead_to_them() -> None:
    by_kind = {m["kind"]: m for m in manifests(FULL, "live")}
    pod = by_kind["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    container = pod["spec"]["containers"][0]
    for kind in ("Service", "PodDisruptionBudget", "Deployment"):
        found = by_kind[kind]["spec"]["selector"]
        assert found.get("matchLabels", found).items() <= labels
    assert by_kind["Service"]["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    assert by_kind["BackendConfig"]["spec"]["healthCheck"]["port"] == workload.PORT
    assert {"name": "PORT", "value": str(workload.PORT)} in container["env"]
    assert pod["spec"]["serviceAccountName"] == by_kind["ServiceAccount"]["metadata"]["name"]
    assert "replicas" not in by_kind["Deployment"]["spec"]  # they are the autoscaler's
    assert by_kind["HorizontalPodAutoscaler"]["spec"]["maxReplicas"] == FULL.max_replicas


def test_staging_is_one_pod_without_an_address() -> None:
    kinds = [m["kind"] for m in manifests(FULL, "staging")]
    assert kinds == ["Namespace", "ServiceAccount", "Secret", "Service", "Deployment"]
    assert manifests(FULL, "staging")[-1]["spec"]["replicas"] == 1
