"""The benchmark's API served by pymacaron, which logs each request."""

from __future__ import annotations

import logging
from pathlib import Path

from flask import Flask

from pymacaron import API, letsgo
from pymacaron.config import get_config

app = Flask(__name__)


def start(port: int) -> None:
    config = get_config()
    config.jwt_secret, config.jwt_issuer, config.jwt_audience = "s" * 32, "bench", "bench"
    api = API(app, port=port, log_level=logging.INFO)
    api.load_apis(Path(__file__).parent / "apis")
    api.start()


letsgo(__name__, callback=start)
