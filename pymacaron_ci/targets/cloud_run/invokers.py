"""Who may call a service: its policy, which other people's bindings share with ours."""

from __future__ import annotations

from typing import Any

from pymacaron_ci.model import Problem
from pymacaron_ci.targets.cloud_run.api import Api
from pymacaron_ci.targets.cloud_run.state import Service
from pymacaron_ci.targets.gcp import ApiError
from pymacaron_ci.waiting import Pending, Ready

INVOKER = "roles/run.invoker"
EVERYBODY = "allUsers"
FORBIDDEN = Problem(
    text="an organisation policy (iam.allowedPolicyMemberDomains) forbids services that everybody "
    "may call",
    hint="gcp_check_callers: false makes the service public without naming everybody in its "
    "policy; gcp_public: false makes it private",
)


def is_public(api: Api, service: Service) -> bool | None:
    """None: we may not look."""
    if service.invoker_iam_disabled:
        return True
    try:
        policy = api.session.read(
            "run",
            f"v2/{api.path(service.name)}:getIamPolicy",
            query={"options.requestedPolicyVersion": "3"},
        )
    except ApiError as error:
        if error.code in (403, 404):
            return None
        raise
    return any(
        b.get("role") == INVOKER and EVERYBODY in b.get("members", []) and not b.get("condition")
        for b in policy.get("bindings", [])
    )


def set_public(api: Api, name: str, public: bool) -> None:
    """Adds or removes allUsers as an invoker; all other bindings stay."""
    path = f"v2/{api.path(name)}"

    def attempt() -> Ready[None] | Pending:
        policy = api.session.read(
            "run", f"{path}:getIamPolicy", query={"options.requestedPolicyVersion": "3"}
        )
        bindings = with_everybody(policy.get("bindings", []), public)
        if bindings == policy.get("bindings", []):
            return Ready(None)
        new = {**policy, "version": 3, "bindings": bindings}
        try:
            api.session.change("POST", "run", f"{path}:setIamPolicy", body={"policy": new})
        except ApiError as error:
            if error.code == 400 and "permitted customer" in error.message:
                raise ApiError(
                    str(error),
                    code=error.code,
                    status=error.status,
                    message=error.message,
                    hint=FORBIDDEN.hint,
                ) from error
            return api.again(error)
        return Ready(None)

    api.until(f"changing who may call {name}", attempt)


def with_everybody(bindings: list[dict[str, Any]], public: bool) -> list[dict[str, Any]]:
    """The bindings with allUsers added to, or removed from, the invokers."""
    kept = []
    found = False
    for binding in bindings:
        if binding.get("role") != INVOKER or binding.get("condition"):
            kept.append(binding)
            continue
        members = list(binding.get("members", []))
        if public:
            found = True
            members = members if EVERYBODY in members else [*members, EVERYBODY]
        else:
            members = [m for m in members if m != EVERYBODY]
        if members:
            kept.append({**binding, "members": members})
    if public and not found:
        kept.append({"role": INVOKER, "members": [EVERYBODY]})
    return kept
