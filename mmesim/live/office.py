"""What the management API asks and orders (`mmesim.live.gateway.management.Management`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmesim.core.instance import InstanceState
from mmesim.core.lifecycle import Residency
from mmesim.core.types import Failure
from mmesim.live.ports import FetchFailed, LoadRefused, ServerDown
from mmesim.live.runtime import Runtime

REMOVED = "removed.json"
"""Models that may not be invoked although they are in the store, in the state's folder."""


class Office:
    """Answers for one runtime."""

    def __init__(self, runtime: Runtime, state: Path, metrics: Callable[[], bytes]) -> None:
        self._runtime = runtime
        self._file = state / REMOVED
        self.metrics = metrics

    async def models(self) -> Sequence[Mapping[str, Any]]:
        """A row for each model."""
        return [self._row(name) for name in self._runtime.models.listed()]

    async def add(self, name: str) -> Mapping[str, Any]:
        """Looks for the model's archive in the store; its row. Raises KeyError, FetchFailed."""
        self._hide(self._runtime.models.hidden - {name})
        await self._runtime.keeper.relist()
        return self._row(name)

    async def remove(self, name: str) -> None:
        """The model is no longer to be invoked, until it is added again. Raises KeyError."""
        self._row(name)
        self._hide(self._runtime.models.hidden | {name})
        await self._runtime.keeper.relist()

    async def load(self, name: str) -> Mapping[str, Any]:
        """A READY copy somewhere, as a request would bring it about; the model's row."""
        row = self._row(name)
        if row["ready"]:
            return row
        ticket = self._runtime.begin(name)
        await self._runtime.wait(ticket)
        failure = ticket.failure
        self._runtime.end(ticket, failure)
        if failure is Failure.MODEL_NOT_READY:
            raise TimeoutError(ticket.reason)
        if failure is Failure.INSTANCE_LOST:
            raise ServerDown(ticket.reason or "no server is in service")
        if failure is not Failure.NONE:
            raise FetchFailed(ticket.reason) if ticket.reason.startswith("download") else LoadRefused(ticket.reason)
        return self._row(name)

    async def state(self) -> Mapping[str, Any]:
        """The control plane's table."""
        runtime, endpoint = self._runtime, self._runtime.machine.controller.endpoint
        metrics = runtime.machine.controller.scaling.metrics
        return {"endpoint": runtime.name, "ready": runtime.ready, "draining": runtime.draining,
                "failed": str(runtime.failed) if runtime.failed else None, "desired_instances": metrics.desired,
                "in_flight": len(runtime.machine.in_flight), "models": len(runtime.models.archives),
                "instances": [self._instance(instance) for instance in endpoint.fleet.values()]}

    async def reconcile_now(self) -> Mapping[str, Any]:
        """Differences by server; they are resolved."""
        return {str(slot): asdict(found) for slot, found in (await self._runtime.keeper.reconcile()).items()}

    async def drain(self, timeout_s: float) -> int:
        """No new requests; how many were left at the end."""
        return await self._runtime.drain(timeout_s)

    def _hide(self, names: set[str]) -> None:
        scratch = self._file.with_name(f".{REMOVED}")
        scratch.write_text(json.dumps(sorted(names)), encoding="utf-8")
        scratch.replace(self._file)
        self._runtime.models.hidden = names

    def _row(self, name: str) -> Mapping[str, Any]:
        runtime = self._runtime
        if name not in runtime.models.archives:
            raise KeyError(name)
        model, archive = runtime.models.numbers[name], runtime.models.archives[name]
        endpoint = runtime.machine.controller.endpoint
        view = endpoint.models[model]
        fleet = endpoint.fleet.values()
        return {"name": name, "archive_bytes": archive.size_bytes, "version": archive.version,
                "ready": list(view.copies), "starting": [one.index for one in fleet if model in one.cold],
                "on_disk": [one.index for one in fleet if one.holds(model)], "in_flight": view.outstanding,
                "requests": view.uses, "error": runtime.models.errors.get(model)}

    def _instance(self, instance: InstanceState) -> Mapping[str, Any]:
        runtime, table = self._runtime, self._runtime.machine.table
        states = table.copy.state[instance.index * table.n_models:(instance.index + 1) * table.n_models]
        standing = {runtime.models.names[model]: Residency(int(states[model])).name
                    for model in states.nonzero()[0].tolist()}
        member = runtime.fleet.members.get(instance.index)
        return {"slot": instance.index, "server": member.server.name if member and member.server else None,
                "address": asdict(member.server.address) if member and member.server else None,
                "draining": instance.draining, "in_flight": instance.outstanding, "models": standing,
                **{f"{name}_used_bytes": ledger.used_bytes for name, ledger in self._ledgers(instance)},
                **{f"{name}_bytes": ledger.capacity_bytes for name, ledger in self._ledgers(instance)}}

    @staticmethod
    def _ledgers(instance: InstanceState) -> Sequence[tuple[str, Any]]:
        return (("gpu", instance.gpu), ("host", instance.host), ("disk", instance.disk))


def removed_before(state: Path) -> set[str]:
    """What an earlier endpoint on this state was told to remove."""
    try:
        return set(json.loads((state / REMOVED).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return set()
