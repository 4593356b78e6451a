"""A model that behaves as a profile says, without a GPU and without burning CPU: it loads for so long, takes so much
memory, and sleeps for the service time of each batch.

Parameters in config.pbtxt: ``load_ms`` (from the start of the process until it is ready: starting Python counts),
``memory_bytes`` (really taken), ``service_ms`` (of a batch of 1, 2, ... items, comma-separated; larger batches go on
with the last step).
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What Triton's python backend calls."""

    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        value = {name: entry["string_value"] for name, entry in parameters.items()}
        self.service_s = [float(ms) / 1e3 for ms in value["service_ms"].split(",")]
        folder = Path(args["model_repository"])
        self.weights = (folder / args["model_version"] / "weights.bin").read_bytes()
        self.memory = np.ones(max(0, int(value["memory_bytes"]) - len(self.weights)), np.uint8)
        time.sleep(max(0.0, float(value["load_ms"]) / 1e3 - _age_s()))

    def execute(self, requests):
        started_s = time.monotonic()
        inputs = [pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy() for request in requests]
        answers = [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", one)]) for one in inputs]
        time.sleep(max(0.0, started_s + self._batch_s(sum(len(one) for one in inputs)) - time.monotonic()))
        return answers

    def _batch_s(self, items):
        """Service time of a batch."""
        known = self.service_s
        if items <= len(known):
            return known[items - 1]
        step = known[-1] - known[-2] if len(known) > 1 else known[-1]
        return known[-1] + step * (items - len(known))


def _age_s():
    """Seconds since this process was started."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    return uptime_s - int(fields[19]) / os.sysconf("SC_CLK_TCK")
