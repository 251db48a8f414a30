# SPDX-License-Identifier: MIT
"""OpenVINO: one thread, one stream, fixed shapes, inputs and outputs set once; in float32, and with its
hint for bfloat16, which computes other numbers. The time of a graph that does nothing is taken off, as
most of it is Python's."""

from harness import main
from onnx_models import cases, empty

import functools
import io

import numpy as np
import openvino

core = openvino.Core()


def run(precision, model, inputs, shape):
    made = core.compile_model(core.read_model(io.BytesIO(model)), "CPU", {
        "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False})
    request = made.create_infer_request()
    y = np.zeros(shape, np.float32)
    for name, value in inputs.items():
        request.set_tensor(name, openvino.Tensor(value, shared_memory=True))
    request.set_output_tensor(openvino.Tensor(y, shared_memory=True))
    return lambda keep=inputs, y=y: request.infer(share_outputs=True), y


# A layer rounds its inputs and weights, and what it gives, to 8 bits: 3 roundings of 2^-9 in each of
# the four layers on the longest way, where none of them cancel.
BFLOAT16 = 4 * 3 * 2**-9

float32 = functools.partial(run, "f32")
made = cases(float32)
if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
    made |= cases(functools.partial(run, "bf16"), "@bf16", BFLOAT16)
main(f"OpenVINO {openvino.__version__.split('-')[0]}, LATENCY, NUM_STREAMS 1, "
     "INFERENCE_PRECISION_HINT f32 and bf16", made, overhead=lambda: empty(float32))
