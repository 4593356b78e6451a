"""Where other placements beat the default, `least_loaded`, and where they do not: pairs of runs on equal seeds.

The figures stand in docs/policies-built-in/placement.md (`pytest -rP` prints them).
"""

from __future__ import annotations

from pathlib import Path

from tests.paired_runs import paired

SEEDS = (1, 2, 3)
HITS, S3, MEAN, P99 = "cache.hit_ratio", "cache.cold_starts.s3", "latency.all.mean", "latency.all.p99"
HOT = """
name: hot
description: four instances, memory to spare, one model has two fifths of the requests
duration: 40m
warmup: 20m
endpoint: {instance_type: ml.g4dn.2xlarge, instances: 4}
models: [{profile: bert-large-pytorch-t4, count: 12, name: "bert-{i:02}"}]
workload: {arrivals: {use: poisson, rate_rps: 90}, popularity: {use: zipf, s: 1.2}}
"""
TIGHT = """
name: tight
description: four instances with room for 184 of 250 models
duration: 40m
warmup: 20m
endpoint: {instance_type: ml.g4dn.2xlarge, instances: 4}
models: [{profile: resnet50-pytorch-t4, count: 250, name: "resnet-{i:03}"}]
workload: {arrivals: {use: poisson, rate_rps: 20}, popularity: {use: zipf, s: 0.8}}
"""


def placed(use: str) -> tuple[str, ...]:
    return (f"endpoint.placement={{use: {use}}}",)


SPILL = "endpoint.routing={use: least_outstanding, spill_outstanding: 0}"
"""No further copies from the router."""


def test_a_hot_model_with_memory_to_spare(tmp_path: Path) -> None:
    """Only placement adds copies: least_loaded none. The hot model gets about 2,000 requests a minute, ModelMesh's
    threshold, so that some check finds more and adds a copy; with 600 others get copies too."""
    variants = {"least_loaded": (SPILL,), "written": (SPILL, *placed("modelmesh")),
                "meant": (SPILL, *placed("modelmesh, reading: meant")),
                "600 rpm": (SPILL, *placed("modelmesh, reading: meant, copy_rpm: 600")),
                "replicas": (SPILL, *placed("popularity_replicas")),
                "spread 2": (SPILL, *placed("popularity_replicas, spread: 2"))}
    found = paired(tmp_path, HOT, variants, SEEDS, P99, MEAN, HITS)
    for name in ("600 rpm", "replicas", "spread 2"):
        assert (found[name][P99] < 0.7 * found["least_loaded"][P99]).all()


def test_a_hot_model_and_a_router_that_wishes_for_copies(tmp_path: Path) -> None:
    """The default: the router wishes for a copy at 16 requests in flight on one. There is little left to gain."""
    variants = {"least_loaded": (), "600 rpm": placed("modelmesh, reading: meant, copy_rpm: 600"),
                "replicas": placed("popularity_replicas"), "spread 2": placed("popularity_replicas, spread: 2")}
    found = paired(tmp_path, HOT, variants, SEEDS, P99, MEAN, HITS)
    for name in ("600 rpm", "replicas", "spread 2"):
        assert (abs(found[name][MEAN] / found["least_loaded"][MEAN] - 1) < 0.15).all()


def test_tight_memory(tmp_path: Path) -> None:
    """Copies into free memory: there is none, so that replicas changes nothing. With displacing, copies drive other
    models out; ModelMesh ignores which disk holds the files, so that more loads come from S3."""
    variants = {"least_loaded": (), "written": placed("modelmesh"), "meant": placed("modelmesh, reading: meant"),
                "replicas": placed("popularity_replicas, spread: 10"),
                "displacing": placed("popularity_replicas, spread: 10, displace: true")}
    found = paired(tmp_path, TIGHT, variants, SEEDS, HITS, S3, MEAN)
    assert (found["displacing"][HITS] < found["least_loaded"][HITS]).all()
    for reading in ("written", "meant"):
        assert (found[reading][S3] > found["least_loaded"][S3]).all()
