# SPDX-License-Identifier: MIT
"""ONNX Runtime: one thread, every graph optimization, fixed shapes, inputs and outputs bound to
memory once. The time of a graph that does nothing is taken off, as most of it is Python's."""

from harness import main
from onnx_models import cases, empty

import numpy as np
import onnxruntime


def run(model, inputs, shape):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    made = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = made.io_binding()
    y = np.zeros(shape, np.float32)
    keep = [onnxruntime.OrtValue.ortvalue_from_numpy(v) for v in inputs.values()]
    for name, value in zip(inputs, keep):
        binding.bind_ortvalue_input(name, value)
    binding.bind_output(made.get_outputs()[0].name, "cpu", 0, np.float32, shape, y.ctypes.data)
    return lambda keep=keep, y=y: made.run_with_iobinding(binding), y


main(f"ONNX Runtime {onnxruntime.__version__}, ORT_ENABLE_ALL", cases(run),
     overhead=lambda: empty(run))
