# SPDX-License-Identifier: MIT
"""The models of the workloads as ONNX graphs, in the ways a user may write them, for the peers that
run such graphs: each gives a `run(model, inputs, shape)` that makes a call and the array of its
result."""

from harness import compare, data, exported, fastest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

USER_IN = 160  # of the 256 inputs of mmoe


class Graph:
    """An ONNX graph that grows node by node; values are named by numbers."""

    def __init__(self):
        self.nodes, self.constants, self.inputs = [], [], {}

    def input(self, name, value):
        self.inputs[name] = np.ascontiguousarray(value)
        return name

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def __call__(self, kind, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def product(self, x, weight, bias=None):
        """x W + b. Of inputs (one user's row, items): the user's product is what the items' product is
        added to."""
        if isinstance(x, tuple):
            user, items = x
            bias = self.product(user, weight[:USER_IN], bias)
            return self("Gemm", items, self.constant(weight[USER_IN:]), bias)
        if bias is None:
            return self("MatMul", x, self.constant(weight))
        return self("Gemm", x, self.constant(weight), self.constant(bias.reshape(-1)))

    def dense(self, x, layer, relu):
        y = self.product(x, *layer)
        return self("Relu", y) if relu else y

    def mlp(self, x, layers, relu_last=False):
        for i, layer in enumerate(layers):
            x = self.dense(x, layer, relu_last or i + 1 < len(layers))
        return x

    def model(self, result, shape):
        described = lambda name, of: helper.make_tensor_value_info(name, TensorProto.FLOAT, of)
        graph = helper.make_graph(self.nodes, "bench",
                                  [described(n, v.shape) for n, v in self.inputs.items()],
                                  [described(result, shape)], self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(made)
        return made.SerializeToString()


def layers(prefix, count):
    return [(data(f"{prefix}.layers.{i}.weight"), data(f"{prefix}.layers.{i}.bias"))
            for i in range(count)]


def checked(run, graph, result, ours, tolerance):
    """The call that runs a graph, after its result was compared."""
    call, theirs = run(graph.model(result, ours.shape), graph.inputs, ours.shape)
    call()
    compare(ours, theirs, tolerance)
    return call


def mmoe(run, n, request, split, joined, multiply, tolerance):
    """Logits [n, 4]. split: the user's product is made once, else the row is repeated; joined: the
    experts' first layers as one product, and the gates as another; multiply: the mixture by products
    and sums of columns, else by a batched matrix product."""
    g = Graph()
    x = data("mmoe.x")[:n]
    if request:
        user, items = g.input("user", x[:1, :USER_IN]), g.input("items", x[:, USER_IN:])
        if split:
            value = user, items
        else:
            repeated = g("Expand", user, g.constant(np.array([n, USER_IN], np.int64)))
            value = g("Concat", repeated, items, axis=1)
    else:
        value = g.input("x", x)
    experts = [layers(f"mmoe.mixture.experts.{k}", 2) for k in range(4)]
    gates = data("mmoe.mixture.gates.weight")
    if joined:
        first = g.dense(value, [np.concatenate([e[0][i] for e in experts], 1) for i in (0, 1)], True)
        first = g("Split", first, outputs=4, axis=1)
        logits = g("Split", g.product(value, gates), outputs=4, axis=1)
    else:
        first = [g.dense(value, e[0], True) for e in experts]
        logits = [g.product(value, w) for w in np.split(gates, 4, 1)]
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
        y.append(g.mlp(mixed, layers(f"mmoe.towers.{t}", 2)))
    ours = data("mmoe.y_request" if request else "mmoe.y")[:n]
    return checked(run, g, g("Concat", *y, axis=1), ours, tolerance)


def towers(run, split, tolerance):
    """three_tower/5000 with the item vectors given, as a cache beside the session would. split: the
    user's product is made once."""
    g = Graph()
    user = g.mlp(g.input("user", data("tower.user_inputs")), layers("tower.user", 3))
    items = g.input("items", data("tower.item_vectors"))
    cross = g.mlp(g.input("crosses", data("tower.cross_inputs")), layers("tower.cross", 1))
    top = layers("tower.top", 3)
    if split:
        weight, bias = top[0]
        of_user = g.product(user, weight[:64], bias)
        x = g("Gemm", g("Concat", items, cross, axis=1), g.constant(weight[64:]), of_user)
        y = g.mlp(g("Relu", x), top[1:])
    else:
        user = g("Expand", user, g.constant(np.array([5000, 64], np.int64)))
        y = g.mlp(g("Concat", user, items, cross, axis=1), top)
    return checked(run, g, y, data("tower.y"), tolerance)


def attention(run, tolerance):
    g = Graph()
    x = g.input("x", data("attention.events"))
    weights = g("MatMul", g.input("q", data("attention.candidates")),
                g("Transpose", x, perm=[1, 0]))
    weights = g("Softmax", g("Mul", weights, g.constant(np.float32(0.125))), axis=1)
    return checked(run, g, g("MatMul", weights, x), data("attention.y"), tolerance)


def empty(run):
    """A graph that does nothing: what a call costs by itself, which is mostly Python."""
    g = Graph()
    x = g.input("x", np.zeros((1, 1), np.float32))
    return run(g.model(g("Relu", x), (1, 1)), g.inputs, (1, 1))[0]


def cases(run, suffix="", tolerance=1e-4):
    """{name: make}; of several ways to write a model the fastest, found before the measurement."""
    both = (True, False)

    def make_mmoe(n, request):
        return lambda: fastest([mmoe(run, n, request, split, joined, multiply, tolerance)
                                for split in (both if request else (False,))
                                for joined in both for multiply in both])

    made = {}
    for name in exported("mmoe"):
        kind, n = name.split("/n:")
        made[name + suffix] = make_mmoe(int(n), kind == "mmoe_request")
    made["three_tower/5000" + suffix] = lambda: fastest(
        [towers(run, split, tolerance) for split in both])
    made["target_attention/500x200x64" + suffix] = lambda: attention(run, tolerance)
    return made
