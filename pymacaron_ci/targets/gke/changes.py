"""Each step as calls, and how its effect is taken back. Doing either twice does no harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Release, Step
from pymacaron_ci.targets.gke import names, planning, workload
from pymacaron_ci.targets.gke.owned import applied
from pymacaron_ci.targets.gke.refusals import Refused
from pymacaron_ci.targets.gke.resources import path, path_of
from pymacaron_ci.targets.gke.site import Site
from pymacaron_ci.targets.gke.state import Seen, is_ours, marks_of, template_of
from pymacaron_ci.targets.gke.steps import BringBack, MarkProven, Open, Provide, RollOut
from pymacaron_ci.targets.gke.watch import Watch
from pymacaron_ci.targets.gke.workload import Manifest

Body = Mapping[str, Any]


class Changes:
    """Makes steps at a site and takes them back."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def make(self, step: Step, release: Release, site: Site) -> str:
        """A note on what was done."""
        match step:
            case Provide():
                self._apply(site, site.provided(release))
            case RollOut():
                return self._roll_out(site, release)
            case Open():
                self._apply(site, site.opened())
            case BringBack():
                return self._bring_back(site, step.release)
            case MarkProven():
                self._mark_proven(site)
            case _:
                raise TypeError(f"not a step of gke: {step!r}")
        return ""

    def take_back(self, step: Step, release: Release, site: Site) -> None:
        match step:
            case Provide():
                self._put_back(site, site.provided(release))
            case Open():
                self._put_back(site, site.opened())
            case RollOut():
                self._withdraw(site, release.id)
            case BringBack():
                self._withdraw(site, step.release)

    def _apply(self, site: Site, manifests: Sequence[Manifest]) -> None:
        for manifest in planning.to_apply(manifests, site.before):
            try:
                _, new = site.kube.apply(manifest, names.MANAGER, force=site.wanted.take_over)
            except Refused as error:
                raise refusal(site, manifest, error) from error
            if new:
                site.made.add(path_of(manifest))

    def _roll_out(self, site: Site, release: Release) -> str:
        manifest = workload.deployment(site.wanted, site.place, release)
        wanted = workload.marks(release)

        def intent(found: Body | None) -> Manifest | None:
            told = marks_of(template_of(found))
            arrived = found is not None and all(told.get(k) == v for k, v in wanted.items())
            return None if arrived else manifest

        try:
            site.change(
                intent, what=f"applying the Deployment in {site.namespace}",
                force=site.wanted.take_over,
            )  # fmt: skip
        except Refused as error:
            raise refusal(site, manifest, error) from error
        return self._watch.rollout(site, release.id)

    def _bring_back(self, site: Site, release: str) -> str:
        found = site.before.deployment
        template = site.before.template_of_release(release)
        if found is None or template is None:
            raise DeployError(
                f"release {release} is gone from the history in {site.namespace}",
                hint="deploy its commit again",
            )
        manifest = revived(found, template)
        self._set_template(site, manifest, what=f"bringing release {release} back")
        return self._watch.rollout(site, release)

    def _mark_proven(self, site: Site) -> None:
        seen = site.look()
        if seen.running != seen.proven:
            site.mark(proven=seen.running, previous=seen.proven or None)
        self._remove_secrets(site, seen)

    def _remove_secrets(self, site: Site, seen: Seen) -> None:
        """Those that neither what runs nor its history needs: a rollback finds its own."""
        every = site.kube.items("Secret", site.namespace, workload.labels_of_ours(site.wanted))
        prefix = f"{site.wanted.name}-secrets-"
        found = {str(s["metadata"]["name"]) for s in every}
        for name in sorted(n for n in found - seen.needed_secrets if n.startswith(prefix)):
            site.kube.delete(path("Secret", site.namespace, name))

    def _withdraw(self, site: Site, mine: str) -> None:
        """The former pods again, where ours run still: what somebody else has begun stays."""
        before = site.before
        found = site.kube.find(site.deployment_path)
        running = marks_of(template_of(found)).get(names.RELEASE, "")
        if found is None or running != mine:
            return
        if before.deployment is None or before.template is None:
            site.delete_deployment()
            return
        manifest = revived(before.deployment, before.template)
        former = marks_of(before.template).get(names.RELEASE, "")
        if former == mine:
            return
        self._set_template(site, manifest, what="putting the former pods back", guarded=False)
        self._watch.rollout(site, former, patient=True)

    def _set_template(
        self, site: Site, manifest: Manifest, *, what: str, guarded: bool = True
    ) -> None:
        wanted = marks_of(template_of(manifest))

        def intent(found: Body | None) -> Manifest | None:
            told = marks_of(template_of(found))
            keys = {names.RELEASE, names.IMAGE}
            arrived = found is not None and all(told.get(k) == wanted.get(k) for k in keys)
            return None if arrived else manifest

        site.change(intent, what=what, guarded=guarded, force=True)

    def _put_back(self, site: Site, manifests: Sequence[Manifest]) -> None:
        """What we made goes, what we changed is applied as it was. Namespaces stay."""
        running = site.kube.find(site.deployment_path)
        for manifest in reversed(planning.to_apply(manifests, site.before)):
            kind, name = manifest["kind"], manifest["metadata"]["name"]
            before = site.before.objects.get(kind)
            # where nothing runs, a first deployment that died may have left it
            left = running is None and before is not None and is_ours(before)
            needed = kind == "Secret" and name in workload.secrets_of(template_of(running))
            if kind == "Namespace" or needed:
                continue
            if left or path_of(manifest) in site.made:
                site.kube.delete(path_of(manifest))
                continue
            former = applied(before, names.MANAGER) if before else None
            if former is not None and former != manifest:
                site.kube.apply(former, names.MANAGER, force=True)


def revived(deployment: Body, template: Body) -> Manifest:
    """The Deployment as we applied it, with a former pod template."""
    known = applied(deployment, names.MANAGER)
    metadata = deployment["metadata"]
    manifest: Manifest = known or {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        "spec": {},
    }
    own = template_of(manifest)
    # as we applied it is better than as the server filled it in
    chosen = own if own and _told(own) == _told(template) else template
    annotations = {
        k: v
        for k, v in (manifest["metadata"].get("annotations") or {}).items()
        if k not in names.TOLD
    }
    return {
        **manifest,
        "metadata": {
            **manifest["metadata"],
            "annotations": {**annotations, **_told(template)},
        },
        "spec": {**manifest["spec"], "template": dict(chosen)},
    }


def _told(template: Body) -> dict[str, str]:
    return {k: v for k, v in marks_of(template).items() if k in names.TOLD}


def refusal(site: Site, manifest: Manifest, error: Refused) -> DeployError:
    """An object that was not taken: which, why, and who else has a hand in it."""
    what = f"{manifest['kind']} {manifest['metadata']['name']} in {site.namespace}"
    if error.others_fields:
        fields = "; ".join(f"{c.field} ({c.message})" for c in error.others_fields)
        return DeployError(
            f"{what}: others manage fields of it: {fields}",
            hint="leave these fields to this tool (kubectl get --show-managed-fields tells who has "
            "them), or take them over: gke_take_over: true",
        )
    if error.transient or error.code == 401:
        return error
    return DeployError(f"{what}: {error.message or error}", hint=error.problems[0].hint)
