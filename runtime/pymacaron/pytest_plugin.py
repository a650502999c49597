"""pytest fixtures for acceptance tests: found by pytest itself wherever pymacaron is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pymacaron.testing import Client


@pytest.fixture
def client() -> Client:
    """A client of the server under test: `client.get("hello") == {"message": "Hello world!"}`."""
    from pymacaron.testing import Client, target_from

    return Client(target_from())


@pytest.fixture
def auth_token() -> str:
    """A good token for the server under test: `client.get("me", auth=f"Bearer {auth_token}")`."""
    from pymacaron.testing import target_from

    token = target_from().token
    if not token:
        pytest.fail("no token: set PYM_JWT_TOKEN, or run the tests by `pymtest --gen-token`")
    return token
