"""How a setting is declared: a dataclass field, its type as annotation, the rest as metadata."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pymacaron_ci.model import Severity

Target = Literal["aws-beanstalk", "gcp-cloud-run", "gke"]
AWS: Target = "aws-beanstalk"
CLOUD_RUN: Target = "gcp-cloud-run"
GKE: Target = "gke"
TARGETS: tuple[Target, ...] = (AWS, CLOUD_RUN, GKE)


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """What is wrong with one value."""

    text: str
    hint: str | None = None
    severity: Severity = "error"


Check = Callable[[Any], Complaint | None]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What an annotation can't say about a setting.

    `targets`: the only ones that use it (none: all). `required`: those that can't do without; with
    `assumed` its absence is a warning that names the default. `container`: read where the service
    runs, so that a name of env_secrets may stand for the value; the others are needed earlier.
    `rule`: additions to the Cerberus rule that the type gives; `form` says in words what its regex
    demands. `check`: what no rule can express; `shape` is the pattern of it for an editor.
    `names_secrets`: a mapping from variables to secrets that the platform keeps; a variable's name
    may stand for a value as one of env_secrets may.
    """

    help: str
    example: object = None
    targets: tuple[Target, ...] = ()
    required: tuple[Target, ...] = ()
    assumed: bool = False
    sensitive: bool = False
    container: bool = False
    names_secrets: bool = False
    rule: Mapping[str, Any] = field(default_factory=dict)
    form: str = ""
    check: Check | None = None
    shape: str = ""


def option(default: object = dataclasses.MISSING, **facts: Any) -> Any:
    """A field of a settings dataclass; the keyword arguments are those of `Facts`."""
    made = Facts(**facts)
    kind: dict[str, Any] = {}
    if isinstance(default, dict):
        kind = {"default_factory": default.copy}
    elif default is not dataclasses.MISSING:
        kind = {"default": default}
    return field(**kind, repr=not made.sensitive, metadata={"facts": made})


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting, as the rest of the tool sees it."""

    name: str
    type: Any
    default: object
    facts: Facts

    @property
    def mandatory(self) -> bool:
        """Whether there is no configuration without it."""
        return set(self.facts.required) == set(TARGETS) and not self.facts.assumed

    @property
    def is_text(self) -> bool:
        return self.type in (str, str | None)

    def used_by(self, target: Target) -> bool:
        return not self.facts.targets or target in self.facts.targets

    def rule(self) -> dict[str, Any]:
        """The Cerberus rule of its value."""
        rule = {**_rule_of(self.type), **self.facts.rule}
        if not self.mandatory:
            rule["nullable"] = True
        return rule


def options_of(settings: type) -> dict[str, Option]:
    hints = get_type_hints(settings)
    return {
        f.name: Option(
            name=f.name, type=hints[f.name], default=_default(f), facts=f.metadata["facts"]
        )
        for f in dataclasses.fields(settings)
    }


def _default(declared: dataclasses.Field[Any]) -> object:
    if declared.default_factory is not dataclasses.MISSING:
        return declared.default_factory()
    return None if declared.default is dataclasses.MISSING else declared.default


_SIMPLE = {str: "string", int: "integer", bool: "boolean", float: "number"}


def _rule_of(annotation: Any) -> dict[str, Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        (inner,) = [a for a in arguments if a is not type(None)]
        return _rule_of(inner)
    if origin is Literal:
        return {"type": _SIMPLE[type(arguments[0])], "allowed": list(arguments)}
    if origin is tuple:
        return {"type": "list", "schema": _rule_of(arguments[0])}
    if origin is not None and issubclass(origin, Mapping):
        return {
            "type": "dict",
            "keysrules": {"type": "string"},
            "valuesrules": _rule_of(arguments[1]),
        }
    return {"type": _SIMPLE[annotation]}
