"""What an image is made of, and how: CycloneDX and SLSA documents attached as OCI referrers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pymacaron_ci import __version__
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import oci
from pymacaron_ci.images.registry import Repository
from pymacaron_ci.images.wheels import Package
from pymacaron_ci.model import Release, Source

SBOM = "application/vnd.cyclonedx+json"
PROVENANCE = "application/vnd.in-toto+json"
_NOTHING = oci.json_blob({}, "application/vnd.oci.empty.v1+json")
_BUILD_TYPE = "urn:pymacaron-ci:layers:v1"


def sbom(packages: Iterable[Package], source: Source, release: Release) -> oci.Blob:
    """Every package with its version, digest and licence, as its own metadata tells them."""
    components = []
    for package in sorted(packages, key=lambda p: p.name):
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": _purl(package),
            "name": package.name,
            "version": package.version,
            "purl": _purl(package),
            "hashes": [{"alg": "SHA-256", "content": package.sha256}],
        }
        if package.license:
            component["licenses"] = [{"license": {"name": package.license[:200]}}]
        if re.match(r"https?://\S+$", package.homepage):
            component["externalReferences"] = [{"type": "website", "url": package.homepage}]
        components.append(component)
    service = release.image.repository.rsplit("/", 1)[-1]
    return oci.json_blob(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "timestamp": oci.rfc3339(source.created),
                "component": {"type": "application", "name": service, "version": release.version},
                "tools": {
                    "components": [
                        {"type": "application", "name": "pymacaron-ci", "version": __version__}
                    ]
                },
            },
            "components": components,
        },
        SBOM,
    )


def provenance(
    packages: Iterable[Package],
    source: Source,
    release: Release,
    subject: oci.Blob,
    base: tuple[str, str],
) -> oci.Blob:
    """An in-toto statement (SLSA provenance 1.0), unsigned; `base` is its name and digest."""
    where = {"uri": f"git+{source.url}@{source.revision}"} if source.url else {}
    commit = {"digest": {"gitCommit": source.revision[:40]}}
    made_from = [
        {"name": "source", **where, **commit},
        {"name": "base", "uri": f"docker://{base[0]}", "digest": _hex(base[1])},
        *(
            {"uri": _purl(package), "digest": {"sha256": package.sha256}}
            for package in sorted(packages, key=lambda p: p.name)
        ),
    ]
    metadata = {"invocationId": release.run_url} if release.run_url else {}
    return oci.json_blob(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": release.image.repository, "digest": _hex(subject.digest)}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": _BUILD_TYPE,
                    "externalParameters": {"version": release.version, "base": base[0]},
                    "resolvedDependencies": made_from,
                },
                "runDetails": {
                    "builder": {"id": _BUILD_TYPE, "version": {"pymacaron-ci": __version__}},
                    "metadata": metadata,
                },
            },
        },
        PROVENANCE,
    )


def blobs(documents: Iterable[oci.Blob]) -> list[oci.Blob]:
    """What has to be in the registry before documents can be attached."""
    return [_NOTHING, *documents]


def attach(repository: Repository, subject: oci.Blob, documents: Sequence[oci.Blob]) -> None:
    """Lists documents (their blobs are there) under the digest of an image, which is there too."""
    manifests = [
        oci.json_blob(
            {
                "schemaVersion": 2,
                "mediaType": oci.MANIFEST,
                "artifactType": document.media_type,
                "config": _NOTHING.descriptor(),
                "layers": [document.descriptor()],
                "subject": subject.descriptor(),
            },
            oci.MANIFEST,
        )
        for document in documents
    ]
    tag = subject.digest.replace(":", "-")
    with ThreadPoolExecutor(3) as pool:
        held = pool.submit(repository.manifest, tag)
        known = list(pool.map(repository.push_referrer, manifests))
    if not all(known):
        listed = [
            manifest.descriptor() | {"artifactType": document.media_type}
            for manifest, document in zip(manifests, documents, strict=True)
        ]
        _list_by_tag(repository, tag, held.result(), listed)


def _list_by_tag(
    repository: Repository, tag: str, held: oci.Blob | None, listed: Sequence[dict[str, Any]]
) -> None:
    """Where a registry doesn't know referrers, a tag made of the digest lists them (OCI 1.1);
    `held` is what it lists already."""
    others: list[dict[str, Any]] = []
    if held is not None and isinstance(held.content, bytes):
        ours = {entry["artifactType"] for entry in listed}
        try:
            entries = json.loads(held.content)["manifests"]
            others = [entry for entry in entries if entry.get("artifactType") not in ours]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BuildError(f"the tag {tag} holds something that is no list") from error
    repository.push_manifest(oci.index([*others, *listed], {}), tag)


def _purl(package: Package) -> str:
    return f"pkg:pypi/{package.name}@{package.version}"


def _hex(digest: str) -> dict[str, str]:
    kind, _, value = digest.partition(":")
    return {kind: value}
