"""What is deployed says what was planned: bodies by hand, bounds and schedules of autoscaling, what is left out."""

from __future__ import annotations

import re
import shutil

import pytest
from deploy_example import ALL_THAT_AWS_HAS, HOUSE_RULES, ONLY_LIVE, VALUES, deployed, read, scenario

from mmesim.core.policy import AutoscalingPolicy
from mmesim.live.config import load_config
from mmesim.live.ports import Archive
from mmesim.planner.deploy import write_deployment
from mmesim.planner.deploy.calendar import schedule
from mmesim.planner.deploy.live_serve import pattern
from mmesim.planner.deploy.parts import deployment, endpoint_name
from mmesim.planner.deploy.scaling import scaling
from mmesim.policies.autoscaling.fixed import Fixed
from mmesim.policies.autoscaling.kpa import Kpa
from mmesim.policies.autoscaling.scheduled import Action, Scheduled
from mmesim.policies.autoscaling.step import Step, StepScaling
from mmesim.policies.autoscaling.target_tracking import TargetTracking
from mmesim.policies.eviction.lru import Lru
from mmesim.scenario.build import build
from mmesim.scenario.endpoint import Instances
from mmesim.scenario.load import load_scenario
from mmesim.scenario.references import resolve

BOUNDS = Instances(initial=3, min=2, max=9)


def told(*policies: AutoscalingPolicy):
    return scaling(policies, BOUNDS, "shop")


def step_configuration(**settings):
    policy = StepScaling(metric="CPUUtilization", threshold=300, **settings)
    (body,) = told(policy).policies
    return body["StepScalingPolicyConfiguration"]


def bounds_of(adjustments):
    return [(one.get("MetricIntervalLowerBound"), one.get("MetricIntervalUpperBound"), one["ScalingAdjustment"])
            for one in adjustments]


def test_endpoint_as_planned(tmp_path):
    made = deployment(scenario(ALL_THAT_AWS_HAS, tmp_path), "shop")
    assert made.model == {
        "ModelName": "shop", "ExecutionRoleArn": "arn:aws:iam::${ACCOUNT}:role/${ROLE}",
        "PrimaryContainer": {
            "Image": "${IMAGE}", "Mode": "MultiModel", "ModelDataUrl": "s3://${BUCKET}/${PREFIX}/",
            "MultiModelConfig": {"ModelCacheSetting": "Disabled"},
            "Environment": {"SAGEMAKER_TRITON_THREAD_COUNT": "12",
                            "SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--model-load-thread-count=6"}}}
    assert made.config == {"EndpointConfigName": "shop", "ProductionVariants": [
        {"VariantName": "AllTraffic", "ModelName": "shop", "InstanceType": "ml.g4dn.2xlarge", "InitialInstanceCount": 3,
         "InitialVariantWeight": 1.0, "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}}]}
    assert made.endpoint == {"EndpointName": "shop", "EndpointConfigName": "shop"}
    assert made.left_out == ()
    assert set(made.placeholders) == set(VALUES)


@pytest.mark.parametrize(("metric", "statistic", "specification"), [
    ("InvocationsPerInstance", None,
     {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}),
    ("ConcurrentRequestsPerModel", None, {"PredefinedMetricSpecification": {
        "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"}}),
    ("GPUMemoryUtilization", "Maximum", {"CustomizedMetricSpecification": {
        "MetricName": "GPUMemoryUtilization", "Namespace": "/aws/sagemaker/Endpoints", "Statistic": "Maximum",
        "Dimensions": [{"Name": "EndpointName", "Value": "shop"}, {"Name": "VariantName", "Value": "AllTraffic"}]}}),
    ("ModelLatency", "p95", {"CustomizedMetricSpecification": {"Metrics": [{"Id": "m1", "ReturnData": True,
        "MetricStat": {"Stat": "p95", "Metric": {
            "MetricName": "ModelLatency", "Namespace": "AWS/SageMaker", "Dimensions": [
                {"Name": "EndpointName", "Value": "shop"}, {"Name": "VariantName", "Value": "AllTraffic"}]}}}]}}),
])
def test_target_tracking_names_its_metric_as_cloudwatch_does(metric, statistic, specification):
    found = told(TargetTracking(metric=metric, target=60, statistic=statistic, scale_in_cooldown_s=600.5))
    assert found.policies == ({"PolicyName": "shop-policy-1", "PolicyType": "TargetTrackingScaling",
                               "TargetTrackingScalingPolicyConfiguration": {
                                   "TargetValue": 60.0, **specification, "ScaleOutCooldown": 300,
                                   "ScaleInCooldown": 601, "DisableScaleIn": False}},)
    assert (found.least, found.most, found.initial, found.notes) == (2, 9, 3, ())


def test_alarms_that_aws_does_not_let_one_choose_are_told():
    (note,) = told(TargetTracking(metric="GPUUtilization", target=60, out_datapoints=1)).notes
    assert "the plan used 1, 15 and 0.9" in note


def test_steps_become_bands_without_gaps_on_the_alarms_side():
    upward = step_configuration(steps=(Step(3, from_=80), Step(1, from_=0, to=50)))
    assert bounds_of(upward["StepAdjustments"]) == [(0, 50, 1), (50, 80, 0), (80, None, 3)]
    assert (upward["AdjustmentType"], upward["MetricAggregationType"]) == ("ChangeInCapacity", "Average")
    assert "MinAdjustmentMagnitude" not in upward
    downward = step_configuration(steps=(Step(-30),), comparison="below", statistic="Maximum", min_adjustment=2,
                                  adjustment="percent_change_in_capacity", cooldown_s=120)
    assert downward == {"AdjustmentType": "PercentChangeInCapacity", "MetricAggregationType": "Maximum",
                        "Cooldown": 120, "MinAdjustmentMagnitude": 2,
                        "StepAdjustments": [{"MetricIntervalUpperBound": 0.0, "ScalingAdjustment": -30}]}
    beside = step_configuration(steps=(Step(1, from_=-10, to=10), Step(7, from_=-90, to=-20)))
    assert bounds_of(beside["StepAdjustments"]) == [(0, 10, 1), (10, None, 0)]


def test_gaps_that_exact_capacity_cannot_express_leave_the_policy_out():
    def exact(*steps):
        return told(StepScaling(metric="GPUUtilization", threshold=50, adjustment="exact_capacity", steps=steps))

    assert exact(Step(4, from_=0, to=20)).policies == ()
    assert "gaps" in exact(Step(4, from_=0, to=20)).left_out[0]
    assert len(exact(Step(4, from_=0, to=20), Step(6, from_=20)).policies) == 1


def test_step_scaling_has_an_alarm_that_calls_its_policy():
    found = told(TargetTracking(metric="GPUUtilization", target=60),
                 StepScaling(metric="ModelLatency", threshold=9e5, statistic="p99", steps=(Step(1),), datapoints=2))
    (alarm,) = found.alarms
    assert alarm == {
        "AlarmName": "shop-policy-2", "MetricName": "ModelLatency", "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": "shop"}, {"Name": "VariantName", "Value": "AllTraffic"}],
        "ExtendedStatistic": "p99", "Period": 60, "EvaluationPeriods": 2, "DatapointsToAlarm": 2, "Threshold": 9e5,
        "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
        "AlarmActions": ["${POLICYARN2}"]}


@pytest.mark.parametrize(("at_s", "every_s", "expected"), [
    (27_000, 86_400, ("cron(30 7 * * ? *)", "", "")),
    (3_600, None, ("at(${DAY0}T01:00:00)", "", "DAY0")),
    (86_400 + 59, None, ("at(${DAY1}T00:01:00)", "", "DAY1")),
    (0, 7 * 86_400, ("rate(7 days)", "${DAY0}T00:00:00Z", "DAY0")),
    (900, 5_400, ("rate(90 minutes)", "${DAY0}T00:15:00Z", "DAY0")),
    (0, 3_600, ("rate(1 hour)", "${DAY0}T00:00:00Z", "DAY0")),
])
def test_times_of_a_run_as_schedules(at_s, every_s, expected):
    found = schedule(at_s, every_s)
    assert (found.expression, found.start, found.day) == expected
    assert bool(found.note) == (at_s == 86_400 + 59)


def test_scheduled_bounds_of_the_start_are_the_bounds_and_later_ones_actions():
    found = told(Scheduled(actions=(Action(min=4), Action(at_s=3_600, max=6), Action(at_s=0, every_s=86_400, max=8))))
    assert (found.least, found.most, found.initial) == (4, 8, 4)
    assert [(one["Schedule"], one["ScalableTargetAction"]) for one in found.actions] == [
        ("at(${DAY0}T01:00:00)", {"MaxCapacity": 6}), ("cron(0 0 * * ? *)", {"MaxCapacity": 8})]
    assert found.days == ("DAY0",)


def test_fixed_number_alone_is_the_fleet_and_beside_others_a_floor():
    alone = told(Fixed(instances=5))
    assert (alone.initial, alone.is_fixed, alone.left_out) == (5, True, ())
    beside = told(Fixed(instances=5), TargetTracking(metric="GPUUtilization", target=60))
    assert (beside.least, beside.most, beside.initial, beside.is_fixed) == (5, 9, 5, False)


def test_policies_that_aws_lacks_are_named(tmp_path):
    assert "kpa" in told(Kpa(target=4)).left_out[0] and told(Kpa(target=4)).is_fixed
    made = deployment(scenario(ONLY_LIVE, tmp_path), "lab")
    told_of = "\n".join(made.left_out)
    for what in ("ch_bl", "hash", "house_rules:Numerical", "belady", "pinned", "queue_limit", "at most 7 models",
                 "from the disk", "20s", "kpa"):
        assert what in told_of, what
    assert len(made.left_out) == 10
    assert "RoutingConfig" not in made.config["ProductionVariants"][0]
    assert any("ml.g6.xlarge is not among the types" in note for note in made.notes)


def test_router_with_other_parameters_is_not_the_one_that_aws_has(tmp_path):
    text = ALL_THAT_AWS_HAS.replace("routing: least_outstanding", "routing: {use: random, spill_outstanding: 2}")
    made = deployment(scenario(text, tmp_path), "shop")
    assert made.config["ProductionVariants"][0]["RoutingConfig"] == {"RoutingStrategy": "RANDOM"}
    assert any("another copy" in told_of for told_of in made.left_out)


def test_volume_is_asked_for_where_the_user_gave_it(tmp_path):
    own = "ml.m5.xlarge: {disk_kind: ebs, disk_bytes: 100GiB}"
    text = f"""
name: cpu
endpoint: {{instance_type: ml.m5.xlarge, instances: 1}}
instance_types: {{{own}}}
models: [{{profile: sklearn-cpu, count: 3}}]
workload: {{arrivals: {{use: poisson, rate_rps: 1}}}}
"""
    assert deployment(scenario(text, tmp_path), "cpu").config["ProductionVariants"][0]["VolumeSizeInGB"] == 100
    plain = deployment(scenario(text.replace(own, ""), tmp_path), "cpu")
    assert "VolumeSizeInGB" not in plain.config["ProductionVariants"][0]


@pytest.mark.parametrize(("text", "name"), [("a.b_c", "a-b-c"), ("-x--y-", "x-y"), ("", "endpoint"), ("é", "endpoint"),
                                            ("x" * 62 + "-yz", "x" * 62)])
def test_names_are_made_to_fit(text, name):
    assert endpoint_name(text) == name
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)


@pytest.mark.parametrize(("names", "expected"), [
    (["a"], "a"), (["m-0", "m-1", "m-11"], "m-*"), (["0-big", "1-big", "10-big"], "*-big"), (["aa", "a"], "a*"),
    (["x1x1", "x1x2"], "x1x*")])
def test_pattern_of_names(names, expected):
    from fnmatch import fnmatchcase

    assert pattern(names) == expected
    assert all(fnmatchcase(name, expected) for name in names)


def test_page_tells_what_to_fill_in_what_is_left_out_and_the_models_settings(tmp_path):
    page = (deployed(ONLY_LIVE, tmp_path, "lab") / "README.md").read_text()
    for words in ("| IMAGE |", "autoscaling kpa: Application Auto Scaling has no such policy", "seen by nobody",
                  "house_rules.py", "| yolov8s-320-pytorch-l4-0 … yolov8s-320-pytorch-l4-2 (3) | 32 | – |",
                  "eviction.disk knows the future", "no autoscaling is deployed: 2 instances, always"):
        assert words in page, words


def test_no_file_has_an_account_number(tmp_path):
    for file in deployed(ALL_THAT_AWS_HAS, tmp_path).iterdir():
        assert not re.search(r"\b\d{12}\b", file.read_text()), file.name


def test_placeholders_of_the_requests_are_explained(tmp_path):
    folder = deployed(ALL_THAT_AWS_HAS, tmp_path)
    content = read(folder / "sagemaker.json")
    kept = {name for request in content["requests"] for name in request.get("keep", {})}
    used = set(re.findall(r"\$\{(\w+)\}", str(content["requests"])))
    assert used - kept == set(content["placeholders"]) == set(VALUES)


# ---- live serve


@pytest.mark.parametrize("text", [ALL_THAT_AWS_HAS, ONLY_LIVE], ids=["aws", "live"])
def test_live_settings_pass_the_real_loader_and_expect_what_the_plan_expected(tmp_path, text):
    planned = scenario(text, tmp_path / "plan")
    config = load_config(deployed(text, tmp_path, "lab") / "live-serve.yaml")
    built = build(planned)
    setup = config.setup([])
    assert (setup.spec.instance, setup.spec.min_instances, setup.spec.max_instances) == (
        built.endpoint.instance, built.endpoint.min_instances, built.endpoint.max_instances)
    assert (setup.spec.load_threads, setup.spec.max_models) == (built.endpoint.load_threads, built.endpoint.max_models)
    for model in built.models:
        spec = config.expect(Archive(model.spec.name, model.spec.artifact_bytes, "1"))
        for field in ("gpu_bytes", "host_bytes", "framework", "framework_base_bytes", "pinned"):
            assert getattr(spec, field) == getattr(model.spec, field), (spec.name, field)
        assert spec.service_s == pytest.approx(model.spec.service_s, abs=1e-6)
        assert spec.reload_disk_s == pytest.approx(model.spec.reload_disk_s, abs=1e-3)


def test_live_settings_have_the_plans_policies(tmp_path):
    planned = scenario(ONLY_LIVE, tmp_path / "plan")
    config = load_config(deployed(ONLY_LIVE, tmp_path, "lab") / "live-serve.yaml")
    made, wanted = config.setup([]).policies(), resolve(planned).policies
    assert type(made.gpu_eviction).__name__ == "Numerical"
    assert isinstance(made.disk_eviction, Lru), "nobody knows the future"
    for kind in ("routing", "placement", "prewarm", "admission", "autoscaling"):
        assert getattr(made, kind) == getattr(wanted, kind), kind
    assert config.endpoint.server == planned.endpoint.server


def test_files_of_own_policies_come_along_from_wherever_they_are(tmp_path):
    folder = tmp_path / "a" / "plan"
    folder.mkdir(parents=True)
    for place in (tmp_path / "a", folder / "deep"):
        place.mkdir(exist_ok=True)
        (place / "rules.py").write_text(HOUSE_RULES)
    own = "{gpu: {use: pinning, around: '../rules.py:Numerical'}, disk: {use: 'deep.rules:Numerical'}}"
    written = write_deployment(scenario(ALL_THAT_AWS_HAS, folder), tmp_path / "plain", name="x")
    assert len(written) == 5
    text = ALL_THAT_AWS_HAS.replace("  routing: least", f"  eviction: {own}\n  routing: least")
    written = write_deployment(scenario(text, folder), tmp_path / "deploy", name="x")
    assert {path.name for path in written if path.suffix == ".py"} == {"rules.py", "1_rules.py"}
    shutil.rmtree(tmp_path / "a")
    made = load_config(tmp_path / "deploy" / "live-serve.yaml").setup([]).policies()
    assert (type(made.gpu_eviction.around).__name__, type(made.disk_eviction).__name__) == ("Numerical", "Numerical")


@pytest.mark.parametrize("twin", ["modelmesh", "ollama-like", "sagemaker-mme"])
def test_twins_can_be_deployed(tmp_path, twin):
    write_deployment(load_scenario("quickstart", [f"endpoint.like={twin}"]), tmp_path, name=twin)
    config = load_config(tmp_path / "live-serve.yaml")
    assert config.endpoint.server == load_scenario("quickstart", [f"endpoint.like={twin}"]).endpoint.server
