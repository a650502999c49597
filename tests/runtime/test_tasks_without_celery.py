from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("celery", "kombu", "redis", "boto3", "botocore"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
CALL = """
from flask import Flask
from pymacaron_async import asynctask
@asynctask()
def double(number):
    return 2 * number
with Flask("x").test_request_context("/"):
    print(double(21).get())
"""


def run(folder: Path, config: str, code: str) -> subprocess.CompletedProcess[str]:
    (folder / "pym-config.yaml").write_text(config)
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_celery_the_import_says_what_to_install(tmp_path: Path) -> None:
    done = run(tmp_path, "name: x\n", CALL)
    assert (
        "ImportError: pymacaron.tasks needs Celery: pip install 'pymacaron[async]'" in done.stderr
    )


def test_without_celery_pymasync_says_what_to_install(tmp_path: Path) -> None:
    code = "from pymacaron.pymasync import main\nmain()\n"
    done = run(tmp_path, "name: x\n", code)
    assert done.stderr == "pymasync needs celery: pip install 'pymacaron[async]'\n"


def test_without_celery_tasks_run_in_place_where_the_settings_say_so(tmp_path: Path) -> None:
    done = run(tmp_path, "name: x\nasync_fallback: inline\n", CALL)
    assert done.stdout == "42\n", done.stderr


def test_without_boto3_dynamodb_says_what_to_install_and_sqlite_works(tmp_path: Path) -> None:
    code = "from pymacaron_dynamodb import PersistentSwaggerObject\n"
    code += "from pymacaron.dynamodb import open_store\n"
    done = run(tmp_path, "name: x\n", code + "open_store('sqlite:///x.db'); open_store(None)")
    assert "pip install 'pymacaron[dynamodb]'" in done.stderr
    assert "in open_store" in done.stderr
