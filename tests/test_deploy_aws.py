"""The files are taken by what they are for: the page's own Python by boto3 and a real server that speaks AWS's
protocols, the template by cfn-lint and the same server, Terraform's by its provider's arguments and by terraform."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from deploy_example import ALL_THAT_AWS_HAS, ONLY_LIVE, VALUES, deployed, read
from s3_server import CREDENTIALS, S3Server, s3_server

ARGUMENTS = json.loads((Path(__file__).parent / "data" / "terraform-aws-6.25.json").read_text())
META = {"lifecycle", "depends_on"}
"""Arguments that every resource of Terraform has."""
MAPS = {"environment", "dimensions"}


@pytest.fixture(scope="module")
def aws():
    with s3_server() as server:
        yield server


def client(server: S3Server, service: str) -> Any:
    return boto3.client(service, endpoint_url=server.url, region_name="us-east-1", aws_access_key_id="me",
                        aws_secret_access_key="secret")


def run_page(folder: Path, server: S3Server, extra: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the page's lines of Python with the placeholders filled in, in a process of its own."""
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1]
    for name, value in {**VALUES, **extra}.items():
        code = code.replace(f'"{name}": "…"', f'"{name}": "{value}"')
    environment = {**os.environ, **CREDENTIALS, "AWS_ENDPOINT_URL": server.url}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=120, check=False)


def test_lines_of_the_page_make_the_endpoint_and_its_scaling(tmp_path, aws):
    done = run_page(deployed(ALL_THAT_AWS_HAS, tmp_path), aws, {})
    assert done.returncode == 0, done.stderr
    sagemaker, scaling = client(aws, "sagemaker"), client(aws, "application-autoscaling")
    container = sagemaker.describe_model(ModelName="shop")["PrimaryContainer"]
    assert (container["Mode"], container["ModelDataUrl"]) == ("MultiModel", "s3://my-models/shop/v1/")
    assert container["MultiModelConfig"] == {"ModelCacheSetting": "Disabled"}
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName="shop")["ProductionVariants"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.g4dn.2xlarge", 3)
    assert sagemaker.describe_endpoint(EndpointName="shop")["EndpointStatus"] == "InService"
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]) == (
        "endpoint/shop/variant/AllTraffic", 2, 8)
    _check_policies(aws, scaling)
    actions = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert {one["Schedule"]: one["ScalableTargetAction"] for one in actions} == {
        "cron(30 7 * * ? *)": {"MinCapacity": 4}, "rate(7 days)": {"MinCapacity": 2},
        "at(2031-03-02T02:00:00)": {"MinCapacity": 5, "MaxCapacity": 9}}


def _check_policies(aws: S3Server, scaling: Any) -> None:
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    tracking = {one["PolicyName"]: one["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] for one in policies
                if one["PolicyType"] == "TargetTrackingScaling"}
    assert tracking == {"shop-policy-1": 700, "shop-policy-2": 60, "shop-policy-3": 250000}
    steps = {one["PolicyName"]: one["PolicyARN"] for one in policies if one["PolicyType"] == "StepScaling"}
    alarms = client(aws, "cloudwatch").describe_alarms(AlarmNames=list(steps))["MetricAlarms"]
    assert {one["AlarmName"]: one["AlarmActions"] for one in alarms} == {name: [arn] for name, arn in steps.items()}
    assert len(steps) == 2


def test_botocore_refuses_what_is_not_aws(tmp_path, aws):
    """The proof above can fail: a field that AWS does not know stops it before anything is sent."""
    folder = deployed(ONLY_LIVE, tmp_path, "lab")
    content = read(folder / "sagemaker.json")
    content["requests"][1]["body"]["ProductionVariants"][0]["Eviction"] = "gdsf"
    (folder / "sagemaker.json").write_text(json.dumps(content))
    done = run_page(folder, aws, {})
    assert done.returncode != 0 and "ParamValidationError" in done.stderr and "Eviction" in done.stderr


# ---- CloudFormation


@pytest.mark.parametrize("text", [ALL_THAT_AWS_HAS, ONLY_LIVE], ids=["all", "fixed"])
def test_template_passes_cfn_lint(tmp_path, text):
    template = deployed(text, tmp_path) / "cloudformation.json"
    found = _cfn_lint(template)
    assert found.returncode == 0, found.stdout + found.stderr
    content = read(template)
    content["Resources"]["EndpointConfig"]["Properties"]["ProductionVariants"][0]["Eviction"] = "gdsf"
    template.write_text(json.dumps(content))
    assert "Eviction" in _cfn_lint(template).stdout, "it would not see a mistake"


def _cfn_lint(template: Path) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("cfn-lint"))
    return subprocess.run([program, str(template)], capture_output=True, text=True, check=False)


def test_template_makes_a_stack(tmp_path, aws):
    """Model, configuration and endpoint, by their references. (This server gives endpoints names of its own and makes
    no scaling resources: those are checked by cfn-lint, and against the requests below.)"""
    folder = deployed(ALL_THAT_AWS_HAS, tmp_path, "stacked")
    formation = client(aws, "cloudformation")
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in VALUES.items()
                  if name != "ACCOUNT"]
    formation.create_stack(StackName="stacked", TemplateBody=(folder / "cloudformation.json").read_text(),
                           Parameters=parameters)
    assert formation.describe_stacks(StackName="stacked")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    sagemaker = client(aws, "sagemaker")
    (endpoint,) = sagemaker.list_endpoints(NameContains="stacked")["Endpoints"]
    config_name = sagemaker.describe_endpoint(EndpointName=endpoint["EndpointName"])["EndpointConfigName"]
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=config_name)["ProductionVariants"]
    container = sagemaker.describe_model(ModelName=variant["ModelName"])["PrimaryContainer"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.g4dn.2xlarge", 3)
    assert (container["Image"], container["ModelDataUrl"]) == (VALUES["IMAGE"], "s3://my-models/shop/v1/")


def test_template_and_requests_say_the_same(tmp_path):
    """Scaling in the template is that of the requests, reference by reference."""
    folder = deployed(ALL_THAT_AWS_HAS, tmp_path)
    resources = read(folder / "cloudformation.json")["Resources"]
    bodies = [request["body"] for request in read(folder / "sagemaker.json")["requests"]]
    policies = {body["PolicyName"]: body for body in bodies if "PolicyName" in body}
    in_template = [one["Properties"] for one in resources.values() if one["Type"].endswith("ScalingPolicy")]
    for policy in in_template:
        assert policy.pop("ScalingTargetId") == {"Ref": "ScalableTarget"}
        assert policy.items() <= policies[policy["PolicyName"]].items()
    assert len(in_template) == len(policies) == 5
    assert resources["Alarm1"]["Properties"]["AlarmActions"] == [{"Ref": "Policy4"}]
    target = resources["ScalableTarget"]["Properties"]
    assert [one["Schedule"] for one in target["ScheduledActions"]] == [
        "cron(30 7 * * ? *)", "rate(7 days)", {"Fn::Sub": "at(${DAY1}T02:00:00)"}]


# ---- Terraform


def test_terraform_arguments_are_those_of_the_provider(tmp_path):
    resources = read(deployed(ALL_THAT_AWS_HAS, tmp_path) / "terraform.tf.json")["resource"]
    assert set(resources) == set(ARGUMENTS) - {"//"}
    for kind, named in resources.items():
        for name, arguments in named.items():
            assert list(_unknown(arguments, ARGUMENTS[kind])) == [], f"{kind}.{name}"
    target = resources["aws_appautoscaling_policy"]["policy3"]["target_tracking_scaling_policy_configuration"]
    assert target["customized_metric_specification"]["metrics"][0]["metric_stat"]["stat"] == "p99"
    alarm = resources["aws_cloudwatch_metric_alarm"]["alarm1"]
    assert alarm["alarm_actions"] == ["${aws_appautoscaling_policy.policy4.arn}"]
    assert alarm["dimensions"] == {"EndpointName": "shop", "VariantName": "AllTraffic"}


def _unknown(given: Any, known: Any, path: str = "") -> Any:
    """Arguments that the provider does not have, and required ones that are missing."""
    if isinstance(given, list):
        for item in given:
            yield from _unknown(item, known, path)
    elif isinstance(given, dict) and known is not None:
        required = {name.rstrip("*"): block for name, block in known.items()}
        yield from (f"{path}{name[:-1]} is missing" for name in known if name.endswith("*") and name[:-1] not in given)
        for name, value in given.items():
            if name in META and not path:
                continue
            if name not in required:
                yield f"{path}{name} is unknown"
            elif name not in MAPS or required[name] is not None:
                yield from _unknown(value, required[name], f"{path}{name}.")


def test_the_check_of_arguments_can_fail():
    known = ARGUMENTS["aws_sagemaker_endpoint"]
    assert list(_unknown({"name": "x", "colour": "red"}, known)) == ["endpoint_config_name is missing",
                                                                    "colour is unknown"]


def test_terraform_references_stand_for_something(tmp_path):
    content = read(deployed(ALL_THAT_AWS_HAS, tmp_path) / "terraform.tf.json")
    resources = content["resource"]
    for reference in re.findall(r"\$\{([^}]+)\}", json.dumps(content)):
        kind, name, *rest = reference.split(".")
        assert name in (content["variable"] if kind == "var" else resources[kind]), reference
        known = set() if kind == "var" else {argument.rstrip("*") for argument in ARGUMENTS[kind]} | {"arn"}
        assert set(rest) <= known, reference


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_terraform_reads_the_configuration(tmp_path):
    """Syntax, variables and blocks of Terraform itself; resources are not checked, which would need the provider."""
    folder = deployed(ALL_THAT_AWS_HAS, tmp_path)
    sound = _terraform_get(folder)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    content = read(folder / "terraform.tf.json")
    content["variable"]["image"]["colour"] = "red"
    (folder / "terraform.tf.json").write_text(json.dumps(content))
    assert _terraform_get(folder).returncode != 0, "it would not see a mistake"


def _terraform_get(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["terraform", "get", "-no-color"], cwd=folder, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "CHECKPOINT_DISABLE": "1"}, check=False)
