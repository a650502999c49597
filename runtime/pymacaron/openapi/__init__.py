"""OpenAPI files: Swagger 2.0, OpenAPI 3.0 and 3.1, read whole or refused with every reason."""

from pymacaron.openapi.api import Api, Body, Media, Operation, Parameter, Response
from pymacaron.openapi.load import load
from pymacaron.openapi.problems import Problem, SpecError
from pymacaron.openapi.schema import ABSENT, Place, Schema

__all__ = [
    "ABSENT",
    "Api",
    "Body",
    "Media",
    "Operation",
    "Parameter",
    "Place",
    "Problem",
    "Response",
    "Schema",
    "SpecError",
    "load",
]
