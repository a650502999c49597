"""From what Cloud Run holds to what is left to do, and the JSON it is sent. Makes no call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Image, Release, Secret
from pymacaron_ci.targets.cloud_run import bodies, names, planning, state
from pymacaron_ci.targets.cloud_run.invokers import with_everybody
from pymacaron_ci.targets.cloud_run.planning import Seen, split
from pymacaron_ci.targets.cloud_run.proof import probable_cause
from pymacaron_ci.targets.cloud_run.wanted import SecretVersion, Wanted
from tests.contracts.discovery_check import check_request

WANTED = Wanted(name="hello", project="p", region="r", staging="hello-staging", live="hello-live")
RELEASE = Release(
    id="abcdef012345",
    version="260101-0000-abc",
    revision="abc",
    image=Image(repository="r-docker.pkg.dev/p/x/hello", tag="1", digest="sha256:" + "1" * 64),
    environment={"A": "1", "B": Secret("B", "planted-value")},
    run_url="https://ci.test/1",
)
URL = "https://run.googleapis.com/v2/projects/p/locations/r/services"


def revision(name: str, release: str, ready: bool | None = True) -> dict[str, Any]:
    conditions = {True: "CONDITION_SUCCEEDED", False: "CONDITION_FAILED", None: "CONDITION_PENDING"}
    return {
        "name": f"projects/p/locations/r/services/hello-live/revisions/{name}",
        "annotations": {names.RELEASE: release, names.VERSION: "1", names.IMAGE: "i@sha256:1"},
        "conditions": [{"type": "Ready", "state": conditions[ready]}],
        "createTime": "2026-01-01T00:00:00Z",
    }


def seen(
    traffic: dict[str, int] | None,
    *revisions: dict[str, Any],
    public: bool | None = True,
    latest: bool = False,
    tags: dict[str, str] | None = None,
    **marks: str,
) -> Seen:
    """A live service whose marks are proven="rev=100", candidate="rev"…"""
    by_name = {"proven": names.PROVEN, "previous": names.PREVIOUS, "candidate": names.CANDIDATE}
    targets: list[dict[str, Any]] = [
        {"type": bodies.REVISION_TARGET, "revision": n, "percent": p}
        for n, p in (traffic or {}).items()
    ]
    targets += [{"revision": r, "tag": t} for t, r in (tags or {}).items()]
    if latest:
        targets = [{"type": state.LATEST, "percent": 100}]
    body = {
        "name": "projects/p/locations/r/services/hello-live",
        "etag": "e",
        "generation": "3",
        "observedGeneration": "3",
        "uri": "https://hello.test",
        "traffic": targets,
        "latestReadyRevision": "projects/p/locations/r/services/hello-live/revisions/old",
        "annotations": {by_name[k]: v for k, v in marks.items()},
    }
    found = tuple(state.revision(r) for r in revisions)
    return Seen(service=state.service(body), revisions=found, public=public)


OLD, NEW, DEAD = (
    revision("old", "1" * 12),
    revision("new", RELEASE.id),
    revision("dead", "2" * 12),
)
BROKEN = revision("dead", "2" * 12, ready=False)


def steps(live: Seen, wanted: Wanted = WANTED, release: Release = RELEASE) -> list[str]:
    found = planning.phases(wanted, release, live, Seen())
    return [f"{p.name}: {type(s).__name__}" for p in found for s in p.steps if p.name != "staging"]


FIRST = ["live: CreateService", "live: SetAccess", "finish: MarkProven", "finish: MarkProven"]
USUAL = [
    "candidate: AddRevision",
    "live: ShiftTraffic",
    "finish: MarkProven",
    "finish: MarkProven",
]


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (Seen(), FIRST),
        (seen({"old": 100}, OLD, proven="old=100"), USUAL),
        # nobody marked anything: made by gcloud, or by a person
        (seen({"old": 100}, OLD), USUAL),
        (seen(None, OLD, latest=True), USUAL),
        # live and proven
        (seen({"new": 100}, OLD, NEW, proven="new=100"), []),
        # … but another run left its tag, its mark, its share of the requests
        (
            seen({"new": 100}, NEW, DEAD, proven="new=100", tags={"c-dead0000": "dead"}),
            ["finish: MarkProven"],
        ),
        (seen({"new": 100}, NEW, DEAD, proven="new=100", candidate="dead"), ["finish: MarkProven"]),
        (
            seen({"new": 90, "dead": 10}, NEW, DEAD, proven="new=100", candidate="dead"),
            ["live: RestoreTraffic", "finish: MarkProven"],
        ),
        # an unproven release of a dead run has requests
        (
            seen({"old": 50, "dead": 50}, OLD, DEAD, proven="old=100", candidate="dead"),
            ["recover: RestoreTraffic", *USUAL],
        ),
        # this very release was under way
        (seen({"old": 50, "new": 50}, OLD, NEW, proven="old=100", candidate="new"), USUAL),
        (seen({"new": 100}, OLD, NEW, proven="old=100", candidate="new"), USUAL),
        # a first deployment died, and its container never started
        (
            seen({"dead": 100}, BROKEN, candidate="dead"),
            ["live: AddRevision", "finish: MarkProven", "finish: MarkProven"],
        ),
        # … or it works, and may have users
        (seen({"dead": 100}, DEAD, candidate="dead"), USUAL),
        # who may call it is not as configured
        (
            seen({"old": 100}, OLD, proven="old=100", public=False),
            [USUAL[0], "live: SetAccess", *USUAL[1:]],
        ),
        (seen({"old": 100}, OLD, proven="old=100", public=None), USUAL),
    ],
)
def test_what_is_left_to_do_follows_from_what_is_there(live: Seen, expected: list[str]) -> None:
    assert steps(live) == expected


@pytest.mark.parametrize(
    ("live", "stable"),
    [
        (seen({"old": 100}, OLD), {"old": 100}),
        (seen({"old": 50, "dead": 50}, OLD, DEAD), {"old": 50, "dead": 50}),
        (
            seen({"old": 50, "dead": 50}, OLD, DEAD, proven="old=100", candidate="dead"),
            {"old": 100},
        ),
        # the proven revision was deleted by somebody: what works now is all there is
        (
            seen({"dead": 100}, DEAD, proven="old=100", candidate="dead"),
            {"dead": 100},
        ),
        (seen({"dead": 100}, BROKEN, candidate="dead"), None),
        (seen({"old": 100}, OLD, proven="nonsense"), {"old": 100}),
        (Seen(), None),
    ],
)
def test_a_failure_goes_back_to_what_worked_last(live: Seen, stable: dict[str, int] | None) -> None:
    assert live.stable == stable


def test_a_first_deployment_may_be_removed_only_while_it_is_ours_alone() -> None:
    assert seen({"new": 100}, NEW, candidate="new").ours_alone
    assert not seen({"new": 100}, NEW, candidate="new", proven="new=100").ours_alone
    assert not seen({"new": 100}, NEW).ours_alone
    foreign = {**NEW, "annotations": {}}
    assert not seen({"new": 100}, NEW, foreign, candidate="new").ours_alone


def test_traffic_moves_in_the_steps_that_are_left() -> None:
    wanted = replace(WANTED, traffic_steps=(10, 50, 100))
    live = seen({"old": 50, "new": 50}, OLD, NEW, proven="old=100", candidate="new")
    found = planning.phases(wanted, RELEASE, live, Seen())
    assert [p.name for p in found] == ["staging", "candidate", "live at 50 %", "live", "finish"]


def test_a_rollback_leaves_staging_alone() -> None:
    live = seen({"new": 100}, OLD, NEW, proven="new=100", previous="old=100")
    assert live.previous is not None
    assert steps(live, release=live.previous) == USUAL[:3]


def test_a_rollback_to_a_broken_revision_is_refused() -> None:
    live = seen({"old": 100}, OLD, BROKEN, proven="old=100")
    with pytest.raises(DeployError, match="no revision of the release 222222222222 that works"):
        steps(live, release=replace(RELEASE, id="2" * 12, kept=True))


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50), min_size=1),
    st.integers(1, 100),
    st.sampled_from("abcdefg"),
)
def test_shares_always_sum_to_a_hundred(
    weights: dict[str, int], percent: int, revision: str
) -> None:
    whole = sum(weights.values())
    stable = {name: share * 100 // whole for name, share in weights.items()}
    stable[next(iter(stable))] += 100 - sum(stable.values())
    shares = split({n: s for n, s in stable.items() if s}, revision, percent)
    assert sum(shares.values()) == 100
    assert all(share > 0 for share in shares.values())
    assert shares[revision] == (100 if set(stable) == {revision} else percent)


def everything() -> Wanted:
    return replace(
        WANTED,
        cpu="2",
        min_instances=1,
        max_instances=9,
        timeout=60,
        service_account="a@p.iam.gserviceaccount.com",
        vpc_connector="wire",
        execution_environment="EXECUTION_ENVIRONMENT_GEN2",
        cpu_always=True,
        labels={"team": "web"},
        session_affinity=True,
        startup_seconds=600,
        secrets={"S": SecretVersion(name="db", version="3")},
    )


@pytest.mark.parametrize("wanted", [WANTED, everything(), replace(WANTED, network="n", subnet="s")])
@pytest.mark.parametrize("place", ["staging", "live"])
def test_every_body_fits_googles_own_schema(wanted: Wanted, place: Any) -> None:
    body = bodies.creation(wanted, place, RELEASE, "hello-live-abc")
    assert check_request("POST", f"{URL}?serviceId=hello-live", body) == []
    change = {
        "template": bodies.template(wanted, place, RELEASE, "hello-live-abc"),
        "traffic": bodies.traffic({"old": 90, "new": 10}, {"c-abc": "new"}),
        "annotations": {names.CANDIDATE: "new"},
        "etag": "e",
    }
    url = f"{URL}/hello-live?updateMask=annotations,template,traffic"
    assert check_request("PATCH", url, change) == []


def test_a_container_keeps_its_cpu_only_where_that_is_asked() -> None:
    # where resources are sent and cpuIdle is not, Cloud Run takes it for false
    for wanted, idle in ((WANTED, True), (everything(), False)):
        template = bodies.template(wanted, "live", RELEASE, "r")
        assert template["containers"][0]["resources"]["cpuIdle"] is idle


def test_a_slow_start_is_within_what_cloud_run_counts() -> None:
    probe = bodies.template(everything(), "live", RELEASE, "r")["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 600
    assert probe["failureThreshold"] <= 240
    assert probe["timeoutSeconds"] <= probe["periodSeconds"]


def test_only_live_keeps_instances_running() -> None:
    assert "minInstanceCount" in bodies.template(everything(), "live", RELEASE, "r")["scaling"]
    assert (
        "minInstanceCount" not in bodies.template(everything(), "staging", RELEASE, "r")["scaling"]
    )


def test_marks_of_others_and_of_the_system_are_told_apart() -> None:
    service = seen({"old": 100}, OLD, proven="old=100").service
    assert service is not None
    mixed = replace(
        service,
        annotations={**service.annotations, "team": "web", "run.googleapis.com/x": "1"},
    )
    assert bodies.proven_marks(mixed, {"new": 100}) == {
        "team": "web",
        names.PROVEN: "new=100",
        names.PREVIOUS: "old=100",
    }


@pytest.mark.parametrize("length", [6, 40, 42, 49])
def test_names_keep_to_the_limits(length: int) -> None:
    service = "s" * length
    taken: list[str] = []
    for _ in range(20):
        taken.append(names.revision(service, RELEASE.id, taken))
    assert len(set(taken)) == 20
    assert all(len(n) <= 63 and n.startswith(f"{service}-") for n in taken)
    if length <= names.LONGEST_TAG_AND_SERVICE - names.SHORTEST_TAG:
        tag = names.tag(service, RELEASE.id)
        assert len(tag) + length <= 46
        assert names.is_our_tag(tag)


@pytest.mark.parametrize("text", ["", "old", "old=x", "old=50", "=100", "old=60,new=60", ",,"])
def test_marks_that_make_no_sense_count_as_none(text: str) -> None:
    assert state.parse_traffic(text) == {}


def test_a_share_without_a_percent_is_none() -> None:
    body = {"traffic": [{"revision": "a", "percent": 100}, {"revision": "b", "tag": "t"}]}
    service = state.service(body)
    assert service.traffic == {"a": 100}
    assert service.tags == {"t": "b"}


def test_other_invokers_keep_their_bindings() -> None:
    owner = {"role": "roles/owner", "members": ["user:a@b.c"]}
    invoker = {"role": "roles/run.invoker", "members": ["user:a@b.c"]}
    conditional = {**invoker, "condition": {"expression": "false"}}
    opened = with_everybody([owner, invoker, conditional], public=True)
    assert opened == [
        owner,
        {**invoker, "members": ["user:a@b.c", "allUsers"]},
        conditional,
    ]
    assert with_everybody(opened, public=False) == [owner, invoker, conditional]
    assert with_everybody([], public=True) == [
        {"role": "roles/run.invoker", "members": ["allUsers"]}
    ]
    assert with_everybody([{**invoker, "members": ["allUsers"]}], public=False) == []


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("The user-provided container failed to start and listen on the port", "0.0.0.0"),
        ("Memory limit of 512 MiB exceeded with 520 MiB used.", "gcp_memory"),
        ("Image 'x' not found.", "docker_registry"),
        ("SECRETS_ACCESS_CHECK_FAILED", "secretAccessor"),
        ("Container manifest type must support amd64/linux.", "linux/amd64"),
        ("Resource readiness deadline exceeded", "run it again"),
        ("Quota exceeded for total allowable CPU", "gcp_max_instances"),
    ],
)
def test_a_failure_has_a_probable_cause(message: str, hint: str) -> None:
    assert hint in str(probable_cause(message))
