"""Settings that Cloud Run and GKE share."""

from __future__ import annotations

from dataclasses import dataclass

from pymacaron_ci.options import values
from pymacaron_ci.options.declare import CLOUD_RUN, GKE, option

BOTH = (CLOUD_RUN, GKE)


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Google:
    """Used with both of Google's targets."""

    gcp_project: str | None = option(
        default=None,
        help="ID of the Google Cloud project; by default GOOGLE_CLOUD_PROJECT, or the credentials' "
        "own (on gke, docker_repo is the project)",
        targets=BOTH,
        form="6 to 30 lower-case letters, digits and hyphens, starting with a letter",
        rule={"regex": "([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"},
        example="my-project",
    )
    gcp_region: str = option(
        default="europe-west1",
        help="region to deploy to",
        targets=BOTH,
        required=BOTH,
        assumed=True,
        check=values.google_region,
        shape=values.REGION_OF_GOOGLE,
        example="europe-west1",
    )
    gcp_memory: str = option(
        default="512Mi",
        help="memory of one container",
        targets=BOTH,
        required=(CLOUD_RUN,),
        assumed=True,
        check=values.memory,
        shape=values.MEMORY,
        example="1Gi",
    )
    create_missing: bool = option(
        default=False,
        help="create a registry repository that is missing, in the place of an error",
        targets=BOTH,
        example=True,
    )
