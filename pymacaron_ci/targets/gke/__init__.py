"""The target gke: a rolling update that Kubernetes judges by its own rules, and can take back."""

from pymacaron_ci.targets.gke.target import Gke

__all__ = ["Gke"]
