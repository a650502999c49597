"""Which simulated clouds run on a state folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymacaron_ci.simulator import clouds
from pymacaron_ci.simulator.clouds import Cloud, Clouds, Ground


def test_a_cloud_whose_packages_are_not_installed_here_rests_and_keeps_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = False

    def start(folder: Path, ground: Ground, port: int) -> Cloud:
        if not installed:
            raise ModuleNotFoundError("No module named 'botocore'")
        return Cloud(url=f"http://127.0.0.1:{port}", close=lambda: None, services=list)

    monkeypatch.setattr(clouds, "CLOUDS", {"aws": start})
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "port.json").write_text("4711")
    ground: Ground = object()  # type: ignore[assignment]
    assert Clouds(tmp_path, ground).urls == {}
    assert "the simulated aws rests: No module named 'botocore'" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):  # a run that asks for it is told
        Clouds(tmp_path, ground).open("aws")
    installed = True
    assert Clouds(tmp_path, ground).urls == {"aws": "http://127.0.0.1:4711"}
