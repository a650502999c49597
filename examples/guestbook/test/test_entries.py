import pytest
from guestbook.entries import word_count


@pytest.mark.parametrize(("text", "words"), [("", 0), ("hello", 1), (" two \n words ", 2)])
def test_words_are_what_stands_between_blanks(text, words):
    assert word_count(text) == words
