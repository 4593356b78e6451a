"""Loading a scenario: all problems at once, each with file, line, setting, what was possible and what to do."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from mmesim.errors import InputError
from mmesim.packaged import packaged_dir
from mmesim.scenario.load import load_scenario, scenario_names
from mmesim.scenario.references import resolve
from mmesim.scenario.schema import Scenario
from mmesim.scenario.workload_spec import duration_s, workload_models, workload_spec

SMALL = """\
duration: 10m
endpoint:
  instance_type: ml.g4dn.2xlarge
  instances: 2
models:
  - {profile: resnet50-pytorch-t4, count: 10, name: "resnet-{i}"}
workload:
  arrivals: {use: poisson, rate_rps: 5}
"""
Check = Callable[..., list[tuple[int, str, str]]]


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Scenario]:
    def load_text(text: str, *overrides: str) -> Scenario:
        file = tmp_path / "my.yaml"
        file.write_text(text, encoding="utf-8")
        return load_scenario(str(file), overrides)
    return load_text


@pytest.fixture
def problems(load: Callable[..., Scenario]) -> Check:
    """(line, setting, message and hint) of what is wrong with a text."""
    def found(text: str, *overrides: str) -> list[tuple[int, str, str]]:
        with pytest.raises(InputError) as raised:
            load(text, *overrides)
        return [(one.line, one.path, f"{one.message} | {one.hint}") for one in raised.value.problems]
    return found


def replaced(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new)


# What is right ------------------------------------------------------------------------------------------------

def test_a_small_scenario(load: Callable[..., Scenario], tmp_path: Path) -> None:
    scenario = load(SMALL)
    assert (scenario.name, scenario.duration, scenario.base_dir) == ("my", 600.0, tmp_path)
    assert scenario.endpoint.instances.model_dump() == {"initial": 2, "min": 2, "max": 2}
    assert scenario.endpoint.storage.s3_part == 8 << 20 and scenario.endpoint.storage.s3_connection_rate == 87e6
    assert [model.name for model in workload_models(scenario)] == [f"resnet-{i}" for i in range(10)]
    found = resolve(scenario)
    assert found.instance_type.gpu == "T4" and found.policies.routing.spill_outstanding == 16
    assert found.groups[0].value("gpu_bytes") == found.groups[0].profile.gpu_bytes > 0


def test_it_can_be_sent_to_another_process(load: Callable[..., Scenario]) -> None:
    scenario = load(SMALL)
    again = pickle.loads(pickle.dumps(scenario))
    assert again == scenario and again.source_file == scenario.source_file


def test_policies_are_fresh_for_each_run(load: Callable[..., Scenario]) -> None:
    scenario = load(SMALL)
    assert resolve(scenario).policies.gpu_eviction is not resolve(scenario).policies.gpu_eviction


def test_short_forms(load: Callable[..., Scenario]) -> None:
    scenario = load(SMALL + "  popularity: uniform\n",
                    "endpoint.eviction.gpu=lfu", "endpoint.provisioning.time=5m", "models.0.gpu_bytes=300MiB")
    assert scenario.workload.popularity.use == "uniform" and scenario.endpoint.eviction.gpu.use == "lfu"
    assert scenario.endpoint.provisioning.time.distribution().mean == 300.0
    assert resolve(scenario).groups[0].value("gpu_bytes") == 300 << 20


def test_overrides(load: Callable[..., Scenario]) -> None:
    scenario = load(SMALL, "endpoint.instances={initial: 2, max: 8}", "models.0.count=3", "seed=9", "models.1.count=4",
                    "models.1.profile=bert-base-tensorrt-t4", "objective.p99_ms=800", "endpoint.server.load_threads=2",
                    "instance_types={ml.g4dn.2xlarge: {price_per_hour: 0.6}}",
                    "instance_types.ml.g4dn.2xlarge.vcpus=16")
    assert (scenario.endpoint.instances.max, scenario.models[0].count, scenario.models[1].count) == (8, 3, 4)
    assert (scenario.seed, scenario.objective.p99_ms, scenario.endpoint.server.load_threads) == (9, 800.0, 2)
    kind = resolve(scenario).instance_type
    assert (kind.price_per_hour, kind.vcpus) == (0.6, 16)


def test_policies_of_your_own_stand_beside_the_scenario(load: Callable[..., Scenario], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom mmesim.core.policy import EvictionPolicy\n\n\n@dataclass\n"
        "class Biggest(EvictionPolicy):\n    keep_bytes: int = 0\n\n"
        "    def victims(self, candidates, need_bytes, now_ns):\n        return list(candidates)\n", encoding="utf-8")
    scenario = load(SMALL, 'endpoint.eviction.gpu={use: "mine:Biggest", keep_bytes: 100MiB}')
    assert resolve(scenario).policies.gpu_eviction.keep_bytes == 100 << 20


def test_files_are_relative_to_the_scenario_and_on_the_command_line_to_the_caller(
        load: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder, last in ((tmp_path, 90), (elsewhere, 30)):
        (folder / "t.csv").write_text(f"timestamp_s,model\n0,a\n{last},b\n", encoding="utf-8")
    text = replaced("arrivals: {use: poisson, rate_rps: 5}", "trace: t.csv").replace("duration: 10m\n", "")
    assert duration_s(load(text)) == pytest.approx(91, abs=1)
    monkeypatch.chdir(elsewhere)
    assert duration_s(load(text)) == pytest.approx(91, abs=1)
    assert duration_s(load(text, "workload.trace=t.csv")) == pytest.approx(31, abs=1)


def test_the_workload_spec_has_every_value(load: Callable[..., Scenario]) -> None:
    spec = workload_spec(load(SMALL + """\
  surges: [{at: 1m, for: 30s, factor: 3, models: "resnet-1*"}]
  popularity: {use: drifting, s: 0.9, every: 2m, swap: 10%}
  sessions: {repeat: 0.3}
  items: 2
"""))
    assert (spec.arrivals.use, spec.arrivals.rate_rps, spec.session_repeat, spec.items) == ("poisson", 5.0, 0.3, 2)
    surge, popularity = spec.surges[0], spec.popularity
    assert (surge.at_s, surge.for_s, surge.factor, surge.models) == (60.0, 30.0, 3.0, "resnet-1*")
    assert (popularity.use, popularity.s, popularity.every_s, popularity.swap) == ("drifting", 0.9, 120.0, 0.1)


def test_names_are_files_first_then_packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_scenario("reference").source_file == packaged_dir("scenarios") / "reference.yaml"
    Path("reference").write_text(SMALL + "name: mine\n", encoding="utf-8")
    assert load_scenario("reference").name == "mine"
    with pytest.raises(InputError, match="did you mean 'reference'"):
        load_scenario("refrence")
    with pytest.raises(InputError, match=r"nothing\.yaml: no such file"):
        load_scenario("nothing.yaml")


@pytest.mark.parametrize("name", [name for name in scenario_names() if name != "azure-day"])  # that needs its trace
def test_every_packaged_scenario_loads(name: str) -> None:
    assert load_scenario(name).name == name


# What is wrong ------------------------------------------------------------------------------------------------

SHAPE = [
    ("duration: 10m", "duration: 10", 1, "duration", "10 has no unit | write 10s if you mean that"),
    ("duration: 10m", "duration: 10 parsecs", 1, "duration", "'10 parsecs' is not a duration"),
    ("duration: 10m", "duration: -10m", 1, "duration", "'-10m' is out of range | write a duration from 0 to 3660d"),
    ("duration: 10m", "duration: 10GB", 1, "duration", "'10GB' is not a duration"),
    ("duration: 10m", "duration: .inf", 1, "duration", "inf is not a duration"),
    ("duration: 10m", "duration: 1e400s", 1, "duration", "not a finite duration"),
    ("duration: 10m", "duratoin: 10m", 1, "duratoin", "unknown setting | did you mean 'duration'?"),
    ("instances: 2", "instances: 2.5", 4, "endpoint.instances", "2.5 is not possible | write a mapping"),
    ("instances: 2", "instances: {max: -1}", 4, "endpoint.instances.max",
     "-1 is out of range | write a value of at least 1"),
    ("instances: 2", "instances: {maxi: 1}", 4, "endpoint.instances.maxi", "did you mean 'max'"),
    ("instances: 2", "server: {idle_gpu_bytes: 3}", 4, "endpoint.server.idle_gpu_bytes", "write 3B if you mean that"),
    ("instances: 2", "server: {gpu_memory_threshold: 120%}", 4, "endpoint.server.gpu_memory_threshold",
     "from 0 to 1"),
    ("instances: 2", "server: {keep_on_disk: maybe}", 4, "endpoint.server.keep_on_disk", "write true or false"),
    ("instances: 2", "server: {model_cache: on}", 4, "endpoint.server.model_cache", "known: disabled, enabled"),
    ("instances: 2", "storage: {s3_connection_rate: 87mbs}", 4, "endpoint.storage.s3_connection_rate",
     "is not a data rate"),
    ("instances: 2", "provisioning: {time: {law: lognormal, mean: 5m}}", 4, "endpoint.provisioning.time",
     "needs a cv"),
    ("instances: 2", "routing: {spill_outstanding: 3}", 4, "endpoint.routing.use", "must be given"),
    ("instances: 2", "framework_versions: {triton: 24.10}", 4, "endpoint.framework_versions.triton",
     "text (put it in quotes)"),
    ("count: 10", "count: true", 6, "models.0.count", "true is not possible | write a number"),
    ("count: 10", "count: 0", 6, "models.0.count", "at least 1"),
    ("resnet-{i}", "resnet-{j}", 6, "models.0.name", "in braces"),
    ("resnet-{i}", "{i.__class__}", 6, "models.0.name", "in braces"),
    ("rate_rps: 5", "rate_rps: .nan", 8, "workload.arrivals.rate_rps", "write a finite number"),
    ("models:\n  - {", "models: []\nnot: {", 5, "models", "write at least 1"),
    ("rate_rps: 5}", "rate_rps: 5}\n  popularity: {use: explicit, weights: {}}", 9, "workload.popularity.weights", ""),
    ("rate_rps: 5", "rate: 5", 8, "workload.arrivals.rate", "did you mean 'rate_rps'"),
    ("use: poisson", "use: possion", 8, "workload.arrivals", "did you mean 'poisson'"),
    ("  arrivals: {use: poisson, rate_rps: 5}", "  items: 1", 7, "workload", "nothing sends requests"),
]


@pytest.mark.parametrize(("old", "new", "line", "path", "words"), SHAPE, ids=[case[1] for case in SHAPE])
def test_shape(problems: Check, old: str, new: str, line: int, path: str, words: str) -> None:
    assert [(at, where) for at, where, said in problems(replaced(old, new)) if words in said] == [(line, path)]


REFERENCES = [
    ("ml.g4dn.2xlarge", "ml.g4dn.3xlarge", 3, "endpoint.instance_type", "did you mean 'ml.g4dn."),
    ("resnet50-pytorch-t4", "resnet50-pytorch", 6, "models.0.profile", "did you mean 'resnet50-pytorch-t4'"),
    ("resnet50-pytorch-t4", "mine.yaml", 6, "models.0.profile", "no such file"),
    ("instances: 2", "eviction: {gpu: lfru}", 4, "endpoint.eviction.gpu.use", "did you mean 'lru'"),
    ("instances: 2", "routing: {use: random, spil: 3}", 4, "endpoint.routing.spil", "spill_outstanding"),
    ("instances: 2", "autoscaling: [{use: fixed, instances: x}]", 4, "endpoint.autoscaling.0.instances",
     "whole number"),
    ("instances: 2", "routing: 'nobody:Class'", 4, "endpoint.routing.use", "nobody"),
    ("instances: 2", "instances: {initial: 2, max: 1}", 4, "endpoint.instances", "write min <= initial <= max"),
    ("resnet-{i}", "resnet", 6, "models.0.name", "10 models are called 'resnet'"),
    ("{use: poisson, rate_rps: 5}", "{use: minute_counts, file: c.csv}", 8, "workload.arrivals.file", "no such file"),
    ("{use: poisson, rate_rps: 5}", "none\n  trace: t.csv", 9, "workload.trace", "no such file"),
    ("rate_rps: 5}", "rate_rps: 5}\n  surges: [{at: 0s, for: 1m, factor: 2, models: bert*}]", 9,
     "workload.surges.0.models", "no model matches 'bert*'"),
    ("rate_rps: 5}", "rate_rps: 5}\n  popularity: {use: explicit, weights: {resnet-0: 1, resnet-x: 1}}", 9,
     "workload.popularity.weights.resnet-x", "did you mean 'resnet-"),
    ("duration: 10m", "faults: [{use: zone_loss, at: 1m, for: 1m, zone: 1}]", 1, "faults.0.zone",
     "write 0 to 0, or random"),
    ("duration: 10m", "faults: [{use: instance_crash, at: 1m, instance: 2}]", 1, "faults.0.instance", "write 0 to 1"),
    ("duration: 10m", "faults: [{use: load_failures, at: 1m, for: 1m, models: x}]", 1, "faults.0.models",
     "no model matches"),
    ("duration: 10m", "instance_types: {ml.g4dn.2xlarge: {prize: 1}}", 1,
     "instance_types.ml.g4dn.2xlarge.prize", "price_per_hour"),
    ("ml.g4dn.2xlarge", "ml.c5.xlarge", 6, "models.0.profile", "was measured on T4, but ml.c5.xlarge has cpu"),
]


@pytest.mark.parametrize(("old", "new", "line", "path", "words"), REFERENCES, ids=[case[1] for case in REFERENCES])
def test_references(problems: Check, old: str, new: str, line: int, path: str, words: str) -> None:
    found = problems(replaced(old, new))
    assert [(at, where) for at, where, said in found if words in said] == [(line, path)]


SENSE = [
    ("duration: 10m", "duration: 10m\nwarmup: 10m", 2, "warmup", "make the warm-up shorter"),
    ("count: 10", "gpu_bytes: 20GiB, count: 10", 6, "models.0.gpu_bytes", "a ml.g4dn.2xlarge has"),
    ("count: 10", "disk_bytes: 2TB, count: 10", 6, "models.0.disk_bytes", "of disk"),
    ("count: 10", "artifact_bytes: 2TB, count: 10", 6, "models.0.artifact_bytes", "of disk"),
    ("count: 10", "host_bytes: 32GiB, count: 10", 6, "models.0.host_bytes", "of host memory"),
    ("count: 10", "pin: true, count: 1000", 5, "models", "pin fewer models"),
    ("count: 10", "load_time: 7m, count: 10", 6, "models.0.load_time", "endpoint.server.load_timeout"),
    ("count: 10", "available_from: 2m, available_until: 1m, count: 10", 6, "models.0.available_until", "later"),
    ("count: 10", "max_batch_size: 4, preferred_batch_sizes: [8], count: 10", 6,
     "models.0.preferred_batch_sizes", "up to 4"),
    ("rate_rps: 5", "rate_rps: 5000", 8, "workload.arrivals", "checks: {intended_overload: true}"),
    ("rate_rps: 5}", "rate_rps: 0.1}\n  items: 4000", 9, "workload.items", "max_batch_size"),
    ("rate_rps: 5}", "rate_rps: 5}\n  trace_options: {thin: 50%}", 9, "workload.trace_options", "there is no trace"),
    ("duration: 10m", "duration: 10m\nobjective: {p99_ms: 2}", 2, "objective.p99_ms", "2 ms cannot be met"),
    ("duration: 10m", "duration: 10m\nobjective: {p50_ms: 2}", 2, "objective.p50_ms", "2 ms cannot be met"),
    ("instances: 2", "server: {invocation_timeout: 5ms}", 6, "models.0.profile", "invocations time out after 5 ms"),
    ("duration: 10m", "duration: 3660d", 8, "workload.arrivals", ""),
]


@pytest.mark.parametrize(("old", "new", "line", "path", "words"), SENSE, ids=[case[1] for case in SENSE])
def test_sense(problems: Check, old: str, new: str, line: int, path: str, words: str) -> None:
    text = replaced(old, new)
    if "3660d" in new:
        text = text.replace("rate_rps: 5", "rate_rps: 1000")
    added = new.count("\n") if text.index(new) < text.index("models:") else 0
    expected = [(line + (added if line > 2 else 0), path)]
    assert [(at, where) for at, where, said in problems(text) if words in said] == expected


def test_an_intended_overload_is_accepted(load: Callable[..., Scenario]) -> None:
    assert load(replaced("rate_rps: 5", "rate_rps: 5000"), "checks.intended_overload=true").checks.intended_overload


def test_autoscaling_counts_for_capacity(load: Callable[..., Scenario], problems: Check) -> None:
    text = replaced("rate_rps: 5", "rate_rps: 700").replace("instances: 2", "instances: {initial: 2, max: 8}")
    assert "raise endpoint.instances.initial" in problems(text)[0][2]
    load(text, "endpoint.autoscaling=[{use: target_tracking, metric: GPUUtilization, target: 60}]")


def test_an_empty_trace(problems: Check, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("timestamp_s,model\n", encoding="utf-8")
    found = problems(replaced("arrivals: {use: poisson, rate_rps: 5}", "trace: t.csv"))
    assert len(found) == 1 and "has no rows" in found[0][2]


def test_all_problems_of_all_passes_come_together(problems: Check) -> None:
    text = (SMALL.replace("10m", "10").replace("ml.g4dn.2xlarge", "ml.g4dn.2xlrage").replace("rate_rps", "rate")
            + "objective: {p99: 3}\nfaults: [{use: load_failures, at: 1m, for: 1m, models: nobody}]\n")
    found = problems(text, "endpoint.eviction.gpu=lfru")
    assert [(line, path) for line, path, _ in found] == [
        (1, "duration"), (8, "workload.arrivals.rate_rps"), (8, "workload.arrivals.rate"), (9, "objective.p99")]
    text = text.replace("rate:", "rate_rps:")
    found = problems(text, "endpoint.eviction.gpu=lfru")
    assert [(line, path) for line, path, _ in found] == [
        (0, "endpoint.eviction.gpu.use"), (1, "duration"), (3, "endpoint.instance_type"), (9, "objective.p99"),
        (10, "faults.0.models")]


@pytest.mark.parametrize(("override", "words"), [
    ("seed", "write --set path.to.setting=value"), ("=3", "is not a setting"), ("a..b=3", "is not a setting"),
    ("seed=[1", "is not YAML"), ("seed=*x", "no anchor"), ("seed=-1", "at least 0"), ("sede=1",
     "did you mean 'seed'"),
    ("models.7.count=1", "write an index from 0 to 1 (1 appends)"), ("models.x=1", "no element x"),
    ("endpoint.instances.max=3", "endpoint.instances is 2: it has no max"), ("seed.deep=1", "seed is"),
])
def test_wrong_overrides_are_named(load: Callable[..., Scenario], override: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        load(SMALL + "seed: 3\n", override)
    problem, = raised.value.problems
    assert problem.file == f"--set {override}" and words in str(problem)
