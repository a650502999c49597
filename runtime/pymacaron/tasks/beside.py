"""Workers beside the development server: started by `letsgo`, ended with it, however it ends."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from pathlib import Path

PATIENCE = 10.0


class Beside:
    """The one worker process that this process started."""

    def __init__(self) -> None:
        self.worker: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    def start(self) -> None:
        if self.worker is not None and self.worker.poll() is None:
            return
        main = getattr(sys.modules["__main__"], "__file__", None) or "server.py"
        script = Path(main).absolute()
        # The worker reads from the pipe; when this process is gone, killed or not, it sees the end.
        reading, self._pipe = os.pipe()
        command = [
            *(sys.executable, "-m", "pymacaron.tasks.worker"),
            *("--server", script.stem, "--parent-pipe", str(reading)),
        ]
        try:
            # A group of its own: a Ctrl-C in the terminal reaches it through us, once.
            self.worker = subprocess.Popen(
                command, cwd=script.parent, pass_fds=(reading,), start_new_session=True
            )
        finally:
            os.close(reading)
        atexit.register(self.stop)

    def stop(self) -> None:
        """Lets it finish what it has; kills it when that takes too long."""
        worker, self.worker = self.worker, None
        if worker is None:
            return
        os.close(self._pipe)
        worker.terminate()
        try:
            worker.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


beside = Beside()


def start_celery(port: int | None = None, debug: bool | None = None) -> None:  # noqa: ARG001  (2.x)
    """Starts workers for the service whose server.py is running. They end with this process."""
    beside.start()


def kill_celery() -> None:
    """Ends the workers that start_celery() started, and no others."""
    beside.stop()
