"""Run against every place the service is deployed to: the candidate first, then live."""

import time

from pymacaron.test import PyMacaronTestCase


class GuestbookTests(PyMacaronTestCase):
    def test_an_entry_is_kept_and_its_words_are_counted(self):
        entry = self.assertPostReturnJson("v1/entries", {"author": "Ada", "text": "I was here"})
        deadline = time.monotonic() + 20
        while True:
            kept = self.assertGetReturnJson(f"v1/entries/{entry['entry_id']}")
            if "words" in kept or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        self.assertIn(kept.pop("counted_by", None), ("worker", "server"))
        self.assertEqual(kept, {**entry, "words": 3})

    def test_there_is_no_entry_that_nobody_wrote(self):
        self.assertGetReturnError("v1/entries/none", 404, "ITEM_NOT_FOUND")

    def test_an_empty_entry_is_refused(self):
        self.assertCallReturnError(
            "POST", "v1/entries", 400, "INVALID_PARAMETER", {"author": "Ada", "text": ""}
        )
