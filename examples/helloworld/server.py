"""Starts the service: `python server.py --port 8080`, or `pymacaron-serve` as in its container."""

import os

from flask import Flask

from pymacaron import API, letsgo

app = Flask(__name__)


def start(port: int, debug: bool = False) -> None:
    here = os.path.dirname(os.path.realpath(__file__))
    api = API(app, port=port, debug=debug)
    api.load_apis(os.path.join(here, "apis"))
    api.publish_apis()
    api.start()


letsgo(__name__, callback=start)
