# SPDX-License-Identifier: MIT
"""read_files.py [folder]: reads the model files that main.cpp wrote, with the reference reader of
safetensors, and scores their golden inputs. Fails if a score differs by more than 1e-5."""
import sys

import torch
from safetensors.torch import load_file

from models import MODELS


def linear(state, to, file, path, bias=True):
    """A dense layer of funnel is [in, out], and a bias is one row."""
    state[to + ".weight"] = file[path + ".weight"].T
    if bias:
        state[to + ".bias"] = file[path + ".bias"][0]


def sequential(state, to, file, path, positions):
    for i, position in enumerate(positions):
        linear(state, f"{to}.{position}", file, f"{path}.layers.{i}")


def norm(state, to, file, path, statistics):
    state[to + ".weight"] = file[path + ".scale"][0]
    state[to + ".bias"] = file[path + ".shift"][0]
    if statistics:
        state[to + ".running_mean"] = file[path + ".running_mean"][0]
        state[to + ".running_var"] = file[path + ".running_variance"][0]
        state[to + ".num_batches_tracked"] = torch.tensor(0)


def two_tower(file):
    state = {"user_embedding.weight": file["model.user.id.table"],
             "item_embedding.weight": file["model.item.id.table"],
             "category_embedding.weight": file["model.item.category.table"]}
    linear(state, "user_tower.0", file, "model.user.first")
    norm(state, "user_tower.1", file, "model.user.norm", True)
    linear(state, "user_tower.3", file, "model.user.last")
    sequential(state, "item_tower", file, "model.item.tower", [0, 2])
    return state


def three_tower(file):
    state = {"item_tower.0.weight": file["model.item.id.table"]}
    norm(state, "item_tower.1", file, "model.item.norm", False)
    sequential(state, "user_tower", file, "model.user", [0, 2])
    sequential(state, "cross_tower", file, "model.cross", [0])
    sequential(state, "top", file, "model.top", [0, 2])
    user, item, cross = state["top.0.weight"].split([8, 8, 4], 1)
    state["top.0.weight"] = torch.cat([item, user, cross], 1)
    return state


def mmoe(file):
    state = {"expert_weight": torch.stack([file[f"model.experts.experts.{k}.layers.0.weight"] for k in range(3)]),
             "expert_bias": torch.cat([file[f"model.experts.experts.{k}.layers.0.bias"] for k in range(3)])}
    for task, gate in enumerate(file["model.experts.gates.weight"].split(3, 1)):
        state[f"gates.{task}.weight"] = gate.T
        sequential(state, f"heads.{task}", file, f"model.heads.{task}", [0, 2])
    return state


def din(file):
    state = {"item_embedding.weight": file["model.items.table"]}
    sequential(state, "attention", file, "model.attention.unit", [0, 2, 4])
    sequential(state, "dnn", file, "model.network", [0, 2])
    return state


folder = sys.argv[1] if len(sys.argv) > 1 else "."
for name, state_of in {"two_tower": two_tower, "three_tower": three_tower, "mmoe": mmoe, "din": din}.items():
    file = load_file(f"{folder}/{name}.model.safetensors")
    model = MODELS[name]()
    model.load_state_dict(state_of(file))
    model.eval()
    inputs = {}
    for key in MODELS[name].inputs(1):
        values = file["golden." + key]
        inputs[key] = values if values.is_floating_point() else values.long()
    with torch.no_grad():
        difference = (model(**inputs) - file["golden.scores"]).abs().max().item()
    print(f"{name}: the largest difference to the scores of C++ is {difference:.1e}")
    assert difference <= 1e-5, name
