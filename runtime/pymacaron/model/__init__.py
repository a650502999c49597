"""Schemas → pydantic classes, and JSON ↔ their instances."""

from pymacaron.model.base import PymacaronBaseModel

__all__ = ["PymacaronBaseModel"]
