"""Settings of the target gke."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pymacaron_ci.options import values
from pymacaron_ci.options.declare import GKE, option

HERE = (GKE,)
CLUSTER = {"regex": "[a-z]([a-z0-9-]{0,38}[a-z0-9])?"}
LABEL = {"regex": "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"}


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Gke:
    """Used with `deploy_target: gke`."""

    gke_cluster: str | None = option(
        default=None,
        help="cluster of the live service; by default `<name>`, or `<name>-<environment>`",
        targets=HERE,
        form="at most 40 lower-case letters, digits and hyphens, starting with a letter",
        rule=CLUSTER,
        example="production",
    )
    gke_staging_cluster: str | None = option(
        default=None,
        help="cluster of the staging service; by default the live one, in a namespace of its own",
        targets=HERE,
        form="at most 40 lower-case letters, digits and hyphens, starting with a letter",
        rule=CLUSTER,
        example="staging",
    )
    gke_location: str | None = option(
        default=None,
        help="region or zone of the clusters; by default gcp_region",
        targets=HERE,
        check=values.google_location,
        shape=values.REGION_OF_GOOGLE + "(-[a-z])?",
        example="europe-west1-b",
    )
    gke_namespace: str | None = option(
        default=None,
        help="namespace of the service; by default `<name>`",
        targets=HERE,
        form="at most 63 lower-case letters, digits and hyphens",
        rule=LABEL,
        example="hello",
    )
    gke_min_replicas: int = option(
        default=2,
        help="fewest pods",
        targets=HERE,
        rule={"min": 1, "max": 1000},
        example=2,
    )
    gke_max_replicas: int = option(
        default=4,
        help="most pods",
        targets=HERE,
        rule={"min": 1, "max": 1000},
        example=10,
    )
    gke_ingress: bool = option(
        default=True,
        help="whether the service gets a load balancer of its own",
        targets=HERE,
        example=False,
    )
    gke_static_address: str | None = option(
        default=None,
        help="name of the reserved global address of the load balancer",
        targets=HERE,
        form="at most 63 lower-case letters, digits and hyphens",
        rule=LABEL,
        example="hello-address",
    )
    gke_managed_certificate: bool = option(
        default=True,
        help="whether Google provides the certificate for live_url's host",
        targets=HERE,
        example=False,
    )
    gke_endpoint: Literal["auto", "dns", "address"] = option(
        default="auto",
        help="how the cluster's API is reached",
        targets=HERE,
        example="dns",
    )
    gke_labels: Mapping[str, str] = option(
        default={}, help="more labels on every object", targets=HERE, example={"team": "web"}
    )
    gke_annotations: Mapping[str, str] = option(
        default={},
        help="more annotations on the pods",
        targets=HERE,
        example={"example.com/owner": "web"},
    )
    gke_node_selector: Mapping[str, str] = option(
        default={},
        help="labels of the nodes that may run the pods",
        targets=HERE,
        example={"cloud.google.com/gke-spot": "true"},
    )
    gke_service_account: str | None = option(
        default=None,
        help="Google service account of the pods (workload identity)",
        targets=HERE,
        form="the e-mail address of a service account",
        rule={"regex": r"[a-z0-9][a-z0-9.-]*@[a-z0-9.:-]+\.gserviceaccount\.com"},
        example="hello@my-project.iam.gserviceaccount.com",
    )
    gke_startup_seconds: int = option(
        default=240,
        help="seconds in which a container must start",
        targets=HERE,
        rule={"min": 1, "max": 3600},
        example=60,
    )
    gke_progress_seconds: int = option(
        default=600,
        help="seconds without progress after which a rollout has failed",
        targets=HERE,
        rule={"min": 2, "max": 7200},
        example=300,
    )
    gke_take_over: bool = option(
        default=False,
        help="take over fields of its objects that somebody else manages, in the place of an error",
        targets=HERE,
        example=True,
    )
    kubeconfig: str | None = option(
        default=None,
        help="kubeconfig file of a cluster that is not GKE's, in the place of Google's API",
        targets=HERE,
        rule={"minlength": 1},
        example="~/.kube/config",
    )
    kube_context: str | None = option(
        default=None,
        help="context of the kubeconfig file; by default its current one",
        targets=HERE,
        rule={"minlength": 1},
        example="my-cluster",
    )
