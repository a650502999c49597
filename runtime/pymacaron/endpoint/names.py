"""What a handler's arguments are called."""

from __future__ import annotations

import keyword
import re


def argument_name(name: str, where: str) -> str:
    """The keyword of a parameter: itself where Python allows; `X-Request-Id` is `x_request_id`,
    `class` is `class_`."""
    text = re.sub(r"\W", "_", name)
    if where == "header":
        text = text.lower()
    if text[:1].isdigit():
        text = f"n{text}"
    return f"{text}_" if keyword.iskeyword(text) else text
