"""`python -m pymacaron.stubs apis/`: writes a .pyi file for each API, so that editors complete its
models and mypy checks them. Nothing else of pymacaron reads these files.

The stub of apis/shop.yaml is shop_models.pyi:

from typing import TYPE_CHECKING if TYPE_CHECKING: from apis.shop_models import Order"""

from __future__ import annotations

import keyword
from pathlib import Path
from typing import Any

import click

from pymacaron.api_files import find_apis
from pymacaron.model.base import Property
from pymacaron.model.build import DATES, Models, is_model, target_of
from pymacaron.openapi import Api, Schema, SpecError, load

HEAD = '''"""Models of the API {name}. Written by `python -m pymacaron.stubs`; not to be edited."""

from datetime import datetime
from typing import Any, Literal

from pymacaron import PymacaronBaseModel
'''
SIMPLE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def stub(api: Api) -> str:
    """The text of an API's stub file."""
    models = Models(api.name)
    models.build(api.schemas.items())
    lines = [HEAD.format(name=api.name)]
    for name in models.names():
        model = models.get(name)
        if model is None:
            continue
        info = model.pymacaron_info
        bases = [b.__name__ for b in model.__bases__ if b.__name__ in models.names()]
        lines.append(f"\nclass {model.__name__}({', '.join(bases) or 'PymacaronBaseModel'}):")
        properties = list(info.properties.values())
        lines += [f"    {p.field}: {_type(p)}" for p in properties]
        arguments = "".join(
            f", {p.field}: {_type(p)}{'' if p.mandatory else ' = ...'}"
            for p in sorted(properties, key=lambda p: not p.mandatory)
        )
        star = ", *" if arguments else ""
        lines.append(f"    def __init__(self{star}{arguments}, **more: Any) -> None: ...")
    return "\n".join(lines) + "\n"


def _type(prop: Property) -> str:
    kind = "Any" if prop.others else _of(prop.schema)
    return kind if prop.mandatory or kind == "Any" else f"{kind} | None"


def _of(schema: Schema) -> str:
    end = target_of(schema)
    if is_model(end):
        return end.name if end.name and end.name.isidentifier() else "Any"
    alternatives = [*end.one_of, *end.any_of]
    if alternatives and not end.types:
        kinds = dict.fromkeys(_of(s) for s in alternatives)
        return "Any" if "Any" in kinds else " | ".join(k for k in kinds if k != "None") or "None"
    if end.enum and all(isinstance(v, str) for v in end.enum):
        return f"Literal[{', '.join(map(repr, end.enum))}]"
    types = (end.types or frozenset()) - {"null"}
    if not types and end.types:
        return "None"
    if len(types) != 1:
        return "Any"
    kind = next(iter(types))
    if kind == "string" and end.format in DATES:
        return "datetime"
    if kind == "string" and end.format == "binary":
        return "bytes"
    if kind == "array":
        return f"list[{_of(end.items) if end.items is not None else 'Any'}]"
    if kind == "object":
        extra = end.additional_properties
        inner = _of(extra) if extra is not None and extra.always is None else "Any"
        return f"dict[str, {inner}]"
    return SIMPLE[kind]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Writes <api>_models.pyi beside each API file below FOLDER."""
    problems: list[Any] = []
    for name, file in find_apis(folder).items():
        try:
            text = stub(load(file, name))
        except SpecError as error:
            problems += error.problems
            continue
        module = name if name.isidentifier() and not keyword.iskeyword(name) else "api"
        target = file.with_name(f"{module}_models.pyi")
        target.write_text(text, encoding="utf-8")
        click.echo(f"wrote {target}")
    if problems:
        raise click.ClickException("\n".join(map(str, problems)))


if __name__ == "__main__":
    main()
