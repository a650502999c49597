"""The target's page: its Role allows every call of deployments, an undo and a rollback."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.ci.targets.gke_world import release, world

PAGE = Path(__file__).resolve().parents[3] / "docs" / "targets" / "gke.md"
NAMESPACED = re.compile(
    r"/(?:api/v1|apis/([^/]+)/[^/]+)/namespaces/[^/]+(?:/([^/?]+)(?:/([^/?]+))?(?:/(log|proxy))?)?"
)
VERBS = {"PATCH": "patch", "POST": "create", "DELETE": "delete"}
# what the page says is optional, or needs a ClusterRole
BESIDES = {("create", "", "pods"), ("patch", "", "namespaces")}

Right = tuple[str, str, str]  # verb, group, resource


def allowed() -> set[Right]:
    (role,) = (
        found
        for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        if (found := yaml.safe_load(block)).get("kind") == "Role"
    )
    return {
        (verb, group, resource)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def right(method: str, path: str) -> Right | None:
    """None for what is not in a namespace."""
    found = NAMESPACED.search(path)
    if found is None:
        return None
    group, plural, name, sub = found.groups()
    verb = VERBS.get(method) or ("get" if name or not plural else "list")
    plural = plural or "namespaces"
    return verb, group or "", f"{plural}/{sub}" if sub else plural


def test_the_role_of_the_page_is_enough_for_every_call(tmp_path: Path) -> None:
    with world(tmp_path) as cloud:
        asked: set[Right] = set()

        def on_call(request: Any, served: bool) -> None:
            needed = right(request.method, request.raw_path)
            if needed and not served:
                asked.add(needed)

        assert cloud.server is not None
        cloud.server.on_call = on_call
        assert cloud.deploy(release("1")).status == "deployed"
        assert cloud.deploy(release("2")).status == "deployed"
        assert cloud.deploy(release("3", BROKEN="tests")).status == "undone"
        live = cloud.target().live()
        assert live.previous is not None
        assert cloud.deploy(live.previous).status == "deployed"
    assert asked - allowed() <= BESIDES
    assert ("patch", "apps", "deployments") in asked
    assert ("get", "", "services/proxy") in asked
