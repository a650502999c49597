"""kubectl sees what our own verdicts see, and its kubeconfig leads us to any cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pymacaron_ci.targets.gke import Gke, surroundings, workload
from pymacaron_ci.targets.gke.kubeconfig import Kubeconfig
from pymacaron_ci.targets.gke.wanted import Spot
from tests.ci.targets.cloud_run_world import PROJECT
from tests.ci.targets.gke_world import World, release, world

pytestmark = pytest.mark.real("kubectl")
Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture
def config(cloud: World, tmp_path: Path) -> Path:
    server = f"{cloud.url}/clusters/{PROJECT}/europe-west1/main"
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "simulated"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = tmp_path / "config"
    file.write_text(json.dumps(data))
    return file


@pytest.fixture
def kubectl(config: Path, tmp_path: Path) -> Kubectl:
    def run(*arguments: str, things: Any = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).parent / "kubectl", *arguments],
            input="\n---\n".join(json.dumps(thing) for thing in things),
            env={"KUBECONFIG": str(config), "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_a_cluster_that_a_kubeconfig_names_is_deployed_to_and_kubectl_agrees(
    cloud: World, config: Path, kubectl: Kubectl
) -> None:
    wanted = replace(
        cloud.wanted,
        live=Spot("x", "hello"),
        staging=Spot("x", "hello-staging"),
        on_gke=False,
        certificate=False,
    )
    clusters = Kubeconfig(config, None, {}, clock=cloud.clock)

    def target() -> Gke:
        return Gke(wanted, clusters, progress=cloud.said.append, patience=0.2)

    assert cloud.deploy(release("1"), target()).status == "deployed"
    assert cloud.answers() == release("1").id
    assert cloud.find("BackendConfig") == {}
    told = kubectl("rollout", "status", "deployment/hello", "-n", "hello", "--timeout=5s")
    assert "successfully rolled out" in told.stdout, told

    broken = cloud.deploy(release("2", BROKEN="exits"), target())
    assert broken.status == "undone"
    told = kubectl("rollout", "status", "deployment/hello", "-n", "hello-staging", "--timeout=5s")
    assert "successfully rolled out" in told.stdout, told

    pods = json.loads(kubectl("get", "pods", "-n", "hello", "-o", "json").stdout)["items"]
    assert pods
    logs = kubectl("logs", pods[0]["metadata"]["name"], "-n", "hello", "--tail=5")
    assert "listening" in logs.stdout


def test_kubectl_would_apply_our_manifests_and_respects_our_fields(
    cloud: World, kubectl: Kubectl
) -> None:
    assert cloud.deploy(release("3")).status == "deployed"
    new = release("4")
    manifests = [
        *surroundings.before_rollout(cloud.wanted, "live", new),
        workload.deployment(cloud.wanted, "live", new),
        *surroundings.after_rollout(cloud.wanted, "live"),
    ]
    apply = ("apply", "--server-side", "--dry-run=server", "-f", "-", "--field-manager")
    ours = kubectl(*apply, "pymacaron-ci", things=manifests)
    assert ours.returncode == 0, ours.stderr
    assert ours.stdout.count("serverside-applied (server dry run)") == len(manifests)
    others = kubectl(*apply, "somebody", things=manifests)
    assert 'conflicts with "pymacaron-ci"' in others.stderr
