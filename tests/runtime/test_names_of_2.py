"""The names that services written for 2.x import are where they were."""

from __future__ import annotations

import importlib

import pytest

NAMES = {
    "pymacaron": "API apipool get_config get_model get_port letsgo",
    "pymacaron.api": "add_ping_hook",
    "pymacaron.auth": "requires_auth add_auth generate_token load_auth_token"
    " authenticate_http_request backend_token get_userid get_user_token_data get_user_token"
    " get_token_issuer",
    "pymacaron.config": "PyMacaronConfig get_config",
    "pymacaron.crash": "report_error report_warning set_error_reporter populate_error_report"
    " postmortem crash_handler",
    "pymacaron.exceptions": "PyMacaronException add_error is_error UnhandledServerError"
    " InternalValidationError BadResponseException InvalidParameterError RequestTimeout"
    " InternalServerError AuthMissingHeaderError AuthTokenExpiredError AuthInvalidTokenError",
    "pymacaron.gunicorn": "",
    "pymacaron.log": "pymlogger set_level",
    "pymacaron.model": "PymacaronBaseModel",
    "pymacaron.monitor": "monitor monitor_init",
    "pymacaron.resources": "get_gunicorn_worker_count get_celery_worker_count",
    "pymacaron.test": "PyMacaronTestCase load_port_host_token",
    "pymacaron.utils": "timenow to_epoch to_datetime prune_none get_app_name"
    " get_container_version is_ec2_instance",
    "pymacaron_async": "asynctask start_celery kill_celery is_celery_task",
    "pymacaron_dynamodb": "PersistentSwaggerObject DynamoDBItemNotFound",
}


@pytest.mark.parametrize("module", NAMES)
def test_a_module_of_2_holds_its_public_names(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYM_TASKS_IN_PLACE", "1")  # pymacaron_async without Celery
    found = importlib.import_module(module)
    assert [name for name in NAMES[module].split() if not hasattr(found, name)] == []
