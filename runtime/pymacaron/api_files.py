"""Which files of a folder are API files."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

log = logging.getLogger(__name__)

OPENAPI_KEY = re.compile(
    rb"""^(?:\xef\xbb\xbf)?(?:[ \t{]*(?=["']))?["']?(?:swagger|openapi)["']?[ \t]*:""", re.MULTILINE
)


def find_apis(folder: Path) -> dict[str, Path]:
    """The API files below a folder, by name: every *.yaml, and the *.yml and *.json that say
    `swagger` or `openapi`."""
    found: dict[str, Path] = {}
    for ending in ("yaml", "yml", "json"):
        for file in sorted(folder.rglob(f"*.{ending}")):
            if file.name.startswith((".", "#", "pym-config")):
                continue
            if ending != "yaml":
                if not _says_openapi(file):
                    if ending == "yml":
                        log.warning("%s is no API file: it lacks swagger: and openapi:", file)
                    continue
                if file.stem in found:
                    log.warning("%s is not loaded: %s is", file, found[file.stem])
                    continue
            found[file.stem] = file
    return found


def _says_openapi(file: Path) -> bool:
    """JSON must parse to be asked; YAML, and JSON that is broken, is judged by how it looks."""
    raw = file.read_bytes()
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return OPENAPI_KEY.search(raw) is not None
    return isinstance(data, dict) and ("swagger" in data or "openapi" in data)
