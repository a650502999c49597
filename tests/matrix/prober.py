"""What a user of the live service notices: a URL, asked 20 times a second."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

PAUSE = 0.05
STARVED = 1.0  # seconds: this late, the simulated cloud may have been, too


class Prober:
    """`failures`: whatever was no 200. Unless `served`, only after the first one that was. One that
    came while this process itself hardly got any time says so: that cell is to be run again.
    """

    def __init__(self, find: Callable[[], str | None], *, served: bool = True) -> None:
        self._find, self._served = find, served
        self._over = threading.Event()
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._run, self._beat)]
        self._late = 0.0
        self.failures: list[str] = []
        self.answers = 0

    @classmethod
    def at(cls, url: str, path: str = "/ping") -> Prober:
        return cls(lambda: f"{url}{path}")

    def _run(self) -> None:
        while not self._over.wait(PAUSE):
            self._late = 0.0
            trouble = self._ask()
            if not trouble:
                self.answers += 1
            elif self.answers or self._served:
                if self._late > STARVED:
                    trouble += f" (this process was {self._late:.1f} s late meanwhile)"
                self.failures.append(trouble)

    def _beat(self) -> None:
        """How much longer than asked for a pause took."""
        begun = time.monotonic()
        while not self._over.wait(PAUSE):
            now = time.monotonic()
            self._late, begun = max(self._late, now - begun - PAUSE), now

    def _ask(self) -> str:
        url = self._find()
        if url is None:
            return "it has no URL"
        request = urllib.request.Request(url, headers={"Connection": "close"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
                return "" if answer.status == 200 else str(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return str(error.code)
        except OSError as error:
            return repr(error)

    def __enter__(self) -> Prober:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(15)
