"""`$ref`s: inside a file and to files beside it; JSON pointers with their escapes. Never over the
network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

from pymacaron.openapi.document import Document, read
from pymacaron.openapi.problems import Problem, SpecError, escape, unescape
from pymacaron.openapi.schema import Place


class BadReference(Exception):
    """A `$ref` that leads nowhere; the text says why."""


class Files:
    """The documents of an API, read once each."""

    def __init__(self) -> None:
        self._documents: dict[Path, Document] = {}

    def open(self, path: Path, name: str | None = None) -> Document:
        key = Path(os.path.normpath(path.absolute()))
        found = self._documents.get(key)
        if found is None:
            found = self._documents[key] = read(key, name or str(path))
        return found

    def follow(self, place: Place, ref: object) -> tuple[Place, Any]:
        """What a `$ref` written at `place` stands for. Raises BadReference."""
        if not isinstance(ref, str):
            raise BadReference("a $ref must be a text")
        address, fragment = urldefrag(ref)
        document = place.document
        if address:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                raise BadReference(
                    f"the $ref {ref!r} leads to another site: copy what it names into this folder"
                    " and refer to it by a relative path"
                )
            target = document.path.parent / unquote(address)
            shown = os.path.relpath(target, document.path.parent)
            folder = Path(document.name).parent
            try:
                document = self.open(target, str(folder / shown))
            except SpecError as error:
                raise BadReference(f"the $ref {ref!r} can't be used: {error}") from error
        pointer = unquote(fragment)
        if pointer and not pointer.startswith("/"):
            found = _anchor(document.data, pointer, "")
            if found is None:
                raise BadReference(f"the $ref {ref!r} names an anchor that is nowhere in the file")
            pointer = found
        return look_up(document, pointer, ref)


def look_up(document: Document, pointer: str, ref: str) -> tuple[Place, Any]:
    value = document.data
    normal = ""
    for token in pointer.split("/")[1:]:
        key = unescape(token)
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            what = f"nothing at {key!r}"
            raise BadReference(f"the $ref {ref!r} leads nowhere: there is {what}")
        normal += "/" + escape(key)
    return Place(document, normal), value


def _anchor(data: Any, name: str, pointer: str) -> str | None:
    if isinstance(data, dict):
        if data.get("$anchor") == name or data.get("$dynamicAnchor") == name:
            return pointer
        for key, value in data.items():
            if key not in ("enum", "const", "example", "examples", "default"):
                found = _anchor(value, name, f"{pointer}/{escape(key)}")
                if found is not None:
                    return found
    elif isinstance(data, list):
        for index, value in enumerate(data):
            found = _anchor(value, name, f"{pointer}/{index}")
            if found is not None:
                return found
    return None


__all__ = ["BadReference", "Files", "Problem", "look_up"]
