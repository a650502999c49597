"""Serves the garden under gunicorn."""

from __future__ import annotations

from pathlib import Path

from flask import Flask

from pymacaron import API, letsgo

app = Flask(__name__)


def start(port: int, debug: bool = False) -> None:
    api = API(app, port=port, debug=debug)
    api.load_apis(str(Path(__file__).parent / "apis"))
    api.publish_apis()
    api.start()


letsgo(__name__, callback=start)
