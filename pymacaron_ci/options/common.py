"""Settings of every target: the service, where it lives, its image and its secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pymacaron_ci.options import values
from pymacaron_ci.options.declare import AWS, CLOUD_RUN, GKE, TARGETS, Target, option


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Common:
    """The service itself, where everybody finds it, its image and its secrets."""

    name: str = option(
        help="short name of the service; environments, namespaces and images are named after it",
        required=TARGETS,
        form="lower-case letters, digits and hyphens, no hyphen at the start or end",
        rule={"regex": "[a-z0-9]([a-z0-9-]*[a-z0-9])?", "minlength": 1, "maxlength": 63},
        example="hello",
    )
    deploy_target: Target = option(  # noqa: RUF009 (it makes a field)
        default=AWS, help="where the service is deployed", example="gcp-cloud-run"
    )
    live_url: str | None = option(
        default=None,
        help="URL under which everybody reaches the live service; live_host may stand in",
        check=values.url,
        shape=values.URL,
        example="https://api.example.com",
    )
    live_host: str | None = option(
        default=None,
        help="host of the live service, in the place of live_url",
        check=values.host,
        example="api.example.com",
    )
    env_secrets: tuple[str, ...] = option(
        default=(),
        help="names of environment variables with secrets: the container gets them, and a value "
        "that equals one of these names is replaced by the variable's content",
        example=["PYM_JWT_SECRET"],
    )

    docker_repo: str = option(
        help="Docker Hub organization or user (aws-beanstalk), name of the Cloud Run service "
        "(gcp-cloud-run), or ID of the Google Cloud project (gke)",
        required=TARGETS,
        rule={"minlength": 1, "maxlength": 200},
        example="helloworld",
    )
    docker_registry: str | None = option(
        default=None,
        help="host of the image registry; by default docker.io for aws-beanstalk, "
        "`<gcp_region>-docker.pkg.dev` for Google",
        rule={"minlength": 1},
        check=values.registry,
        example="ghcr.io",
    )
    docker_repository: str = option(
        default="pymacaron",
        help="repository of Artifact Registry that holds the images",
        targets=(CLOUD_RUN, GKE),
        form="lower-case letters, digits and hyphens, starting with a letter",
        rule={"regex": "[a-z]([a-z0-9-]{0,61}[a-z0-9])?"},
        example="services",
    )
    docker_base: str | None = option(
        default=None,
        help="base image, in the place of python:<python_version>-slim",
        form="an image reference",
        rule={
            "regex": r"([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9][a-z0-9._/-]*(:[A-Za-z0-9_.-]+)?"
            r"(@sha256:[0-9a-f]{64})?"
        },
        example="python:3.12-slim",
    )
    python_version: str | None = option(
        default=None,
        help="version of Python in the image",
        form="a version of Python 3",
        rule={"regex": r"3\.[0-9]{1,2}(\.[0-9]{1,2})?"},
        example="3.12",
    )
    builder: Literal["auto", "layers", "docker"] = option(
        default="auto",
        help="what makes the image: our own builder of layers, a Docker engine, or whichever can",
        example="layers",
    )
    platforms: tuple[str, ...] = option(
        default=("linux/amd64",),
        help="platforms that the image is built for",
        rule={
            "schema": {"type": "string", "regex": r"linux/[a-z0-9]+(/v[0-9])?"},
            "minlength": 1,
        },
        example=["linux/amd64", "linux/arm64"],
    )
    bytecode: bool = option(
        default=False,
        help="ship compiled modules, made by exactly the image's version of Python: "
        "a quicker start, and a build that needs that Python at hand",
        example=True,
    )
    include_links: tuple[str, ...] = option(
        default=(),
        help="symbolic links in the project whose targets go into the image",
        example=["shared"],
    )
    with_async: bool = option(
        default=False,
        help="run Celery workers beside the server, for `@asynctask`",
        container=True,
        example=True,
    )
    worker_count: int | None = option(
        default=None,
        help="number of Celery workers; by default two for each CPU",
        container=True,
        rule={"min": 1, "max": 1000},
        example=2,
    )
    cpu_count: int | None = option(
        default=None,
        help="CPUs of one container, from which workers and memory are sized",
        container=True,
        rule={"min": 1, "max": 256},
        example=1,
    )
