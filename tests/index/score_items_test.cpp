// SPDX-License-Identifier: MIT
#include <funnel/index/score_items.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/threads.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

using funnel::item_id;
using funnel::matrix;
using funnel::matrix_view;
using funnel::score_items;

namespace {

std::vector<item_id> random_ids(std::size_t n, std::size_t items, std::uint64_t seed) {
  funnel::random_generator bits(seed);
  std::vector<item_id> ids(n);
  for (item_id& id : ids) id = static_cast<item_id>(funnel::uniform_below(bits, items));
  return ids;
}

template <class T>
matrix<T> scores_of(const matrix<T>& queries, const matrix<T>& rows,
                    const std::vector<item_id>& ids) {
  matrix<T> scores(ids.size(), queries.rows(), T(7));
  score_items(queries, rows, ids, scores);
  return scores;
}

}  // namespace

TEST_CASE("score_items: worked by hand") {
  matrix<float> rows(3, 2), queries(2, 2);
  const float of_rows[] = {1, 2, 3, 4, -1, 0}, of_queries[] = {1, 10, 2, 0};
  std::ranges::copy(of_rows, rows.flat().begin());
  std::ranges::copy(of_queries, queries.flat().begin());
  const std::vector<item_id> ids{2, 0, 2, 1};
  const matrix<float> scores = scores_of(queries, rows, ids);
  const float expected[] = {-1, -2, 21, 2, -1, -2, 43, 6};
  CHECK(std::ranges::equal(scores.flat(), expected));
  std::vector<float> one(4);
  score_items(queries.row(0), rows, ids, one);
  CHECK(one == std::vector<float>{-1, 21, -1, 43});
}

TEMPLATE_TEST_CASE("score_items: sums in double; the same bits whatever the other ids and queries "
                   "are",
                   "", float, double) {
  using T = TestType;
  for (const std::size_t d : size_list{1, 7, 16, 33, 64, 300}) {
    const matrix<T> rows = random_matrix<T>(500, d, d);
    for (const std::size_t n : size_list{0, 1, 15, 16, 17, 33, 100, 257}) {
      for (const std::size_t count : size_list{1, 2, 3, 4, 8}) {
        const matrix<T> queries = random_matrix<T>(count, d, 2 * d);
        const std::vector<item_id> ids = random_ids(n, 500, n);
        const matrix<T> scores = scores_of(queries, rows, ids);
        std::size_t wrong = 0, other_bits = 0;
        for (std::size_t i = 0; i < n; ++i)
          for (std::size_t t = 0; t < count; ++t) {
            wrong += !tolerance::is_sum(scores(i, t), d, [&](std::size_t k) {
              return static_cast<double>(rows(ids[i], k)) * static_cast<double>(queries(t, k));
            });
            const matrix<T> query(queries.view().middle_rows(t, 1));
            other_bits += !same_bits(scores_of(query, rows, {ids[i]}).data(), &scores(i, t), 1);
          }
        CAPTURE(d, n, count);
        CHECK(wrong == 0);
        CHECK(other_bits == 0);
      }
    }
  }
}

TEST_CASE("score_items: rows with gaps, everywhere") {
  const matrix<float> wide_rows = random_matrix<float>(50, 40, 1);
  const matrix<float> wide_queries = random_matrix<float>(3, 40, 2);
  const auto rows = wide_rows.view().middle_cols(5, 19);
  const auto queries = wide_queries.view().middle_cols(9, 19);
  const std::vector<item_id> ids = random_ids(37, 50, 3);
  const matrix<float> expected = scores_of(matrix<float>(queries), matrix<float>(rows), ids);
  matrix<float> wide_scores(37, 8, 7.f);
  score_items(queries, rows, ids, wide_scores.view().middle_cols(2, 3));
  CHECK(same_bits(wide_scores.view().middle_cols(2, 3), expected));
  for (std::size_t i = 0; i < 37; ++i)
    for (const std::size_t j : size_list{0, 1, 5, 6, 7}) CHECK(wide_scores(i, j) == 7);
}

TEST_CASE("score_items: threads that each score a part of the ids") {
  const matrix<float> rows = random_matrix<float>(300, 24, 1);
  const matrix<float> queries = random_matrix<float>(4, 24, 2);
  const std::vector<item_id> ids = random_ids(1000, 300, 3);
  const matrix<float> expected = scores_of(queries, rows, ids);
  matrix<float> scores(1000, 4);
  thread_executor threads;
  threads.for_each(7, [&](std::size_t part) {
    const std::size_t begin = part * 143;
    const std::size_t count = std::min<std::size_t>(143, 1000 - begin);
    score_items(queries, rows, std::span<const item_id>(ids).subspan(begin, count),
                scores.view().middle_rows(begin, count));
  });
  CHECK(same_bits(scores, expected));
}

TEST_CASE("score_items: NaN and infinity stay with their row and query; never -0") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  matrix<float> rows(5, 20, 1.f), queries(3, 20, 1.f);
  rows(1, 19) = std::numeric_limits<float>::quiet_NaN();
  rows(2, 3) = -infinity;
  rows(3, 0) = infinity, rows(3, 1) = -infinity;
  for (float& v : rows.row(4)) v = -std::numeric_limits<float>::denorm_min();
  for (float& v : queries.row(1)) v = 0.001f;
  queries(2, 0) = std::numeric_limits<float>::quiet_NaN();
  const matrix<float> scores = scores_of(queries, rows, {0, 1, 2, 3, 4, 0});
  for (std::size_t t = 0; t < 2; ++t) {
    CHECK(std::isnan(scores(1, t)));
    CHECK(scores(2, t) == -infinity);
    CHECK(std::isnan(scores(3, t)));
    CHECK(scores(5, t) == scores(0, t));
  }
  CHECK(scores(0, 0) == 20);
  CHECK(scores(4, 1) == 0);
  CHECK_FALSE(std::signbit(scores(4, 1)));
  for (std::size_t i = 0; i < 6; ++i) CHECK(std::isnan(scores(i, 2)));
}

TEST_CASE("score_items: vectors of no values, no items, no ids, no queries") {
  const matrix<float> empty(4, 0), no_queries(0, 3), rows(4, 3), one(1, 3);
  const matrix<float> zeros = scores_of(matrix<float>(2, 0), empty, {3, 1});
  for (const float score : zeros.flat()) CHECK(score == 0);
  CHECK(scores_of(no_queries, rows, {3, 1}).rows() == 2);
  CHECK(scores_of(one, matrix<float>(0, 3), {}).rows() == 0);
}

TEST_CASE("score_items: what is refused, before anything is written") {
  const matrix<float> rows(5, 4), queries(2, 4), narrow(2, 3);
  const std::vector<item_id> ids{0, 4, 1};
  matrix<float> scores(3, 2, 7.f), shorter(2, 2), wider(3, 3);
  const auto score = [&](const auto& q, const std::vector<item_id>& of, matrix<float>& to) {
    return [&, of] { score_items(q, rows, of, to); };
  };
  CHECK(refuses(score(queries, {0, 4, 5}, scores), "funnel::score_items",
                "ids[2] is 5, expected below 5"));
  CHECK(refuses(score(queries, {4294967295u, 4, 5}, scores), "funnel::score_items",
                "ids[0] is 4294967295, expected below 5"));
  CHECK(refuses(score(narrow, ids, scores), "funnel::score_items",
                "queries has 3 columns, expected 4 as in rows"));
  CHECK(refuses(score(queries, ids, shorter), "funnel::score_items",
                "scores is [2, 2], expected [3, 2]"));
  CHECK(refuses(score(queries, ids, wider), "funnel::score_items",
                "scores is [3, 3], expected [3, 2]"));
  for (const float s : scores.flat()) CHECK(s == 7);
  std::vector<float> two(2);
  CHECK(refuses([&] { score_items(queries.row(0), rows, ids, two); }, "funnel::score_items",
                "scores is [2, 1], expected [3, 1]"));
}
