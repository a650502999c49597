"""What wheels must run on, and the tags of those that do, the best first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# Debian 11, the oldest base that still gets fixes, has glibc 2.31.
_GLIBC = ("2_31", "2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What wheels must run on. `python` is `3.11` or `3.11.9`."""

    architecture: str
    python: str
    musl: bool = False

    @property
    def minor(self) -> str:
        return ".".join(self.python.split(".")[:2])

    @property
    def machine(self) -> str:
        return _MACHINES[self.architecture]

    @property
    def platform_tags(self) -> list[str]:
        if self.musl:
            return [f"musllinux_1_{n}_{self.machine}" for n in (2, 1)]
        old = ["manylinux2014", "manylinux2010", "manylinux1"]
        names = [*(f"manylinux_{version}" for version in _GLIBC), *old, "linux"]
        return [f"{name}_{self.machine}" for name in names]

    @property
    def markers(self) -> dict[str, str]:
        full = self.python if self.python.count(".") > 1 else f"{self.python}.0"
        return {
            "python_version": self.minor,
            "python_full_version": full,
            "implementation_version": full,
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "os_name": "posix",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": self.machine,
        }


def tags(target: Target) -> Iterator[str]:
    """`cp313-cp313-manylinux_2_28_x86_64` and so on, as packaging.tags orders them."""
    minor = int(target.minor.split(".")[1])
    own = f"cp3{minor}"
    pythons = [f"py3{minor}", "py3", *(f"py3{n}" for n in range(minor - 1, -1, -1))]
    for abi in (own, "abi3", "none"):
        yield from (f"{own}-{abi}-{platform}" for platform in target.platform_tags)
    for older in range(minor - 1, 1, -1):
        yield from (f"cp3{older}-abi3-{platform}" for platform in target.platform_tags)
    for python in pythons:
        yield from (f"{python}-none-{platform}" for platform in target.platform_tags)
    yield f"{own}-none-any"
    yield from (f"{python}-none-any" for python in pythons)
