"""A service whose answers prove that secrets arrived byte for byte, without telling them."""

from __future__ import annotations

import hashlib
import json

# Twenty values that something on the way could change, cut, execute or show.
SECRETS = {
    "S01_PLAIN": "plain-7f3a9c51e2",
    "S02_QUOTES": "dou\"ble and sin'gle and `back` 7f3a",
    "S03_DOLLAR": "$HOME ${PATH} $(id) $$ dollar-7f3a",
    "S04_LINES": "first line 7f3a\nsecond line 7f3a\n\nfourth line 7f3a",
    "S05_PEM": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANB7f3a\n-----END PRIVATE KEY-----\n",
    "S06_UNICODE": "schlüssel-漢字-🙂-7f3a",
    "S07_PERCENT": "100%25 %0A %0D %3A 7f3a",
    "S08_COMMAND": "::error::not a command 7f3a",
    "S09_OLD_COMMAND": "##[error]not a command 7f3a",
    "S10_BACKSLASH": "back\\slash \\n \\\\ \\x41 7f3a",
    "S11_SPACES": "  padded on both sides 7f3a  ",
    "S12_JSON": '{"user": "a", "password": "p\\u00e4ss-7f3a"}',
    "S13_EQUALS": "key=value=more==7f3a",
    "S14_HEREDOC": "value<<EOF ghadelimiter_7f3a EOF",
    "S15_TAB": "tab\there\tand-7f3a",
    "S16_ANSI": "\x1b[31mred\x1b[0m-7f3a",
    "S17_MARKUP": "<b>&amp;</b> | `code` | 7f3a",
    "S18_COMMA": "a,b:c;d,e:f-7f3a",
    "S19_BASE64": "N2YzYTljNTFlMjdmM2E5YzUx",
    "S20_BIG": "0123456789abcdef-7f3a-" * 1_400,  # Cloud Run takes 32 KiB
}
NAMES = tuple(SECRETS)


def digests() -> list[str]:
    return [hashlib.sha256(value.encode()).hexdigest() for value in SECRETS.values()]


FILES = {
    ".gitignore": ".pymacaron/\n__pycache__/\n",
    "pym-config.yaml": "\n".join(
        [
            "name: vault",
            "deploy_target: gcp-cloud-run",
            "docker_repo: vault",
            "live_url: https://vault.example.com",
            "gcp_project: vault-demo",
            "gcp_region: europe-west1",
            "gcp_memory: 512Mi",
            "gcp_request_concurrency: 80",
            "env_secrets:",
            *(f"  - {name}" for name in NAMES),
            "",
        ]
    ),
    "requirements.txt": "flask>=3.0\n",
    "server.py": """\
import os

from flask import Flask

from pymacaron import API, letsgo

app = Flask(__name__)


def start(port, debug=False):
    api = API(app, port=port, debug=debug)
    api.load_apis(os.path.join(os.path.dirname(os.path.realpath(__file__)), "apis"))
    api.start()


letsgo(__name__, callback=start)
""",
    "apis/vault.yaml": """\
swagger: "2.0"
info: {title: Vault, version: "1.0"}
produces: [application/json]
paths:
  /v1/digests:
    get:
      operationId: vault.api.digests
      responses:
        200: {description: Digests by name, schema: {$ref: "#/definitions/Digests"}}
definitions:
  Digests:
    type: object
    required: [digests]
    properties:
      digests: {type: array, items: {type: string}}
""",
    "vault/__init__.py": "",
    "vault/api.py": """\
import hashlib
import os

from pymacaron import apipool

from vault import expected


def digests():
    print("::error::a service may print what it likes")
    return apipool.vault.Digests(
        digests=[hashlib.sha256(os.environ[name].encode()).hexdigest() for name in expected.NAMES]
    )
""",
    "vault/expected.py": f"NAMES = {list(NAMES)!r}\nDIGESTS = {json.dumps(digests())}\n",
    "testaccept/test_vault.py": """\
import hashlib
import json
import os
import urllib.request

from vault import expected


def test_the_container_got_every_secret_byte_for_byte():
    url = f"http://{os.environ['PYM_SERVER_HOST']}:{os.environ['PYM_SERVER_PORT']}/v1/digests"
    with urllib.request.urlopen(url) as answer:
        assert json.load(answer)["digests"] == expected.DIGESTS


def test_these_tests_got_every_secret_byte_for_byte():
    found = [hashlib.sha256(os.environ[name].encode()).hexdigest() for name in expected.NAMES]
    assert found == expected.DIGESTS
""",
}
BREAK = "sed -i 's/DIGESTS = \\[/DIGESTS = [\"wrong\", /' vault/expected.py"
