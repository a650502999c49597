"""`API` puts loaded APIs into a Flask application; `letsgo` starts it, from the command line or
inside a server."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from pymacaron import urls
from pymacaron.api_files import find_apis
from pymacaron.config import ConfigError, get_config
from pymacaron.crash import ErrorHandling
from pymacaron.dispatch import Dispatch, FlaskCall
from pymacaron.endpoint import Answer, Endpoint, Rules, bind
from pymacaron.health import add_ping_hook
from pymacaron.log import set_level
from pymacaron.model.base import encoders
from pymacaron.openapi import Api, Problem, SpecError, load
from pymacaron.pool import apipool
from pymacaron.publish import Publisher
from pymacaron.response import AnswerResponse, LazySessions
from pymacaron.routes import Converter, rule_of

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
MAX_BODY = 16 * 1024 * 1024
SERVERS = ("pymacaron-serve", "gunicorn")
Hook = Callable[[], object]


class API:
    """A service: its Flask application, its APIs, how its errors are answered and reported.

    >>> api = API(app, port=8080)
    >>> api.load_apis("apis")
    >>> api.start()
    """

    def __init__(
        self,
        app: Flask,
        host: str = "localhost",
        port: int | str | None = None,
        debug: bool = False,
        log_level: int | str = logging.DEBUG,
        json_encoders: Mapping[type, Callable[[Any], Any]] | None = None,
        error_reporter: Callable[..., object] | None = None,
        error_callback: Callable[..., Any] | None = None,
        default_user_id: str | None = None,
        ping_hook: Hook | Iterable[Hook] = (),
        **_: object,
    ) -> None:
        """`port`: default get_port(). `json_encoders`: {datetime: f} writes dates.
        `error_reporter(title=, data=, exception=)` is told of errors; `error_callback(error) ->
        dict` writes their bodies. `ping_hook`: called at every /ping. Other keywords are those of
        PyMacaron 1 and mean nothing."""
        self.app = app
        self.host = host
        self.port = int(port) if port else get_port()
        self.debug = debug
        self.error_callback = error_callback
        self.error_reporter = error_reporter
        self.default_user_id = default_user_id
        self.ping_hooks = [ping_hook] if callable(ping_hook) else list(ping_hook)
        self.pool = apipool
        self.endpoints: list[Endpoint] = []
        self._served: list[str] = []
        self._publisher: Publisher | None = None
        set_level(log_level)
        if json_encoders:
            encoder = json_encoders.get(datetime)
            if encoder is None or not callable(encoder):
                raise ValueError("json_encoders must map datetime to a function")
            encoders.custom = encoder
        if default_user_id:
            get_config().default_user_id = default_user_id

    def load_apis(
        self,
        path: str | os.PathLike[str] | None = None,
        ignore: Sequence[str] = (),
        only_models: Sequence[str] = (),
        force: bool = False,  # noqa: ARG002 - 2.x: rewrite the generated files; there are none
        global_names: bool = False,
    ) -> API:
        """Loads every API file (*.yaml, *.yml, *.json) below a folder (default: the setting
        apis_path), but pym-config*, hidden files and the APIs in `ignore`. Those in `only_models`
        get no routes. `global_names`: one model name, one definition.

        Raises SpecError with all problems of all files."""
        for option, value in (("ignore", ignore), ("only_models", only_models)):
            if isinstance(value, str):
                raise TypeError(f"{option} must be a list of API names")
        folder = Path(path or get_config().apis_path)
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}: load_apis() needs the API files' folder")
        self._load(
            {name: file for name, file in find_apis(folder).items() if name not in ignore},
            only_models,
        )
        if global_names:
            self.pool.enforce_global_names()
        return self

    def load_builtin_apis(self, names: Sequence[str] = ("ping",)) -> None:
        """Loads some of the built-in APIs: ping, crash."""
        for name in names:
            if not (HERE / f"{name}.yaml").is_file():
                raise ValueError(f"no built-in API {name!r}: there are ping and crash")
        # What another API object of this process has loaded stays: it makes its answers from it.
        missing = [name for name in names if not self._has_builtin(name)]
        self._load({name: HERE / f"{name}.yaml" for name in missing}, ())
        self._served += [name for name in names if name not in self._served]

    def _has_builtin(self, name: str) -> bool:
        return (
            name in self.pool.get_api_names()
            and self.pool.get_model(name).api.document.path.parent == HERE
        )

    def load_clients(self, path: str | None = None, apis: Sequence[str] = ()) -> API:
        """Loads the models of the named APIs below a folder, without routes."""
        if not path:
            raise ValueError("load_clients() needs the path of the API files' folder")
        if isinstance(apis, str) or not apis:
            raise ValueError("load_clients() needs a list with at least one API name")
        files = {}
        for name in apis:
            file = Path(path) / f"{name}.yaml"
            others = [file, file.with_suffix(".yml"), file.with_suffix(".json")]
            there = next((f for f in others if f.is_file()), None)
            if there is None:
                raise FileNotFoundError(f"no API file {file}")
            files[name] = there
        self._load(files, apis)
        return self

    def publish_apis(self, path: str = "doc", toc: str | None = None) -> None:
        """Serves each API's file at /<path>/<api>.yaml and .json, and a Swagger UI for it at
        /<path>/<api>. `toc`: Markdown put in front of each description."""
        self._publisher = Publisher(path.strip("/"), toc)

    def start(self, serve: str | None = None) -> None:  # noqa: ARG002 - 1.x: the name of the API to serve
        """Binds all operations to the application and, outside of a server and Celery, runs Flask's
        own server.

        Raises SpecError with every handler that is missing."""
        if not self.app.secret_key:
            self.app.secret_key = os.urandom(24)
        if type(self.app.session_interface) is SecureCookieSessionInterface:
            self.app.session_interface = LazySessions()
        for hook in self.ping_hooks:
            add_ping_hook(hook)
        if "ping" not in self.pool.get_api_names() or self._has_builtin("ping"):
            self.load_builtin_apis()
        self._bind()
        if _in_celery() or _in_server():
            return
        self.app.debug = self.debug
        # All addresses, as in 2.x; so no console, in which whoever connects could run code.
        self.app.run(host="0.0.0.0", port=self.port, use_reloader=False, use_evalex=False)  # noqa: S104

    def _load(self, files: Mapping[str, Path], only_models: Sequence[str]) -> None:
        problems: list[Problem] = []
        loaded: list[Api] = []
        for name, file in sorted(files.items()):
            try:
                loaded.append(load(file, name))
            except SpecError as error:
                problems += error.problems
        if problems:
            raise SpecError(problems)
        for api in loaded:
            for warning in api.warnings:
                log.warning("%s", warning)
            self.pool.add(api)
            if api.name not in only_models and api.name not in self._served:
                self._served.append(api.name)

    def _bind(self) -> None:
        config = get_config()
        config.require_secrets()
        urls.check(config)
        handling = ErrorHandling(self.error_reporter, self.error_callback, self.debug)
        limit = config.get("max_body_size", MAX_BODY)
        rules = Rules(max_body=limit, validate_responses=config.get("validate_responses") is True)
        self.app.config["MAX_CONTENT_LENGTH"] = limit
        # Forms are bounded by the same limit, read once.
        self.app.config["MAX_FORM_MEMORY_SIZE"] = limit
        problems: list[Problem] = []
        needs_tokens = False
        for name in self._served:
            pool = self.pool.get_model(name)
            prefix = pool.api.base_path if config.get("use_base_path") is True else ""
            try:
                bound = bind(pool, handling, rules, prefix)
            except SpecError as error:
                problems += error.problems
                continue
            self.endpoints += bound
            if pool.api.document.path.parent != HERE:  # /auth/version is in every service
                needs_tokens |= any(getattr(e.handler, "needs_token", False) for e in bound)
        if (tasks := sys.modules.get("pymacaron.tasks")) and not _in_celery():
            tasks.check_queue()
        problems += _same_routes(self.endpoints)
        if problems:
            raise SpecError(problems)
        self.app.url_map.converters["pymacaron"] = Converter
        dispatch = Dispatch.of(self.app)
        for endpoint in self.endpoints:
            self._route(endpoint, dispatch)
        if self._publisher is not None:
            self._publisher.install(self.app, self.pool, self._served)
        handling.install(self.app, needs_tokens)
        dispatch.install()
        dispatch.decide()

    def _route(self, endpoint: Endpoint, dispatch: Dispatch) -> None:
        rule, names = rule_of(endpoint.path)
        renamed = {short: name for short, name in names.items() if short != name}

        def view(**values: str) -> Any:
            if renamed:
                values = {renamed.get(k, k): v for k, v in values.items()}
            answer = endpoint(FlaskCall(values))
            if isinstance(answer, Answer):
                return AnswerResponse(answer)
            return answer

        # The name under which monitoring tools show the operation.
        view.__module__, _, view.__name__ = endpoint.name.rpartition(".")
        method = endpoint.operation.method
        name = f"{method} {endpoint.path}"
        self.app.add_url_rule(
            rule,
            name,
            view,
            methods=[method],
            provide_automatic_options=None if method != "OPTIONS" else False,
            strict_slashes=True,
        )
        dispatch.add(name, endpoint, tuple(names.values()), view)


def _same_routes(endpoints: Iterable[Endpoint]) -> list[Problem]:
    seen: dict[tuple[str, str], Endpoint] = {}
    problems = []
    for endpoint in endpoints:
        key = (endpoint.operation.method, rule_of(endpoint.path)[0])
        other = seen.setdefault(key, endpoint)
        if other is not endpoint:
            place = endpoint.operation.place
            problems.append(
                place.document.problem(
                    f"{key[0]} {endpoint.path} is served already:"
                    f" {other.operation.place.document.name} has it",
                    place.pointer,
                )
            )
    return problems


def _in_server() -> bool:
    software = os.environ.get("SERVER_SOFTWARE", "")  # "gunicorn/27.0", from gunicorn itself
    return Path(sys.argv[0]).name in SERVERS or software.startswith(SERVERS)


def _in_celery() -> bool:
    return "celery" in Path(sys.argv[0]).name.lower()


def get_port() -> int:
    """The port to listen at: PORT, else PYM_SERVER_PORT, else 80."""
    for name in ("PORT", "PYM_SERVER_PORT"):
        if os.environ.get(name):
            return int(os.environ[name])
    return 80


def _call(callback: Callable[..., object], port: int, debug: bool) -> None:
    """With as many arguments as it takes: start(port, debug), start(port, debug=...), start(port),
    start()."""
    try:
        parameters = list(inspect.signature(callback).parameters.values())
    except (TypeError, ValueError):
        callback(port, debug)
        return
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        callback(port, debug)
        return
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    positional = [port, debug][: len(places)]
    named = {p.name: debug for p in parameters if p.kind is p.KEYWORD_ONLY and p.name == "debug"}
    callback(*positional, **named)


def letsgo(name: str, callback: Callable[..., object]) -> None:
    """The last line of server.py: `letsgo(__name__, callback=start)`. Under `python server.py` a
    command with --port, --env and --debug; inside a server it calls `callback(port)`; elsewhere (a
    test that imports the module) it does nothing."""

    @click.command()
    @click.option(
        "--port",
        type=int,
        default=None,
        help="Port to listen at (default: PORT, PYM_SERVER_PORT, 80).",
    )
    @click.option("--env", default=None, help="Environment: sets PYM_ENV.")
    @click.option("--debug/--no-debug", default=True, help="Flask's debug mode.")
    def main(port: int | None, env: str | None, debug: bool) -> None:
        try:
            if env:
                os.environ["PYM_ENV"] = env
                get_config().load_pym_config(env=env)
            number = port or get_port()
            if get_config().get("with_async") is True:
                _start_celery(number, debug)
            _call(callback, number, debug)
        except (ConfigError, SpecError) as error:
            sys.exit(f"the service can't start:\n{error}")

    if name == "__main__":
        main()
    elif _in_server() or _in_celery():
        _call(callback, get_port(), False)


def _start_celery(port: int, debug: bool) -> None:
    # Not before it is needed: the extra [async] need not be installed elsewhere.
    importlib.import_module("pymacaron.tasks").start_celery(port, debug)


__all__ = ["API", "find_apis", "get_port", "letsgo"]
