"""The short road: operations of the API served in front of Flask, where nothing of Flask that the
application uses would be missed."""

from pymacaron.dispatch.calls import FlaskCall
from pymacaron.dispatch.direct import Dispatch

__all__ = ["Dispatch", "FlaskCall"]
