"""Settings against each other and the platforms' limits: lengths of names, pairs, ranges."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pymacaron_ci.findings import Case, error, warning
from pymacaron_ci.model import Problem
from pymacaron_ci.options.declare import AWS, CLOUD_RUN, GKE
from pymacaron_ci.options.values import memory_bytes
from pymacaron_ci.quoting import quoted

# cloud-contracts: an environment has 4 to 40 characters; ours are `<name>-<release>`.
ENVIRONMENT_NAME = 40
ENVIRONMENT_SUFFIX = len("-123456789012")
# A Cloud Run service has fewer than 50 characters; with a traffic tag of 6 or more at most 46.
SERVICE_NAME = 49
TAG_AND_SERVICE = 46
TAG = 6
# A namespace is a DNS label of 63; the longest thing named after a service is its hashed Secret.
LABEL = 63
CLUSTER = 40
LABEL_SUFFIX = len("-secrets-1234567890")

GIB = 2**30
# https://cloud.google.com/run/docs/configuring/services/cpu: memory over … needs so many CPUs.
CPU_FOR_MEMORY = ((24 * GIB, 6), (16 * GIB, 6), (8 * GIB, 4), (4 * GIB, 2))


def find(case: Case) -> Iterator[Problem]:
    if case.target == AWS:
        yield from _beanstalk(case)
    elif case.target == CLOUD_RUN:
        yield from _cloud_run(case)
    elif case.target == GKE:
        yield from _gke(case)
    yield from _everywhere(case)


def _everywhere(case: Case) -> Iterator[Problem]:
    s, given = case.settings, case.document.data
    if s.live_url and s.live_host and _host(s.live_url) != _host("//" + s.live_host):
        yield error(
            f"live_host is {s.live_host}, but live_url is {s.live_url}",
            "keep live_url only",
            case.at_value("live_host"),
        )
    if s.jwt_token_renew_after >= s.jwt_token_timeout and "jwt_token_renew_after" in given:
        yield warning(
            f"jwt_token_renew_after ({s.jwt_token_renew_after} s) is not before "
            f"jwt_token_timeout ({s.jwt_token_timeout} s): no token is ever renewed",
            "make it smaller",
            case.at_value("jwt_token_renew_after"),
        )
    if not s.with_async:
        for name in ("worker_count", "broker_url", "async_fallback"):
            if given.get(name) is not None and name in case.usable:
                yield warning(
                    f"{name} does nothing without `with_async: true`",
                    "add with_async, or remove it",
                    case.at_key(name),
                )
    if s.aws_region and s.aws_default_region and s.aws_region != s.aws_default_region:
        yield warning(
            f"aws_region ({s.aws_region}) wins over aws_default_region ({s.aws_default_region})",
            "keep one of them",
            case.at_value("aws_default_region"),
        )


def _host(url: str) -> str:
    return re.sub(r"^[a-z]*:?//", "", url.lower()).split("/")[0].split(":")[0]


def _too_long(case: Case, name: str, value: str, most: int, what: str) -> Iterator[Problem]:
    if len(value) > most:
        yield error(
            f"{name} has {len(value)} characters: {what}",
            f"choose one of at most {most}, such as {value[:most].rstrip('-')}",
            case.at_value(name),
        )


def _beanstalk(case: Case) -> Iterator[Problem]:
    s = case.settings
    most = ENVIRONMENT_NAME - ENVIRONMENT_SUFFIX
    if len(s.name) > ENVIRONMENT_NAME:
        yield from _too_long(
            case, "name", s.name, most,
            f"the name of an environment has at most {ENVIRONMENT_NAME}",
        )  # fmt: skip
    elif len(s.name) > most:
        yield warning(
            f"environments are called <name>-<release>, which leaves room for {most} characters "
            f"of {s.name}",
            f"choose a shorter name, or see to it that no other one starts with {s.name[:most]}",
            case.at_value("name"),
        )
    if s.name and len(s.name) < 4 and not s.aws_cname_prefix:
        yield error(
            f"{s.name} is too short for the environment's CNAME, which has 4 to 63 characters",
            f"add `aws_cname_prefix: {s.name}-live`, say",
            case.at_value("name"),
        )
    if "docker_repo" in case.usable and not re.fullmatch(
        r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*", s.docker_repo
    ):
        yield error(
            f"{quoted(s.docker_repo)} can't be an organization or user of a registry",
            "lower-case letters and digits, parted by . _ or -; a host goes to docker_registry",
            case.at_value("docker_repo"),
        )
    if s.aws_hosts_min > s.aws_hosts_max:
        given = "aws_hosts_min" if "aws_hosts_min" in case.document.data else "aws_hosts_max"
        yield error(
            f"aws_hosts_min ({s.aws_hosts_min}) is larger than aws_hosts_max ({s.aws_hosts_max})",
            "exchange them",
            case.at_value(given),
        )
    region = s.aws_region or s.aws_default_region
    if s.aws_cert_arn and "aws_cert_arn" in case.usable:
        of_certificate = s.aws_cert_arn.split(":")[3]
        if region and of_certificate and of_certificate != region:
            yield error(
                f"the certificate is in {of_certificate}, but the service is in {region}: a load "
                "balancer only takes certificates of its own region",
                f"request the certificate in {region}",
                case.at_value("aws_cert_arn"),
            )
    if s.live_url and s.live_url.startswith("https:") and "aws_cert_arn" not in case.document.data:
        yield warning(
            "live_url is https, but without aws_cert_arn the service listens on port 80 only",
            "add aws_cert_arn, unless something in front of it speaks https",
            case.at_value("live_url"),
        )
    if s.aws_cert_arn and s.live_url and s.live_url.startswith("http:"):
        yield error(
            "live_url is http, but with aws_cert_arn the service listens on port 443 only",
            f"write https:{s.live_url[5:]}",
            case.at_value("live_url"),
        )
    if (s.aws_subnets or s.aws_elb_subnets) and not s.aws_vpc:
        name = "aws_subnets" if s.aws_subnets else "aws_elb_subnets"
        yield error(
            f"{name} needs aws_vpc, the VPC that they are in",
            "add `aws_vpc: vpc-…`",
            case.at_key(name),
        )


def _cloud_run(case: Case) -> Iterator[Problem]:
    s = case.settings
    if "docker_repo" in case.usable:
        yield from _service_name(case)
    if s.with_async:
        yield warning(
            "with_async on gcp-cloud-run: a container has no CPU between requests, so that tasks "
            "run late or never",
            "remove with_async, or deploy to aws-beanstalk or gke",
            case.at_value("with_async"),
        )
    if s.gcp_max_instances is not None and s.gcp_min_instances > s.gcp_max_instances:
        yield error(
            f"gcp_min_instances ({s.gcp_min_instances}) is larger than gcp_max_instances "
            f"({s.gcp_max_instances})",
            "exchange them",
            case.at_value("gcp_min_instances"),
        )
    if s.gcp_vpc_connector and s.gcp_network:
        yield error(
            "gcp_vpc_connector and gcp_network exclude each other",
            "keep one of them",
            case.at_key("gcp_network"),
        )
    if "gcp_subnet" in case.document.data and not s.gcp_network:
        yield error(
            "gcp_subnet needs gcp_network, the network that it is in",
            "add `gcp_network: default`, say",
            case.at_key("gcp_subnet"),
        )
    if s.live_url and s.live_url.startswith("http:"):
        yield warning(
            "live_url is http: Cloud Run answers on https only",
            f"write https:{s.live_url[5:]}",
            case.at_value("live_url"),
        )
    yield from _memory_and_cpu(case)


def _service_name(case: Case) -> Iterator[Problem]:
    s = case.settings
    # 2.x wrote the project here; then the service is called `name`.
    key = "name" if s.docker_repo == s.gcp_project else "docker_repo"
    service = s.name if key == "name" else s.docker_repo
    if not service:
        return
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", service):
        yield error(
            f"{quoted(service)} can't be the name of a Cloud Run service",
            "lower-case letters, digits and hyphens, starting with a letter, not ending with -",
            case.at_value(key),
        )
        return
    most = min(SERVICE_NAME - len("-staging"), TAG_AND_SERVICE - TAG - len("-live"))
    yield from _too_long(
        case, key, service, most,
        f"Cloud Run's limits leave {most} for a service that is called `<{key}>-live` and has "
        "tagged revisions",
    )  # fmt: skip
    if s.gcp_staging_service == f"{service}-live":
        yield error(
            f"gcp_staging_service is the live service, {service}-live",
            "choose another name",
            case.at_value("gcp_staging_service"),
        )


def _memory_and_cpu(case: Case) -> Iterator[Problem]:
    s = case.settings
    if "gcp_memory" not in case.usable:
        return
    size, place = memory_bytes(s.gcp_memory), case.at_value("gcp_memory")
    least = 512 if s.gcp_execution_environment == "gen2" else 128
    if size < least * 2**20:
        of_gen2 = " in gcp_execution_environment gen2" if least == 512 else ""
        yield error(
            f"gcp_memory {s.gcp_memory} is less than Cloud Run's least{of_gen2}: {least}Mi",
            f"write {least}Mi or more",
            place,
        )
    if size > 32 * GIB:
        yield error(f"gcp_memory {s.gcp_memory} is more than Cloud Run's 32Gi", None, place)
        return
    cpu = _cpus(s.gcp_cpu) if s.gcp_cpu and "gcp_cpu" in case.usable else 1.0
    needed = next((c for over, c in CPU_FOR_MEMORY if size > over), 0)
    if needed > cpu:
        yield error(
            f"gcp_memory {s.gcp_memory} needs {needed} CPUs or more, and gcp_cpu is {cpu:g}",
            f"add `gcp_cpu: {needed}`, or take less memory",
            place,
        )
    if cpu >= 4 and size < 2 * GIB:
        yield error(
            f"{cpu:g} CPUs need 2Gi of memory or more, and gcp_memory is {s.gcp_memory}",
            "write `gcp_memory: 2Gi`",
            case.at_value("gcp_cpu"),
        )
    if cpu < 1 and s.gcp_request_concurrency > 1:
        yield error(
            f"a container with less than one CPU takes one request at a time, and "
            f"gcp_request_concurrency is {s.gcp_request_concurrency}",
            "write `gcp_request_concurrency: 1`, or `gcp_cpu: 1`",
            case.at_value("gcp_cpu"),
        )
    if cpu < 1 and (s.gcp_execution_environment == "gen2" or s.gcp_cpu_always):
        yield error(
            "a container with less than one CPU runs in gen1 and only during requests",
            "write `gcp_cpu: 1`",
            case.at_value("gcp_cpu"),
        )


def _cpus(amount: str) -> float:
    return int(amount[:-1]) / 1000 if amount.endswith("m") else float(amount)


def _gke(case: Case) -> Iterator[Problem]:
    s = case.settings
    most = LABEL - LABEL_SUFFIX if s.gke_cluster or s.kubeconfig else CLUSTER
    if s.name and not s.name[0].isalpha():
        yield error(
            f"a Kubernetes Service can't be called {s.name}: it starts with a digit",
            "start the name with a letter",
            case.at_value("name"),
        )
    yield from _too_long(
        case, "name", s.name, most,
        f"a cluster's name has at most {CLUSTER}, and a Kubernetes name {LABEL} with its suffix",
    )  # fmt: skip
    if "docker_repo" in case.usable and not re.fullmatch(
        r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", s.docker_repo
    ):
        yield error(
            f"{quoted(s.docker_repo)} can't be the ID of a Google Cloud project",
            "6 to 30 lower-case letters, digits and hyphens, starting with a letter: the ID, not "
            "the project's name or number",
            case.at_value("docker_repo"),
        )
    if s.gcp_project and s.gcp_project != s.docker_repo:
        yield error(
            f"gcp_project is {s.gcp_project}, but on gke the project is docker_repo, "
            f"{s.docker_repo}",
            "remove gcp_project",
            case.at_value("gcp_project"),
        )
    if s.gke_min_replicas > s.gke_max_replicas:
        given = (
            "gke_min_replicas" if "gke_min_replicas" in case.document.data else "gke_max_replicas"
        )
        yield error(
            f"gke_min_replicas ({s.gke_min_replicas}) is larger than gke_max_replicas "
            f"({s.gke_max_replicas})",
            "exchange them",
            case.at_value(given),
        )
    if s.kube_context and not s.kubeconfig:
        yield error(
            "kube_context needs kubeconfig, the file that has the context",
            "add `kubeconfig: ~/.kube/config`, say",
            case.at_key("kube_context"),
        )
