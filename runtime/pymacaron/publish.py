"""`publish_apis`: each API's file as YAML and JSON, and a Swagger UI for it, all served from this
package."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from flask import Flask, Response, abort, send_from_directory

from pymacaron.openapi import Api
from pymacaron.pool import ApiPool

ASSETS = Path(__file__).parent / "swagger_ui"
FILES = {"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "start.js"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{assets}/swagger-ui.css">
<link rel="icon" href="{assets}/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui" data-url="{url}"></div>
<script src="{assets}/swagger-ui-bundle.js"></script>
<script src="{assets}/start.js"></script>
</body>
</html>
"""


class Publisher:
    def __init__(self, path: str, toc: str | None) -> None:
        self.path = f"/{path}" if path else ""
        self.toc = toc

    def install(self, app: Flask, pool: ApiPool, names: Sequence[str]) -> None:
        published = {name: pool.get_model(name).api for name in names}
        as_yaml = {name: self._yaml(api).encode() for name, api in published.items()}
        as_json = {
            name: json.dumps(self._data(api), default=str).encode()
            for name, api in published.items()
        }

        def document(name: str) -> Response:
            stem, _, kind = name.rpartition(".")
            if kind == "yaml" and stem in as_yaml:
                return Response(as_yaml[stem], mimetype="application/yaml")
            if kind == "json" and stem in as_json:
                return Response(as_json[stem], mimetype="application/json")
            if name in published:
                return self._page(name)
            return abort(404)

        def asset(name: str) -> Response:
            if name not in FILES:
                abort(404)
            return send_from_directory(ASSETS, name, max_age=86400)

        app.add_url_rule(f"{self.path}/<name>", "pymacaron_doc", document, methods=["GET"])
        app.add_url_rule(
            f"{self.path}/swagger-ui/<name>", "pymacaron_doc_asset", asset, methods=["GET"]
        )

    def _page(self, name: str) -> Response:
        page = PAGE.format(title=name, assets="swagger-ui", url=f"{name}.json")
        return Response(page, mimetype="text/html", headers={"Content-Security-Policy": POLICY})

    def _yaml(self, api: Api) -> str:
        if self.toc is None:
            return api.document.path.read_text(encoding="utf-8-sig")
        return yaml.safe_dump(self._data(api), sort_keys=False, allow_unicode=True)

    def _data(self, api: Api) -> dict[str, Any]:
        data: dict[str, Any] = api.document.data
        if self.toc is not None:
            data = copy.deepcopy(data)
            info = data.setdefault("info", {})
            info["description"] = f"{self.toc}\n\n{info.get('description', '')}".strip()
        return data
