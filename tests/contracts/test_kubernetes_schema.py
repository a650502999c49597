"""The schemas that the simulated cluster knows are those that kubernetes-validate ships."""

from __future__ import annotations

from tests.contracts.kubernetes_schema import FILE, render


def test_the_schemas_are_not_stale() -> None:
    assert FILE.read_text() == render(), "run python -m tests.contracts.kubernetes_schema"
