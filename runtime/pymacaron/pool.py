"""`apipool`: every loaded API by its name, every model of an API by its own.

>>> from pymacaron import apipool
>>> apipool.myapi.Order(customer="Ada")
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymacaron.config import get_config
from pymacaron.model.base import PymacaronBaseModel
from pymacaron.model.build import Models
from pymacaron.model.codec import Workshop
from pymacaron.openapi import Api, SpecError, load

log = logging.getLogger(__name__)

Model = type[PymacaronBaseModel]


class UnknownModel(Exception):
    """No loaded API declares a model of that name."""


class ModelPool:
    """The models of one API, as attributes."""

    def __init__(self, api: Api) -> None:
        self.api_name = api.name
        self.api = api
        self.models = Models(api.name, strict=get_config().get("strict_models") is True)
        self.models.build(api.schemas.items())
        if self.models.problems:
            raise SpecError(self.models.problems)
        required = get_config().get("strict_required", True) is not False
        self.requests = Workshop(self.models, "request", required=required)
        self.responses = Workshop(self.models, "response")

    def get_model_names(self) -> list[str]:
        """The names of all models, sorted."""
        return self.models.names()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = self.models.get(name)
        if found is None:
            raise UnknownModel(f"{self.api_name}.yaml has no model {name!r}{self._hint(name)}")
        self.__dict__[name] = found  # next time without this function
        return found

    def _hint(self, name: str) -> str:
        if name in self.api.schemas:
            return ": that schema is no object, so it has no class"
        near = difflib.get_close_matches(name, self.models.names(), n=3)
        return f"; did you mean {' or '.join(near)}?" if near else ""

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.models.names()]

    @property
    def model(self) -> ModelPool:
        """The 1.x spelling: `ApiPool.myapi.model.Order`."""
        return self

    def json_to_model(
        self,
        model_name: str,
        j: dict[str, Any],
        keep_datetime: object = None,  # noqa: ARG002 - accepted for 2.x
        prune_none: bool = True,
    ) -> PymacaronBaseModel:
        """A model from a dict, by the model's name."""
        model: Model = getattr(self, model_name)
        return model.from_json(j, prune_none=prune_none)

    def model_to_json(self, model: PymacaronBaseModel) -> dict[str, Any]:
        """The dict of a model; the opposite of `json_to_model`."""
        return model.to_json()


class ApiPool:
    """The loaded APIs, as attributes. One for the process; tests make their own."""

    def __init__(self) -> None:
        self._apis: dict[str, ModelPool] = {}

    def __getattr__(self, name: str) -> ModelPool:
        if name.startswith("__"):
            raise AttributeError(name)
        found = self.__dict__[name] = self.get_model(name)  # next time without this function
        return found

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._apis]

    def __iter__(self) -> Iterator[ModelPool]:
        return iter(self._apis.values())

    def get_api_names(self) -> list[str]:
        """The names of the loaded APIs, sorted."""
        return sorted(self._apis)

    def get_model(self, api_name: str) -> ModelPool:
        """The models of an API. Raises UnknownModel when no API of that name was loaded."""
        found = self._apis.get(api_name)
        if found is None:
            loaded = ", ".join(self.get_api_names()) or "none"
            raise UnknownModel(f"no API {api_name!r} is loaded; loaded are: {loaded}")
        return found

    def add(self, api: Api) -> ModelPool:
        """Takes an API; an earlier one of the same name is replaced."""
        pool = self._apis[api.name] = ModelPool(api)
        self._forget()
        return pool

    def load_swagger(
        self,
        api_name: str,
        api_path: str | Path,
        dest_dir: str | None = None,  # noqa: ARG002 - 2.x wrote Python files; nothing is written now
        create_endpoints: bool = False,  # noqa: ARG002
        force: bool = False,  # noqa: ARG002
        model_file: str | None = None,  # noqa: ARG002
        app_file: str | None = None,  # noqa: ARG002
    ) -> ModelPool:
        """Loads an API file. The last five arguments are accepted for 2.x and mean nothing. Raises
        SpecError."""
        api = load(Path(api_path), api_name)
        for warning in api.warnings:
            log.warning("%s", warning)
        return self.add(api)

    def clear(self) -> None:
        """Forgets all APIs."""
        self._apis.clear()
        self._forget()

    def _forget(self) -> None:
        """What __getattr__ has found before."""
        self.__dict__ = {"_apis": self._apis}

    def enforce_global_names(self) -> None:
        """Raises SpecError-like ValueError showing the diffs when two APIs define one model name
        differently."""
        first: dict[str, Model] = {}
        differences = []
        for pool in self:
            for name in pool.models.names():
                model = pool.models.get(name)
                if model is None:
                    continue
                other = first.setdefault(name, model)
                diff = other.diff_with(model) if other is not model else ""
                if diff and not _builtin(pool, other):
                    differences.append(f"the model {name} is defined in two ways:\n{diff}")
        if differences:
            raise ValueError("\n\n".join(differences))


def _builtin(pool: ModelPool, model: Model) -> bool:
    here = Path(__file__).parent
    return pool.api.document.path.parent == here or model.pymacaron_info.api in ("ping", "crash")


apipool = ApiPool()


@contextmanager
def use_pool() -> Iterator[ApiPool]:
    """An empty apipool for the time of a test; afterwards the former one again."""
    kept = dict(apipool._apis)
    apipool.clear()
    try:
        yield apipool
    finally:
        apipool.clear()
        apipool._apis.update(kept)


def get_model(name: str) -> Any:
    """The model of that name, in whichever API declares it. Raises UnknownModel.

    >>> get_model("Order")(customer="Ada")
    """
    for pool in apipool:
        found = pool.models.get(name)
        if found is not None:
            return found
    loaded = ", ".join(apipool.get_api_names()) or "none"
    raise UnknownModel(f"no loaded API has a model {name!r}; loaded APIs: {loaded}")
