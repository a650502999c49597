"""Values of the user's file in our sentences: short, on one line, never one that holds a secret."""

from __future__ import annotations

import re

# Keys and tokens of well-known make, and what stands between a user and a host.
SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{30,}|\bsk_live_[A-Za-z0-9]{10,}|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bAIza[0-9A-Za-z_-]{35}|(?:\A|//)[^/\s:@]*:[^/\s@]+@(?!sha256:)"
)


def quoted(value: object, most: int = 60) -> str:
    text = str(value)
    if SECRET_VALUE.search(text):
        return "that (it holds a secret)"
    short = text if len(text) <= most else text[:most] + "…"
    return f"`{short}`".replace("\n", "⏎")
