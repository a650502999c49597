"""Handlers of the garden: they give back what they were given."""

from __future__ import annotations

from typing import Any

from pymacaron import apipool


def list_beds(limit: int, tags: Any, near: Any, x_season: Any = None) -> Any:
    herb = apipool.garden.Herb(kind="herb", smell=None)
    bed = apipool.garden.Bed(name=f"{limit} {x_season}", plants=[herb], planted=None)
    if near is not None:
        bed.place = near
    return [bed] * len(tags or [1])


def add_bed(bed: Any) -> Any:
    return bed


def rows(bed: str, range: Any) -> Any:
    return range


def put_plant(plant: Any, name: str) -> Any:
    return plant


def pull_plant(name: str) -> None:
    """Every plant can be pulled."""


def label(label: Any) -> Any:
    return "\n".join([label.text] * label.copies)
