"""Starts the service and, with `with_async: true`, its workers: `python server.py --port 8080`."""

import os

from flask import Flask
from guestbook.entries import PersistentEntry

from pymacaron import API, letsgo

app = Flask(__name__)


def start(port: int, debug: bool = False) -> None:
    here = os.path.dirname(os.path.realpath(__file__))
    api = API(app, port=port, debug=debug)
    api.load_apis(os.path.join(here, "apis"))
    PersistentEntry.create_table()
    api.start()


letsgo(__name__, callback=start)
