"""Handlers: one function for each operation in apis/guestbook.yaml."""

import uuid
from typing import Any

from guestbook.entries import PersistentEntry, word_count
from pymacaron import apipool
from pymacaron.tasks import asynctask, is_celery_task
from pymacaron.utils import timenow


def sign(new: Any) -> Any:
    entry = apipool.guestbook.Entry(
        entry_id=uuid.uuid4().hex, author=new.author, text=new.text, written=timenow()
    )
    entry.save_to_db()
    count_words(entry.entry_id)
    return entry


def read(entry_id: str) -> Any:
    return PersistentEntry.load_from_db(entry_id)


@asynctask(retries=3)
def count_words(entry_id: str) -> None:
    entry: Any = PersistentEntry.load_from_db(entry_id, consistent=True)
    entry.words = word_count(entry.text)
    entry.counted_by = "worker" if is_celery_task() else "server"
    entry.save_to_db(if_unchanged=True)
