"""Settings of the models: groups of equal models, each from a profile, with overrides."""

from __future__ import annotations

import re
from string import Formatter
from typing import Annotated

from pydantic import AfterValidator, Field

from mmesim.scenario.endpoint import AtLeastOne, PositiveNumber
from mmesim.scenario.laws import RelativeLaw
from mmesim.settings import Bytes, Count, Duration, Settings, Whole, wrong

_DIGITS = re.compile(r"(0?\d)?\Z")
MAX_MODELS = 200_000
_NAME_HINT = 'write e.g. "resnet-{i:03}"; {i} counts from 0, {i:03} with three digits'


def _name_template(text: str) -> str:
    """Only {i} and {i:03} may stand in braces."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise wrong(f"{text!r} is not a name: {error}", _NAME_HINT) from None
    for _, name, digits, conversion in parts:
        if name is not None and (name != "i" or conversion or not _DIGITS.match(digits or "")):
            raise wrong(f"{text!r} has more than {{i}} in braces", _NAME_HINT)
    if not text or len(text) > 200:
        raise wrong("a name has 1 to 200 characters", _NAME_HINT)
    return text


class ModelGroup(Settings):
    """`count` models that are alike. Every null takes the profile's value."""

    profile: str
    """A shipped profile, one of `profiles`, or the path of a profile file."""
    name: Annotated[str, AfterValidator(_name_template)] | None = None
    """Name of each model; default "<profile>-{i}", where {i} counts from 0."""
    count: Annotated[Whole, Field(ge=1, le=MAX_MODELS)] = 1
    """How many models."""
    pin: bool = False
    """Never evicted."""
    weight: PositiveNumber = 1.0
    """Share in the popularity, relative to the other groups."""
    artifact_bytes: Bytes | None = None
    """Archive (tar.gz) in S3."""
    gpu_bytes: Bytes | None = None
    """Device memory of one loaded copy, as the endpoint expects it."""
    disk_bytes: Bytes | None = None
    """Extracted files on the disk."""
    host_bytes: Bytes | None = None
    """Host memory of one loaded copy."""
    load_time: Duration | None = None
    """From the disk to ready, alone on an instance."""
    actual_gpu_bytes: Bytes | None = None
    """What a copy really takes, when the expectation (gpu_bytes) is wrong."""
    instance_count: Annotated[Whole, Field(ge=1, le=1000)] | None = None
    """Copies in Triton's instance group."""
    max_batch_size: Annotated[Count, Field(le=100_000)] | None = None
    """Triton's max_batch_size; 0: no batching."""
    max_queue_delay: Duration | None = None
    """Triton's max_queue_delay_microseconds."""
    preferred_batch_sizes: tuple[AtLeastOne, ...] | None = None
    """Triton's preferred_batch_size."""
    prefetched_batches: Annotated[Count, Field(le=1000)] | None = None
    """Batches formed while no instance is free, at most; newer Tritons: twice instance_count."""
    max_queue_size: Count = 0
    """Triton's default_queue_policy; 0: no limit."""
    queue_timeout: Duration = 0.0
    """default_timeout_microseconds (REJECT); 0: none."""
    service_law: RelativeLaw = RelativeLaw()
    """Spread of a request's work round the profile's."""
    fails_to_load: bool = False
    """Every load ends in an error."""
    available_from: Duration = 0.0
    """Added to the endpoint then."""
    available_until: Duration | None = None
    """Removed from it then; null: never."""

    def names(self) -> list[str]:
        """Names of the group's models."""
        template = self.name or self.profile.removesuffix(".yaml").rpartition("/")[2] + "-{i}"
        return [template.format(i=i) for i in range(self.count)]
