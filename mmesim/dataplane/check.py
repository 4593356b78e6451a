"""The data plane's self-audit: recompute from the request slots what is kept in step on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmesim.core.types import NONE
from mmesim.dataplane import state as st
from mmesim.dataplane.api import ONE_Q16

if TYPE_CHECKING:
    from mmesim.dataplane.plane import KernelPlane


def check(plane: KernelPlane) -> None:
    """All invariants; raises AssertionError."""
    _check_conservation(plane)
    _check_slots(plane.state)
    _check_formed(plane.state)
    _check_front_ends(plane.state)
    _check_outstanding(plane.state)
    _check_stations(plane.state)


def _check_conservation(plane: KernelPlane) -> None:
    """Every invocation that was issued has ended or is in flight."""
    counted, clock = plane.counted(), plane.state.clock
    assert counted["invocations"] == clock["serial"][0], counted
    assert counted["invocations"] == counted["completions"] + counted["failures"] + plane.in_flight(), counted


def _chain(following: np.ndarray, first: int) -> list[int]:
    """Slots of a linked list."""
    slots, at = [], first
    while at != NONE:
        slots.append(at)
        assert len(slots) <= len(following), "a list of slots runs in a circle"
        at = int(following[at])
    return slots


def _check_slots(state: st.State) -> None:
    """Each slot is free or stands in the one place its stage says; the list of deadlines has the live ones in order."""
    requests, clock, lanes = state.requests, state.clock, state.lanes
    stage = requests["stage"]
    free = _chain(requests["next"], int(clock["free"][0]))
    assert sorted(free) == np.flatnonzero(stage == st.FREE).tolist(), "free list"
    awaited = _chain(requests["newer"], int(clock["oldest"][0]))
    live = (stage != st.FREE) & (stage != st.RETRY) & (requests["gone"] == 0)
    assert sorted(awaited) == np.flatnonzero(live).tolist() and len(awaited) == clock["live"][0], "deadlines"
    assert np.all(np.diff(requests["serial"][awaited]) > 0), "order of deadlines"
    held, queued = lanes["held_head"][lanes["held_head"] != NONE], lanes["head"][lanes["queued"] > 0]
    for heads, where in ((held, st.HELD), ([*queued, *_formed_heads(state)], st.QUEUED)):
        standing = [slot for head in heads for slot in _chain(requests["next"], int(head))]
        assert sorted(standing) == np.flatnonzero(stage == where).tolist(), f"slots of stage {where}"
    retries = state.clients["item"][:clock["n_clients"][0]]
    assert sorted(retries[retries != NONE].tolist()) == np.flatnonzero(stage == st.RETRY).tolist(), "retries"


def _waiting(state: st.State) -> np.ndarray:
    """Batches of each copy that wait for an execution instance."""
    counts = state.services["instance_count"][state.service_of]
    return np.maximum(state.lanes["batches"].reshape(len(state.instances), -1) - counts, 0).ravel()


def _formed_heads(state: st.State) -> list[int]:
    """Heads of the batches that wait for an execution instance, copy by copy, the oldest first."""
    behind, heads, waiting = state.requests["behind"], [], _waiting(state)
    for row in np.flatnonzero(waiting):
        at = last = int(state.lanes["last_formed"][row])
        for _ in range(waiting[row]):
            at = int(behind[at])
            heads.append(at)
        assert at == last, "the ring of formed batches"
    return heads


def _check_formed(state: st.State) -> None:
    """No more batches are formed ahead than may be."""
    most = state.services["prefetched_batches"][state.service_of]
    assert np.all(_waiting(state).reshape(len(state.instances), -1) <= most), "batches formed ahead"


def _check_front_ends(state: st.State) -> None:
    """The heap has who is in a front end; a thread is free when the last of them ends at the latest."""
    entries = state.fronts[:state.clock["n_fronts"][0]]
    assert sorted(entries["item"]) == np.flatnonzero(state.requests["stage"] == st.FRONT).tolist(), "front ends"
    free_ns = state.thread_free_ns[state.requests["instance"][entries["item"]]].max(axis=1, initial=0)
    assert np.all(entries["key"] <= free_ns)


def _check_outstanding(state: st.State) -> None:
    """Outstanding of copies, models, instances and endpoint: what was sent and has not left."""
    requests, n_models = state.requests, len(state.models)
    sent = requests[np.isin(requests["stage"], (st.HELD, st.FRONT, st.HOST, st.QUEUED, st.RUNNING))]
    rows = sent["instance"] * n_models + sent["model"]
    for name, array, where in (("copies", state.copies, rows), ("models", state.models, sent["model"]),
                               ("instances", state.instances, sent["instance"])):
        assert np.array_equal(array["outstanding"], np.bincount(where, minlength=len(array))), name
    assert state.clock["outstanding"][0] == len(sent)
    backlog_ns = np.zeros(len(state.instances), np.int64)
    np.add.at(backlog_ns, sent["instance"], state.models["service_ns"][sent["model"]])
    assert np.array_equal(state.instances["backlog_ns"], backlog_ns), "backlog"


def _share(state: st.State, head: int) -> int:
    """Share that the running batch with this head wants."""
    service, items = state.services[state.requests["service"][head]], int(state.requests["batch_items"][head])
    table = state.tables[service["shares"]:][:service["n_shares"]]
    return int(table[items - 1] if items <= len(table) else service["share_q16"])


def _check_stations(state: st.State) -> None:
    """Jobs, weights and host work of each station; batches running at each copy; the station that is next."""
    requests, stations = state.requests, state.stations
    batches = np.zeros(len(state.lanes), np.int64)
    in_service = 0
    for station in range(len(stations)):
        base, jobs = int(stations["base"][station]), int(stations["jobs"][station])
        items = state.jobs["item"][base:base + jobs]
        slots = items[items >= 0]
        heads = slots[requests["stage"][slots] == st.RUNNING]
        weight = ONE_Q16 * (jobs - len(heads)) + sum(_share(state, head) for head in heads)
        assert stations["weight_q16"][station] == weight, f"weight of station {station}"
        assert stations["works"][station] == np.count_nonzero(items < 0)
        np.add.at(batches, requests["instance"][heads] * len(state.models) + requests["model"][heads], 1)
        in_service += len(slots) - len(heads) + sum(len(_chain(requests["next"], int(head))) for head in heads)
    assert np.array_equal(batches, state.lanes["batches"] - _waiting(state)), "a batch waits for nothing"
    assert in_service == np.count_nonzero(np.isin(requests["stage"], (st.HOST, st.RUNNING)))
    due = state.due.reshape(2, -1)
    assert due[0, 1] == due[1].min()
