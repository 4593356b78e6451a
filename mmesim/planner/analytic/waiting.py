"""Waiting in queues: Erlang's C, Halfin and Whitt's square root, and what is left over from an overload.

Sources: Erlang (1917); Halfin and Whitt, "Heavy-traffic limits for queues with many exponential servers", Operations
Research 1981; Allen and Cunneen's factor (ca2 + cs2) / 2 for other laws; Newell's fluid queue for overloads.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EXACT = 500
"""Servers up to which Erlang's recursion is used, above it the square root."""


def erlang_c(servers: int, load: float) -> float:
    """P(a request waits) in M/M/c with `load` erlangs; 1 when they are as many as the servers."""
    if load <= 0:
        return 0.0
    if load >= servers:
        return 1.0
    if servers > EXACT:
        return halfin_whitt((servers - load) / math.sqrt(load))
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def halfin_whitt(beta: float) -> float:
    """P(a request waits) with R + beta sqrt(R) servers for R erlangs."""
    density = math.exp(-beta * beta / 2) / math.sqrt(2 * math.pi)
    below = (1 + math.erf(beta / math.sqrt(2))) / 2
    return 1 / (1 + beta * below / density) if density else 0.0


def staffed(load: float, capacity: float, slack_s: float, service_s: float, late: float) -> float:
    """Instances of `capacity` servers each for `load` erlangs, such that no more than a part `late` of the requests
    waits longer than `slack_s`: P(wait > t) = P(wait) exp(-(c - load) t / service) with P(wait) by Halfin and Whitt."""
    if load <= 0:
        return 0.0
    low, high = 0.0, 10.0 + 10.0 * slack_s
    for _ in range(50):
        beta = (low + high) / 2
        spare = beta * math.sqrt(load)
        waits = halfin_whitt(beta) * math.exp(-min(700.0, spare * slack_s / max(service_s, 1e-9)))
        low, high = (beta, high) if waits > late else (low, beta)
    return (load + high * math.sqrt(load)) / capacity


def left_over_s(edges_s: Floats, load: Floats, capacity: float) -> Floats:
    """Seconds of work of the whole capacity that wait at the end of each piece: Newell's fluid queue."""
    surplus = np.cumsum((load - capacity) * np.diff(edges_s))
    waiting = surplus - np.minimum.accumulate(np.minimum(surplus, 0.0))
    return np.asarray(waiting / capacity)
