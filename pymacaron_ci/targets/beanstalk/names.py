"""Names, labels and tags of a release on Elastic Beanstalk. Pure, and never from the clock."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from pymacaron_ci.model import Image, Release

SERVICE = "pymacaron:service"
RELEASE = "pymacaron:release"
VERSION = "pymacaron:version"
COMMIT = "pymacaron:commit"
REPOSITORY = "pymacaron:image"
DIGEST = "pymacaron:digest"
RUN = "pymacaron:run"
PREVIOUS = "pymacaron:previous"
# On the application version, since tagging an environment updates it: the ID of the environment
# that proved itself.
PROVEN = "pymacaron:proven"

ENVIRONMENT_LIMIT, CNAME_LIMIT, LABEL_LIMIT, TAG_LIMIT = 40, 63, 100, 256


def candidate(
    service: str, prefix: str, release_id: str, taken: Collection[str] = ()
) -> tuple[str, str]:
    """Name and CNAME prefix: `<service>-<release>`; `-2` and so on follow where a name is taken."""
    number = 1
    while True:
        suffix = release_id if number == 1 else f"{release_id}-{number}"
        name = _join(service, suffix, ENVIRONMENT_LIMIT)
        if name not in taken:
            return name, _join(prefix, suffix, CNAME_LIMIT)
        number += 1


def version_label(service: str, release_id: str, bundle_key: str) -> str:
    """One label for one bundle: an image that was built again is another version."""
    fingerprint = bundle_key.rpartition("/")[2].partition(".")[0][:8]
    return _join(service, f"{release_id}-{fingerprint}", LABEL_LIMIT)


def tags(service: str, release: Release, previous: str | None) -> dict[str, str]:
    """What an environment carries, so that any later run knows what it is."""
    wanted = {
        SERVICE: service,
        RELEASE: release.id,
        VERSION: release.version,
        COMMIT: release.revision,
        REPOSITORY: release.image.repository,
        DIGEST: release.image.digest or "",
        RUN: release.run_url or "",
        PREVIOUS: previous or "",
    }
    return {k: _tag_value(v) for k, v in wanted.items() if v}


def release(tags: Mapping[str, str]) -> Release | None:
    """The release that an environment's tags tell of, if this tool made it."""
    if RELEASE not in tags:
        return None
    version = tags.get(VERSION, "")
    return Release(
        id=tags[RELEASE],
        version=version,
        revision=tags.get(COMMIT, ""),
        image=Image(
            repository=tags.get(REPOSITORY, ""), tag=version, digest=tags.get(DIGEST) or None
        ),
        run_url=tags.get(RUN),
        kept=True,
    )


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": k, "Value": v} for k, v in tags.items()]


def _join(head: str, tail: str, limit: int) -> str:
    tail = re.sub(r"[^A-Za-z0-9-]+", "-", tail).strip("-")[: limit - 2]
    head = re.sub(r"[^A-Za-z0-9-]+", "-", head)[: limit - len(tail) - 1].strip("-")
    return f"{head}-{tail}" if head else tail


def _tag_value(value: str) -> str:
    return re.sub(r"[^\w .:/=+@-]", "_", value)[:TAG_LIMIT]
