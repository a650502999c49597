"""ResourceQuotas tell what of them is used."""

from __future__ import annotations

from decimal import Decimal

from pymacaron_ci.simulator.kubernetes.objects import Json, at
from pymacaron_ci.simulator.kubernetes.quotas import shown, used
from pymacaron_ci.simulator.kubernetes.resources import QUOTAS
from pymacaron_ci.simulator.kubernetes.writing import Writer


class Quotas:
    def __init__(self, writer: Writer) -> None:
        self._writer, self._store = writer, writer.store

    def reconcile(self) -> None:
        for found in self._store.list(QUOTAS):
            metadata, hard = found["metadata"], at(found, "spec", "hard", default={})
            counted = used(self._store, metadata["namespace"])
            told = {name: shown(counted.get(name, Decimal(0))) for name in hard}
            status = {"hard": hard, "used": told}
            if found.get("status") == status:
                continue

            def change(thing: Json, status: Json = status) -> None:
                thing["status"] = status

            self._writer.change(
                QUOTAS, metadata["namespace"], metadata["name"], change, subresource="status"
            )
