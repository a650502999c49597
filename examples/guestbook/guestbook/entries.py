"""Where entries are kept; apis/guestbook.yaml names the class in `x-persist`."""

from pymacaron.dynamodb import PersistentSwaggerObject


class PersistentEntry(PersistentSwaggerObject):
    api_name = "guestbook"
    model_name = "Entry"
    table_name = "guestbook-entries"
    primary_key = "entry_id"


def word_count(text: str) -> int:
    return len(text.split())
