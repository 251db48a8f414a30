# SPDX-License-Identifier: MIT
"""Gradient-boosted trees and logistic regression on exactly the features that the ranker reads.

    ranking_quality --data KuaiRand-Pure --validate --export chosen
    ranking_quality --data KuaiRand-Pure --export features
    trees.py chosen features

Tries 20 settings and five numbers of trees, and seven strengths of the regression, on the validation day, fits with the best of each target, and
writes the scores to features/trees.npy, averaged over five seeds, and features/regression.npy, [rows, click, long_view, like, seconds]. Needs
numpy, lightgbm and scikit-learn.
"""

import itertools
import sys

import lightgbm
import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from scipy.sparse import csr_matrix, hstack

TARGETS = ["click", "long_view", "like", "seconds"]
SECONDS = 3
GRID = [
    {"num_leaves": leaves, "min_data_in_leaf": least, "feature_fraction": share}
    for (leaves, least), share in itertools.product(
        [(15, 100), (31, 100), (31, 300), (63, 100), (63, 300)], [0.3, 0.5, 0.7, 1.0])
]
TREES = [60, 100, 150, 200, 300]
STRENGTHS = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3]  # of the regression, as scikit-learn's C
SEEDS = 5
FEW = 256  # ids of more values only let trees learn the training rows by heart; their rates are features


def read(folder):
    features, labels = (
        {part: np.load(f"{folder}/{part}_{what}.npy") for part in ("train", "test")} for what in ("features", "labels"))
    ids = np.load(f"{folder}/categories.npy").ravel().astype(int)
    few = [c for c in ids if features["train"][:, c].max() < FEW]
    numbers = [c for c in range(features["train"].shape[1]) if c not in set(ids)]
    return features, labels, numbers, few


def xauc(scores, labels, pairs=2_000_000):
    """The share of pairs of different seconds that are in the right order, of a sample of pairs."""
    a, b = np.random.default_rng(1).integers(0, len(labels), (2, pairs))
    a, b = a[labels[a] != labels[b]], b[labels[a] != labels[b]]
    order = np.sign(scores[a] - scores[b]) * np.sign(labels[a] - labels[b])
    return (order > 0).mean() + 0.5 * (order == 0).mean()


def quality(target, scores, labels):
    return xauc(scores, labels) if target == SECONDS else roc_auc_score(labels, scores)


def grow(x, y, target, categories, settings, trees, seed=1):
    """Trees that learn probabilities, or the logarithm of seconds."""
    options = {"objective": "regression" if target == SECONDS else "binary", "learning_rate": 0.05, "lambda_l2": 5,
               "bagging_fraction": 0.8, "bagging_freq": 1, "verbose": -1, "seed": seed, **settings}
    y = np.log1p(y) if target == SECONDS else y
    return lightgbm.train(options, lightgbm.Dataset(x, y, categorical_feature=categories), trees)


def choose(folder):
    features, labels, numbers, few = read(folder)
    columns, places = numbers + few, list(range(len(numbers), len(numbers) + len(few)))
    best = []
    for target, name in enumerate(TARGETS):
        tried = []
        for settings in GRID:
            model = grow(features["train"][:, columns], labels["train"][:, target], target, places, settings, TREES[-1])
            for trees in TREES:
                scores = model.predict(features["test"][:, columns], num_iteration=trees)
                tried.append((quality(target, scores, labels["test"][:, target]), trees, settings))
        best.append(max(tried, key=lambda one: one[0]))
        print(name, "%.4f" % best[-1][0], best[-1][1:], flush=True)
    return best


def average(features, labels, numbers, few, target, settings, trees):
    """The mean of the scores of trees of several seeds; of the logits, if they are probabilities."""
    columns, places = numbers + few, list(range(len(numbers), len(numbers) + len(few)))
    scores = []
    for seed in range(1, SEEDS + 1):
        model = grow(features["train"][:, columns], labels["train"][:, target], target, places, settings, trees, seed)
        scores.append(model.predict(features["test"][:, columns], raw_score=True))
        print(TARGETS[target], "seed", seed, "%.4f" % quality(target, scores[-1], labels["test"][:, target]), flush=True)
    mean = np.mean(scores, 0)
    return mean if target == SECONDS else 1 / (1 + np.exp(-mean))


def regress(features, labels, numbers, few, target, strength):
    scaler, encoder = StandardScaler(), OneHotEncoder(handle_unknown="ignore", min_frequency=20)
    x = {}
    for part in ("train", "test"):
        scale, encode = (scaler.fit_transform, encoder.fit_transform) if part == "train" else (scaler.transform, encoder.transform)
        x[part] = hstack([csr_matrix(scale(features[part][:, numbers])), encode(features[part][:, few])]).tocsr()
    y = labels["train"][:, target]
    if target == SECONDS:
        return Ridge(1 / strength).fit(x["train"], np.log1p(y)).predict(x["test"])
    return LogisticRegression(C=strength, max_iter=300).fit(x["train"], y).predict_proba(x["test"])[:, 1]


def choose_strength(folder, target):
    read_features = read(folder)
    labels = read_features[1]["test"][:, target]
    tried = [(quality(target, regress(*read_features, target, strength), labels), strength) for strength in STRENGTHS]
    print(TARGETS[target], "regression", tried, flush=True)
    return max(tried)[1]


def main():
    chosen, folder = sys.argv[1:3]
    best = choose(chosen)
    features, labels, numbers, few = read(folder)
    trees = [
        average(features, labels, numbers, few, target, best[target][2], best[target][1]) for target in range(len(TARGETS))
    ]
    regression = [
        regress(features, labels, numbers, few, target, choose_strength(chosen, target)) for target in range(len(TARGETS))
    ]
    for name, scores in (("trees", trees), ("regression", regression)):
        np.save(f"{folder}/{name}.npy", np.stack(scores, 1).astype(np.float32))
        print(name, ["%.4f" % quality(t, scores[t], labels["test"][:, t]) for t in range(len(TARGETS))], flush=True)


if __name__ == "__main__":
    main()
