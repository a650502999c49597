"""publish_apis: the API's file and a Swagger UI, from this package alone; in a real browser."""

# ruff: noqa: E501

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runtime.browser import chromium
from tests.runtime.served import container
from tests.runtime.serving import MODULE, Service, serve, swagger

SPEC = swagger(
    {"/hello": {"get": {"x-bind-server": f"{MODULE}.hello", "summary": "Say hello", "responses": {"204": {"description": "x"}}}}}
)  # fmt: skip


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    return serve(tmp_path, monkeypatch, SPEC, {"hello": lambda: None}, publish=True)


def test_the_file_is_served_as_yaml_and_as_json(published: Service) -> None:
    answer = published.client.get("/doc/test.yaml")
    assert answer.mimetype == "application/yaml"
    assert yaml.safe_load(answer.text) == SPEC
    assert published.client.get("/doc/test.json").get_json() == SPEC
    for path in ("/doc/nope", "/doc/test.xml", "/doc/swagger-ui/README.md", "/doc/../server.py"):
        assert published.client.get(path).status_code == 404


def test_the_page_needs_no_other_site(published: Service) -> None:
    page = published.client.get("/doc/test")
    assert page.mimetype == "text/html"
    assert "http" not in re.sub(r'lang="en"|http-equiv', "", page.text)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for name in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        asset = published.client.get(f"/doc/{name}")
        assert asset.status_code == 200
        assert len(asset.data) > 100


def test_a_table_of_contents_goes_before_each_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(tmp_path, monkeypatch, SPEC, {"hello": lambda: None})
    service.api.publish_apis("docs", toc="# Contents")
    publisher: Any = service.api._publisher
    publisher.install(service.app, service.api.pool, ["test"])
    assert service.client.get("/docs/test.json").get_json()["info"]["description"] == "# Contents"
    assert yaml.safe_load(service.client.get("/docs/test.yaml").text)["paths"] == SPEC["paths"]


CALL = """(async () => {
  const found = async selector => {
    const deadline = Date.now() + 30000;
    for (;;) {
      const element = document.querySelector(selector);
      if (element) return element;
      if (Date.now() > deadline) throw new Error(`no ${selector} in ${document.body.innerText}`);
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  };
  (await found(".opblock-get .opblock-summary-control")).click();
  (await found(".try-out__btn")).click();
  (await found(".execute")).click();
  const status = await found(".live-responses-table tbody .response-col_status");
  const body = await found(".live-responses-table .highlight-code");
  const paths = [...document.querySelectorAll("[data-path]")].map(e => e.dataset.path);
  return {status: status.innerText, body: body.innerText, paths};
})()"""


@pytest.mark.real("chromium")
def test_the_page_lists_the_operations_and_calls_one_in_a_browser(tmp_path: Path) -> None:
    garden = Path(__file__).parent / "garden"
    with container(garden, tmp_path / "log") as running, chromium(tmp_path) as browser:
        browser.open(f"{running.url}/doc/garden")
        seen = browser.evaluate(CALL)
    assert {"/beds", "/plants/{name}", "/labels"} <= set(seen["paths"]), seen
    assert seen["status"].strip() == "200"
    assert '"name"' in seen["body"]
    assert "GET /beds 200" in (tmp_path / "log").read_text()
