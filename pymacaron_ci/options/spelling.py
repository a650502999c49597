"""Which known word was meant by an unknown one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word at most two slips away (one in short words), or the same in another style."""
    if len(word) > 60:
        return None
    plain, letters, best, distance_of_best = _plain(word), set(word), None, 3
    for candidate in known:
        same = _plain(candidate) == plain
        # Two slips change two letters into two others at most: no need to count edits.
        far = abs(len(candidate) - len(word)) > 2 or len(letters ^ set(candidate)) > 4
        if far and not same:
            continue
        allowed = 2 if min(len(word), len(candidate)) > 6 else 1
        distance = 0 if same else _distance(word, candidate)
        if distance <= allowed and distance < distance_of_best:
            best, distance_of_best = candidate, distance
    return best


@lru_cache(maxsize=1024)
def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def _distance(a: str, b: str) -> int:
    """Edits between two words; two neighbours exchanged count as one (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, last, row = row, before, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
