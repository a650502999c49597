"""Runs an image's own code as a process of this machine, where no container engine answers."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pymacaron_ci import installer
from pymacaron_ci.errors import BuildError
from pymacaron_ci.simulator import child
from pymacaron_ci.simulator.files import make_folder, read_json, write_json
from pymacaron_ci.simulator.images import Images, StoredImage
from pymacaron_ci.simulator.instances import (
    NO_LIMITS,
    ImageUnusable,
    Instance,
    Limits,
    LogLine,
)
from pymacaron_ci.simulator.logfile import LogFile

# Of the simulator's own environment an instance sees only this: it is not where a service finds a
# secret.
INHERITED = ("PATH", "TMPDIR", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR")


class ProcessInstance:
    """One process group, started by `ProcessRunner`."""

    def __init__(
        self, name: str, url: str, process: subprocess.Popen[bytes], log: LogFile, folder: Path
    ) -> None:
        self._name, self._url = name, url
        self._process, self._log, self._folder = process, log, folder
        self._lock = threading.Lock()
        assert process.stdout is not None  # it was made with a pipe  # noqa: S101
        self._follower = log.follow(process.stdout)  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        return self._url

    def exit_status(self) -> int | None:
        return self._process.poll()

    def logs(self, tail: int = 100) -> Sequence[LogLine]:
        if self.exit_status() is not None:
            self._follower.join(1)  # its last words may still be in the pipe
        return self._log.tail(tail)

    def terminate(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()

    def stop(self, grace: float = 10.0) -> None:
        with self._lock:
            if self._process.poll() is None:
                self.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(grace)
            # also its children, and itself when it did not listen
            _kill_group(self._process.pid)
            self._process.wait()
            self._follower.join(1)
            shutil.rmtree(self._folder, ignore_errors=True)


class ProcessRunner:
    """Below `folder`: one folder for each instance, unpacked images, environments of packages,
    logs.
    """

    kind = "process"

    def __init__(self, folder: Path, images: Images, environ: Mapping[str, str]) -> None:
        self._folder = make_folder(folder)
        self._environments = folder.parent / "environments"
        self._images = images
        self._environ = environ
        self._instances: list[ProcessInstance] = []
        self._numbers = itertools.count(1)
        self._unpacking = threading.Lock()
        # The kernel ends a child when the *thread* that started it ends: this one lives as long as
        # the runner.
        self._starter = ThreadPoolExecutor(1, "starter")

    def start(
        self,
        image: str,
        environment: Mapping[str, str],
        *,
        name: str,
        limits: Limits = NO_LIMITS,  # noqa: ARG002 - a process has the machine's own
        command: Sequence[str] = (),
    ) -> Instance:
        found = self._images.find(image)
        code = self._unpack(found)
        python = self._environment(code, found.extras)
        port = free_port()
        values = {
            **{key: self._environ[key] for key in INHERITED if key in self._environ},
            **{k: v for k, v in found.environment.items() if k != "PATH" and not _of_image(v)},
            **environment,
            "PORT": str(port),
            "PYM_BIND_HOST": "127.0.0.1",
            "VIRTUAL_ENV": str(python.parent.parent),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        values["PATH"] = os.pathsep.join([str(python.parent), values.get("PATH", os.defpath)])
        arguments = _arguments(tuple(command) or found.command, port, python)
        unique = f"{name}.{next(self._numbers)}"
        folder = self._folder / "instances" / unique
        shutil.copytree(code, folder, symlinks=True)
        home = folder / ".home"
        home.mkdir()
        values["HOME"] = str(home)
        process = self._starter.submit(_spawn, arguments, values, folder).result()
        write_json(self._folder / "pids" / f"{unique}.json", _identity(process.pid))
        instance = ProcessInstance(
            name, f"http://127.0.0.1:{port}", process, self._log(name), folder
        )
        self._instances = [i for i in self._instances if i.exit_status() is None] + [instance]
        return instance

    def _unpack(self, image: StoredImage) -> Path:
        code = self._folder / "images" / image.digest.replace(":", "-")
        with self._unpacking:
            if not code.exists():
                partial = code.with_suffix(".partial")
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
                self._images.unpack(image, partial)
                if not any(partial.iterdir()):
                    raise ImageUnusable("the image has no files below /pym to run as a process")
                partial.rename(code)
        return code

    def _environment(self, code: Path, extras: str) -> Path:
        requirements = [path for path in [code / "requirements.txt"] if path.exists()]
        wheels = sorted((code / ".runtime").glob("*.whl"))
        try:
            return installer.ensure(
                self._environments,
                requirements,
                wheels=wheels,
                extras=extras,
                environ=self._environ,
            )
        except BuildError as error:
            text = "\n".join([str(error), *error.details])
            raise ImageUnusable(f"the image's requirements can't be installed: {text}") from error

    def logs(self, name: str, tail: int = 100) -> Sequence[LogLine]:
        return self._log(name).tail(tail)

    def _log(self, name: str) -> LogFile:
        return LogFile(self._folder / "logs" / f"{name}.log")

    def clean(self) -> None:
        for file in (self._folder / "pids").glob("*.json"):
            old = read_json(file)
            # gone, but for its children: no other process takes a number that is still a group's
            if old and old["started"] and _identity(old["pid"])["started"] in ("", old["started"]):
                _kill_group(int(old["pid"]))
            file.unlink(missing_ok=True)
        shutil.rmtree(self._folder / "instances", ignore_errors=True)

    def close(self) -> None:
        for instance in self._instances:
            instance.terminate()  # all at once, then wait for each
        for instance in self._instances:
            instance.stop()
        self._starter.shutdown()
        shutil.rmtree(self._folder / "pids", ignore_errors=True)


def _spawn(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    launcher = [sys.executable, "-I", "-S", str(Path(child.__file__)), str(os.getpid())]
    return subprocess.Popen(
        [*launcher, *arguments],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _arguments(command: Sequence[str], port: int, python: Path) -> list[str]:
    """The image's command with this machine's interpreter and programs."""
    words = bound_to_loopback(command, port)
    program = Path(words[0]).name
    if re.fullmatch(r"python3?(\.\d+)?", program):
        words[0] = str(python)
    elif (python.parent / program).exists():
        words[0] = str(python.parent / program)
    return words


def bound_to_loopback(command: Sequence[str], port: int) -> list[str]:
    """A command that shares the host's network: $PORT filled in, gunicorn on loopback only
    (`pymacaron-serve` and its like look at PYM_BIND_HOST)."""
    if not command:
        raise ImageUnusable("the image has no command")
    words = [re.sub(r"\$\{?PORT\b(:-\d+)?\}?", str(port), word) for word in command]
    if Path(words[0]).name == "gunicorn":
        words = [words[0], *_without_bind(words[1:]), "--bind", f"127.0.0.1:{port}"]
    return words


def _without_bind(words: Sequence[str]) -> list[str]:
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in ("--bind", "-b"):
            skip = True
        elif not word.startswith(("--bind=", "-b")):
            kept.append(word)
    return kept


def _of_image(value: str) -> bool:
    """A value that speaks of folders which only the image has."""
    return value.startswith(("/usr/", "/opt/", "/venv", "/root/"))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _identity(pid: int) -> dict[str, object]:
    """A pid and what tells it from a later process of the same number."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = ""
    return {"pid": pid, "started": started}


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
