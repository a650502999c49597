"""Paths of an API → rules of Flask's router."""

from __future__ import annotations

import re

from werkzeug.routing import BaseConverter

TEMPLATE = re.compile(r"\{([^{}]*)\}")


class Converter(BaseConverter):
    """One path value: anything but a slash, and not empty."""

    regex = "[^/]+"
    part_isolating = False


def rule_of(path: str) -> tuple[str, dict[str, str]]:
    """Flask's rule for a path, and what its short names stand for: `/a/{b-c}` →
    `/a/<pymacaron:p0>`, {"p0": "b-c"}."""
    names: dict[str, str] = {}
    parts: list[str] = []
    end = 0
    for found in TEMPLATE.finditer(path):
        short = f"p{len(names)}"
        names[short] = found.group(1)
        parts.append(_literal(path[end : found.start()]))
        before, after = path[found.start() - 1], path[found.end() :][:1]
        whole = before == "/" and after in ("/", "")
        parts.append(f"<{short}>" if whole else f"<pymacaron:{short}>")
        end = found.end()
    parts.append(_literal(path[end:]))
    return "".join(parts), names


def _literal(text: str) -> str:
    return text.replace("<", "%3C").replace(">", "%3E")
