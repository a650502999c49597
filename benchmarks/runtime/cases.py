"""What the servers are asked, and what they must answer."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

LINES = [{"sku": f"sku-{i}", "quantity": i + 1, "price": i * 1.5} for i in range(20)]
ORDER = {"customer": "Ada", "lines": LINES}
SECRET = "s" * 32
# More than any server remembers.
TOKENS = 50_000
ITEMS = 1000


@dataclass(frozen=True, kw_only=True)
class Case:
    """`expected`: the answer, as JSON. `tokens`: a file of tokens, a new one for each request.
    `paths`: a pattern of paths, of which each request has another one."""

    name: str
    path: str
    expected: Any
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    tokens: Path | None = None
    paths: str = ""

    @property
    def method(self) -> str:
        return "POST" if self.body else "GET"

    def script(self, delay: int = 0) -> str:
        """The Lua script that makes wrk ask this, and tell what it measured. `delay`: the mean
        pause of each connection before a request, in ms."""
        lines = [f'wrk.method = "{self.method}"']
        if self.body:
            lines.append(f"wrk.body = {json.dumps(self.body)}")
        lines += [
            f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in self.headers.items()
        ]
        if self.tokens:
            lines.append(NEW_TOKENS.format(file=json.dumps(str(self.tokens))))
        if self.paths:
            lines.append(NEW_PATHS.format(items=ITEMS, paths=json.dumps(self.paths)))
        if self.tokens or self.paths:
            lines.append(IN_TURNS)
        if delay:
            lines.append(f"function delay() return math.random(0, {2 * delay}) end")
        return "\n".join([*lines, TELL])


IN_TURNS = """
function request()
  now = now % last + 1
  return asked[now]
end
"""
NEW_PATHS = """
local asked, last, now = {{}}, {items}, 0
function init()
  for item = 1, last do
    asked[item] = wrk.format(nil, string.format({paths}, item))
  end
end
"""
NEW_TOKENS = """
local asked, last, now = {{}}, 0, 0
function init()
  for token in io.lines({file}) do
    last = last + 1
    asked[last] = wrk.format(nil, nil, {{Authorization = "Bearer " .. token}})
  end
end
"""
TELL = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("told %d %d %d %d %d\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout, latency.mean, latency:percentile(99)))
end
"""


def cases(folder: Path) -> list[Case]:
    """The five cases; `folder` is for their files."""
    file = folder / "tokens"
    file.write_text("\n".join(_token(f"user-{number}") for number in range(TOKENS)))
    bearer = {"Authorization": f"Bearer {_token('ada')}"}
    total = sum((i + 1) * i * 1.5 for i in range(20))
    json_type = {"Content-Type": "application/json"}
    return [
        Case(name="ping", path="/hi", expected={"ok": "ok"}),
        Case(
            name="path+query",
            path="/items/42?q=abc&limit=5",
            paths="/items/%d?q=abc&limit=5",
            expected={"item": 42, "q": "abc", "limit": 5, "deep": False},
        ),
        Case(
            name="order",
            path="/orders",
            body=json.dumps(ORDER),
            headers=json_type,
            expected={"order": ORDER, "total": total},
        ),
        Case(name="JWT", path="/me", headers=bearer, expected={"user": "ada"}),
        Case(name="new JWT", path="/me", headers=bearer, expected={"user": "ada"}, tokens=file),
    ]


def _token(user: str) -> str:
    now = int(time.time())
    claims = {"sub": user, "iss": "bench", "aud": "bench", "iat": now, "exp": now + 3600}
    return jwt.encode(claims, SECRET, algorithm="HS256")
