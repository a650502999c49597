"""The benchmark's API served by pymacaron, which logs each request but with BENCH_QUIET."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from flask import Flask

from pymacaron import API, letsgo
from pymacaron.config import get_config

app = Flask(__name__)


def start(port: int) -> None:
    config = get_config()
    config.jwt_secret, config.jwt_issuer, config.jwt_audience = "s" * 32, "bench", "bench"
    level = logging.WARNING if os.environ.get("BENCH_QUIET") == "1" else logging.INFO
    api = API(app, port=port, log_level=level)
    api.load_apis(Path(__file__).parent / "apis")
    api.start()


letsgo(__name__, callback=start)
