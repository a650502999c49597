"""How long an image takes: layers against `docker build` and `docker push`, interleaved.

    python benchmarks/image/compare.py [--rounds 3]

Ours is the whole command `pymacaron-ci build --no-test`. Both push to the same registry on
loopback, which holds the base image (.ci/engine start). Needs root, dockerd and docker. Only the
ratios of one run mean anything: medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_BRIDGE = "pymacaron0"
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "helloworld"
INSTALLED = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}

# The settings of a service whose images go to the registry on loopback.
CONFIG = """\
name: helloworld
deploy_target: aws-beanstalk
live_url: https://helloworld.example.com
docker_registry: {registry}
docker_repo: {repository}
docker_base: {base}
docker_bucket: helloworld-config
python_version: "3.11"
aws_user: deployer
aws_region: eu-west-1
aws_keypair: pair
aws_instance_type: t3.micro
aws_cert_arn: arn:aws:acm:eu-west-1:123456789012:certificate/12345678-90ab-cdef-1234-567890abcdef
"""
FILES = 50


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
    """The example service, with modules up to 50 files, in a repository of its own."""

    def __init__(self, folder: Path, base: str) -> None:
        self.folder, self.base, self.changes = folder, base, 0
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".pymacaron"))
        source = (folder / "helloworld" / "api.py").read_text()
        for number in range(FILES):
            (folder / "helloworld" / f"part{number}.py").write_text(f"PART = {number}\n{source}")
        for other in folder.glob("pym-config.*.yaml"):
            other.unlink()
        self.git("init", "-q")

    def git(self, *arguments: str) -> None:
        names = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        run(["git", *names, *arguments], cwd=self.folder)

    def change(self, registry: str, repository: str) -> None:
        """A change of one line, committed."""
        self.changes += 1
        text = CONFIG.format(registry=registry, repository=repository, base=self.base)
        (self.folder / "pym-config.yaml").write_text(text)
        (self.folder / "helloworld" / "changed.py").write_text(f"x = {self.changes}\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change")

    def ours(self, **environ: str) -> str:
        """The whole command, as a runner starts it: its interpreter, git, the registry and all."""
        command = [sys.executable, "-m", "pymacaron_ci", "build", "--no-test"]
        return run([*command, "-C", str(self.folder)], cwd=ROOT, env=INSTALLED | environ)

    def ours_anew(self) -> str:
        """Where nobody has ever fetched packages, as in the engine that forgets."""
        with tempfile.TemporaryDirectory() as cache:
            return self.ours(UV_CACHE_DIR=cache)

    def context(self, folder: Path) -> None:
        """What a careful pipeline gives to `docker build`: the generated Dockerfile."""
        from pymacaron_ci import dockerfile, runtime_wheel
        from pymacaron_ci.images import recipe

        ignored = shutil.ignore_patterns(".git", "test", "testaccept", "__pycache__")
        shutil.copytree(self.folder, folder, ignore=ignored)
        wheel = runtime_wheel.build()
        (folder / ".runtime").mkdir()
        (folder / ".runtime" / wheel.name).write_bytes(wheel.content)
        text = dockerfile.text(
            base=self.base,
            home=recipe.HOME,
            venv=recipe.VENV,
            user=recipe.USER,
            environment=recipe.environment(),
            command=["gunicorn", "--config", "python:pymacaron.gunicorn", "server:app"],
            wheel=f".runtime/{wheel.name}",
        )
        (folder / "Dockerfile").write_text(text)


def docker(context: Path, name: str, environ: dict[str, str]) -> None:
    build = ["docker", "build", "-q", "--network", "host", "-t", name, str(context)]
    run(build, env=environ)
    run(["docker", "push", "-q", name], env=environ)


def forget(environ: dict[str, str]) -> None:
    """The engine of a runner that starts empty: no base image, no layers, no cache."""
    run(["docker", "system", "prune", "-af"], env=environ)
    if run(["docker", "images", "-aq"], env=environ):
        sys.exit("the engine has kept images")


class Round:
    """One after the other, so that a busy moment of the machine meets both sides."""

    def __init__(self, service: Service, folder: Path, registry: str, name: str) -> None:
        self._service, self._folder = service, folder
        self._registry, self._name = registry, name
        self.seconds: dict[str, float] = {}
        self.sent = ""

    def _timed(self, name: str, action: Callable[[], object]) -> object:
        start = time.perf_counter()
        told = action()
        self.seconds[name] = time.perf_counter() - start
        print(f"{name}: {self.seconds[name]:.2f} s", file=sys.stderr)
        return told

    def _docker(self, name: str, environ: dict[str, str]) -> None:
        context = self._folder / f"context{self._service.changes}"
        self._service.context(context)
        image = f"{self._registry}/{self._name}/docker:{self._service.changes}"
        self._timed(name, lambda: docker(context, image, environ))

    def run(self, environ: dict[str, str]) -> None:
        change = lambda: self._service.change(self._registry, f"{self._name}/layers")  # noqa: E731
        change()
        forget(environ)
        self._docker("docker, first image", environ)
        self._timed("layers, first image", self._service.ours_anew)
        change()
        self._docker("docker, warm cache", environ)
        told = self._timed("layers, code change", self._service.ours)
        self.sent = next(line for line in str(told).splitlines() if line.endswith(" sent"))
        change()
        forget(environ)
        self._docker("docker, no local state", environ)
        self._timed("layers, code change again", self._service.ours)
        self._timed("layers, same commit", self._service.ours)

    @property
    def ratios(self) -> dict[str, float]:
        took = self.seconds
        return {
            "first image": took["docker, first image"] / took["layers, first image"],
            "code change, against no local state": (
                took["docker, no local state"] / took["layers, code change again"]
            ),
            "code change, against a warm cache": (
                took["docker, warm cache"] / took["layers, code change"]
            ),
        }


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(r[name] for r in rounds), 2) for name in rounds[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--registry", default="127.0.0.1:5000")
    parser.add_argument("--base", default="127.0.0.1:5000/python:3.11-slim")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the engine must not stay behind
    compileall.compile_dir(ROOT / "pymacaron_ci", quiet=2)  # as an installer leaves it
    done = []
    with tempfile.TemporaryDirectory(prefix="pymacaron-bench-") as scratch:
        service = Service(Path(scratch) / "helloworld", options.base)
        with engine(Path(scratch)) as environ:
            for number in range(options.rounds):
                name = f"bench{os.getpid()}/{number}"
                done.append(Round(service, Path(scratch), options.registry, name))
                done[-1].run(environ)
    report = {
        "seconds": medians([each.seconds for each in done]),
        "ratios, docker build and push / layers": medians([each.ratios for each in done]),
        f"a change of one line in a service of {FILES} files": done[-1].sent.strip(),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
