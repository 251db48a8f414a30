# SPDX-License-Identifier: MIT
"""Baselines for movie_ranker: means of the ratings that features may see, in the order of time.

    baselines.py <folder> [delay in seconds | midnight]

Independent of the library: the same split, the same rule for what is visible, other code.
"""
import csv
import math
import sys
from collections import defaultdict

PRIOR = 5  # ratings that a mean is smoothed with


def ratings(folder):
    with open(folder + "/ratings.csv") as file:
        rows = list(csv.reader(file))[1:]
    return sorted(((int(u), int(m), float(r), int(t)) for u, m, r, t in rows), key=lambda row: row[3])


def area(pairs):
    """AUC of pairs (score, label); None without both labels."""
    pairs = sorted(pairs)
    rank_sum = begin = 0
    while begin < len(pairs):
        end = begin
        while end < len(pairs) and pairs[end][0] == pairs[begin][0]:
            end += 1
        rank_sum += sum(label for _, label in pairs[begin:end]) * (begin + end + 1) / 2
        begin = end
    ones = sum(label for _, label in pairs)
    zeros = len(pairs) - ones
    return (rank_sum - ones * (ones + 1) / 2) / (ones * zeros) if ones and zeros else None


def report(name, rows, predictions):
    pairs = [(p, int(row[2] >= 4)) for p, row in zip(predictions, rows)]
    by_user = defaultdict(list)
    for pair, row in zip(pairs, rows):
        by_user[row[0]].append(pair)
    areas = [(area(of_user), len(of_user)) for of_user in by_user.values()]
    areas = [(a, n) for a, n in areas if a is not None]
    gauc = sum(a * n for a, n in areas) / sum(n for _, n in areas)
    rmse = math.sqrt(sum((p - row[2]) ** 2 for p, row in zip(predictions, rows)) / len(rows))
    print(f"{name:28} AUC {area(pairs):.4f}  GAUC {gauc:.4f}  RMSE {rmse:.4f}")


def main(folder, delay="0"):
    rows = ratings(folder)
    test_from = rows[len(rows) - round(len(rows) / 10)][3]
    total, count = 3.5, 1
    movie, user = defaultdict(lambda: [0, 0]), defaultdict(lambda: [0, 0])
    test, means, movie_means, both, new_users, new_movies = [], [], [], [], 0, 0
    seen, frozen = 0, None
    for row in rows:
        u, m, _, time = row
        while (rows[seen][3] // 86400 < time // 86400 if delay == "midnight"
               else rows[seen][3] + int(delay) < time):
            past_u, past_m, stars, _ = rows[seen]
            of_movie, of_user = movie[past_m], user[past_u]
            of_user[0] += stars - (of_movie[0] + PRIOR * total / count) / (of_movie[1] + PRIOR)
            of_user[1] += 1
            of_movie[0] += stars
            of_movie[1] += 1
            total, count, seen = total + stars, count + 1, seen + 1
        if time < test_from:
            continue
        if frozen is None:
            frozen = (total / count, {k: tuple(v) for k, v in movie.items()},
                      {k: tuple(v) for k, v in user.items()}, [])
        test.append(row)
        means.append(total / count)
        movie_means.append((movie[m][0] + PRIOR * means[-1]) / (movie[m][1] + PRIOR))
        both.append(movie_means[-1] + user[u][0] / (user[u][1] + PRIOR))
        old = frozen[1].get(m, (0, 0)), frozen[2].get(u, (0, 0))
        frozen[3].append((old[0][0] + PRIOR * frozen[0]) / (old[0][1] + PRIOR)
                         + old[1][0] / (old[1][1] + PRIOR))
        new_users += user[u][1] == 0
        new_movies += movie[m][1] == 0
    print(f"{len(test)} rows; no rating of the user is visible in {new_users / len(test):.1%}, "
          f"none of the movie in {new_movies / len(test):.1%}")
    report("mean", test, means)
    report("movie mean", test, movie_means)
    report("movie mean + user mean", test, both)
    report("... of the rows before", test, frozen[3])


main(*sys.argv[1:])
