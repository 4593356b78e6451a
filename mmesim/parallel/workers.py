"""Who does the work: processes of this machine, or the workers of a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmesim.errors import InputError, Problem

_DASK = re.compile(r"(tcp|tls)://[^\s/]+:\d+\Z")
_RAY = re.compile(r"ray://(auto|[^\s/]+:\d+)\Z|[^\s/:]+:\d+\Z")
_KNOWN = ("tcp://HOST:PORT or tls://HOST:PORT is a Dask scheduler; ray://HOST:PORT is a Ray client server, "
          "ray://auto the Ray cluster of this machine, HOST:PORT a Ray head")


@dataclass(frozen=True)
class Workers:
    """Processes of this machine, or of a cluster. Raises InputError when the address is none."""

    processes: int = -1
    """At most so many at once; -1: one for each core, here or there."""
    cluster: str | None = None
    """Address of a Dask scheduler (``tcp://``, ``tls://``) or of Ray (``ray://HOST:PORT``, ``ray://auto``,
    ``HOST:PORT``); None: this machine."""

    def __post_init__(self) -> None:
        if self.cluster is not None and not (_DASK.match(self.cluster) or _RAY.match(self.cluster)):
            raise InputError(Problem("is no address of a cluster", file=f"--cluster {self.cluster}", hint=_KNOWN))

    @property
    def is_dask(self) -> bool:
        """True: the address is that of a Dask scheduler."""
        return self.cluster is not None and bool(_DASK.match(self.cluster))
