"""Kubernetes' verdict on a release, and the two addresses of a place: its callers' and ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Phase, Verdict
from pymacaron_ci.targets.gke.forward import Forwarder
from pymacaron_ci.targets.gke.resources import path
from pymacaron_ci.targets.gke.site import Site
from pymacaron_ci.targets.gke.watch import Watch


class Proof:
    """`leads_to`: asks whether a URL leads to a release, and says what is wrong if not."""

    def __init__(self, watch: Watch, leads_to: Callable[[str, str], str]) -> None:
        self._watch = watch
        self._leads_to = leads_to
        self._forwarders: dict[str, Forwarder] = {}

    def verify(self, phase: Phase, site: Site, release: str) -> Verdict:
        """Healthy: every pod of the release is available, and nobody meddled."""
        try:
            self._watch.rollout(site, release)
            site.require_unmoved()
        except DeployError as error:
            return Verdict(
                ok=False,
                reason=f"{phase.name}: {error.problems[0].text}",
                hint=error.problems[0].hint,
                details=error.details,
            )
        return Verdict(ok=True, url=self.public_url(site), proof_url=self.own_url(site))

    def own_url(self, site: Site) -> str:
        """Where our checks reach a place: nobody else needs to, and no load balancer be ready."""
        key = str(site.wanted.spot(site.place))
        if key not in self._forwarders:
            service = path("Service", site.namespace, f"{site.wanted.name}:http")
            self._forwarders[key] = Forwarder(site.kube, f"{service}/proxy")
        return self._forwarders[key].url

    def close(self) -> None:
        for forwarder in self._forwarders.values():
            forwarder.close()
        self._forwarders.clear()

    def public_url(self, site: Site) -> str | None:
        """Where everybody reaches a place; None for one without a load balancer."""
        if site.place != "live" or not site.wanted.ingress:
            return None
        found = site.kube.find(path("Ingress", site.namespace, site.wanted.name))
        return url_of(found, site.wanted.live_url)

    def where_live_url_leads(self, site: Site, release: str) -> str:
        """A note; empty if live_url leads to the release."""
        if not site.wanted.ingress or self.public_url(site) != site.wanted.live_url:
            return ""
        told = self._leads_to(site.wanted.live_url, release)
        if not told:
            return ""
        found = site.kube.find(path("Ingress", site.namespace, site.wanted.name))
        first = _addresses(found)[:1]
        address = first[0].get("ip") or first[0].get("hostname") if first else None
        where = f"its load balancer is at {address}" if address else "it has no address yet"
        certificate = self._certificate(site)
        return "; ".join(filter(None, [told, where, certificate]))

    def _certificate(self, site: Site) -> str:
        if not site.wanted.certificate:
            return ""
        found = site.kube.find(path("ManagedCertificate", site.namespace, site.wanted.name))
        state = ((found or {}).get("status") or {}).get("certificateStatus") or "not there yet"
        return "" if state == "Active" else f"the certificate is {state}"


def url_of(ingress: Mapping[str, Any] | None, live_url: str) -> str | None:
    """live_url; but where a load balancer tells ports of its own, that is where it answers."""
    if ingress is None:
        return None
    for entry in _addresses(ingress):
        host = entry.get("ip") or entry.get("hostname")
        for port in entry.get("ports") or []:
            return f"http://{host}:{port['port']}"
    return live_url or None


def _addresses(ingress: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    status = (ingress or {}).get("status") or {}
    return list((status.get("loadBalancer") or {}).get("ingress") or [])
