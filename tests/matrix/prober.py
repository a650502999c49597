"""What a user of the live service notices: a URL, asked 20 times a second."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable


class Prober:
    """`failures`: whatever was no 200. Unless `served`, only after the first one that was."""

    def __init__(self, find: Callable[[], str | None], *, served: bool = True) -> None:
        self._find, self._served = find, served
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.failures: list[str] = []
        self.answers = 0

    @classmethod
    def at(cls, url: str, path: str = "/ping") -> Prober:
        return cls(lambda: f"{url}{path}")

    def _run(self) -> None:
        while not self._over.wait(0.05):
            trouble = self._ask()
            if not trouble:
                self.answers += 1
            elif self.answers or self._served:
                self.failures.append(trouble)

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
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(15)
