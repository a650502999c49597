"""The text of the generated Dockerfile. Pure: reads no file, knows no engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

NAME = ".pymacaron.Dockerfile"
# The stage whose layers are worth keeping between machines that start empty.
PACKAGES = "packages"

_PIP = "/opt/pip/bin/python -m pip --python {venv}/bin/python install"
_FLAGS = "--no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore"
_COMPILE = "{venv}/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash {folder}"


def text(
    *,
    base: str,
    home: str,
    venv: str,
    user: str,
    environment: Mapping[str, str],
    command: Sequence[str],
    wheel: str | None,
    hashed: bool = False,
    included: Sequence[str] = (),
    port: str = "8080",
    extra: str = "",
    root_first: bool = False,
) -> str:
    """Packages, then code, then an image of nothing else.

    `wheel`: the runtime's requirement (`.runtime/pymacaron….whl[async]`), None where the service
    pins its own; `hashed`: requirements.txt pins everything with hashes; `included`: the files it
    names; `extra`: the text of Dockerfile.extra, which runs as root; `root_first`: the base may
    have a user of its own.
    """
    become_root = ["USER 0"] if root_first else []
    pip = _PIP.format(venv=venv)
    installs = [f"{pip} {_FLAGS} -r requirements.txt"]
    if wheel and hashed:  # the wheel has no hash there; what it needs must be in the file
        installs.append(f"{pip} {_FLAGS} --no-deps {wheel}")
        installs.append(f"/opt/pip/bin/python -m pip --python {venv}/bin/python check")
    elif wheel:
        installs[0] += f" './{wheel}'"
    copies = [f'COPY ["{path}", "./{path}"]' for path in ("requirements.txt", *included)]
    copies += ["COPY .runtime/ ./.runtime/"] if wheel else []
    lines = [
        "# Made by pymacaron-ci. A Dockerfile of your own in this folder is used instead.",
        f"FROM {base} AS {PACKAGES}",
        # This stage is never run: that it ends as root is no risk.
        *(["# hadolint ignore=DL3002"] if root_first else []),
        *become_root,
        f"WORKDIR {home}",
        # pip stays outside of the environment that is shipped.
        f"RUN python3 -m venv /opt/pip && python3 -m venv --without-pip {venv}",
        *copies,
        _run([*installs, _compile(venv, f"{venv}/lib")]),
        "",
        f"FROM {PACKAGES} AS code",
        "COPY . ./",
        f"RUN rm -rf .runtime && {_compile(venv, '.')}",
        "",
        f"FROM {base}",
        *become_root,
        f"COPY --from={PACKAGES} {venv} {venv}",
        f"COPY --from=code {home} {home}",
        f"WORKDIR {home}",
        "ENV " + " ".join(f"{name}={json.dumps(value)}" for name, value in environment.items()),
        f"EXPOSE {port}",
        *([extra.strip("\n")] if extra.strip() else []),
        f"USER {user}",
        f"CMD {json.dumps(list(command))}",
        "",
    ]
    return "\n".join(lines)


def _compile(venv: str, folder: str) -> str:
    # Modules written for another Python version don't compile; that is no reason to fail.
    return f"({_COMPILE.format(venv=venv, folder=folder)} || true)"


def _run(commands: Sequence[str]) -> str:
    return "RUN " + " \\\n    && ".join(commands)
