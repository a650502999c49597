"""The target gcp-cloud-run: a new revision gets requests only after it has answered for itself."""

from pymacaron_ci.targets.cloud_run.target import CloudRun

__all__ = ["CloudRun"]
