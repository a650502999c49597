"""What tests of the action share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.action import act


@pytest.fixture(scope="session")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The action as a caller gets it."""
    return act.release(tmp_path_factory.mktemp("action") / "released")
