"""Is this process fit to serve? The ping hooks decide, and whether it was told to stop."""

from __future__ import annotations

import mmap
from collections.abc import Callable

Hook = Callable[[], object]


class Health:
    """The hooks of a process and its state of leaving."""

    def __init__(self) -> None:
        self.hooks: list[Hook] = []
        # A single byte, so that setting it in a signal handler needs no lock.
        self._leaving: bytearray | mmap.mmap = bytearray(1)

    def add(self, hook: object) -> None:
        """Registers a hook, or each of a list. A hook fails by raising, or by returning False."""
        hooks = list(hook) if isinstance(hook, list | tuple) else [hook]
        for one in hooks:
            if not callable(one):
                raise TypeError(f"ping hook {one!r} should be a function")
            if one not in self.hooks:
                self.hooks.append(one)

    def leave(self) -> None:
        """From now on this process is not ready: it finishes what it has and stops."""
        self._leaving[0] = 1

    def share(self) -> None:
        """Lets processes forked from now on see when this one leaves."""
        self._leaving = mmap.mmap(-1, 1)

    @property
    def leaving(self) -> bool:
        return self._leaving[0] == 1

    def check(self) -> list[str]:
        """Runs all hooks; the names of those that failed."""
        failed = []
        for hook in self.hooks:
            try:
                ok = hook() is not False
            except Exception:  # noqa: BLE001  (whatever a hook raises means: not ready)
                ok = False
            if not ok:
                failed.append(getattr(hook, "__name__", type(hook).__name__))
        return failed


health = Health()


def add_ping_hook(hook: object) -> None:
    """Calls `hook` at every /ping and /ready."""
    health.add(hook)
