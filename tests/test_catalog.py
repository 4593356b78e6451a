"""The catalog: values typed by hand from the published tables, the rules, and the user's own rows."""

from __future__ import annotations

from dataclasses import fields

import pytest

from mmesim.catalog import InstanceType, load_catalog
from mmesim.errors import InputError
from mmesim.units import GIB, MIB

GBPS = 1e9 / 8
MB = 1e6

# (type, vCPU, GiB, GPU, GPUs, nominal MiB, NVMe GB, Gbit/s, EBS MB/s, EC2 $/h, hosting $/h)
PUBLISHED = [
    ("ml.g4dn.xlarge", 4, 16, "T4", 1, 16384, 125, (5, 25), (119, 438), 0.526, 0.736),
    ("ml.g4dn.2xlarge", 8, 32, "T4", 1, 16384, 225, (10, 25), (144, 438), 0.752, 0.94),
    ("ml.g4dn.12xlarge", 48, 192, "T4", 4, 16384, 900, (50, 50), (1188, 1188), 3.912, 4.89),
    ("ml.g5.xlarge", 4, 16, "A10G", 1, 22888, 250, (2.5, 10), (88, 438), 1.006, 1.408),
    ("ml.g5.2xlarge", 8, 32, "A10G", 1, 22888, 450, (5, 10), (106, 438), 1.212, 1.515),
    ("ml.g5.48xlarge", 192, 768, "A10G", 8, 22888, 7600, (100, 100), (2375, 2375), 16.288, 20.36),
    ("ml.g6.xlarge", 4, 16, "L4", 1, 22888, 250, (2.5, 10), (125, 625), 0.8048, 1.127),
    ("ml.g6e.8xlarge", 32, 256, "L40S", 1, 45776, 900, (25, 25), (2000, 2000), 4.52856, 5.6607),
    ("ml.g7e.2xlarge", 8, 64, "RTX PRO 6000", 1, 98304, 1900, (50, 50), (625, 625), 3.36312, 4.2039),
    ("ml.p3.2xlarge", 8, 61, "V100", 1, 16384, None, (2.5, 10), None, 3.06, 3.825),
    ("ml.p4d.24xlarge", 96, 1152, "A100", 8, 40960, 8000, (400, 400), (2375, 2375), 21.9576, 37.688),
    ("ml.p5.48xlarge", 192, 2048, "H100", 8, 81920, 30400, (3200, 3200), (10000, 10000), 55.04, None),
    ("ml.c5.9xlarge", 36, 72, None, 0, 0, None, (12, 12), (1188, 1188), 1.53, 1.836),
    ("ml.m5.4xlarge", 16, 64, None, 0, 0, None, (5, 10), None, 0.768, 0.922),
    ("ml.m4.xlarge", 4, 16, None, 0, 0, None, (0.75, 2.8), (94, 94), None, None),
]


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row[0])
def test_row_holds_the_published_values(row):
    name, vcpus, ram, gpu, gpus, gpu_mib, nvme, network, ebs, ec2, price = row
    kind = load_catalog()[name]
    assert (kind.vcpus, kind.ram_bytes, kind.gpu, kind.gpu_count) == (vcpus, ram * GIB, gpu, gpus)
    assert kind.gpu_nominal_bytes == gpu_mib * MIB
    assert (kind.disk_kind, kind.disk_bytes) == (("nvme", nvme * 10**9) if nvme else ("ebs", 30 * 10**9))
    assert (kind.network_baseline_bps, kind.network_burst_bps) == tuple(rate * GBPS for rate in network)
    ebs_bps = tuple(rate * MB for rate in ebs) if ebs else (None, None)
    assert (kind.ebs_baseline_bps, kind.ebs_max_bps) == ebs_bps
    assert (kind.ec2_price_per_hour, kind.price_per_hour) == (ec2, price)


def test_visible_memory_is_the_measured_one_where_it_was_measured():
    catalog = load_catalog()
    t4, v100, a10g = (catalog[f"ml.{name}"] for name in ("g4dn.xlarge", "p3.2xlarge", "g5.xlarge"))
    assert (t4.gpu_bytes, t4.marks["gpu_bytes"]) == (15109 * MIB, "measured")
    assert (v100.gpu_bytes, v100.marks["gpu_bytes"]) == (16160 * MIB, "measured")
    assert (a10g.gpu_bytes, a10g.marks["gpu_bytes"]) == (a10g.gpu_nominal_bytes, "rule")


@pytest.mark.parametrize(("name", "price"), [("ml.g4dn.16xlarge", 5.44), ("ml.g6.16xlarge", 4.246),
                                             ("ml.g6e.16xlarge", 9.4715), ("ml.c6i.2xlarge", 0.408)])
def test_price_by_rule_is_marked(name, price):
    kind = load_catalog()[name]
    assert kind.price_per_hour == pytest.approx(price, abs=1e-4)
    assert kind.marks["price_per_hour"] == "rule"


def test_price_rule_gives_back_the_quoted_prices():
    """The rule is only as good as this: within 1 % of every quoted hosting price but p4d's old one."""
    from mmesim.catalog.rules import hosting_price

    quoted = [row for row in load_catalog().rows() if row["marks"]["price_per_hour"] == "quoted"
              and row["name"] != "ml.p4d.24xlarge"]
    assert len(quoted) == 38
    for row in quoted:
        assert hosting_price(row["name"], row["gpu"], row["ec2_price_per_hour"]) == pytest.approx(
            row["price_per_hour"], rel=0.01), row["name"]


def test_price_that_was_not_found_stays_missing():
    without = {row["name"] for row in load_catalog().rows() if row["price_per_hour"] is None}
    assert without == {"ml.p2.xlarge", "ml.p5.4xlarge", "ml.p5.48xlarge", "ml.c5d.18xlarge", "ml.m4.xlarge"}


def test_types_documented_for_gpu_endpoints():
    listed = {row["name"] for row in load_catalog().rows() if row["mme_gpu_listed"]}
    sizes = ("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")
    assert listed == {"ml.p2.xlarge", "ml.p3.2xlarge",
                      *(f"ml.{family}.{size}" for family in ("g4dn", "g5") for size in sizes)}


def test_every_value_of_every_row_has_a_mark_and_every_row_a_source_and_a_date():
    rows = load_catalog().rows()
    assert len(rows) == 55
    for row in rows:
        assert row["source"] and row["date"]
        for item in fields(InstanceType):
            if item.name not in {"name", "note", "source", "date", "marks"}:
                mark = row["marks"].get(item.name)
                known = mark in {"quoted", "measured", "rule"}
                assert known == (row[item.name] is not None), (row["name"], item.name, mark)


def test_network_and_disk_rules():
    catalog = load_catalog()
    large = catalog["ml.m5.large"]
    assert large.network_baseline_bps == large.network_burst_bps == pytest.approx(0.625 * GBPS)
    assert large.marks["network_baseline_bps"] == "rule"
    assert catalog["ml.g4dn.xlarge"].disk_read_bps == 1e9
    assert catalog["ml.m4.xlarge"].disk_read_bps == 94 * MB, "not faster than the EBS link"
    assert catalog["ml.c5.4xlarge"].disk_read_bps == 128 * MIB


def test_unknown_type_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"did you mean 'ml\.g4dn\.2xlarge'"):
        load_catalog()["ml.g4dn.2xlarg"]


def test_type_without_published_hardware_is_refused_until_the_user_gives_it():
    with pytest.raises(InputError, match=r"ml\.g7e\.4xlarge: vcpus, ram_bytes"):
        load_catalog()["ml.g7e.4xlarge"]
    kind = load_catalog({"ml.g7e.4xlarge": {"vcpus": 16, "ram_bytes": "128GiB"}})["ml.g7e.4xlarge"]
    assert (kind.vcpus, kind.ram_bytes, kind.marks["vcpus"]) == (16, 128 * GIB, "user")


def test_user_changes_one_value_and_the_rest_stays():
    kind = load_catalog({"ml.g4dn.2xlarge": {"price_per_hour": 0.60}})["ml.g4dn.2xlarge"]
    assert (kind.price_per_hour, kind.marks["price_per_hour"]) == (0.60, "user")
    assert (kind.vcpus, kind.marks["vcpus"]) == (8, "quoted")
    assert "user" in kind.source


def test_user_row_of_their_own_with_units():
    kind = load_catalog({"lab": {"vcpus": 12, "ram_bytes": "48GiB", "gpu": "RTX 4090", "gpu_bytes": "23GiB",
                                 "disk_kind": "nvme", "disk_bytes": "1TB",
                                 "network_baseline_bps": "10Gbps", "disk_read_bps": 3e9}})["lab"]
    assert (kind.gpu_count, kind.gpu_bytes, kind.gpu_nominal_bytes) == (1, 23 * GIB, 23 * GIB)
    assert kind.network_baseline_bps == kind.network_burst_bps == 10 * GBPS
    assert kind.disk_read_bps == 3e9
    assert kind.price_per_hour is None and kind.marks["price_per_hour"] == "missing"


def test_no_price_under_a_commitment_is_packaged_and_the_user_can_give_them():
    assert {row[f"committed_{term}_per_hour"] for row in load_catalog().rows() for term in ("1y", "3y")} == {None}
    given = {"committed_1y_per_hour": 1.1, "committed_3y_per_hour": "0.8"}
    kind = load_catalog({"ml.g5.xlarge": given})["ml.g5.xlarge"]
    assert (kind.price_per_hour, kind.committed_1y_per_hour, kind.committed_3y_per_hour) == (1.408, 1.1, 0.8)
    assert (kind.marks["price_per_hour"], kind.marks["committed_1y_per_hour"]) == ("quoted", "user")


def test_user_row_without_a_gpu():
    kind = load_catalog({"lab": {"vcpus": 4, "ram_bytes": "16GiB"}})["lab"]
    assert (kind.gpu, kind.gpu_count, kind.gpu_bytes) == (None, 0, 0)


@pytest.mark.parametrize(("field", "value", "words"), [
    ("vcpus", 0, "whole number of 1 or more"), ("vcpus", True, "whole number"), ("vcpu", 4, "did you mean 'vcpus'"),
    ("ram_bytes", "16 giga", "250MB or 24GiB"), ("ram_bytes", float("nan"), "above 0"),
    ("network_baseline_bps", "10Gb", "1.5Gbps"), ("price_per_hour", -1, "above 0"),
    ("committed_1y_per_hour", 0, "above 0"),
    ("price_per_hour", None, "number"), ("disk_kind", "floppy", "nvme or ebs"), ("gpu", 7, "a name"),
    ("mme_gpu_listed", "yes", "true or false"), ("disk_bytes", "1e999GB", "size"), ("marks", {}, "known"),
])
def test_wrong_user_value_names_the_field_and_what_was_possible(field, value, words):
    with pytest.raises(InputError) as caught:
        load_catalog({"lab": {"vcpus": 4, "ram_bytes": "16GiB"} | {field: value}})
    (problem,) = caught.value.problems
    assert problem.path == f"instance_types.lab.{field}"
    assert words in str(problem)


def test_all_wrong_values_are_reported_together():
    with pytest.raises(InputError) as caught:
        load_catalog({"a": {"vcpus": 0, "colour": "red"}, "b": {"ram_bytes": -1}})
    assert [problem.path for problem in caught.value.problems] == [
        "instance_types.a.vcpus", "instance_types.a.colour", "instance_types.b.ram_bytes"]
