"""A signal stops a run once, and never in the middle of an undo."""

from __future__ import annotations

import os
import signal

import pytest

from pymacaron_ci.errors import Stopped
from pymacaron_ci.signals import Signals


def test_the_first_signal_stops_with_its_own_exit_code() -> None:
    said: list[str] = []
    with Signals(said.append).installed(), pytest.raises(Stopped) as stopped:
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.exit_code == 143
    assert said == ["SIGTERM: stopping"]


def test_a_second_signal_is_announced_and_ignored() -> None:
    said: list[str] = []
    with Signals(said.append).installed():
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert "please wait" in said[1]


def test_an_undo_is_not_interrupted() -> None:
    signals = Signals(lambda _: None)
    with signals.installed(), signals.hold():
        os.kill(os.getpid(), signal.SIGINT)
        done = True
    assert done


def test_former_handlers_come_back() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with Signals(lambda _: None).installed():
        assert signal.getsignal(signal.SIGTERM) is not former
    assert signal.getsignal(signal.SIGTERM) is former
