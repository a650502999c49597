"""The way into a cluster: what GKE's API tells of it, and an HTTP session for its API server."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pymacaron_ci.errors import DeployError
from pymacaron_ci.targets.gcp import ApiError, GoogleSession, authorized
from pymacaron_ci.targets.gke.client import Http, Kubernetes
from pymacaron_ci.targets.gke.tls import TrustingAdapter, context
from pymacaron_ci.targets.gke.wanted import EndpointChoice, Wanted

USABLE = ("RUNNING", "RECONCILING", "DEGRADED")
CLOSED = (
    "its control plane lets certain networks in only, and a runner of GitHub has no fixed address: "
    "`gcloud container clusters update {name} --enable-dns-access`, then gke_endpoint: dns; or run "
    "this inside of its network"
)


class Clusters(Protocol):
    """Opens clusters by name, and has something to say of some of them."""

    def open(self, cluster: str) -> Kubernetes:
        """Raises DeployError for one that can't be used."""

    @property
    def notes(self) -> list[str]: ...


@dataclass(frozen=True)
class Endpoint:
    """Where a cluster's API answers. `authority`: PEM of the one that vouches for it; None: the
    public ones do."""

    url: str
    authority: str | None = None


# cluster, endpoint → a session, and the URL that its paths are below
Connect = Callable[[str, Endpoint], tuple[Http, str]]


def connected(credentials: Any) -> Connect:
    """With google-auth's credentials: the token is the same as for Google's own APIs."""

    def connect(_cluster: str, endpoint: Endpoint) -> tuple[Http, str]:
        session: Any = authorized(credentials)
        if endpoint.authority:
            session.mount(endpoint.url, TrustingAdapter(context(endpoint.authority)))
        return session, endpoint.url

    return connect


class GoogleClusters:
    """Clusters of a project, as Kubernetes Engine tells them."""

    def __init__(
        self,
        session: GoogleSession,
        wanted: Wanted,
        connect: Connect,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._session = session
        self._wanted = wanted
        self._connect = connect
        self._progress = progress
        self.notes: list[str] = []

    def open(self, cluster: str) -> Kubernetes:
        place = f"v1/projects/{self._wanted.project}/locations/{self._wanted.location}/clusters"
        try:
            found = self._session.read("container", f"{place}/{cluster}")
        except ApiError as error:
            if error.code != 404:
                raise
            raise self._unknown(cluster) from error
        status = str(found.get("status", "RUNNING"))
        if status not in USABLE:
            raise DeployError(
                f"the cluster {cluster} is {status.lower()}",
                hint="wait until it runs"
                if status == "PROVISIONING"
                else "look at it in the console, or deploy to another one (gke_cluster)",
            )
        if status != "RUNNING":
            self.notes.append(f"the cluster {cluster} is {status.lower()}")
        http, base = self._connect(cluster, endpoint_of(found, self._wanted.endpoint))
        return Kubernetes(
            http,
            base,
            where=f"the cluster {cluster}",
            unreachable=CLOSED.format(name=cluster),
            clock=self._session.clock,
            progress=self._progress,
        )

    def _unknown(self, cluster: str) -> DeployError:
        wanted = self._wanted
        hint = (
            f"gcloud container clusters create-auto {cluster} --location {wanted.location} "
            f"--project {wanted.project}, or name another one in gke_cluster"
        )
        try:
            every = self._session.read(
                "container", f"v1/projects/{wanted.project}/locations/-/clusters"
            )
        except ApiError:
            every = {}
        names = [f"{c.get('name')} in {c.get('location')}" for c in every.get("clusters", [])]
        if names:
            hint = f"there are {', '.join(names)} (gke_cluster, gke_location)"
        return DeployError(
            f"the project {wanted.project} has no cluster {cluster} in {wanted.location}",
            hint=hint,
        )


def endpoint_of(cluster: dict[str, Any], choice: EndpointChoice) -> Endpoint:
    """The DNS endpoint where it may be used from outside: authorized networks don't matter to it,
    and public authorities vouch for it. Otherwise the address, with the cluster's own authority."""
    name = str(cluster.get("name", ""))
    config = cluster.get("controlPlaneEndpointsConfig") or {}
    dns = config.get("dnsEndpointConfig") or {}
    open_to_all = bool(dns.get("endpoint") and dns.get("allowExternalTraffic"))
    if choice == "dns" and not open_to_all:
        raise DeployError(
            f"the cluster {name} has no DNS endpoint that can be reached from outside",
            hint=f"gcloud container clusters update {name} --enable-dns-access, or gke_endpoint: "
            "address",
        )
    if choice != "address" and open_to_all:
        return Endpoint(f"https://{dns['endpoint']}")
    addresses = config.get("ipEndpointsConfig") or {}
    address = cluster.get("endpoint")
    if not address or addresses.get("enabled") is False:
        raise DeployError(
            f"the cluster {name} has no address that its API answers at",
            hint="gke_endpoint: dns",
        )
    try:
        encoded = str((cluster.get("masterAuth") or {})["clusterCaCertificate"])
        authority = base64.b64decode(encoded).decode("ascii")
    except (KeyError, ValueError) as error:
        raise DeployError(
            f"Kubernetes Engine tells no certificate of the cluster {name}", hint="run it again"
        ) from error
    return Endpoint(f"https://{address}", authority)
