"""Validate, build and deploy a PyMacaron service."""

__version__ = "3.0.0"
