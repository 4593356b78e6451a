"""The requests of a live journal as a trace, in the form that scenarios read."""

from __future__ import annotations

from array import array

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.journal.entries import Arrived
from mmesim.journal.read import JournalReader
from mmesim.workload.importing.importer import Imported, from_zero
from mmesim.workload.importing.rows import Requests


def trace_of(journal: JournalReader, from_midnight: bool = False) -> Imported:
    """Every request that arrived, refused ones too; one that was sent again counts again. Raises InputError when the
    journal holds none."""
    t_ns, model = array("q"), array("i")
    for entry in journal.entries():
        if isinstance(entry, Arrived):
            t_ns.append(entry.now_ns)
            model.append(entry.model)
    if not t_ns:
        raise InputError(Problem(f"{journal.name} holds no requests", hint="only journals of live endpoints do"))
    names, began_ns = journal.header["models"], journal.header["started"]["unix_ns"]
    named = np.array(names, np.object_)[np.frombuffer(model, np.int32)]
    rows, begin_ns = from_zero(Requests(np.frombuffer(t_ns, np.int64) + began_ns, named), from_midnight)
    return Imported("journal", rows, begin_ns, {}, ["it has no end: read to the last whole line"]
                    if journal.cut_off else [])
