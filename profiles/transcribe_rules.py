"""Rules fitted to what is published, for what is not: memory of a copy, load time, work on the host."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

from transcribe_data import RULES, Data, K, Row, cite, matching, mb, one

MIB = 1 << 20
FRONTEND_MS = 5.0
"""The scenario's own `frontend_overhead`, which is not counted again in a profile."""


def outside_compute(row: Row) -> K:
    """What the client of a row at batch 1 saw besides queue and compute."""
    parts = ("server_queue_ms", "compute_input_ms", "compute_infer_ms", "compute_output_ms")
    if not row["client_send_recv_ms"]:
        return K("0ms", "rule", RULES["rule-counted"])
    rest = float(row["client_send_recv_ms"]) + float(row["network_ms"])
    assert abs(float(row["latency_avg_ms"]) - rest - sum(float(row[part]) for part in parts)) < 0.5
    return K(f"{rest:g}ms", "measured", cite(row), row["source_locator"], "client_send_recv + network")


def line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """(intercept, slope) by least squares."""
    n = len(points)
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    slope = sum((x - mx) * (y - my) for x, y in points) / sum((x - mx) ** 2 for x, _ in points)
    return my - slope * mx, slope


BENCH = "aws-samples/sagemaker-mme-gpu-benchmarking, notebook outputs (ml.g4dn.2xlarge, 15109 MiB)"
BERT_BASE_M, ROBERTA_LARGE_M, VIT_LARGE_M = 109.482, 355.362, 304.327
"""Million parameters, as in the data (onnx/models)."""


class Rules:
    """Memory, load time and host work where they are not published, fitted to what is."""

    def __init__(self, data: Data) -> None:
        self._data = data
        growth = {(row["model"], row["format"], row["gpu"]): float(row["gpu_mem_mb_loaded"])
                  for row in data.sizes if row["gpu_mem_what"].startswith("growth a loaded copy")}
        torch = "torchscript"
        self._memory = {
            "pytorch": line([(102.531, growth["resnet50-timm", torch, "T4"]),
                             (4 * VIT_LARGE_M, growth["vit-large-patch16-224", torch, "T4"]),
                             (4 * ROBERTA_LARGE_M, growth["roberta-large", torch, "V100"]),
                             (4 * BERT_BASE_M, 0.0319 * 15109 * MIB / 1e6)]),
            "tensorrt": line([(51.3802, 0.0370 * 15109 * MIB / 1e6),
                              (2 * BERT_BASE_M, growth["bert-base-uncased", "tensorrt plan", "T4"]),
                              (2 * VIT_LARGE_M, growth["vit-large-patch16-224", "tensorrt plan", "V100"]),
                              (2 * ROBERTA_LARGE_M, growth["roberta-large", "tensorrt plan", "V100"])])}
        self._memory["onnxruntime"] = self._memory["pytorch"]

    def copy_growth(self, model: str, framework: str) -> K:
        """Measured memory of each further copy on the T4 of a multi-model endpoint."""
        row = one(self._data.sizes, model=model, gpu="T4", source_repo="aws-samples/sagemaker-mme-gpu-benchmarking",
                  format={"pytorch": "torchscript", "tensorrt": "tensorrt plan"}[framework])
        return K(mb(float(row["gpu_mem_mb_loaded"])), "measured", cite(row), row["source_locator"],
                 row["gpu_mem_what"].partition(" on ")[0])

    def gpu_memory(self, framework: str, files: K, instances: int = 1) -> K:
        """A copy by the framework's line over weights, for each of its instances."""
        fixed, slope = self._memory[framework]
        like = "PyTorch's, taken for ONNX Runtime too" if framework != "tensorrt" else "TensorRT's"
        text = (f"rule: memory of a copy = {fixed:.0f} MB + {slope:.2f} x weights, {like}: least squares over the "
                "copies measured on multi-model endpoints, times the instances")
        return K(mb(instances * (fixed + slope * float(files.value))), "rule", text)

    def base_memory(self, framework: str) -> K:
        """What the first copy took more than a further one."""
        model = {"pytorch": "resnet50-timm", "tensorrt": "bert-base-uncased"}.get(framework)
        if model is None:
            return replace(self.base_memory("pytorch"), basis="estimated", note="PyTorch's: both load cuDNN and cuBLAS")
        rows = matching(self._data.memory, {"model": model, "gpu": "T4"})
        used = [float(row["gpu_used_mib"]) for row in rows]
        growth = (used[-1] - used[1]) / (int(rows[-1]["models_loaded"]) - 1)
        return K(f"{used[1] - used[0] - growth:.1f}MiB", "measured", cite(rows[0]), rows[0]["source_locator"],
                 "first copy less idle server less a further copy")

    def load_fixed(self, framework: str, files: K) -> K:
        """All of a load but disk and copy."""
        start = float(one(self._data.loads, model="yolov5s", backend="onnxruntime")["load_seconds"])
        if framework == "tensorrt":
            rows = matching(self._data.loads, {"kind": "engine_deserialise", "gpu": "T4"})
            fixed, slope = line([(float(row["size_mb"]), float(row["load_seconds"])) for row in rows])
            what = "deserialising, least squares over five engines on T4"
        elif framework == "pytorch":
            row = one(self._data.loads, model="gpt2", backend="torch.load", gpu="T4")
            fixed, slope = 0.0, float(row["load_seconds"]) / float(row["size_mb"])
            what = "torch.load of gpt2 from the page cache to a T4"
        else:
            rows = [one(self._data.loads, backend="onnxruntime", gpu="T4", model=model) for model in
                    ("resnet50 (ONNX zoo v2)",
                     "distilbert classifier (rdpahalavan/bert-network-packet-flow-header-payload)")]
            fixed, slope = line([(102.442, float(rows[0]["load_seconds"])), (265.512, float(rows[1]["load_seconds"]))])
            fixed, what = fixed - start, "the Triton logs of two models on T4, first of their server"
        text = (f"rule: load = {start + fixed:.3f} s + files / {1 / slope:.0f} MB/s, at least {start:.3f} s: the "
                f"fastest Triton load on record ({start:.3f} s) and {what}")
        return K(f"{max(start, start + fixed + slope * float(files.value)):.3f}s", "rule", text)

    def host_work(self, model: str, service_ms: float) -> tuple[K, K]:
        """(host CPU of an item, overhead) of the multi-model benchmark with JSON bodies, from up to 60 users."""
        polls = matching(self._data.load_test, {"model": model})[:4]
        steps = [(float(late["requests_cum"]) - float(early["requests_cum"]), _step_mean_ms(early, late))
                 for early, late in pairwise(polls)]
        most = min(float(poll["min_ms_cum"]) for poll in polls) - service_ms
        demand = min((tenth / 10 for tenth in range(10, int(most * 10) + 1)), key=lambda ms: _misfit(ms, steps))
        source = "aws-samples/sagemaker-mme-gpu-benchmarking @ebcfe11c, load test on ml.g4dn.2xlarge"
        note = ("the vCPU time a request that makes M/M/8 fit the step means up to 60 users, at most the fastest "
                "request less the GPU; holds client and front end too if they were the bound")
        cpu = K(f"{demand - 1:.1f}ms", "estimated", source, "polls 0 to 3", note)
        overhead = max(0.0, steps[0][1] - demand - service_ms - FRONTEND_MS)
        return cpu, K(f"{overhead:.1f}ms", "estimated", source, "polls 0 and 1",
                      "mean at 20 users less host, GPU and the scenario's 5 ms")


def _step_mean_ms(early: Row, late: Row) -> float:
    """Mean latency between two polls of running totals."""
    (n0, t0), (n1, t1) = ((float(poll["requests_cum"]), float(poll["avg_ms_cum"])) for poll in (early, late))
    return (n1 * t1 - n0 * t0) / (n1 - n0)


def _misfit(demand_ms: float, steps: list[tuple[float, float]]) -> float:
    """Squared error of the later steps' rise over the first, for polls 30 s apart and 8 vCPUs."""
    waits = [erlang_wait(count / 30, demand_ms / 1e3, 8) * 1e3 for count, _ in steps]
    return sum((mean - steps[0][1] - (wait - waits[0])) ** 2
               for (_, mean), wait in zip(steps[1:], waits[1:], strict=True))


def erlang_wait(rate: float, demand_s: float, servers: int) -> float:
    """Mean wait in M/M/c, seconds; infinite at or above capacity (Erlang 1917)."""
    load = rate * demand_s
    if load >= servers:
        return math.inf
    blocked = load**servers / math.factorial(servers) * servers / (servers - load)
    waiting = blocked / (blocked + sum(load**k / math.factorial(k) for k in range(servers)))
    return waiting * demand_s / (servers - load)
