"""The errors a service raises, and what they look like as answers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from flask import Flask

from pymacaron import exceptions
from pymacaron.exceptions import PyMacaronException, add_error, is_error


class InvalidUser(PyMacaronException):
    code = "INVALID_USER"
    status = 401


def test_an_error_answers_with_its_code_status_and_description() -> None:
    assert InvalidUser("we don't know you").to_dict() == {
        "status": 401,
        "error": "INVALID_USER",
        "error_description": "we don't know you",
        "user_message": "we don't know you",
    }


def test_an_error_without_a_text_is_described_by_its_code() -> None:
    assert InvalidUser().to_dict() == {
        "status": 401,
        "error": "INVALID_USER",
        "error_description": "INVALID_USER",
    }


def test_a_code_is_answered_in_capitals() -> None:
    class Small(PyMacaronException):
        code = "small"

    assert Small().to_dict()["error"] == "SMALL"


def test_error_id_and_the_error_behind_it_are_answered_when_there_are_any() -> None:
    error = InvalidUser("no").caught(ValueError("odd"))
    error.error_id = "abc"
    body = error.to_dict()
    assert body["error_id"] == "abc"
    assert body["error_caught"] == "ValueError('odd')"


def test_tell_user_sets_the_user_message_only() -> None:
    body = InvalidUser("row 7 is missing").tell_user("Who are you?").to_dict()
    assert (body["error_description"], body["user_message"]) == ("row 7 is missing", "Who are you?")


def test_jsonify_and_its_older_name_give_a_flask_response() -> None:
    with Flask("x").test_request_context():
        for response in (InvalidUser("no").jsonify(), InvalidUser("no").http_reply()):
            assert response.status_code == 401
            assert response.get_json()["error"] == "INVALID_USER"


def test_our_errors_are_exceptions_like_any_other() -> None:
    with pytest.raises(Exception, match="no"):
        raise InvalidUser("no")


@pytest.mark.parametrize(
    ("name", "code", "status"),
    [
        ("InternalValidationError", "INTERNAL_VALIDATION_ERROR", 500),
        ("BadResponseException", "BAD_RESPONSE", 500),
        ("UnhandledServerError", "SERVER_ERROR", 500),
        ("InternalServerError", "SERVER_ERROR", 500),
        ("InvalidParameterError", "INVALID_PARAMETER", 400),
        ("RequestTimeout", "REQUEST_TIMEOUT", 408),
        ("AuthMissingHeaderError", "AUTHORIZATION_HEADER_MISSING", 401),
        ("AuthTokenExpiredError", "TOKEN_EXPIRED", 401),
        ("AuthInvalidTokenError", "TOKEN_INVALID", 401),
    ],
)
def test_the_provided_errors_keep_their_codes(name: str, code: str, status: int) -> None:
    error = getattr(exceptions, name)
    assert issubclass(error, PyMacaronException)
    assert (error.code, error.status) == (code, status)


def test_add_error_makes_a_class_that_can_be_imported() -> None:
    made = add_error("TeapotError", "IM_A_TEAPOT", 418)
    assert made("short and stout").to_dict()["status"] == 418
    assert vars(exceptions)["TeapotError"] is made


def test_a_code_used_twice_is_refused() -> None:
    add_error("FirstError", "USED_TWICE", 400)
    with pytest.raises(ValueError, match="USED_TWICE is FirstError's already"):
        add_error("SecondError", "USED_TWICE", 400)


@pytest.mark.parametrize(
    ("name", "code", "status"),
    [(None, "A", 400), ("A", None, 400), ("A", "A", None), ("A", "B", 999)],
)
def test_an_incomplete_error_is_refused(
    name: str | None, code: str | None, status: int | None
) -> None:
    with pytest.raises(ValueError, match=r"needs a name|no HTTP status"):
        add_error(name, code, status)


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (InvalidUser("no"), True),
        (SimpleNamespace(status=404), True),
        (SimpleNamespace(status="404 NOT FOUND"), True),
        (SimpleNamespace(status_code=500), True),
        (SimpleNamespace(status_code=200, status="200 OK"), False),
        (SimpleNamespace(status="open"), False),
        ("text", False),
        (None, False),
    ],
)
def test_is_error_knows_errors_from_answers(thing: object, expected: bool) -> None:
    assert is_error(thing) is expected


def test_an_error_model_can_be_raised_and_answered() -> None:
    model = SimpleNamespace(status=401, error="TOKEN_EXPIRED", error_description="too late")
    with pytest.raises(exceptions.AuthTokenExpiredError, match="too late"):
        exceptions.raise_error(model)
    with Flask("x").test_request_context():
        assert exceptions.responsify(model).status_code == 401
