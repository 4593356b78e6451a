"""The same measurement in two files: a checkpoint and the CSV made of it, an older and a newer checkpoint, a log.

Tools round what they print (0.1 ms, 0.1 inferences/s, 0.1 to 1 MB), so that equal means equal to the coarser of the
two. Two rows of one file are never the same measurement.
"""

from __future__ import annotations

from collections import defaultdict

from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers.reading import Reading

NAMES = ("variant", "backend", "gpu", "precision", "instance_count", "max_batch_size", "concurrency",
         "request_rate_rps")
"""Equal, or unknown in one of the two."""
ROUNDING = {"throughput_per_s": 0.051, "latency_s": 0.051e-3, "p50_s": 0.051e-3, "p90_s": 0.051e-3, "p95_s": 0.051e-3,
            "p99_s": 0.051e-3, "queue_s": 0.051e-3, "compute_infer_s": 0.051e-3, "gpu_bytes": 0.51e6}
RELATIVE = 1e-4


def same_measurement(one: OperatingPoint, other: OperatingPoint) -> bool:
    """Whether two points of different files tell of one measurement."""
    if (one.model, one.batch_size, one.co_located) != (other.model, other.batch_size, other.co_located):
        return False
    known = [(getattr(one, name), getattr(other, name)) for name in NAMES]
    if any(a != b for a, b in known if a not in ("", None) and b not in ("", None)):
        return False
    both = [(a, b, step) for name, step in ROUNDING.items()
            if (a := getattr(one, name)) is not None and (b := getattr(other, name)) is not None]
    return (len(both) > 1 and one.throughput_per_s is not None and other.throughput_per_s is not None
            and all(abs(a - b) <= step + RELATIVE * max(a, b) for a, b, step in both))


def without_doubles(readings: list[Reading],
                    points: list[list[OperatingPoint]]) -> tuple[list[OperatingPoint], list[str]]:
    """All points, each measurement once (from the reading that comes first), and remarks on those left out."""
    kept: dict[tuple[str, int], list[OperatingPoint]] = defaultdict(list)
    result, remarks = [], []
    for reading, found in zip(readings, points, strict=True):
        new, free = [], {key: list(candidates) for key, candidates in kept.items()}
        for point in found:
            candidates = free.get((point.model, point.batch_size), [])
            twin = next((n for n, candidate in enumerate(candidates) if same_measurement(candidate, point)), None)
            if twin is None:
                new.append(point)
            else:
                del candidates[twin]
        for point in new:
            kept[point.model, point.batch_size].append(point)
        result.extend(new)
        if len(new) < len(found):
            remarks.append(f"{reading.path}: {len(found) - len(new)} of {len(found)} measurements are told "
                           "elsewhere too: counted once")
    return result, remarks
