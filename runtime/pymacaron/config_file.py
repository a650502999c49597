"""Reads a pym-config.yaml: all problems at once, with line and column; names become secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LARGEST_FILE = 256 * 1024
DEEPEST = 50
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Mappings whose keys are variables that the platform fills.
PLATFORMS_SECRETS = ("aws_secrets", "gcp_secrets")


class ConfigError(Exception):
    """pym-config.yaml can't be used; the text says where and what to do."""


class SecretValue(str):
    """A value from the environment: the text itself, except that its repr never shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """A file's values, names replaced, and the secret values for masking. `unset`: keys without a
    value here, as the platform fills their variables elsewhere; each with the reason."""

    values: Mapping[str, Any]
    secrets: tuple[str, ...]
    unset: Mapping[str, str]


class _Problems:
    def __init__(self, file: str) -> None:
        self._file = file
        self._lines: list[str] = []

    def add(self, text: str, mark: yaml.Mark | None = None) -> None:
        self._lines.append(self.line(text, mark))

    def line(self, text: str, mark: yaml.Mark | None) -> str:
        where = f"{self._file}:{mark.line + 1}:{mark.column + 1}" if mark else self._file
        return f"{where}: {text}"

    def raise_if_any(self) -> None:
        if self._lines:
            raise ConfigError("\n".join(self._lines))


def read_settings(path: Path, environ: Mapping[str, str]) -> FileSettings:
    """The settings of a file with every value that is the name of a secret taken from `environ`.

    Raises ConfigError with all that is wrong: not readable, not YAML, repeated keys, unset secrets.
    """
    problems = _Problems(str(path))
    text = _text(path, problems)
    root: yaml.Node | None = None
    values: Any = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is not None:
            _look_over(root, problems)
            problems.raise_if_any()
            values = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        problems.add(_first_line(error), error.problem_mark or error.context_mark)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        problems.add(f"not YAML: {error}")
    except RecursionError:
        problems.add("nested too deeply")
    problems.raise_if_any()
    if root is None:
        problems.add("the file is empty; at least `name` and `live_url` are needed")
    elif not isinstance(values, dict) or not isinstance(root, yaml.MappingNode):
        problems.add("expected `key: value` lines at the top of the file", root.start_mark)
    problems.raise_if_any()
    assert isinstance(root, yaml.MappingNode)  # noqa: S101  (for mypy: raise_if_any has raised)
    return _with_secrets(root, values, environ, problems)


def _text(path: Path, problems: _Problems) -> str:
    text = ""
    try:
        if path.stat().st_size > LARGEST_FILE:
            problems.add(f"larger than {LARGEST_FILE // 1024} KiB: keep data in a file of its own")
        else:
            text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        problems.add(f"can't be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        problems.add(f"not UTF-8: byte {error.start} can't be decoded; save the file as UTF-8")
    problems.raise_if_any()
    return text


def _first_line(error: yaml.MarkedYAMLError) -> str:
    return f"not YAML: {error.problem or error.context or 'syntax error'}"


def _look_over(root: yaml.Node, problems: _Problems) -> None:
    """Finds repeated keys, and aliases used to blow the file up, without building anything."""
    seen = 0
    stack: list[tuple[yaml.Node, int]] = [(root, 0)]
    while stack:
        node, depth = stack.pop()
        seen += 1
        if seen > 100_000 or depth > DEEPEST:
            problems.add("too many or too deeply nested values", node.start_mark)
            return
        if isinstance(node, yaml.SequenceNode):
            stack.extend((child, depth + 1) for child in node.value)
        elif isinstance(node, yaml.MappingNode):
            places: dict[str, yaml.Mark] = {}
            for key, value in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else ""
                if name and name != "<<" and name in places:
                    first = places[name].line + 1
                    problems.add(f"{name!r} is set twice, first on line {first}", key.start_mark)
                places[name] = key.start_mark
                stack.append((value, depth + 1))


def _with_secrets(
    root: yaml.MappingNode, values: dict[Any, Any], environ: Mapping[str, str], problems: _Problems
) -> FileSettings:
    nodes = {key.value: value for key, value in root.value if isinstance(key, yaml.ScalarNode)}
    listed = _listed(nodes.get("env_secrets"), values.get("env_secrets"), problems)
    platforms = _platforms(nodes)
    plain = {k: v for k, v in values.items() if k not in ("env_secrets", *PLATFORMS_SECRETS)}
    uses: dict[str, list[str]] = {}
    for key, value in plain.items():
        for name in set(_strings(value)):
            uses.setdefault(name, []).append(str(key))
    found = {n: SecretValue(environ[n]) for n in (*listed, *platforms) if environ.get(n)}
    unset: dict[str, str] = {}
    for name, mark in {**platforms, **listed}.items():
        if name in found:
            continue
        users = uses.get(name, [])
        used = f" ({', '.join(users)} needs it)" if users else ""
        state = f"the environment variable {name} is {'empty' if name in environ else 'not set'}"
        if name in listed:
            problems.add(f"{state}{used}: set it, or take it out of env_secrets", mark)
            continue
        reason = f"{state}{used}: the platform sets it where it is deployed to; set it here"
        unset.update(dict.fromkeys(users, problems.line(reason, mark)))
    problems.raise_if_any()
    replaced = {
        str(k): _replace(v, found) if k in plain else v
        for k, v in values.items()
        if str(k) not in unset
    }
    return FileSettings(values=replaced, secrets=tuple(found.values()), unset=unset)


def _platforms(nodes: Mapping[str, yaml.Node]) -> dict[str, yaml.Mark]:
    """The variables that the platform fills, with their places."""
    return {
        key.value: key.start_mark
        for setting in PLATFORMS_SECRETS
        if isinstance(mapping := nodes.get(setting), yaml.MappingNode)
        for key, _ in mapping.value
        if isinstance(key, yaml.ScalarNode)
    }


def _listed(node: yaml.Node | None, value: object, problems: _Problems) -> dict[str, yaml.Mark]:
    """The names in env_secrets with their places."""
    if node is None or value is None:
        return {}
    if not isinstance(node, yaml.SequenceNode):
        problems.add(
            "env_secrets must be a list of names of environment variables", node.start_mark
        )
        return {}
    listed: dict[str, yaml.Mark] = {}
    for item in node.value:
        if isinstance(item, yaml.ScalarNode) and VARIABLE.fullmatch(item.value):
            listed.setdefault(item.value, item.start_mark)
        else:
            shown = f"{item.value!r} " if isinstance(item, yaml.ScalarNode) else "this "
            problems.add(f"{shown}is not the name of an environment variable", item.start_mark)
    return listed


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from _strings(v)
    elif isinstance(value, list):
        for v in value:
            yield from _strings(v)


def _replace(value: Any, found: Mapping[str, SecretValue]) -> Any:
    if isinstance(value, str):
        return found.get(value, value)
    if isinstance(value, dict):
        return {k: _replace(v, found) for k, v in value.items()}
    if isinstance(value, list):
        return [_replace(v, found) for v in value]
    return value
