"""Serves a small API in the test process: a specification as data, handlers as functions."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient

from pymacaron import API
from pymacaron.openapi import load
from pymacaron.pool import ModelPool, apipool

Handler = Callable[..., Any]
MODULE = "handlers_of_a_test"


class Service:
    """A served API with its test client."""

    def __init__(self, app: Flask, api: API, name: str) -> None:
        self.app = app
        self.api = api
        self.models = apipool.get_model(name)
        self.client: FlaskClient = app.test_client()

    def post(self, path: str, data: Any, **kwargs: Any) -> Any:
        return self.client.post(path, json=data, **kwargs)

    def error(self, method: str, path: str, **kwargs: Any) -> tuple[int, str]:
        """Status and error_description of a call that must fail in the documented form."""
        response = self.client.open(path, method=method, **kwargs)
        body = response.get_json()
        assert body["status"] == response.status_code
        assert body["error"]
        return response.status_code, body["error_description"]


def serve(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    spec: Mapping[str, Any] | str,
    handlers: Mapping[str, Handler] | None = None,
    *,
    name: str = "test",
    publish: bool = False,
    **options: Any,
) -> Service:
    """`handlers` are reached as handlers_of_a_test.<name>."""
    module = types.ModuleType(MODULE)
    for key, handler in (handlers or {}).items():
        setattr(module, key, handler)
    monkeypatch.setitem(sys.modules, MODULE, module)
    monkeypatch.setattr(sys, "argv", ["gunicorn"])
    apis = folder / "apis"
    apis.mkdir(exist_ok=True)
    text = spec if isinstance(spec, str) else yaml.safe_dump(spec, sort_keys=False)
    (apis / f"{name}.yaml").write_text(text, encoding="utf-8")
    app = Flask("test")
    monkeypatch.setattr(apipool, "_apis", {})
    api = API(app, port=8080, **options)
    api.load_apis(str(apis))
    if publish:
        api.publish_apis()
    api.start()
    return Service(app, api, name)


def swagger(
    paths: Mapping[str, Any], definitions: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "swagger": "2.0",
        "info": {"title": "test", "version": "1"},
        "paths": paths,
        "definitions": definitions or {},
    }


def openapi(
    paths: Mapping[str, Any], schemas: Mapping[str, Any] | None = None, version: str = "3.0.3"
) -> dict[str, Any]:
    return {
        "openapi": version,
        "info": {"title": "test", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas or {}},
    }


def pool_of_schemas(folder: Path, schemas: Mapping[str, Any]) -> ModelPool:
    """The models of an OpenAPI 3.1 file with nothing but these schemas."""
    file = folder / "schemas.json"
    file.write_text(json.dumps(openapi({}, schemas, "3.1.0")))
    return ModelPool(load(file))


def as_json(value: Any) -> dict[str, Any]:
    return {"data": json.dumps(value), "content_type": "application/json"}
