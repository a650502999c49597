"""The forms of broker_url and persist_url, as the runtime's urls.py judges them. What is said shows
nothing of a URL: it may hold a password."""

from __future__ import annotations

from urllib.parse import urlsplit

from pymacaron_ci.options.declare import Complaint
from pymacaron_ci.options.spelling import nearest

REDIS = ("redis", "rediss")
# Those of Celery that the extra [async] brings what they need for.
SPOKEN = (*REDIS, "sentinel", "amqp", "amqps", "pyamqp", "memory", "filesystem")
OTHERS = (
    "sqs", "SQS", "mongodb", "sqla", "sqlalchemy", "zookeeper", "kafka", "confluentkafka", "consul",
    "etcd", "qpid", "pyro", "librabbitmq", "azureservicebus", "azurestoragequeues", "gcpubsub",
    "slmq", "SLMQ", "pgmq",
)  # fmt: skip
NO_BROKERS = ("http", "https", "tcp", "file", "sqlite", "postgres", "postgresql", "mysql")


def broker(url: str) -> Complaint | None:
    example = "write redis://host:6379/0, or list a variable's name in env_secrets"
    if any(character.isspace() for character in url):
        return Complaint(text="a URL holds no blanks", hint=example)
    if "://" not in url:
        return Complaint(text="this is not a URL", hint=example)
    try:
        parts = urlsplit(url)
        odd = parts.port == 0 or "#" in url
    except ValueError:
        odd = True
    if odd:
        return Complaint(
            text="its host and port can't be told",
            hint="in a password write / ? # as %2F %3F %23",
        )
    scheme = url.partition("://")[0]
    if scheme.lower() in NO_BROKERS:
        return Complaint(text=f"{scheme}:// is no broker", hint="use redis:// or amqp://")
    database = parts.path.strip("/")
    if parts.scheme in REDIS and database and not database.isdigit():
        return Complaint(
            text="the number of Redis' database is no number", hint="write /0 at the end"
        )
    if scheme not in (*SPOKEN, *OTHERS):
        near = nearest(scheme, (*SPOKEN, *OTHERS))
        return Complaint(
            text="Celery brings no broker of this kind",
            hint=f"did you mean {near}://?" if near else "the service must install what speaks it",
            severity="warning",
        )
    return None


def persist(url: str) -> Complaint | None:
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite" or not path:
        return Complaint(
            text="this is not a file of SQLite",
            hint="write sqlite:///dev.db, or leave it out for DynamoDB",
        )
    if path.startswith(":memory:"):
        return Complaint(
            text="in memory each thread would have a store of its own", hint="name a file"
        )
    return None
