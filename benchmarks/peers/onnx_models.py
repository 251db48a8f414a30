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

    def mixture(self, logits, outputs, multiply):
        """The outputs [n, d] of experts weighed by softmax(logits) [n, experts]. multiply: by products
        and sums of columns, else by a batched matrix product."""
        weights, count = self("Softmax", logits, axis=1), len(outputs)
        if multiply:
            parts = [self("Mul", w, y) for w, y in zip(self("Split", weights, outputs=count, axis=1), outputs)]
            while len(parts) > 1:
                parts = [self("Add", *parts[i:i + 2]) if i + 1 < len(parts) else parts[i]
                         for i in range(0, len(parts), 2)]
            return parts[0]
        axis = self.constant(np.array([1], np.int64))
        stacked = self("Concat", *[self("Unsqueeze", y, axis) for y in outputs], axis=1)
        return self("Squeeze", self("MatMul", self("Unsqueeze", weights, axis), stacked), axis)

    def repeat(self, row, n):
        """A row [1, d] as [n, d]."""
        return self("Expand", row, self.constant(np.array([n, USER_IN], np.int64)))

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
    experts' first layers as one product, and the gates as another; multiply: see Graph.mixture."""
    g = Graph()
    x = data("mmoe.x")[:n]
    if request:
        user, items = g.input("user", x[:1, :USER_IN]), g.input("items", x[:, USER_IN:])
        if split:
            value = user, items
        else:
            value = g("Concat", g.repeat(user, n), items, axis=1)
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
    y = []
    for t in range(4):
        mixed = g.mixture(logits[t], outputs, multiply)
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


def interest(g, q, x, form):
    """DIN over the events x [m, d] for candidates q [n, d]. form: the unit's inputs written as the
    paper does (`pairs`), its first layer split into what candidates, events and their products add
    (`split`), or with weights for the events of its own for each candidate (`candidates`)."""
    (weight, bias), (last, _) = layers("ranker.interest.unit", 2)  # softmax doesn't see the last bias
    d = weight.shape[0] // 4
    of_q, of_x, of_difference, of_product = np.split(weight, 4)
    first, second = (g.constant(np.array([axis], np.int64)) for axis in (0, 1))
    pair_q, pair_x = g("Unsqueeze", q, second), g("Unsqueeze", x, first)
    if form == "pairs":
        product = g("Mul", pair_q, pair_x)
        shape = g("Shape", product)
        pair_q, pair_x = g("Expand", pair_q, shape), g("Expand", pair_x, shape)
        inputs = g("Concat", pair_q, pair_x, g("Sub", pair_q, pair_x), product, axis=2)
        hidden = g("Add", g("MatMul", inputs, g.constant(weight)), g.constant(bias.reshape(-1)))
    else:
        if form == "split":
            of_pair = g("MatMul", g("Mul", pair_q, pair_x), g.constant(of_product))
            of_event = g("Unsqueeze", g("MatMul", x, g.constant(of_x - of_difference)), first)
            hidden = g("Add", of_pair, of_event)
        else:
            scaled = g("Mul", g("Unsqueeze", q, g.constant(np.array([2], np.int64))),
                       g.constant(of_product))
            hidden = g("MatMul", pair_x, g("Add", scaled, g.constant(of_x - of_difference)))
        own = g("Gemm", q, g.constant(of_q + of_difference), g.constant(bias.reshape(-1)))
        hidden = g("Add", hidden, g("Unsqueeze", own, second))
    scores = g("MatMul", g("Relu", hidden), g.constant(last))
    scores = g("Squeeze", scores, g.constant(np.array([2], np.int64)))
    return g("MatMul", g("Softmax", scores, axis=1), x)


def crosses(g, x, inputs):
    """Two layers of DCN v2 on x [n, d], which the first product sees as `inputs`."""
    y = x
    for layer in layers("ranker.crosses", 2):
        y = g("Add", g("Mul", x, g.product(inputs, *layer)), y)
        inputs = y
    return y


def ranker(run, n, form, split, joined, multiply, tolerance):
    """Logits [n, 4] of ranker_request/n:N; split, joined and multiply as for mmoe, form as for
    interest."""
    g = Graph()
    user, items = g.input("user", data(f"ranker.{n}.user")), g.input("items", data(f"ranker.{n}.items"))
    vectors = g("Split", items, g.constant(np.array([32, 64], np.int64)), outputs=2, axis=1)[0]
    found = interest(g, vectors, g.input("events", data(f"ranker.{n}.events")), form)
    all_inputs = g("Concat", g.repeat(user, n), items, found, axis=1)
    crossed = crosses(g, all_inputs, (user, g("Concat", items, found, axis=1)) if split else all_inputs)
    x = g("Concat", *([items, found, crossed] if split else [all_inputs, crossed]), axis=1)
    values = [(user, x) if split else x] * 5  # of each task, and of the shared expert
    for level in range(2):
        prefix = f"ranker.experts.levels.{level}"
        parts = [f"{prefix}.tasks.{t}" for t in range(4)] + [f"{prefix}.shared"]
        experts = [layers(f"{part}.experts.0", 2 - level) for part in parts]
        gates = [data(f"{part}.gate.weight") for part in parts[:5 - level]]
        if joined and level == 0:
            first = [np.concatenate([e[0][i] for e in experts], 1) for i in (0, 1)]
            outputs = g("Split", g.dense(values[0], first, True), outputs=5, axis=1)
            sizes = g.constant(np.array([w.shape[1] for w in gates], np.int64))
            logits = g("Split", g.product(values[0], np.concatenate(gates, 1)), sizes,
                       outputs=len(gates), axis=1)
        else:
            outputs = [g.dense(x, e[0], True) for x, e in zip(values, experts)]
            logits = [g.product(x, w) for x, w in zip(values, gates)]
        outputs = [g.mlp(y, e[1:], True) for y, e in zip(outputs, experts)]
        values = [g.mixture(z, [outputs[i], outputs[4]] if i < 4 else outputs, multiply)
                  for i, z in enumerate(logits)]
    y = [g.mlp(x, layers(f"ranker.towers.{t}", 2)) for t, x in enumerate(values)]
    return checked(run, g, g("Concat", *y, axis=1), data(f"ranker.{n}.y"), tolerance)


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

    def make_ranker(n):
        return lambda: fastest([ranker(run, n, form, split, joined, multiply, tolerance)
                                for form in ("pairs", "split", "candidates")
                                for split in both for joined in both for multiply in both])

    made = {}
    for name in exported("ranker_request"):
        made[name + suffix] = make_ranker(int(name.split("/n:")[1]))
    for name in exported("mmoe"):
        kind, n = name.split("/n:")
        made[name + suffix] = make_mmoe(int(n), kind == "mmoe_request")
    made["three_tower/5000" + suffix] = lambda: fastest(
        [towers(run, split, tolerance) for split in both])
    made["target_attention/500x200x64" + suffix] = lambda: attention(run, tolerance)
    return made
