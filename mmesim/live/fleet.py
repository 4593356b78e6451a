"""The servers of a live endpoint by slot: started, watched, lost, restarted and stopped.

A slot has a *generation*, which changes whenever what was there is gone: answers of an earlier one are no news.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from mmesim.live.ports import Provisioner, Server, ServerDown

log = logging.getLogger("mmesim.live")
RESTART_PAUSE_S = 1.0
"""Before the second attempt to start a server; doubles each time, up to `RESTART_PAUSE_MAX_S`."""
RESTART_PAUSE_MAX_S = 30.0
CONFIRM_S = 2.0
"""A server that does not answer its health check for so long is taken for lost."""


class Watch(Protocol):
    """Who notices that a server is lost, and that it is back."""

    async def until_down(self, server: Server) -> str:
        """Why it is lost, as soon as it is."""

    async def until_up(self, server: Server) -> None:
        """Until it answers again."""


@dataclass
class Member:
    """What is in a slot."""

    slot: int
    generation: int
    server: Server | None = None
    in_service: bool = False
    leaving: bool = False
    """It is being stopped, or was never to come into service."""
    upkeep: asyncio.Task[None] | None = field(default=None, repr=False)
    """Starts it, watches it, brings it back."""


class Fleet:
    """Keeps as many servers as are desired. `joined(slot)` is called when one is ready, before requests may go there;
    `lost(slot, reason)` when it is gone with all it had loaded."""

    def __init__(self, provisioner: Provisioner, slots: int, joined: Callable[[int], Awaitable[None]],
                 lost: Callable[[int, str], None], watch: Watch) -> None:
        self.members: dict[int, Member] = {}
        self.desired = 0
        self._provisioner = provisioner
        self._slots = slots
        self._joined = joined
        self._lost = lost
        self._watch = watch
        self._generations = [0] * slots
        self._stopping: dict[int, asyncio.Task[None]] = {}

    def server(self, slot: int) -> Server:
        """The server in service in a slot. Raises ServerDown."""
        member = self.members.get(slot)
        if member is None or member.server is None:
            raise ServerDown(f"no server in slot {slot}")
        return member.server

    def generation(self, slot: int) -> int:
        """Changes when what was in the slot is gone."""
        return self._generations[slot]

    @property
    def in_service(self) -> list[int]:
        """Slots in service, ascending."""
        return sorted(slot for slot, member in self.members.items() if member.in_service)

    def set_desired(self, count: int) -> None:
        """So many servers should be there; who leaves is decided elsewhere (`stop`)."""
        self.desired = count
        present = [member for member in self.members.values() if not member.leaving]
        free = [slot for slot in range(self._slots) if slot not in self.members and slot not in self._stopping]
        for slot in free[:max(0, count - len(present))]:
            self._begin(slot)
        pending = sorted((m.slot for m in present if m.server is None), reverse=True)
        for slot in pending[:max(0, len(present) - count)]:
            self.stop(slot)

    def stop(self, slot: int) -> None:
        """End what is in a slot; its disk is emptied."""
        member = self.members.pop(slot)
        member.leaving, member.in_service = True, False
        self._generations[slot] += 1
        self._stopping[slot] = asyncio.create_task(self._end(member), name=f"stop server {slot}")

    async def confirm(self, slot: int) -> bool:
        """Whether the server in a slot answers; one that does not is lost from now on."""
        member = self.members.get(slot)
        if member is None or not member.in_service or member.server is None:
            return False
        generation = member.generation
        with suppress(TimeoutError):
            if await asyncio.wait_for(member.server.is_ready(), CONFIRM_S):
                return True
        if self.generation(slot) == generation:
            self.give_up(slot, "does not answer")
        return False

    def give_up(self, slot: int, reason: str) -> None:
        """The server in service in this slot is lost: begin anew."""
        member = self.members[slot]
        log.warning("server %s in slot %d is lost: %s", member.server.name if member.server else "?", slot, reason)
        if member.upkeep:
            member.upkeep.cancel()
        was_in_service, member.in_service, server = member.in_service, False, member.server
        self._generations[slot] += 1
        self.members[slot] = again = Member(slot, self._generations[slot])
        again.upkeep = asyncio.create_task(self._revive(again, server), name=f"revive server {slot}")
        if was_in_service:
            self._lost(slot, reason)

    async def close(self) -> None:
        """Stop watching; the provisioner ends what it started."""
        tasks = [*(m.upkeep for m in self.members.values() if m.upkeep), *self._stopping.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for member in self.members.values():
            if member.server is not None:
                await member.server.close()
        await self._provisioner.close()

    def _begin(self, slot: int) -> None:
        member = self.members[slot] = Member(slot, self._generations[slot])
        member.upkeep = asyncio.create_task(self._upkeep(member, lambda: self._provisioner.start(slot)),
                                            name=f"server {slot}")

    async def _upkeep(self, member: Member, start: Callable[[], Awaitable[Server | None]]) -> None:
        """From the start until it is given up."""
        pause_s = RESTART_PAUSE_S
        while member.server is None:
            try:
                member.server = await start()
                break
            except ServerDown as error:
                log.warning("slot %d: %s; again in %.0f s", member.slot, error, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RESTART_PAUSE_MAX_S)
        if member.server is None:
            return
        try:
            await self._joined(member.slot)
        except ServerDown as error:
            self._failed(member, str(error))
            return
        except Exception as error:
            log.exception("slot %d cannot come into service", member.slot)
            await asyncio.sleep(RESTART_PAUSE_MAX_S)
            self._failed(member, str(error))
            return
        self._failed(member, await self._watch.until_down(member.server))

    def _failed(self, member: Member, reason: str) -> None:
        member.upkeep = None
        if self.members.get(member.slot) is member:
            self.give_up(member.slot, reason)

    async def _revive(self, member: Member, server: Server | None) -> None:
        """Restart what is ours, or wait until it is back."""
        async def back() -> Server | None:
            fresh = await self._provisioner.restart(member.slot)
            if fresh is None and server is not None:
                await self._watch.until_up(server)
                return server
            return fresh

        await self._upkeep(member, back)

    async def _end(self, member: Member) -> None:
        if member.upkeep:
            member.upkeep.cancel()
            await asyncio.gather(member.upkeep, return_exceptions=True)
        try:
            if member.server is not None:
                await member.server.close()
            await self._provisioner.stop(member.slot)
        finally:
            del self._stopping[member.slot]
            self.set_desired(self.desired)
