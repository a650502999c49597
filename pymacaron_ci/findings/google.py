"""Google's targets: names, pairs and ranges of settings against the limits of Cloud Run and GKE."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from pymacaron_ci.findings import Case, error, too_long, warning
from pymacaron_ci.model import Problem
from pymacaron_ci.options.declare import CLOUD_RUN, GKE
from pymacaron_ci.options.values import memory_bytes
from pymacaron_ci.quoting import quoted

# A Cloud Run service has fewer than 50 characters; with a traffic tag of 6 or more at most 46.
SERVICE_NAME = 49
TAG_AND_SERVICE = 46
TAG = 6
# A namespace is a DNS label of 63; the longest thing named after a service is its hashed Secret.
LABEL = 63
CLUSTER = 40
CERTIFICATE_DOMAIN = 63
LABEL_SUFFIX = len("-secrets-1234567890")

GIB = 2**30
# https://cloud.google.com/run/docs/configuring/services/cpu: memory over … needs so many CPUs.
CPU_FOR_MEMORY = ((24 * GIB, 6), (16 * GIB, 6), (8 * GIB, 4), (4 * GIB, 2))


def find(case: Case) -> Iterator[Problem]:
    if case.target == CLOUD_RUN:
        yield from _cloud_run(case)
    elif case.target == GKE:
        yield from _gke(case)


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
    yield from too_long(
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
    yield from too_long(
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
    if s.gke_startup_seconds >= s.gke_progress_seconds:
        given = (
            "gke_startup_seconds"
            if "gke_startup_seconds" in case.document.data
            else "gke_progress_seconds"
        )
        yield error(
            f"gke_startup_seconds ({s.gke_startup_seconds}) is not less than gke_progress_seconds "
            f"({s.gke_progress_seconds}): a rollout would fail before its first pod has started",
            "make gke_progress_seconds larger",
            case.at_value(given),
        )
    if s.gke_ingress and s.gke_managed_certificate:
        yield from _certificate_of(case)
    if s.kube_context and not s.kubeconfig:
        yield error(
            "kube_context needs kubeconfig, the file that has the context",
            "add `kubeconfig: ~/.kube/config`, say",
            case.at_key("kube_context"),
        )


def _certificate_of(case: Case) -> Iterator[Problem]:
    """What a ManagedCertificate is for: one domain of at most 63 characters, served over https."""
    s = case.settings
    key = "live_url" if s.live_url else "live_host"
    host = (
        (urlsplit(s.live_url).hostname or "") if s.live_url else (s.live_host or "").split(":")[0]
    )
    without = "or write `gke_managed_certificate: false`"
    if re.fullmatch(r"[0-9.]+|[0-9a-f:]*:[0-9a-f:]*", host) and host:
        yield error(
            f"Google's certificate needs a domain, and {key} is an address",
            f"give the address a name, {without}",
            case.at_value(key),
        )
    elif len(host) > CERTIFICATE_DOMAIN:
        yield error(
            f"Google's certificate takes a domain of at most {CERTIFICATE_DOMAIN} characters, "
            f"and {key}'s has {len(host)}",
            f"choose a shorter one, {without}",
            case.at_value(key),
        )
    elif s.live_url and s.live_url.startswith("http:"):
        yield warning(
            "live_url is http: the load balancer sends everybody to https",
            f"write https:{s.live_url[5:]}, {without}",
            case.at_value(key),
        )
