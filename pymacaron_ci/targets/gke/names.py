"""Names, labels and marks of Kubernetes objects: they follow from the release, not the clock."""

from __future__ import annotations

import re

from pymacaron_ci.model import Release, fingerprint

MANAGER = "pymacaron-ci"  # our field manager: what it applied is what an undo applies again
MARKER = "pymacaron-ci-marks"  # sets the marks below, which no manifest has

NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"
VERSION = "app.kubernetes.io/version"
MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_RELEASE = "pymacaron-ci/release"

# Annotations on the pod template and the Deployment: what the release was made of.
RELEASE = "pymacaron-ci/release"
TOLD_VERSION = "pymacaron-ci/version"
COMMIT = "pymacaron-ci/revision"
IMAGE = "pymacaron-ci/image"
RUN_URL = "pymacaron-ci/run"
TOLD = frozenset({RELEASE, TOLD_VERSION, COMMIT, IMAGE, RUN_URL})

# Marks on the Deployment: ids of releases.
PROVEN = "pymacaron-ci/proven"  # the last one that was proven
PREVIOUS = "pymacaron-ci/previous"  # the one before, which a rollback brings back


def label(text: str) -> str:
    """Any text as the value of a label."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:63].strip("-_.")


def secret(service: str, release: Release) -> str:
    """Other secrets, another name: the pods of a former release keep theirs."""
    return f"{service}-secrets-{fingerprint(release.secrets, salt=service)[:10]}"
