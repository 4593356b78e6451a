"""A model that sleeps for its service time: the latencies of a GPU without a GPU, and without burning CPU.

Parameters in config.pbtxt: ``base_ms`` and ``item_ms`` (a batch of b items takes base + b·item), ``load_ms`` (time of
the load besides reading the weights), ``device`` (batches of all models and instances naming the same device run one
after another, as on one GPU; empty: side by side).
"""

import fcntl
import json
import time
from pathlib import Path

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What Triton's python backend calls."""

    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        value = {name: entry["string_value"] for name, entry in parameters.items()}
        self.base_s, self.item_s = float(value["base_ms"]) / 1e3, float(value["item_ms"]) / 1e3
        folder = Path(args["model_repository"])
        self.weights = (folder / args["model_version"] / "weights.bin").read_bytes()
        self.device = (folder.parent / f".{value['device']}.lock").open("w") if value["device"] else None
        time.sleep(float(value["load_ms"]) / 1e3)

    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy() for request in requests]
        self._run(self.base_s + self.item_s * sum(len(one) for one in inputs))
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", one)]) for one in inputs]

    def _run(self, service_s):
        """Occupy the device for so long."""
        if self.device:
            fcntl.flock(self.device, fcntl.LOCK_EX)
        time.sleep(service_s)
        if self.device:
            fcntl.flock(self.device, fcntl.LOCK_UN)
