"""Files, memory and loading of the models in the table, by rule; what no rule can tell is absent.

A model that is told one by one on a T4 (:mod:`transcribe`) lends its numbers to other GPUs, marked estimated. Else
files are parameters x bytes where the parameters are published; memory and loading follow from the files by the rules
of :mod:`transcribe_rules`, which were fitted on T4 and V100. TensorFlow's files, memory and loading are not published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from transcribe_data import RULES, Data, K, Profile, cite, mb, one
from transcribe_rules import BERT_BASE_M, Rules
from transcribe_series import FRAMEWORKS, WIDTH
from transcribe_tables import Measured

T4 = "T4"


class Sizes:
    """Numbers about files and memory, by dotted path as in a profile."""

    def __init__(self, data: Data, rules: Rules, told: Mapping[str, Profile]) -> None:
        """`told`: the profiles told one by one, by name."""
        self._rules, self._told = rules, told
        bert = one(data.loads, model="bert-large-uncased", gpu=T4, kind="first_inference")
        resnet = one(data.sizes, model="resnet50", format="torch .pth", precision="fp32")
        six = one(data.sizes, model="distilbert", format="onnx")
        self._parameters = {
            "bert-base": (BERT_BASE_M, RULES["rule-weights"], ""), "bert-large": (336, cite(bert), ""),
            "distilbert": (float(six["parameters_m"]), cite(six), "DistilBERT: 6 layers of 768 as well"),
            "resnet50": (float(resnet["parameters_m"]), cite(resnet), "")}

    def numbers(self, one: Measured, instances: int) -> dict[str, K]:
        """All that is known of a model with so many Triton instances."""
        framework = FRAMEWORKS.get(one.row["framework_backend"])
        told, files = self.told(one), self._files(one) if framework else None
        found: dict[str, K | None] = {"host_bytes": K("64MiB", "rule", RULES["rule-host"])}
        if framework:
            found["framework_base_bytes"] = _elsewhere(self._rules.base_memory(framework), one)
        if framework and files:
            found |= {"artifact_bytes": K(mb(0.93 * float(str(files.value))), "rule", RULES["rule-archive"]),
                      "disk_bytes": replace(files, value=mb(float(str(files.value)))),
                      "gpu_bytes": _elsewhere(told.gpu_bytes, one) if told else
                      self._rules.gpu_memory(framework, files, instances),
                      "load.fixed": self._rules.load_fixed(framework, files),
                      "load.time": told.load_time if told and one.row["gpu"] == T4 else None}
        return {name: number for name, number in found.items() if number is not None}

    def told(self, one: Measured) -> Profile | None:
        """The same model, backend and precision on a T4, if it is told one by one."""
        return self._told.get(one.name.removesuffix(one.row["gpu"].lower()) + T4.lower())

    def _files(self, one: Measured) -> K | None:
        if told := self.told(one):
            return _elsewhere(told.files, one)
        width = WIDTH.get(one.row["precision"])
        if not one.series.weights or width is None:
            return None
        millions, source, note = self._parameters[one.series.weights]
        counted = f"{millions:g} M parameters x {width} byte{'s' * (width > 1)}"
        return K(f"{millions * width:.2f}", "estimated" if note or source != RULES["rule-weights"] else "rule", source,
                 note="; ".join(filter(None, (counted, note))))


def _elsewhere(known: K, one: Measured) -> K:
    """A number of the T4's profile for another GPU; what follows from a rule follows there too."""
    if one.row["gpu"] == T4 or known.basis == "rule":
        return known
    return replace(known, basis="estimated", note="; ".join(filter(None, (known.note, "as on a T4"))))
