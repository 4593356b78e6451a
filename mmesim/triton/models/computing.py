"""A model that computes: each item goes through `layers` products with one square matrix."""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What Triton's python backend calls."""

    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.layers = int(parameters["layers"]["string_value"])
        raw = np.fromfile(Path(args["model_repository"]) / args["model_version"] / "weights.bin", np.float32)
        self.matrix = raw.reshape(2 * [int(np.sqrt(raw.size))])

    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy() for request in requests]
        items = np.concatenate(inputs)
        state = np.resize(items, (len(items), len(self.matrix)))
        for _ in range(self.layers):
            state = np.tanh(state @ self.matrix)
        outputs = np.split(state[:, :items.shape[1]].astype(np.float32), np.cumsum([len(one) for one in inputs])[:-1])
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", one)]) for one in outputs]
