"""What tests of the action share."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

from tests.action import act

# A busy machine is no failure: no test may depend on how long an example takes.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The action as a caller gets it."""
    return act.release(tmp_path_factory.mktemp("action") / "released")
