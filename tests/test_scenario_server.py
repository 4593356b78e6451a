"""What profiles and scenarios say of the server reaches the data plane: front end, batches ahead, gap, interference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmesim.dataplane.api import ONE_Q16, PlaneSpec
from mmesim.errors import InputError
from mmesim.packaged import packaged_dir
from mmesim.profile import describe, load_profile
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario

SCENARIO = """\
duration: 10m
endpoint: {instance_type: ml.g4dn.2xlarge, instances: 2}
profiles: {mine: mine.yaml}
models:
  - {profile: mine, count: 2, name: "mine-{i}"}
  - {profile: resnet50-pytorch-t4, name: "shipped-{i}"}
workload: {arrivals: {use: poisson, rate_rps: 5}}
"""
FIELDS = """
gap: {value: 2ms, basis: measured, source: s1}
interference_k: {value: 0.07, basis: measured, source: s1}
prefetched_batches: {value: 2, basis: rule, source: s1}
frontend:
  per_request: {value: 1ms, basis: measured, source: s1}
  per_item: {value: 500us, basis: measured, source: s1}
"""
Plane = Callable[..., PlaneSpec]


@pytest.fixture
def plane(tmp_path: Path) -> Plane:
    def built(*overrides: str, fields: str = FIELDS) -> PlaneSpec:
        shipped = (packaged_dir("profiles") / "resnet50-pytorch-t4.yaml").read_text(encoding="utf-8")
        (tmp_path / "mine.yaml").write_text(shipped + fields, encoding="utf-8")
        (tmp_path / "my.yaml").write_text(SCENARIO, encoding="utf-8")
        return build(load_scenario(str(tmp_path / "my.yaml"), overrides)).plane
    return built


def test_the_profiles_numbers(plane: Plane) -> None:
    spec = plane()
    mine, _, shipped = spec.services
    assert (mine.frontend_ns, mine.frontend_per_item_ns, mine.prefetched_batches) == (1_000_000, 500_000, 2)
    assert (shipped.frontend_ns, shipped.frontend_per_item_ns, shipped.prefetched_batches) == (0, 0, 0)
    assert (spec.frontend_threads, spec.interference_q16) == (1, round(0.07 * ONE_Q16))


def test_the_gap_leaves_the_device_to_others(plane: Plane) -> None:
    """share(b) = (S(b) - 2 ms) / S(b), at least 0.05; a profile without a gap wants the same for every size."""
    mine, _, shipped = plane().services
    assert shipped.share_q16 == ONE_Q16
    assert len(mine.share_q16) == len(mine.service_ns)
    assert [mine.share_q16[b] / ONE_Q16 for b in (1, 2, 4)] == pytest.approx([1.5244 / 3.5244, 3.2147 / 5.2147,
                                                                              7.3702 / 9.3702], abs=1e-5)
    assert plane(fields="gap: {value: 9ms, basis: rule, source: s1}").services[0].share_q16[1] == round(0.05 * ONE_Q16)


def test_the_scenario_comes_before_the_profile(plane: Plane) -> None:
    spec = plane("endpoint.server.interference=0", "endpoint.server.frontend_threads=4",
                 "models.0.prefetched_batches=0", "models.1.prefetched_batches=4")
    assert (spec.interference_q16, spec.frontend_threads) == (0, 4)
    assert [service.prefetched_batches for service in spec.services] == [0, 0, 4]


def test_without_any_of_them_nothing_changes(plane: Plane) -> None:
    mine, _, shipped = (spec := plane(fields="")).services
    assert spec.interference_q16 == 0
    assert (mine.share_q16, mine.frontend_ns, mine.prefetched_batches) == (shipped.share_q16, 0, 0)


@pytest.mark.parametrize("limit", ["max_queue_size=9", "queue_timeout=1s"])
def test_no_batch_is_formed_ahead_of_a_queue_with_limits(plane: Plane, limit: str) -> None:
    """Triton's rule; silent where the profile asks for them, a problem where the scenario does."""
    assert plane(f"models.0.{limit}").services[0].prefetched_batches == 0
    with pytest.raises(InputError, match="has no effect"):
        plane(f"models.0.{limit}", "models.0.prefetched_batches=2")


def test_more_than_the_front_end_can_decode(plane: Plane) -> None:
    """Two of three requests take 300 ms + 0.5 ms of the one thread: 5/s of them need 1.002 threads, there are two."""
    fields = FIELDS.replace("value: 1ms", "value: 300ms")
    assert plane("workload.popularity.use=uniform", fields=fields)
    with pytest.raises(InputError, match=r"need the front end of 2\.0"):
        plane("workload.popularity.use=uniform", "workload.arrivals.rate_rps=10.1", fields=fields)
    assert plane("workload.popularity.use=uniform", "workload.arrivals.rate_rps=10.1",
                 "endpoint.server.frontend_threads=2", fields=fields)


def test_a_request_that_is_decoded_too_long_is_late(plane: Plane) -> None:
    with pytest.raises(InputError, match="900 ms cannot be met"):
        plane("objective.p50_ms=900", fields=FIELDS.replace("value: 1ms", "value: 950ms"))


@pytest.mark.parametrize("field", ["gap: {value: 1ms", "interference_k: {value: 0.1"])
def test_a_model_on_the_cpu_has_no_gpu_to_share(tmp_path: Path, field: str) -> None:
    shipped = (packaged_dir("profiles") / "xgboost-cpu.yaml").read_text(encoding="utf-8")
    file = tmp_path / "mine.yaml"
    source = next(iter(load_profile("xgboost-cpu").file.sources))
    file.write_text(f"{shipped}\n{field}, basis: rule, source: {source}}}\n", encoding="utf-8")
    with pytest.raises(InputError, match="means the GPU"):
        load_profile(file)


def test_they_are_described(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text((packaged_dir("profiles") / "resnet50-pytorch-t4.yaml").read_text(encoding="utf-8") + FIELDS,
                    encoding="utf-8")
    rows = {row["field"]: (row["value"], row["unit"]) for row in describe(load_profile(file))}
    assert rows["gap"] == (2, "ms") and rows["frontend.per_item"] == (0.5, "ms")
    assert rows["interference_k"] == (0.07, "") and rows["prefetched_batches"] == (2, "")
