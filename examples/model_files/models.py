# SPDX-License-Identifier: MIT
"""Four recommender models in PyTorch, as they are usually written: a two-tower model, a three-tower
pre-ranker, MMoE and DIN. main.cpp has the same models in C++."""
import torch
from torch import nn


def mlp(*sizes):
    layers = []
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        layers += [nn.ReLU()] if i > 0 else []
        layers += [nn.Linear(inputs, outputs)]
    return nn.Sequential(*layers)


class TwoTower(nn.Module):
    """The cosine of every user with every item."""

    def __init__(self):
        super().__init__()
        self.user_embedding = nn.Embedding(40, 8)
        self.user_tower = nn.Sequential(nn.Linear(8 + 3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 8))
        self.item_embedding = nn.Embedding(60, 8)
        self.category_embedding = nn.Embedding(5, 4)
        self.item_tower = mlp(8 + 4, 16, 8)

    def forward(self, user_ids, user_numbers, item_ids, categories):
        users = self.user_tower(torch.cat([self.user_embedding(user_ids), user_numbers], 1))
        items = self.item_tower(torch.cat([self.item_embedding(item_ids), self.category_embedding(categories)], 1))
        return nn.functional.normalize(users) @ nn.functional.normalize(items).T

    @staticmethod
    def inputs(n):
        return {"user_ids": torch.randint(40, (n,)), "user_numbers": torch.randn(n, 3),
                "item_ids": torch.randint(60, (n,)), "categories": torch.randint(5, (n,))}


class ThreeTower(nn.Module):
    """One logit a row from the towers of user, item and cross features; the item comes first."""

    def __init__(self):
        super().__init__()
        self.user_tower = mlp(6, 12, 8)
        self.item_tower = nn.Sequential(nn.Embedding(50, 8), nn.LayerNorm(8))
        self.cross_tower = mlp(3, 4)
        self.top = mlp(8 + 8 + 4, 16, 1)

    def forward(self, user_numbers, item_ids, cross_numbers):
        towers = [self.item_tower(item_ids), self.user_tower(user_numbers), self.cross_tower(cross_numbers)]
        return self.top(torch.cat(towers, 1))

    @staticmethod
    def inputs(n):
        return {"user_numbers": torch.randn(n, 6), "item_ids": torch.randint(50, (n,)),
                "cross_numbers": torch.randn(n, 3)}


class MMoE(nn.Module):
    """Two logits a row; the experts are stacked in one tensor."""

    def __init__(self, experts=3, inputs=10, size=8):
        super().__init__()
        self.expert_weight = nn.Parameter(torch.randn(experts, inputs, size) / inputs**.5)
        self.expert_bias = nn.Parameter(torch.zeros(experts, size))
        self.gates = nn.ModuleList([nn.Linear(inputs, experts, bias=False) for _ in range(2)])
        self.heads = nn.ModuleList([mlp(size, 6, 1) for _ in range(2)])

    def forward(self, numbers):
        outputs = torch.einsum("ni,kio->nko", numbers, self.expert_weight) + self.expert_bias
        outputs = torch.relu(outputs)
        logits = []
        for gate, head in zip(self.gates, self.heads):
            weights = torch.softmax(gate(numbers), 1)
            logits.append(head((weights[:, :, None] * outputs).sum(1)))
        return torch.cat(logits, 1)

    @staticmethod
    def inputs(n):
        return {"numbers": torch.randn(n, 10)}


class DIN(nn.Module):
    """One logit a row: attention of a candidate over a padded history, without a softmax."""

    def __init__(self, dim=6):
        super().__init__()
        self.item_embedding = nn.Embedding(70, dim)
        self.attention = nn.Sequential(nn.Linear(4 * dim, 16), nn.Sigmoid(), nn.Linear(16, 8), nn.Sigmoid(),
                                       nn.Linear(8, 1))
        self.dnn = mlp(2 * dim, 16, 1)

    def forward(self, item_ids, history, lengths):
        query = self.item_embedding(item_ids)
        keys = self.item_embedding(history)
        queries = query[:, None, :].expand_as(keys)
        weights = self.attention(torch.cat([queries, keys, queries - keys, queries * keys], 2))
        mask = torch.arange(history.shape[1])[None, :] < lengths[:, None]
        interest = (weights * mask[:, :, None] * keys).sum(1)
        return self.dnn(torch.cat([interest, query], 1))

    @staticmethod
    def inputs(n):
        return {"item_ids": torch.randint(70, (n,)), "history": torch.randint(70, (n, 5)),
                "lengths": torch.randint(0, 6, (n,))}


MODELS = {"two_tower": TwoTower, "three_tower": ThreeTower, "mmoe": MMoE, "din": DIN}
