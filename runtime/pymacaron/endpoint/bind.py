"""Operations → endpoints: every handler resolved at the start, all failures in one error."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from pymacaron.endpoint.answer import JSON, Answers
from pymacaron.endpoint.body import BodyReader, FormArguments
from pymacaron.endpoint.call import Answer, Call, Problems
from pymacaron.endpoint.parameters import Arguments
from pymacaron.exceptions import (
    InternalValidationError,
    InvalidParameterError,
    headers_of,
    is_stop,
)
from pymacaron.openapi import Operation, Problem, SpecError
from pymacaron.pool import ModelPool

Handler = Callable[..., Any]
# What is not compiled by then is compiled by the first request that needs it.
SECONDS_TO_PREPARE = 2.0
NOTHING: tuple[list[Any], dict[str, Any]] = ([], {})


class Handling(Protocol):
    """What an endpoint needs of crash.ErrorHandling."""

    def answer(self, exception: BaseException) -> tuple[int, dict[str, object]]: ...

    def by_application(self, exception: Exception) -> WerkzeugResponse | None: ...

    def completed(
        self, operation_id: str, path: str, method: str, started: float, status: int, size: int
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The settings that endpoints obey."""

    max_body: int = 16 * 1024 * 1024
    validate_responses: bool = False


@dataclass
class Endpoint:
    """One operation, ready to be called with a request."""

    operation: Operation
    path: str
    handler: Handler
    arguments: Arguments
    body: BodyReader | None
    form: FormArguments | None
    answers: Answers
    handling: Handling
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.operation.name
        self._bare = not (self.arguments.readers or self.body or self.form)

    def prepare(self) -> None:
        """Compiles what the first request would."""
        for part in (*self.arguments.readers, self.body, self.form, self.answers):
            if part is not None:
                part.prepare()

    def __call__(self, call: Call) -> Answer | WerkzeugResponse:
        started = time.perf_counter()
        try:
            accept = call.environ.get("HTTP_ACCEPT")
            if accept:
                self.answers.check_accept(accept)
            positional, named = NOTHING if self._bare else self._arguments(call)
            try:
                result = self.handler(*positional, **named)
            except ValidationError as error:
                raise InternalValidationError(str(error)) from error
            answer = self.answers.answer(result, accept)
        except BaseException as error:
            if not (isinstance(error, Exception) or is_stop(error)):
                raise
            answer = self._failed(call, error)
        if isinstance(answer, Answer):
            status, size = answer.status, len(answer.body)
        else:
            status, size = answer.status_code, answer.content_length or 0
        operation = self.operation
        self.handling.completed(self.name, self.path, operation.method, started, status, size)
        return answer

    def _arguments(self, call: Call) -> tuple[list[Any], dict[str, Any]]:
        problems = Problems([])
        named = self.arguments.read(call, problems)
        positional = []
        if self.body is not None:
            positional.append(self.body.read(call, problems))
        elif self.form is not None:
            named.update(self.form.read(call, problems))
        if problems.found:
            raise InvalidParameterError("; ".join(problems.found))
        return positional, named

    def _failed(self, call: Call, error: BaseException) -> Answer | WerkzeugResponse:
        if call.by_flask and isinstance(error, Exception):
            answer = self.handling.by_application(error)
            if answer is not None:
                return answer
        if isinstance(error, HTTPException):
            return self._http(error)
        return self._error(error)

    def _http(self, error: HTTPException) -> Answer | WerkzeugResponse:
        """An abort() with a response of its own, or a redirect, passes as it is."""
        if error.response is not None or (error.code or 500) < 400:
            return error.get_response()
        return self._error(error)._replace(headers=headers_of(error))

    def _error(self, error: BaseException) -> Answer:
        status, body = self.handling.answer(error)
        return Answer(status, JSON, json.dumps(body).encode())


def bind(pool: ModelPool, handling: Handling, rules: Rules, base_path: str = "") -> list[Endpoint]:
    """The endpoints of an API. Raises SpecError with every handler that can't be found or
    called."""
    problems: list[Problem] = []
    endpoints = []
    for operation in pool.api.operations:
        handler = _handler(operation, problems)
        arguments = Arguments(operation.parameters, pool.requests)
        if handler is None:
            continue
        hint = handler.__name__ if hasattr(handler, "__name__") else operation.method.lower()
        fields = [p for p in operation.parameters if p.where == "form"]
        body = form = None
        if fields and operation.body is not None:
            form = FormArguments(operation.body, fields, pool.requests, rules.max_body)
        elif operation.body is not None:
            body = BodyReader(operation.body, pool.requests, f"{hint}_body", rules.max_body)
        _fit(handler, operation, arguments, body is not None, form, problems)
        endpoints.append(
            Endpoint(
                operation=operation,
                path=base_path + operation.path,
                handler=_synchronous(handler),
                arguments=arguments,
                body=body,
                form=form,
                answers=Answers(operation, pool.responses, validate=rules.validate_responses),
                handling=handling,
            )
        )
    if problems:
        raise SpecError(problems)
    end = time.perf_counter() + SECONDS_TO_PREPARE
    for endpoint in endpoints:
        if time.perf_counter() > end:
            break
        endpoint.prepare()
    return endpoints


def _handler(operation: Operation, problems: list[Problem]) -> Handler | None:
    place = operation.place
    if operation.handler is None:
        problems.append(
            place.document.problem(
                f"{operation.method} {operation.path} has no handler: name it in"
                " x-bind-server: pkg.module.function",
                place.pointer,
            )
        )
        return None
    handler = _find(operation.handler, operation, "x-bind-server", problems)
    if handler is not None and operation.decorator is not None:
        decorator = _find(operation.decorator, operation, "x-decorate-server", problems)
        if decorator is None:
            return None
        handler = decorator(handler)
    return handler


def _find(path: str, operation: Operation, keyword: str, problems: list[Problem]) -> Handler | None:
    place = operation.place
    raw = f"{place.pointer}/{keyword}"
    module_name, _, rest = path.rpartition(".")
    found: Any = None
    names = [rest]
    while module_name:
        try:
            found = importlib.import_module(module_name)
            break
        except ModuleNotFoundError as error:
            if error.name is None or not (module_name + ".").startswith(error.name + "."):
                problems.append(_failed(place, raw, path, error))
                return None
            module_name, dot, name = module_name.rpartition(".")
            if not dot:
                problems.append(_failed(place, raw, path, error))
                return None
            names.insert(0, name)
        except Exception as error:  # noqa: BLE001 - whatever a user's module raises is the problem to show
            problems.append(_failed(place, raw, path, error))
            return None
    for name in names:
        if not hasattr(found, name):
            owner = getattr(found, "__name__", module_name)
            problems.append(
                place.document.problem(f"there is no handler {path}: {owner} has no {name!r}", raw)
            )
            return None
        found = getattr(found, name)
    if not callable(found):
        problems.append(place.document.problem(f"the handler {path} can't be called", raw))
        return None
    return found  # type: ignore[no-any-return]


def _failed(place: Any, pointer: str, path: str, error: BaseException) -> Problem:
    reason = f"{type(error).__name__}: {error}"
    return place.document.problem(  # type: ignore[no-any-return]
        f"the handler {path} can't be imported: {reason}", pointer
    )


def _fit(
    handler: Handler,
    operation: Operation,
    arguments: Arguments,
    has_body: bool,
    form: FormArguments | None,
    problems: list[Problem],
) -> None:
    """A handler that can't take the operation's arguments is a problem now, not at the first call.
    Header and cookie parameters are passed to handlers that ask for them."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    usable = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    anything = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    place = operation.place
    name = operation.handler
    if has_body and not positional and not anything:
        problems.append(
            place.document.problem(
                f"{name} takes no argument for the request's body", place.pointer
            )
        )
    taken = positional[0].name if has_body and positional else None
    known = {p.name for p in usable if p.name != taken}
    for reader in list(arguments.readers):
        if reader.argument in known:
            continue
        if reader.where in ("header", "cookie"):
            reader.passed = False
            continue
        problems.append(
            place.document.problem(
                f"{name} takes no argument {reader.argument!r}, which is a {reader.where}"
                f" parameter of {operation.method} {operation.path}",
                place.pointer,
            )
        )
    given = {r.argument for r in arguments.readers} | {
        argument for _, argument, _, _ in (form.parameters if form is not None else [])
    }
    for parameter in usable:
        if (
            parameter.default is parameter.empty
            and parameter.name not in given
            and parameter.name != taken
        ):
            problems.append(
                place.document.problem(
                    f"{name} needs an argument {parameter.name!r}, which"
                    f" {operation.method} {operation.path} does not declare",
                    place.pointer,
                )
            )


_loops = threading.local()


def _synchronous(handler: Handler) -> Handler:
    """An `async def` handler runs to its end on an event loop of its thread."""
    if not inspect.iscoroutinefunction(handler):
        return handler
    import asyncio  # most services have no coroutines, and start faster without

    @functools.wraps(handler)
    def run(*args: Any, **kwargs: Any) -> Any:
        loop = getattr(_loops, "loop", None)
        if loop is None or loop.is_closed():
            loop = _loops.loop = asyncio.new_event_loop()
        return loop.run_until_complete(handler(*args, **kwargs))

    return run
