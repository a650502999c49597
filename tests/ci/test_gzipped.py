"""A layer's compression: the same bytes however it is written and on however many cores."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random

import pytest

from pymacaron_ci.images.gzipped import Gzipped

CONTENT = random.Random(1).randbytes(300_000) * 9 + b"\0" * 700_000


def zipped(content: bytes, write_at_once: int) -> tuple[bytes, Gzipped]:
    out = io.BytesIO()
    with Gzipped(out) as made:
        for start in range(0, len(content), write_at_once):
            made.write(content[start : start + write_at_once])
    return out.getvalue(), made


def test_neither_cores_nor_the_size_of_writes_show(monkeypatch: pytest.MonkeyPatch) -> None:
    written = set()
    for cores, write_at_once in ((1, 512), (2, 1 << 20), (16, len(CONTENT))):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        written.add(zipped(CONTENT, write_at_once)[0])
    assert len(written) == 1


@pytest.mark.parametrize("size", [0, 1, 1 << 20, len(CONTENT)])
def test_what_is_written_reads_back_and_both_digests_are_right(size: int) -> None:
    content = CONTENT[:size]
    written, made = zipped(content, 10_000)
    assert gzip.decompress(written) == content
    assert made.diff_id == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert made.digest == f"sha256:{hashlib.sha256(written).hexdigest()}"
    assert made.size == len(written)
