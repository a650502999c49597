"""Whether `broker_url` and `persist_url` have a form that something speaks. Nobody is asked, and
nothing of a URL is shown: it may hold a password."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from pymacaron.config_file import ConfigError

DEFAULT_BROKER = "redis://localhost:6379/0"
REDIS = ("redis", "rediss")
# What people take for a broker; those that Celery does not know are for Celery to refuse.
NO_BROKERS = ("http", "https", "tcp", "file", "sqlite", "postgres", "postgresql", "mysql")


class Settings(Protocol):
    """As much of the config as this module reads."""

    def get(self, name: str, default: Any = None) -> Any: ...


def broker_url(conf: Settings, environ: Mapping[str, str] = os.environ) -> str:
    """PYM_BROKER_URL, else the setting broker_url, else Redis on this machine."""
    return str(environ.get("PYM_BROKER_URL") or conf.get("broker_url") or DEFAULT_BROKER)


def check(conf: Settings, environ: Mapping[str, str] = os.environ) -> None:
    """Raises ConfigError for URLs that nothing can speak with."""
    name = "PYM_BROKER_URL" if environ.get("PYM_BROKER_URL") else "broker_url"
    persist = conf.get("persist_url")
    faults = [(name, broker_fault(broker_url(conf, environ)))]
    faults.append(("persist_url", persist_fault(persist) if persist else None))
    if found := [f"{name} can't be used: {fault}" for name, fault in faults if fault]:
        raise ConfigError("\n".join(found))


def broker_fault(url: str) -> str | None:
    """What is wrong with the form of a broker's URL."""
    if any(character.isspace() for character in url):
        return "a URL holds no blanks"
    try:
        parts = urlsplit(url)
        odd = parts.port == 0 or "#" in url
    except ValueError:
        odd = True
    if "://" not in url:
        return "it is no URL such as redis://host:6379/0 or amqp://user:password@host/"
    if odd:
        return "its host and port can't be told: in a password write / ? # as %2F %3F %23"
    if parts.scheme in NO_BROKERS:
        return f"{parts.scheme}:// is no broker: use redis:// or amqp://"
    database = parts.path.strip("/")
    if parts.scheme in REDIS and database and not database.isdigit():
        return "the number of Redis' database is no number: write /0 at the end"
    return None


def persist_fault(url: str) -> str | None:
    """What is wrong with the form of a store's URL."""
    scheme, _, path = str(url).partition(":///")
    if scheme != "sqlite" or not path:
        return "write sqlite:///dev.db, or leave it out for DynamoDB"
    if path.startswith(":memory:"):
        return "in memory each thread would have a store of its own: name a file"
    return None
