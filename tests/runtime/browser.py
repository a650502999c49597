"""Chromium without a window, driven through its DevTools pipe."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMAND = (
    "chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage"
    " --remote-debugging-pipe"
)


class Browser:
    """One page. https://chromedevtools.github.io/devtools-protocol/"""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = os.fdopen(commands, "wb", buffering=0)
        self._answers = os.fdopen(answers, "rb")
        self._count = 0
        self._session: dict[str, str] = {}

    def open(self, url: str) -> None:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        self._call("Page.enable")
        self._call("Page.navigate", url=url)
        while json.loads(self._read()).get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page; a promise is waited for."""
        answer = self._call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params, **self._session}
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == self._count:
                assert "result" in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> bytes:
        text = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "chromium ended"
            text += byte
        return bytes(text)


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with its profile and its log in a folder."""
    its_commands, our_commands = os.pipe()
    our_answers, its_answers = os.pipe()
    # It reads commands from descriptor 3 and answers on descriptor 4.
    shell = f'exec {COMMAND} --user-data-dir="$0" 3<&{its_commands} 4>&{its_answers}'
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", shell, str(folder / "profile")],
            pass_fds=(its_commands, its_answers),
            stdout=log,
            stderr=log,
        )
    os.close(its_commands)
    os.close(its_answers)
    try:
        yield Browser(our_commands, our_answers)
    finally:
        process.terminate()
        process.wait(30)
