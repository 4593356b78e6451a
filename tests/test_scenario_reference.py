"""scenarios/reference.yaml mentions every setting there is, with its default, and loads."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import jsonschema
import pytest
import yaml
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from mmesim.core.policy import Policy
from mmesim.packaged import packaged_dir
from mmesim.policies import registry
from mmesim.policies.reading import read
from mmesim.scenario.endpoint import PolicyRef
from mmesim.scenario.faults import Fault
from mmesim.scenario.load import load_scenario, scenario_names
from mmesim.scenario.objective import Objective
from mmesim.scenario.plan import Plan
from mmesim.scenario.schema import Scenario, json_schema
from mmesim.scenario.workload import ArrivalSettings, Clients, PopularitySettings, Stage, Surge
from mmesim.yamldoc import load_document, validate

REFERENCE = packaged_dir("scenarios") / "reference.yaml"
TEXT = REFERENCE.read_text(encoding="utf-8")
ALTERNATIVE = re.compile(r"^ *# - (\w*) ?(\{[^}]*\})", re.MULTILINE)
"""A comment such as ``# - pinned {copies: 1}``."""
MINIMAL = {"models": [{"profile": "resnet50-pytorch-t4"}], "workload": {"arrivals": {"use": "poisson", "rate_rps": 1}}}


def alternatives() -> list[tuple[str, dict[str, Any]]]:
    return [(name, yaml.safe_load(params)) for name, params in ALTERNATIVE.findall(TEXT)]


def union_members(union: Any) -> tuple[Any, ...]:
    return get_args(get_args(union)[0])


def name_of(variant: Any) -> str:
    return get_args(variant.model_fields["use"].annotation)[0]


VARIANTS = [(name_of(variant), variant) for union in (ArrivalSettings, PopularitySettings, Fault)
            for variant in union_members(union)] + [("", Surge), ("", Clients)]


def test_the_reference_loads() -> None:
    assert load_scenario("reference").name == "reference"


def test_what_is_resolved_can_be_loaded_again() -> None:
    scenario = validate(Scenario, load_document(REFERENCE))
    resolved = json.loads(json.dumps(scenario.resolved()))
    assert Scenario.model_validate(resolved) == scenario


def leaves(default: Any, written: Any, path: tuple[Any, ...] = ()) -> Any:
    """(path, default) of each setting of the schema, descending where the reference does."""
    is_law_or_policy = isinstance(default, dict) and default.keys() & {"law", "use"}
    if isinstance(default, dict) and default and not is_law_or_policy and isinstance(written, dict):
        for key, value in default.items():
            yield from leaves(value, written.get(key, ...), (*path, key))
    else:
        yield path, default, written


def test_every_setting_stands_in_the_reference_with_its_default() -> None:
    document = load_document(REFERENCE)
    lines = TEXT.splitlines()
    active = validate(Scenario, document).resolved()
    default = Scenario.model_validate(MINIMAL).resolved()
    default["models"], written_models = default["models"][0], document.data["models"][0]
    written = {**document.data, "models": written_models}
    wrong = []
    for path, value, as_written in leaves(default, written):
        place = path if path[0] != "models" else ("models", 0, *path[1:])
        comment = lines[document.line_of(place) - 1].partition("#")[2]
        shown = active
        for part in place:
            shown = shown[part]
        if as_written is ... or (value != shown and not re.search(r"default|must be given", comment)
                                 and not same_policy(value, shown)):
            wrong.append((".".join(map(str, place)), value, shown))
    assert not wrong


def same_policy(default: Any, shown: Any) -> bool:
    """The reference writes a policy's parameters out: they are checked as alternatives."""
    return isinstance(default, dict) and "use" in default and shown.get("use") == default["use"]


@pytest.mark.parametrize(("name", "variant"), VARIANTS, ids=[name or variant.__name__ for name, variant in VARIANTS])
def test_every_alternative_is_mentioned_with_its_parameters(name: str, variant: Any) -> None:
    settings = {info.alias or key: info for key, info in variant.model_fields.items() if key != "use"}
    candidates = [params for said, params in alternatives() if said == name and params.keys() == settings.keys()]
    assert candidates, f"reference.yaml has no `# - {name} {{{', '.join(settings)}}}`"
    assert any(all(default_is(info, params[key]) for key, info in settings.items()) for params in candidates)


def default_is(info: FieldInfo, written: Any) -> bool:
    if info.is_required():
        return written is None
    adapter = TypeAdapter(Annotated[(info.annotation, *info.metadata, "as declared")])
    return adapter.validate_python(written) == info.default


def inner(base: type, use: str, params: Mapping[str, object]) -> Policy:
    """A policy within a policy."""
    return registry.resolve(registry.kind_of(base) or "", use, params, Path())


POLICIES = [policy for kind in registry.KINDS for policy in registry.describe(kind)]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_every_policy_is_mentioned_with_its_parameters(policy: registry.Description) -> None:
    parameters = {parameter.name: parameter for parameter in policy.parameters}
    said = [params for name, params in alternatives() if name == policy.name and params.keys() == parameters.keys()]
    assert said, f"reference.yaml has no `# - {policy.name} {{{', '.join(parameters)}}}`"
    for name, parameter in parameters.items():
        assert said[0][name] is None or not parameter.required
        if not parameter.required:
            assert read(said[0][name], parameter.annotation, parameter.field, inner) == parameter.default, name


def test_examples_in_comments_are_right() -> None:
    for name, example in re.findall(r"^\s*(\w+:|#).*e\.g\. (\{.*\})", TEXT, re.MULTILINE):
        given = yaml.safe_load(example)
        if name in ("choose:", "tune:"):
            Plan.model_validate({name.rstrip(":"): given})
        elif "factor" in given:
            Surge.model_validate(given)
        elif name == "#" and all(isinstance(value, dict) for value in given.values()):
            Objective.model_validate({"models": given})
        else:
            policy = PolicyRef.model_validate(given)
            kind = next(kind for kind in registry.KINDS if policy.use in registry.known(kind))
            registry.resolve(kind, policy.use, policy.params, REFERENCE.parent)
    for stage in yaml.safe_load(re.search(r"stages are Locust's: (\[.*\])", TEXT)[1]):
        Stage.model_validate(stage)


def test_every_setting_is_described_in_the_json_schema() -> None:
    schema = json_schema()
    parts = {"": schema, **schema["$defs"]}
    nameless = [f"{name}.{key}" for name, part in parts.items() for key, setting in properties(part).items()
                if not {**parts.get(setting.get("$ref", "").rpartition("/")[2], {}), **setting}.get("description")]
    assert not nameless


def properties(part: dict[str, Any]) -> dict[str, Any]:
    found = dict(part.get("properties", {}))
    for option in part.get("anyOf", ()):
        found |= option.get("properties", {})
    return found


@pytest.mark.parametrize("name", scenario_names())
def test_the_json_schema_accepts_the_packaged_scenarios(name: str) -> None:
    data = load_document(packaged_dir("scenarios") / f"{name}.yaml").data
    jsonschema.validate(data, json_schema())


@pytest.mark.parametrize("change", [
    {"duration": "90 parsecs"}, {"duration": 90}, {"seeed": 3}, {"endpoint": {"instances": "many"}},
    {"endpoint": {"storage": {"s3_part": "8MBit"}}}, {"workload": {"arrivals": {"use": "poisson"}}},
    {"objective": {"error_rate": 2}}])
def test_the_json_schema_refuses_what_the_loader_refuses(change: dict[str, Any]) -> None:
    jsonschema.validate(MINIMAL, json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**MINIMAL, **change}, json_schema())
