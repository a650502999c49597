"""A registry that fails at any one of a build's requests, and what is published then."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator

import pytest

from pymacaron_ci import image
from pymacaron_ci.errors import BuildError, RegistryError
from pymacaron_ci.images.layered import LayeredBuilder
from pymacaron_ci.model import Image, Release
from tests.ci.faulty_registry import Handler, State, faulty_registry
from tests.ci.image_parts import Hurried, commit, make_service, make_wheels, push_base, recipe

pytestmark = pytest.mark.real("git")

Act = Callable[[Handler], None]


class Failing:
    """Acts on the requests whose number is in `when`; counts them all."""

    def __init__(self, when: range, act: Act) -> None:
        self.count = 0
        self._when = when
        self._act = act

    def __call__(self, handler: Handler, path: str) -> bool:
        self.count += 1
        if self.count not in self._when:
            return False
        self._act(handler)
        return True


def lose_the_answer(handler: Handler) -> None:
    """The registry does as it was told, and the connection breaks before it can say so."""
    faults, handler.state.faults = handler.state.faults, []
    writer, handler.wfile = handler.wfile, open(os.devnull, "wb")  # noqa: SIM115, PTH123
    try:
        handler.handle_any()
    finally:
        handler.wfile.close()
        handler.wfile, handler.state.faults = writer, faults
    handler.hang_up()


ONCE: dict[str, Act] = {
    "drops the connection": lambda handler: handler.hang_up(),
    "does it and loses the answer": lose_the_answer,
    "429": lambda handler: handler.error(429, "TOOMANYREQUESTS", Retry_After="1"),
    "500": lambda handler: handler.error(500, "UNKNOWN"),
}
FOR_GOOD: dict[str, Act] = {
    "dies": lambda handler: handler.hang_up(),
    "401": lambda handler: handler.error(401, "UNAUTHORIZED"),
    "500": lambda handler: handler.error(500, "UNKNOWN"),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[State, image.Recipe]]:
    """A registry with a service's packages, and a newer commit that is not there yet."""
    folder = tmp_path_factory.mktemp("faults")
    with faulty_registry() as state:
        base = push_base(state.host, "base", {"amd64": "A"})
        service, wheels = make_service(folder / "hello"), make_wheels(folder / "index")
        published(state, recipe(service, base, wheels))
        commit(service, {"hello/api.py": "def hello():\n    return 'changed'\n"})
        yield state, recipe(service, base, wheels)


def published(state: State, made: image.Recipe) -> Image:
    name = Image(repository=f"{state.host}/t/hello", tag=made.source.version)
    wanted = Release(
        id="r1", version=made.source.version, revision=made.source.revision, image=name
    )
    builder = LayeredBuilder(made, clock=Hurried())
    return builder.push(builder.build(wanted))


@pytest.fixture
def again(prepared: tuple[State, image.Recipe]) -> Iterator[Callable[[], None]]:
    """Puts the registry back to what it was."""
    state, _ = prepared
    blobs, manifests = dict(state.blobs), dict(state.manifests)

    def reset() -> None:
        state.blobs, state.manifests = copy.copy(blobs), copy.copy(manifests)
        state.faults.clear()
        state.uploads.clear()

    yield reset
    reset()


def requests_of(prepared: tuple[State, image.Recipe], reset: Callable[[], None]) -> int:
    counting = Failing(range(0), lambda _: None)
    prepared[0].faults.append(counting)
    published(*prepared)
    reset()
    return counting.count


def test_one_failure_anywhere_costs_nothing_but_a_retry(
    prepared: tuple[State, image.Recipe], again: Callable[[], None]
) -> None:
    state, _ = prepared
    expected = published(*prepared)
    again()
    for number in range(1, requests_of(prepared, again) + 1):
        what = list(ONCE)[number % len(ONCE)]
        state.faults.append(Failing(range(number, number + 1), ONCE[what]))
        assert published(*prepared) == expected, f"request {number}: it {what}"
        again()


@pytest.mark.parametrize("what", list(FOR_GOOD))
def test_a_registry_that_fails_for_good_leaves_nothing_half_published(
    prepared: tuple[State, image.Recipe], again: Callable[[], None], what: str
) -> None:
    state, made = prepared
    expected = published(*prepared)
    again()
    for number in range(1, requests_of(prepared, again) + 1, 5):
        state.faults.append(Failing(range(number, 100_000), FOR_GOOD[what]))
        with pytest.raises(RegistryError, match=state.host):
            published(*prepared)
        assert ("t/hello", made.source.version) not in state.manifests, f"request {number}"
        state.faults.clear()
        before = state.received
        assert published(*prepared) == expected  # the next run goes on
        assert state.received - before < 20_000
        again()


def test_a_manifest_that_is_not_what_was_sent_is_never_reported_as_published(
    prepared: tuple[State, image.Recipe], again: Callable[[], None]
) -> None:
    state, _ = prepared

    def lie(handler: Handler, path: str) -> bool:
        if handler.command != "PUT" or "/manifests/" not in path:
            return False
        handler.body()
        handler.answer(201, Docker_Content_Digest="sha256:" + "0" * 64)
        return True

    state.faults.append(lie)
    with pytest.raises(BuildError, match="stored sha256:0000"):
        published(*prepared)
