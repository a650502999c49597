"""Names and marks on Cloud Run's resources. All follow from the release, none from the clock."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection

LONGEST_REVISION = 63
LONGEST_TAG_AND_SERVICE = 46
SHORTEST_TAG = 6

# Labels: on services for the bill and for lists, on revisions to find a release.
LABEL_RELEASE = "pymacaron-release"
LABEL_MANAGED = "managed-by"
MANAGED_BY = "pymacaron-ci"

# Annotations on revisions: what the release was made of.
RELEASE = "pymacaron-ci/release"
VERSION = "pymacaron-ci/version"
COMMIT = "pymacaron-ci/revision"
IMAGE = "pymacaron-ci/image"
RUN_URL = "pymacaron-ci/run"

# Annotations on services: where a deployment stands. Traffic is written "revision=percent,…".
PROVEN = "pymacaron-ci/proven"  # the last traffic that was proven
PREVIOUS = "pymacaron-ci/previous"  # the one before, which a rollback brings back
CANDIDATE = "pymacaron-ci/candidate"  # a revision that is not proven yet


def label(release_id: str) -> str:
    """A release's id as the value of a label."""
    value = re.sub(r"[^a-z0-9_-]", "-", release_id.lower())
    return value if len(value) <= 63 else _digest(release_id)


def revision(service: str, release_id: str, taken: Collection[str] = ()) -> str:
    """The name of a release's revision; a name that a failed attempt holds can't be used again."""
    core = re.sub(r"[^a-z0-9]+", "-", release_id.lower()).strip("-") or _digest(release_id)
    room = LONGEST_REVISION - len(service) - len("-") - len("-99")
    name = f"{service}-{core[:room].rstrip('-')}"
    attempt = 2
    found = name
    while found in taken:
        found = f"{name}-{attempt}"
        attempt += 1
    return found


def tag(service: str, release_id: str) -> str:
    """The tag of a candidate: `c-` and what room there is for the release."""
    core = re.sub(r"[^a-z0-9]", "", release_id.lower()) or _digest(release_id)
    room = LONGEST_TAG_AND_SERVICE - len(service)
    return f"c-{core[:8]}"[:room]


def is_our_tag(name: str) -> bool:
    return bool(re.fullmatch(r"c-[a-z0-9]{4,8}", name))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
