"""Settings of the target gcp-cloud-run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pymacaron_ci.options import values
from pymacaron_ci.options.declare import CLOUD_RUN, option

HERE = (CLOUD_RUN,)


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class CloudRun:
    """Used with `deploy_target: gcp-cloud-run`."""

    gcp_request_concurrency: int = option(
        default=10,
        help="requests that one container handles at the same time before another one is started",
        targets=HERE,
        required=HERE,
        assumed=True,
        rule={"min": 1, "max": 1000},
        example=80,
    )
    gcp_cpu: str | None = option(
        default=None,
        help="CPUs of one container: 1, 2, 4, 6, 8, or a fraction such as 0.5",
        targets=HERE,
        rule={"type": ["string", "number"]},
        check=values.cpu,
        example="1",
    )
    gcp_min_instances: int = option(
        default=0,
        help="containers kept running when nobody calls",
        targets=HERE,
        rule={"min": 0, "max": 1000},
        example=1,
    )
    gcp_max_instances: int | None = option(
        default=None,
        help="most containers at a time; by default Cloud Run's own limit of 100",
        targets=HERE,
        rule={"min": 1, "max": 10000},
        example=10,
    )
    gcp_timeout: int | None = option(
        default=None,
        help="seconds after which Cloud Run gives up on a request; by default 300",
        targets=HERE,
        rule={"min": 1, "max": 3600},
        example=60,
    )
    gcp_service_account: str | None = option(
        default=None,
        help="service account that the service runs as; by default the project's own",
        targets=HERE,
        form="the e-mail address of a service account",
        rule={"regex": r"[a-z0-9][a-z0-9.-]*@[a-z0-9.:-]+\.gserviceaccount\.com"},
        example="hello@my-project.iam.gserviceaccount.com",
    )
    gcp_vpc_connector: str | None = option(
        default=None,
        help="serverless VPC connector through which the service calls out",
        targets=HERE,
        form="a name or projects/<project>/locations/<region>/connectors/<name>",
        rule={"regex": r"(projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/connectors/)?[a-z][a-z0-9-]*"},
        example="my-connector",
    )
    gcp_network: str | None = option(
        default=None,
        help="VPC network that the service joins directly",
        targets=HERE,
        rule={"minlength": 1},
        example="default",
    )
    gcp_subnet: str | None = option(
        default=None,
        help="subnet of gcp_network",
        targets=HERE,
        rule={"minlength": 1},
        example="default",
    )
    gcp_vpc_egress: Literal["private-ranges-only", "all-traffic"] = option(
        default="private-ranges-only",
        help="which calls of the service go through the VPC",
        targets=HERE,
        example="all-traffic",
    )
    gcp_ingress: Literal["all", "internal", "internal-and-cloud-load-balancing", "none"] = option(
        default="all", help="from where the service can be called", targets=HERE, example="internal"
    )
    gcp_public: bool = option(
        default=True,
        help="whether callers need no Google identity",
        targets=HERE,
        example=False,
    )
    gcp_check_callers: bool = option(
        default=True,
        help="false: a public service is public because Cloud Run does not check its callers, "
        "in the place of a policy that names everybody, which some organisations forbid",
        targets=HERE,
        example=False,
    )
    gcp_secrets: Mapping[str, str] = option(
        default={},
        help="environment variables that Cloud Run fills from Secret Manager: `secret:version`, "
        "or `secret` for the version that is the latest when it is deployed",
        targets=HERE,
        names_secrets=True,
        rule={
            "keysrules": {"type": "string", "regex": r"[A-Za-z_][A-Za-z0-9_]*"},
            "valuesrules": {
                "type": "string",
                "regex": r"(projects/[a-z0-9.:-]+/secrets/)?[A-Za-z0-9_-]{1,255}"
                r"(:([1-9][0-9]*|latest|[A-Za-z][A-Za-z0-9_-]*))?",
            },
        },
        example={"DB_PASSWORD": "db-password:3"},
    )
    gcp_startup_probe: str = option(
        default="/ping",
        help="path that must answer before a container gets requests",
        targets=HERE,
        form="a path starting with /",
        rule={"regex": r"/\S*"},
        example="/ping",
    )
    gcp_startup_seconds: int = option(
        default=240,
        help="seconds in which a container must start",
        targets=HERE,
        rule={"min": 1, "max": 3600},
        example=60,
    )
    gcp_execution_environment: Literal["gen1", "gen2"] | None = option(
        default=None,
        help="Cloud Run's execution environment; by default its own choice",
        targets=HERE,
        example="gen2",
    )
    gcp_cpu_always: bool = option(
        default=False,
        help="whether a container keeps its CPU between requests",
        targets=HERE,
        example=True,
    )
    gcp_labels: Mapping[str, str] = option(
        default={},
        help="labels on the services, for the bill",
        targets=HERE,
        rule={
            "keysrules": {"type": "string", "regex": r"[a-z][a-z0-9_-]{0,62}"},
            "valuesrules": {"type": "string", "regex": r"[a-z0-9_-]{0,63}"},
        },
        example={"team": "web"},
    )
    gcp_session_affinity: bool = option(
        default=False,
        help="send a client's requests to the same container where possible",
        targets=HERE,
        example=True,
    )
    gcp_staging_service: str | None = option(
        default=None,
        help="name of the staging service; by default `<docker_repo>-staging`",
        targets=HERE,
        form="lower-case letters, digits and hyphens, starting with a letter, at most 49",
        rule={"regex": "[a-z]([a-z0-9-]{0,47}[a-z0-9])?"},
        example="helloworld-test",
    )
    gcp_traffic_steps: tuple[int, ...] = option(
        default=(100,),
        help="percentages in which live traffic moves to the new revision, each proven",
        targets=HERE,
        rule={"schema": {"type": "integer", "min": 1, "max": 100}, "minlength": 1},
        check=values.steps,
        example=[10, 50, 100],
    )
    gcp_soak_seconds: int = option(
        default=0,
        help="seconds that each step of gcp_traffic_steps is watched before the next",
        targets=HERE,
        rule={"min": 0, "max": 3600},
        example=60,
    )
