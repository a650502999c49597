"""Serve an API from its OpenAPI file, with Flask."""

__version__ = "3.0.0"
