"""Serve an API from its OpenAPI file, with Flask.

>>> from pymacaron import API, apipool, get_model, letsgo
"""

from pymacaron import carried as carried  # first: it puts the environment right for the others
from pymacaron.config import get_config
from pymacaron.endpoint import Answer
from pymacaron.model.base import PymacaronBaseModel
from pymacaron.model.formats import register_format
from pymacaron.openapi import SpecError
from pymacaron.pool import UnknownModel, apipool, get_model
from pymacaron.server import API, get_port, letsgo

__version__ = "3.0.0"

__all__ = [
    "API",
    "Answer",
    "PymacaronBaseModel",
    "SpecError",
    "UnknownModel",
    "apipool",
    "get_config",
    "get_model",
    "get_port",
    "letsgo",
    "register_format",
]
