"""The resources that a simulated cluster serves."""

from __future__ import annotations

from dataclasses import dataclass

CORE = "io.k8s.api.core.v1"
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """`package` and kind name its schema; `short` and `categories` are what kubectl takes for it.

    `custom`: defined by a CustomResourceDefinition of Kubernetes Engine, which a cluster may lack.
    """

    plural: str
    kind: str
    package: str = CORE
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    custom: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As errors name it: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def schema(self) -> str:
        return f"{self.package}.{self.kind}"

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources


NAMESPACES = Resource(
    plural="namespaces",
    kind="Namespace",
    namespaced=False,
    short=("ns",),
    subresources=("status", "finalize"),
)
NODES = Resource(
    plural="nodes", kind="Node", namespaced=False, short=("no",), subresources=("status",)
)
SERVICE_ACCOUNTS = Resource(plural="serviceaccounts", kind="ServiceAccount", short=("sa",))
SECRETS = Resource(plural="secrets", kind="Secret")
CONFIG_MAPS = Resource(plural="configmaps", kind="ConfigMap", short=("cm",))
SERVICES = Resource(
    plural="services",
    kind="Service",
    short=("svc",),
    categories=("all",),
    subresources=("status", "proxy"),
)
ENDPOINTS = Resource(plural="endpoints", kind="Endpoints", short=("ep",))
PODS = Resource(
    plural="pods",
    kind="Pod",
    short=("po",),
    categories=("all",),
    subresources=("status", "log", "proxy"),
)
EVENTS = Resource(plural="events", kind="Event", short=("ev",))
DEPLOYMENTS = Resource(
    plural="deployments",
    kind="Deployment",
    group="apps",
    package="io.k8s.api.apps.v1",
    short=("deploy",),
    categories=("all",),
    subresources=("status", "scale"),
)
REPLICA_SETS = Resource(
    plural="replicasets",
    kind="ReplicaSet",
    group="apps",
    package="io.k8s.api.apps.v1",
    short=("rs",),
    categories=("all",),
    subresources=("status", "scale"),
)
ENDPOINT_SLICES = Resource(
    plural="endpointslices",
    kind="EndpointSlice",
    group="discovery.k8s.io",
    package="io.k8s.api.discovery.v1",
)
INGRESSES = Resource(
    plural="ingresses",
    kind="Ingress",
    group="networking.k8s.io",
    package="io.k8s.api.networking.v1",
    short=("ing",),
    subresources=("status",),
)
AUTOSCALERS = Resource(
    plural="horizontalpodautoscalers",
    kind="HorizontalPodAutoscaler",
    group="autoscaling",
    version="v2",
    package="io.k8s.api.autoscaling.v2",
    short=("hpa",),
    categories=("all",),
    subresources=("status",),
)
DISRUPTION_BUDGETS = Resource(
    plural="poddisruptionbudgets",
    kind="PodDisruptionBudget",
    group="policy",
    package="io.k8s.api.policy.v1",
    short=("pdb",),
    subresources=("status",),
)
QUOTAS = Resource(
    plural="resourcequotas",
    kind="ResourceQuota",
    package="io.k8s.api.core.v1",
    short=("quota",),
    subresources=("status",),
)
ACCESS_REVIEWS = Resource(
    plural="selfsubjectaccessreviews",
    kind="SelfSubjectAccessReview",
    group="authorization.k8s.io",
    package="io.k8s.api.authorization.v1",
    namespaced=False,
    verbs=("create",),
)
RULES_REVIEWS = Resource(
    plural="selfsubjectrulesreviews",
    kind="SelfSubjectRulesReview",
    group="authorization.k8s.io",
    package="io.k8s.api.authorization.v1",
    namespaced=False,
    verbs=("create",),
)
CERTIFICATES = Resource(
    plural="managedcertificates",
    kind="ManagedCertificate",
    group="networking.gke.io",
    package="com.gke.networking.v1",
    short=("mcrt",),
    custom=True,
)
FRONTEND_CONFIGS = Resource(
    plural="frontendconfigs",
    kind="FrontendConfig",
    group="networking.gke.io",
    version="v1beta1",
    package="com.gke.networking.v1beta1",
    custom=True,
)
BACKEND_CONFIGS = Resource(
    plural="backendconfigs",
    kind="BackendConfig",
    group="cloud.google.com",
    package="com.google.cloud.v1",
    short=("bc",),
    custom=True,
)

RESOURCES = (
    NAMESPACES,
    NODES,
    SERVICE_ACCOUNTS,
    SECRETS,
    CONFIG_MAPS,
    SERVICES,
    ENDPOINTS,
    PODS,
    EVENTS,
    DEPLOYMENTS,
    REPLICA_SETS,
    ENDPOINT_SLICES,
    INGRESSES,
    AUTOSCALERS,
    DISRUPTION_BUDGETS,
    QUOTAS,
    ACCESS_REVIEWS,
    RULES_REVIEWS,
    CERTIFICATES,
    FRONTEND_CONFIGS,
    BACKEND_CONFIGS,
)


def known_as(plural: str, group: str) -> Resource | None:
    return next((r for r in RESOURCES if (r.plural, r.group) == (plural, group)), None)
