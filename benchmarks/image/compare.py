"""How long an image takes: layers against `docker build` and `docker push`, interleaved.

    python benchmarks/image/compare.py [--rounds 3]

Both push to the same registry on loopback, which holds the base image (.ci/engine start). Needs
root, dockerd and docker. Only the ratios of one run mean anything: medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_BRIDGE = "pymacaron0"
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "helloworld"

# One whole process, as a runner starts it: imports, git, registry and all.
OURS = """
import os, sys
from pathlib import Path
from pymacaron_ci import image, source
from pymacaron_ci.model import Image, Release
folder, base, repository = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
found = source.read(folder, os.environ)
recipe = image.Recipe(folder=folder, source=found, config_file=folder / "pym-config.yaml",
                      environ=os.environ, base=base, python_version="3.11")
release = Release(id="x", version=found.version, revision=found.revision,
                  image=Image(repository=repository, tag=found.version))
builder = image.layered_builder(recipe, print)
print(builder.push(builder.build(release)))
"""


def run(command: list[str], **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return str(done.stdout)


@contextmanager
def engine(folder: Path) -> Iterator[dict[str, str]]:
    """An engine of our own, whose state can be thrown away; builds use the host's network."""
    socket = folder / "docker.sock"
    command = ["dockerd", "--host", f"unix://{socket}", "--data-root", str(folder / "data")]
    command += ["--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")]
    # A bridge of its own: an engine without any removes docker0, which may be another engine's.
    command += [f"--bridge={_BRIDGE}", "--iptables=false"]
    run(["ip", "link", "add", _BRIDGE, "type", "bridge"])
    run(["ip", "address", "add", "172.30.77.1/24", "dev", _BRIDGE])
    environ = {**os.environ, "DOCKER_HOST": f"unix://{socket}", "DOCKER_BUILDKIT": "0"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while subprocess.run(["docker", "info"], env=environ, capture_output=True).returncode:
                if time.monotonic() > deadline or process.poll() is not None:
                    sys.exit((folder / "log").read_text()[-2000:])
                time.sleep(0.2)
            yield environ
        finally:
            process.terminate()
            process.wait(60)
            run(["ip", "link", "delete", _BRIDGE])
            # It leaves its network namespace mounted.
            subprocess.run(["umount", str(folder / "exec/netns/default")], capture_output=True)


class Service:
    """The example service in a repository of its own, with a Dockerfile for plain docker."""

    def __init__(self, folder: Path, base: str) -> None:
        self.folder, self.base, self.changes = folder, base, 0
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".pymacaron"))
        self.git("init", "-q")
        self.change()

    def git(self, *arguments: str) -> None:
        names = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        run(["git", *names, *arguments], cwd=self.folder)

    def change(self) -> None:
        """A change of one line, committed."""
        self.changes += 1
        (self.folder / "helloworld" / "changed.py").write_text(f"x = {self.changes}\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change")

    def ours(self, repository: str) -> None:
        arguments = [str(self.folder), self.base, repository]
        run([sys.executable, "-c", OURS, *arguments], cwd=ROOT)

    def docker(self, repository: str, environ: dict[str, str]) -> None:
        """What a careful hand-written pipeline does: the generated Dockerfile, build, push."""
        from pymacaron_ci import dockerfile, runtime_wheel
        from pymacaron_ci.images import recipe

        with tempfile.TemporaryDirectory() as scratch:
            context = Path(scratch) / "context"
            ignored = shutil.ignore_patterns(".git", "test", "testaccept", "__pycache__")
            shutil.copytree(self.folder, context, ignore=ignored)
            wheel = runtime_wheel.build()
            (context / ".runtime").mkdir()
            (context / ".runtime" / wheel.name).write_bytes(wheel.content)
            text = dockerfile.text(
                base=self.base,
                home=recipe.HOME,
                venv=recipe.VENV,
                user=recipe.USER,
                environment=recipe.environment(),
                command=["gunicorn", "--config", "python:pymacaron.gunicorn", "server:app"],
                wheel=f".runtime/{wheel.name}",
            )
            (context / "Dockerfile").write_text(text)
            name = f"{repository}:{self.changes}"
            build = ["docker", "build", "-q", "--network", "host", "-t", name, str(context)]
            run(build, env=environ)
            run(["docker", "push", "-q", name], env=environ)


def timed(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def forget(environ: dict[str, str]) -> None:
    run(["docker", "system", "prune", "-af"], env=environ)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--registry", default="127.0.0.1:5000")
    parser.add_argument("--base", default="127.0.0.1:5000/python:3.11-slim")
    options = parser.parse_args()
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="pymacaron-bench-") as scratch:
        service = Service(Path(scratch) / "helloworld", options.base)
        stamp = f"{options.registry}/bench{os.getpid()}"
        with engine(Path(scratch)) as environ:
            for number in range(options.rounds):
                ours, theirs = f"{stamp}/ours{number}", f"{stamp}/docker{number}"

                def note(name: str, action: Callable[[], None]) -> None:
                    times.setdefault(name, []).append(timed(action))
                    print(f"{name}: {times[name][-1]:.2f} s", file=sys.stderr)

                forget(environ)
                note("docker first", lambda to=theirs: service.docker(to, environ))  # type: ignore[misc]
                note("layers first", lambda to=ours: service.ours(to))  # type: ignore[misc]
                service.change()
                note("docker warm", lambda to=theirs: service.docker(to, environ))  # type: ignore[misc]
                note("layers change", lambda to=ours: service.ours(to))  # type: ignore[misc]
                service.change()
                forget(environ)
                note("docker cold", lambda to=theirs: service.docker(to, environ))  # type: ignore[misc]
                note("layers change", lambda to=ours: service.ours(to))  # type: ignore[misc]
                note("layers same commit", lambda to=ours: service.ours(to))  # type: ignore[misc]
    median = {name: statistics.median(values) for name, values in times.items()}
    ratios = {
        "first image, docker / layers": median["docker first"] / median["layers first"],
        "code change, docker without local state / layers": (
            median["docker cold"] / median["layers change"]
        ),
        "code change, docker with a warm cache / layers": (
            median["docker warm"] / median["layers change"]
        ),
    }
    rounded = {
        "seconds": {name: round(value, 2) for name, value in median.items()},
        "ratios": {name: round(value, 1) for name, value in ratios.items()},
    }
    print(json.dumps(rounded, indent=2))


if __name__ == "__main__":
    main()
