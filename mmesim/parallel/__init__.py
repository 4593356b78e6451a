"""Work of the same kind on many things, side by side: over this machine's cores, or over a Dask or Ray cluster.

    workers (who does it) → finished (what has ended, as it ends) → side_by_side (all of it, in order)

`mmesim.parallel.local`, `on_dask` and `on_ray` know how; nothing else does.
"""

from mmesim.parallel.work import finished, side_by_side
from mmesim.parallel.workers import Workers

__all__ = ["Workers", "finished", "side_by_side"]
