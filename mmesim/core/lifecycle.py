"""The life of one model on one instance, as a table. The diagram in the docs is drawn from it.

Two rules: every change of residency goes through :func:`advance`; a transition that is not in the table is our bug.
UNLOADING still occupies memory. FAILED keeps the files; a later request moves it on.
"""

from __future__ import annotations

from enum import IntEnum


class Residency(IntEnum):
    """Where a model stands on an instance."""

    ABSENT = 0
    DOWNLOADING = 1
    ON_DISK = 2
    LOADING = 3
    READY = 4
    UNLOADING = 5
    FAILED = 6


R = Residency
TRANSITIONS: dict[Residency, dict[str, Residency]] = {
    R.ABSENT: {"start download": R.DOWNLOADING, "files found": R.ON_DISK, "instance lost": R.ABSENT},
    R.DOWNLOADING: {"download finished": R.ON_DISK, "download failed": R.ABSENT, "instance lost": R.ABSENT},
    R.ON_DISK: {"start load": R.LOADING, "delete artifact": R.ABSENT, "copy found": R.READY, "files lost": R.ABSENT,
                "instance lost": R.ABSENT},
    R.LOADING: {"load finished": R.READY, "out of memory": R.ON_DISK, "load failed": R.FAILED,
                "instance lost": R.ABSENT},
    R.READY: {"start unload": R.UNLOADING, "copy lost": R.ON_DISK, "instance lost": R.ABSENT},
    R.UNLOADING: {"unload finished": R.ON_DISK, "instance lost": R.ABSENT},
    R.FAILED: {"retry": R.ON_DISK, "files lost": R.ABSENT, "instance lost": R.ABSENT},
}


def advance(state: Residency, cause: str) -> Residency:
    """The state after `cause`; an impossible cause is an assertion."""
    assert cause in TRANSITIONS[state], f"{state.name} cannot {cause!r}; it can {sorted(TRANSITIONS[state])}"
    return TRANSITIONS[state][cause]


def mermaid() -> str:
    """The table as a Mermaid state diagram (instance loss left out: it leads from everywhere to ABSENT)."""
    lines = ["stateDiagram-v2", "    [*] --> ABSENT"]
    for state, causes in TRANSITIONS.items():
        lines += [f"    {state.name} --> {after.name}: {cause}" for cause, after in causes.items()
                  if cause != "instance lost"]
    return "\n".join(lines)
