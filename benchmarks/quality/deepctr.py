# SPDX-License-Identifier: MIT
"""DCN v2, MMoE and PLE of DeepCTR-Torch on the features that the ranker reads.

    ranking_quality --data KuaiRand-Pure --validate --export chosen
    ranking_quality --data KuaiRand-Pure --export features
    deepctr.py chosen features

Chooses learning rate, L2 of the embeddings and number of epochs on the validation day, trains as many seeds, and writes the averaged scores
to features/dcn.npy, features/mmoe.npy and features/ple.npy, [rows, click, long_view, like, seconds]. Reads all numbers and all categories,
ids too, with embeddings of width 8. Needs numpy, torch, scikit-learn and deepctr-torch.
"""

import sys

import numpy as np
import torch
from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import DCN, MMOE, PLE

from trees import SECONDS, TARGETS, quality

SEEDS = 5
EPOCHS = 3
GRID = [(5e-4, 1e-5), (1e-3, 1e-5), (1e-3, 1e-3), (2e-3, 1e-5)]


def read(folder):
    x, y = ({part: np.load(f"{folder}/{part}_{what}.npy") for part in ("train", "test")} for what in ("features", "labels"))
    ids = set(np.load(f"{folder}/categories.npy").ravel().astype(int))
    columns = [
        SparseFeat(f"f{c}", int(max(x["train"][:, c].max(), x["test"][:, c].max())) + 1, 8) if c in ids else DenseFeat(f"f{c}", 1)
        for c in range(x["train"].shape[1])
    ]
    for part in y:
        y[part] = y[part].copy()
        y[part][:, SECONDS] = np.log1p(y[part][:, SECONDS])
    inputs = {part: {f"f{c}": x[part][:, c] for c in range(x[part].shape[1])} for part in x}
    return columns, inputs, y


def build(name, columns, targets, l2, seed):
    kinds = ["regression" if t == SECONDS else "binary" for t in targets]
    common = {"l2_reg_embedding": l2, "l2_reg_linear": l2, "seed": seed, "device": "cpu"}
    if name == "dcn":
        return DCN(columns, columns, cross_num=2, cross_parameterization="matrix", dnn_hidden_units=(128, 64), task=kinds[0], **common), kinds
    shape = {"expert_dnn_hidden_units": (64,), "gate_dnn_hidden_units": (), "tower_dnn_hidden_units": (32,)}
    names = [TARGETS[t] for t in targets]
    if name == "mmoe":
        return MMOE(columns, num_experts=4, task_types=kinds, task_names=names, **shape, **common), kinds
    # As many shared experts as ones of a task: it builds that many whatever shared_expert_num says.
    return PLE(columns, shared_expert_num=1, specific_expert_num=1, num_levels=2, task_types=kinds, task_names=names, **shape, **common), kinds


def train(name, data, targets, rate, l2, seed, epochs):
    """Yields the scores of the test after each epoch, [rows, targets]."""
    columns, inputs, labels = data
    torch.manual_seed(seed)
    model, kinds = build(name, columns, targets, l2, seed)
    losses = ["mse" if kind == "regression" else "binary_crossentropy" for kind in kinds]
    model.compile(torch.optim.Adam(model.parameters(), lr=rate), losses if len(losses) > 1 else losses[0])
    for _ in range(epochs):
        model.fit(inputs["train"], labels["train"][:, targets], batch_size=512, epochs=1, verbose=0, shuffle=True)
        yield np.asarray(model.predict(inputs["test"], 4096)).reshape(-1, len(targets))


def choose(name, data, targets):
    """The setting of the best sum of qualities."""
    tried = []
    for rate, l2 in GRID:
        for epoch, scores in enumerate(train(name, data, targets, rate, l2, 1, EPOCHS), 1):
            found = [quality(t, scores[:, k], data[2]["test"][:, t]) for k, t in enumerate(targets)]
            tried.append((sum(found), rate, l2, epoch, found))
    best = max(tried)
    print(name, targets, best, flush=True)
    return best[1:4]


def main():
    chosen, folder = read(sys.argv[1]), read(sys.argv[2])
    everything = list(range(len(TARGETS)))
    for name in sys.argv[3:] or ["mmoe", "ple", "dcn"]:
        scores = np.zeros((len(folder[2]["test"]), len(TARGETS)))
        for targets in [everything] if name != "dcn" else [[t] for t in everything]:
            rate, l2, epochs = choose(name, chosen, targets)
            for seed in range(1, SEEDS + 1):
                found = list(train(name, folder, targets, rate, l2, seed, epochs))[-1]
                print(name, "seed", seed, ["%.4f" % quality(t, found[:, k], folder[2]["test"][:, t]) for k, t in enumerate(targets)], flush=True)
                for k, t in enumerate(targets):
                    p = np.clip(found[:, k].astype(float), 1e-7, 1 - 1e-7)
                    scores[:, t] += found[:, k] if t == SECONDS else np.log(p / (1 - p))
        np.save(f"{sys.argv[2]}/{name}.npy", (scores / SEEDS).astype(np.float32))
        print(name, ["%.4f" % quality(t, scores[:, t], folder[2]["test"][:, t]) for t in everything], flush=True)


main()
