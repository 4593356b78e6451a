"""Random streams and distributions: named, independent, with the moments they promise.

Tolerances are four standard errors of the estimate (chance of a false alarm 6e-5 each; seeds are fixed): n draws with
cv c have a mean with relative standard error c / sqrt(n), and a cv with about sqrt((k - 1) / (4 n)) (k: kurtosis).
"""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from mmesim.core.distribution import Distribution
from mmesim.core.streams import stream

LAWS = [
    Distribution("constant", 0.2), Distribution("uniform", low=0.05, high=0.5), Distribution("uniform", 2.0, cv=0.4),
    Distribution("exponential", 3.0), Distribution("lognormal", 1.0, cv=0.7), Distribution("gamma", 1.0, cv=0.5),
    Distribution("gamma", 0.1, cv=2.0), Distribution("hyperexponential", 1.0, cv=2.0),
]


def test_a_stream_is_its_seed_and_name() -> None:
    first = stream(7, "arrivals").random(5)
    assert np.array_equal(first, stream(7, "arrivals").random(5))
    others = [stream(8, "arrivals"), stream(7, "work"), stream(7, "arrivals", 0), stream(7, "arrivals", "0")]
    assert len({tuple(first), *(tuple(other.random(5)) for other in others)}) == 5


def test_a_stream_is_the_same_in_another_process_with_another_hash_seed() -> None:
    code = "from mmesim.core.streams import stream; print(stream(7, 'arrivals', 3).random().hex())"
    for hash_seed in ("0", "12345"):
        done = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": hash_seed}, text=True,
                              capture_output=True, check=True)
        assert done.stdout.strip() == stream(7, "arrivals", 3).random().hex()


def test_streams_are_uncorrelated() -> None:
    n = 100_000
    draws = np.array([stream(1, "client", user).standard_normal(n) for user in range(4)])
    off_diagonal = np.corrcoef(draws)[np.triu_indices(4, 1)]
    assert np.abs(off_diagonal).max() < 4 / math.sqrt(n)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_a_law_has_its_mean_and_cv(law: Distribution) -> None:
    n = 400_000
    draws = law.sample(stream(1, "law"), n)
    assert law.cv is not None and (draws >= 0).all()
    assert draws.mean() == pytest.approx(law.mean, rel=4 * law.cv / math.sqrt(n) + 1e-12)
    deviation = (draws - draws.mean()) / law.mean
    kurtosis = float((deviation**4).mean() / (deviation**2).mean() ** 2) if law.cv else 1.0
    assert draws.std() / law.mean == pytest.approx(law.cv, rel=4 * math.sqrt(max(kurtosis - 1, 0) / (4 * n)) + 1e-12)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_draws_at_once_are_draws_one_by_one(law: Distribution) -> None:
    rng = stream(1, "law")
    singly = [law.sample(rng, 1)[0] for _ in range(50)]
    assert law.sample(stream(1, "law"), 50).tolist() == singly


def test_erlang_is_gamma() -> None:
    draws = Distribution("gamma", cv=1 / math.sqrt(4)).sample(stream(1, "erlang"), 200_000)
    below = (draws < 1).mean()  # P(Erlang-4 with mean 1 < 1) = 1 - e^-4 (1 + 4 + 8 + 32/3) = 0.566530
    assert below == pytest.approx(0.566530, abs=4 * math.sqrt(0.25 / 200_000))


def test_hyperexponential_has_balanced_means() -> None:
    p = (1 + math.sqrt(3 / 5)) / 2  # cv^2 = 4
    tail = p * math.exp(-2 * p * 3) + (1 - p) * math.exp(-2 * (1 - p) * 3)
    draws = Distribution("hyperexponential", cv=2.0).sample(stream(1, "h2"), 200_000)
    assert (draws > 3).mean() == pytest.approx(tail, abs=4 * math.sqrt(tail / 200_000))


@pytest.mark.parametrize(("arguments", "message"), [
    ({"law": "pareto"}, "unknown law 'pareto'"),
    ({"law": "lognormal", "mean": 1.0}, "needs a cv"),
    ({"law": "exponential", "cv": 2.0}, "the cv of the exponential law is 1"),
    ({"law": "hyperexponential", "cv": 0.5}, "1 or more"),
    ({"law": "uniform", "low": 2.0, "high": 1.0}, "low <= high"),
    ({"law": "uniform", "low": 2.0}, "both low and high"),
    ({"law": "uniform", "mean": 1.0, "cv": 0.7}, "low <= high"),
    ({"law": "gamma", "cv": 1.0, "low": 0.0}, "belong to the uniform law"),
    ({"law": "constant", "mean": -1.0}, "not negative"),
])
def test_an_impossible_law_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Distribution(**arguments)  # type: ignore[arg-type]
