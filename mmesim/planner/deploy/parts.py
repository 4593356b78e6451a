"""What a chosen scenario asks of SageMaker, as boto3's request bodies: the one form that every file is made from.

Names and values: botocore 1.43 (sagemaker 2017-07-24) and the Developer Guide. What is not known here - account, role,
bucket, image - stands as ``${NAME}`` (:data:`PLACEHOLDERS`); nothing is invented. What SageMaker cannot be told is
listed with its reason, never dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmesim.catalog import InstanceType
from mmesim.core.policy import Policies
from mmesim.planner.deploy.scaling import VARIANT, Body, Scaling, scaling
from mmesim.scenario.endpoint import Endpoint, Server
from mmesim.scenario.references import resolve
from mmesim.scenario.schema import Scenario
from mmesim.units import GIB

PLACEHOLDERS: Mapping[str, str] = {
    "ACCOUNT": "number of the AWS account, twelve digits",
    "ROLE": "name of the execution role that may read the bucket and pull the image",
    "BUCKET": "S3 bucket with the models",
    "PREFIX": "folder in it: all *.tar.gz below it are models of the endpoint",
    "IMAGE": "URI of a Triton image for SageMaker in the endpoint's region (github.com/aws/deep-learning-containers)"}
"""Name -> what to fill in."""
ROUTING = {"least_outstanding": "LEAST_OUTSTANDING_REQUESTS", "random": "RANDOM"}
LOAD_THREADS = 4
"""Triton's own --model-load-thread-count."""
INVOCATION_TIMEOUT_S = 60.0
DISK_LIMIT_GIB = 512
"""VolumeSizeInGB at most."""


@dataclass(frozen=True)
class Deployment:
    """Everything that is deployed, and what could not be carried over."""

    name: str
    model: Body
    """Of `create_model`."""
    config: Body
    """Of `create_endpoint_config`."""
    endpoint: Body
    """Of `create_endpoint`."""
    scaling: Scaling
    left_out: tuple[str, ...]
    """Settings that SageMaker cannot be told, each with its reason; `mmesim live serve` follows them."""
    notes: tuple[str, ...]
    """What to know before the files are used."""

    @property
    def placeholders(self) -> dict[str, str]:
        """Name -> what to fill in."""
        days = {day: f"date of the schedule's day {day.removeprefix('DAY')}, YYYY-MM-DD" for day in self.scaling.days}
        return {**PLACEHOLDERS, **days}


def deployment(scenario: Scenario, name: str, notes: Sequence[str] = ()) -> Deployment:
    """What `scenario` asks of SageMaker, as an endpoint called `name` (made to fit SageMaker's rule for names)."""
    endpoint, found, called = scenario.endpoint, resolve(scenario), endpoint_name(name)
    scaled = scaling(found.policies.autoscaling, endpoint.instances, called)
    left_out = (*_unsettable(endpoint, found.policies), *scaled.left_out)
    told = (*_doubts(endpoint, found.instance_type, scaled), *scaled.notes, *notes)
    return Deployment(called, _model(endpoint.server, called), _config(endpoint, found.instance_type, scaled, called),
                      {"EndpointName": called, "EndpointConfigName": called}, scaled, left_out, told)


def endpoint_name(text: str) -> str:
    """`text` with all that an endpoint's name may not have replaced: letters, digits and single inner hyphens, at most
    63."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:63].rstrip("-") or "endpoint"


def _model(server: Server, name: str) -> Body:
    container: Body = {"Image": "${IMAGE}", "Mode": "MultiModel", "ModelDataUrl": "s3://${BUCKET}/${PREFIX}/",
                       "MultiModelConfig": {"ModelCacheSetting": server.model_cache.capitalize()}}
    if environment := _environment(server):
        container["Environment"] = environment
    role = "arn:aws:iam::${ACCOUNT}:role/${ROLE}"
    return {"ModelName": name, "ExecutionRoleArn": role, "PrimaryContainer": container}


def _environment(server: Server) -> dict[str, str]:
    """Settings of Triton that differ from its own, by the variables of its start script
    (triton-inference-server/server, docker/sagemaker/serve)."""
    found = {}
    if server.frontend_threads is not None:
        found["SAGEMAKER_TRITON_THREAD_COUNT"] = str(server.frontend_threads)
    if server.load_threads != LOAD_THREADS:
        found["SAGEMAKER_TRITON_ADDITIONAL_ARGS"] = f"--model-load-thread-count={server.load_threads}"
    return found


def _config(endpoint: Endpoint, kind: InstanceType, scaled: Scaling, name: str) -> Body:
    variant: Body = {"VariantName": VARIANT, "ModelName": name, "InstanceType": endpoint.instance_type,
                     "InitialInstanceCount": scaled.initial, "InitialVariantWeight": 1.0}
    if kind.disk_kind == "ebs" and kind.marks["disk_bytes"] == "user":
        variant["VolumeSizeInGB"] = min(DISK_LIMIT_GIB, max(1, -(-kind.disk_bytes // GIB)))
    if strategy := ROUTING.get(endpoint.routing.use):
        variant["RoutingConfig"] = {"RoutingStrategy": strategy}
    return {"EndpointConfigName": name, "ProductionVariants": [variant]}


def _unsettable(endpoint: Endpoint, policies: Policies) -> Iterator[str]:
    """What the scenario sets and SageMaker has no setting for."""
    own = "SageMaker decides that itself, by a rule that is not public"
    if endpoint.routing.use not in ROUTING:
        yield f"routing {endpoint.routing.use}: SageMaker offers {' and '.join(ROUTING.values())}"
    elif policies.routing != type(policies.routing)():
        yield f"when routing {endpoint.routing.use} asks for another copy of a busy model: {own}"
    if endpoint.placement.use != "least_loaded":
        yield f"placement {endpoint.placement.use}: {own}"
    for what, where in (("gpu", "memory"), ("disk", "the disk")):
        if (use := getattr(endpoint.eviction, what).use) != "lru":
            yield f"eviction from {where} by {use}: {own} (LRU as far as was seen)"
    if endpoint.prewarm.use != "none":
        yield f"pre-warming {endpoint.prewarm.use}: SageMaker loads a model when it is asked for, never before"
    if endpoint.admission.use != "always":
        yield f"admission {endpoint.admission.use}: SageMaker refuses nothing by itself"
    yield from _unsettable_server(endpoint.server)


def _unsettable_server(server: Server) -> Iterator[str]:
    if server.max_models:
        yield f"at most {server.max_models} models in memory: SageMaker goes by memory alone"
    if not server.keep_on_disk and server.model_cache == "enabled":
        yield "deleting unloaded models from the disk: only ModelCacheSetting Disabled does that"
    if server.invocation_timeout != INVOCATION_TIMEOUT_S:
        yield f"invocation_timeout {server.invocation_timeout:g}s: InvokeEndpoint waits 60 s, always"


def _doubts(endpoint: Endpoint, kind: InstanceType, scaled: Scaling) -> Iterator[str]:
    """What to know before the files are used."""
    if kind.gpu and not kind.mme_gpu_listed:
        yield (f"{kind.name} is not among the types that the Developer Guide (multi-model-support) lists for "
               "multi-model endpoints with a GPU: CreateEndpointConfig may refuse it")
    if not kind.name.startswith("ml."):
        yield f"{kind.name} is not a name of an instance type of SageMaker"
    if endpoint.routing.use in ROUTING:
        yield ("no document says how RoutingStrategy goes together with a multi-model endpoint's own routing to "
               "instances that hold the model")
    if endpoint.availability_zones > 1:
        yield (f"{endpoint.availability_zones} zones: SageMaker spreads the instances by itself, at least two of them; "
               "with a VPC, give subnets in as many zones")
    if scaled.policies and endpoint.metrics.period != 60:
        yield f"the plan read metrics each {endpoint.metrics.period:g} s, SageMaker's alarms read those of each minute"
    if scaled.is_fixed and scaled.left_out:
        yield f"no autoscaling is deployed: {scaled.initial} instances, always"
