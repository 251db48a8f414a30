# SPDX-License-Identifier: MIT
"""ONNX Runtime: one thread, every graph optimization, fixed shapes, inputs and outputs bound to
memory once. The time of a graph that does nothing is taken off, as most of it is Python's. Where a
model can be written in several ways, the fastest one, found before the measurement, counts."""

from harness import compare, fastest, main

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """An ONNX graph that grows node by node; values are named by numbers."""

    def __init__(self):
        self.nodes, self.constants, self.inputs = [], [], {}

    def input(self, name, value):
        self.inputs[name] = value
        return name

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def __call__(self, kind, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def dense(self, x, layer, relu):
        y = self("Gemm", x, self.constant(layer[0]), self.constant(layer[1].reshape(-1)))
        return self("Relu", y) if relu else y

    def mlp(self, x, layers, relu_last=False):
        for i, layer in enumerate(layers):
            x = self.dense(x, layer, relu_last or i + 1 < len(layers))
        return x

    def session(self, result, shape):
        """A call that runs the graph, and the array its result is in."""
        described = lambda name, of: helper.make_tensor_value_info(name, TensorProto.FLOAT, of)
        graph = helper.make_graph(self.nodes, "bench",
                                  [described(n, v.shape) for n, v in self.inputs.items()],
                                  [described(result, shape)], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        made = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                            providers=["CPUExecutionProvider"])
        binding = made.io_binding()
        y = np.zeros(shape, np.float32)
        keep = [onnxruntime.OrtValue.ortvalue_from_numpy(v) for v in self.inputs.values()]
        for name, value in zip(self.inputs, keep):
            binding.bind_ortvalue_input(name, value)
        binding.bind_output(result, "cpu", 0, np.float32, shape, y.ctypes.data)
        return lambda keep=keep, y=y: made.run_with_iobinding(binding), y


def layers(data, prefix, count):
    return [(data(f"{prefix}.layers.{i}.weight"), data(f"{prefix}.layers.{i}.bias"))
            for i in range(count)]


def mmoe(data, name, n, request, joined, multiply):
    """Logits [n, 4]. joined: the experts' first layers as one product, and the gates as another;
    multiply: the mixture by products and sums of columns, else by a batched matrix product."""
    g = Graph()
    x = data("mmoe.x")[:n]
    if request:
        user = g("Expand", g.input("user", x[:1, :160]), g.constant(np.array([n, 160], np.int64)))
        value = g("Concat", user, g.input("items", x[:, 160:]), axis=1)
    else:
        value = g.input("x", x)
    experts = [layers(data, f"mmoe.mixture.experts.{k}", 2) for k in range(4)]
    gates = np.split(data("mmoe.mixture.gates.weight"), 4, 1)
    if joined:
        first = g.dense(value, [np.concatenate([e[0][i] for e in experts], 1) for i in (0, 1)], True)
        first = g("Split", first, outputs=4, axis=1)
        logits = g("Split", g("MatMul", value, g.constant(np.concatenate(gates, 1))), outputs=4,
                   axis=1)
    else:
        first = [g.dense(value, e[0], True) for e in experts]
        logits = [g("MatMul", value, g.constant(w)) for w in gates]
    outputs = [g.dense(h, e[1], True) for h, e in zip(first, experts)]
    if not multiply:
        axis = g.constant(np.array([1], np.int64))
        stacked = g("Concat", *[g("Unsqueeze", y, axis) for y in outputs], axis=1)
    y = []
    for t in range(4):
        weights = g("Softmax", logits[t], axis=1)
        if multiply:
            parts = [g("Mul", w, e) for w, e in zip(g("Split", weights, outputs=4, axis=1), outputs)]
            mixed = g("Add", g("Add", parts[0], parts[1]), g("Add", parts[2], parts[3]))
        else:
            mixed = g("Squeeze", g("MatMul", g("Unsqueeze", weights, axis), stacked), axis)
        y.append(g.mlp(mixed, layers(data, f"mmoe.towers.{t}", 2)))
    run, result = g.session(g("Concat", *y, axis=1), (n, 4))
    run()
    compare(name, data("mmoe.y_request" if request else "mmoe.y")[:n], result)
    return run


def make_mmoe(name, n, request):
    return lambda data: fastest([mmoe(data, name, n, request, joined, multiply)
                                 for joined in (True, False) for multiply in (True, False)])


def make_towers(whole):
    """three_tower/5000 with the item vectors given, as a cache beside the session would, or the whole
    network with the item tower in it."""

    def make(data):
        g = Graph()
        user = g.mlp(g.input("user", data("tower.user_inputs")), layers(data, "tower.user", 3))
        if whole:
            items = g.mlp(g.input("items", data("tower.item_inputs")), layers(data, "tower.item", 2))
        else:
            items = g.input("items", data("tower.item_vectors"))
        cross = g.mlp(g.input("crosses", data("tower.cross_inputs")), layers(data, "tower.cross", 1))
        user = g("Expand", user, g.constant(np.array([5000, 64], np.int64)))
        y = g.mlp(g("Concat", user, items, cross, axis=1), layers(data, "tower.top", 3))
        run, result = g.session(y, (5000, 4))
        run()
        compare("three_tower/5000", data("tower.y"), result)
        return run

    return make


def make_attention(data):
    g = Graph()
    events = data("attention.events")
    x = g.input("x", events)
    weights = g("MatMul", g.input("q", data("attention.candidates")),
                g("Transpose", x, perm=[1, 0]))
    weights = g("Softmax", g("Mul", weights, g.constant(np.float32(0.125))), axis=1)
    run, result = g.session(g("MatMul", weights, x), (500, 64))
    run()
    compare("target_attention/500x200x64", data("attention.y"), result)
    return run


def empty(data):
    g = Graph()
    return g.session(g("Identity", g.input("x", np.zeros((1, 1), np.float32))), (1, 1))[0]


cases = {}
for rows in (1, 16, 128, 512, 2048):
    cases[f"mmoe/n:{rows}"] = make_mmoe(f"mmoe/n:{rows}", rows, False)
    cases[f"mmoe_request/n:{rows}"] = make_mmoe(f"mmoe_request/n:{rows}", rows, True)
cases["three_tower/5000"] = make_towers(False)
cases["three_tower/5000@whole"] = make_towers(True)
cases["target_attention/500x200x64"] = make_attention
main(f"ONNX Runtime {onnxruntime.__version__}", cases, overhead=empty)
