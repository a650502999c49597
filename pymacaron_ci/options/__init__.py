"""Every setting of pym-config.yaml, declared once: checks, types, schema, docs derive from it."""

from __future__ import annotations

from dataclasses import dataclass

from pymacaron_ci.options.beanstalk import Beanstalk
from pymacaron_ci.options.cloud_run import CloudRun
from pymacaron_ci.options.common import Common
from pymacaron_ci.options.declare import TARGETS, Complaint, Option, Target, options_of
from pymacaron_ci.options.gke import Gke
from pymacaron_ci.options.google import Google
from pymacaron_ci.options.runtime import Runtime

__all__ = ["GROUPS", "OPTIONS", "TARGETS", "Complaint", "Option", "Settings", "Target"]

# As the docs list them.
GROUPS: dict[str, type] = {
    "Every service": Common,
    "aws-beanstalk": Beanstalk,
    "gcp-cloud-run and gke": Google,
    "gcp-cloud-run": CloudRun,
    "gke": Gke,
    "The running service": Runtime,
}


@dataclass(frozen=True, kw_only=True)
class Settings(Runtime, Gke, CloudRun, Google, Beanstalk, Common):
    """All settings, typed; one that the file does not give has its default.

    The last base comes first: dataclasses collect fields from the end. Nobody makes a group by
    itself, so groups have no methods of their own, which each start of the tool would have to make.
    """


OPTIONS: dict[str, Option] = options_of(Settings)
