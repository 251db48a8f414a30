// SPDX-License-Identifier: MIT
#include <funnel/core/executor.hpp>
#ifdef FUNNEL_HAS_TBB
#include <funnel/adapters/tbb.hpp>
#endif
#include <funnel/index/flat_index.hpp>

#include "index/searches.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/threads.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <span>
#include <stdexcept>
#include <vector>

using funnel::flat_index;
using funnel::item_id;
using funnel::matrix;
using funnel::scored_item;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

std::vector<float> vector_of(const flat_index<>& index, item_id item) {
  std::vector<float> vector(index.dim());
  index.copy_vector(item, vector);
  return vector;
}

}  // namespace

TEST_CASE("flat_index: worked by hand") {
  matrix<float> vectors(4, 2);
  const float values[] = {1, 0, 0, 1, .6f, .8f, -1, 0};
  std::ranges::copy(values, vectors.flat().begin());
  const flat_index<> index(vectors);
  CHECK(index.size() == 4);
  CHECK(index.dim() == 2);
  CHECK(vector_of(index, 2) == std::vector<float>{.6f, .8f});
  const std::vector<float> query{1, 0};
  check_same(search(index, query, 3), {{0, 1.f}, {2, .6f}, {1, 0.f}});
}

TEST_CASE("flat_index: exact, ties to the lower item, any predicate, any k") {
  const auto all = funnel::all_items{};
  const auto odd = [](item_id item) { return item % 2 == 1; };
  const auto few = [](item_id item) { return item % 101 == 7; };
  const auto none = [](item_id) { return false; };
  for (const std::size_t n : size_list{1, 2, 255, 256, 257, 1000}) {
    for (const std::size_t d : size_list{1, 3, 16, 17}) {
      const matrix<float> vectors = whole_numbers(n, d, n + d);
      const matrix<float> query = whole_numbers(1, d, n * d);
      const flat_index<> index(vectors);
      const flat_index<funnel::scalar_arch> scalar(vectors);
      for (const std::size_t k : {std::size_t{0}, std::size_t{1}, std::size_t{10}, n, n + 5}) {
        check_same(search(index, query.row(0), k), naive(vectors, query.row(0), k, all));
        check_same(search(scalar, query.row(0), k), naive(vectors, query.row(0), k, all));
        check_same(search(index, query.row(0), k, odd), naive(vectors, query.row(0), k, odd));
        check_same(search(index, query.row(0), k, few), naive(vectors, query.row(0), k, few));
        CHECK(search(index, query.row(0), k, none).empty());
      }
    }
  }
}

TEST_CASE("flat_index: scores of real numbers, the same bits for every k") {
  constexpr std::size_t n = 700, d = 40;
  const matrix<float> vectors = random_matrix<float>(n, d, 1);
  const matrix<float> query = random_matrix<float>(1, d, 2);
  const flat_index<> index(vectors);
  const std::vector<scored_item> whole = search(index, query.row(0), n);
  std::set<item_id> seen;
  for (std::size_t i = 0; i < n; ++i) {
    double score = 0, magnitude = 0;
    for (std::size_t j = 0; j < d; ++j) {
      const double term =
          static_cast<double>(vectors(whole[i].item, j)) * static_cast<double>(query(0, j));
      score += term;
      magnitude += std::abs(term);
    }
    CHECK(tolerance::within(static_cast<double>(whole[i].score), score,
                            tolerance::reduction<float>(d, magnitude)));
    if (i > 0) CHECK(whole[i - 1].score >= whole[i].score);
    seen.insert(whole[i].item);
  }
  CHECK(seen.size() == n);
  for (const std::size_t k : size_list{1, 50, 699}) {
    check_same(search(index, query.row(0), k),
               std::vector<scored_item>(whole.begin(), whole.begin() + static_cast<long>(k)));
  }
}

TEST_CASE("flat_index: the slots behind what was found are left alone") {
  const matrix<float> vectors = whole_numbers(5, 2, 1);
  const flat_index<> index(vectors);
  const std::vector<float> query{1, 1};
  std::vector<scored_item> found(8, {77, -7});
  CHECK(index.search(query, found, [](item_id item) { return item > 2; }) == 2);
  for (std::size_t i = 2; i < 8; ++i) CHECK(found[i].item == 77);
}

TEST_CASE("flat_index: NaN scores come last, by item") {
  matrix<float> vectors(600, 2);
  for (std::size_t i = 0; i < 600; ++i)
    vectors(i, 0) = i % 3 == 0 ? not_a_number : static_cast<float>(i);
  vectors(1, 0) = -std::numeric_limits<float>::infinity();
  const flat_index<> index(vectors);
  const std::vector<float> query{1, 0};
  const std::vector<scored_item> found = search(index, query, 600);
  REQUIRE(found.size() == 600);
  CHECK(found[0].item == 599);
  CHECK(found[399].item == 1);  // -infinity, the last number
  for (std::size_t i = 400; i < 600; ++i) {
    CHECK(std::isnan(found[i].score));
    CHECK(found[i].item == (i - 400) * 3);
  }
  for (const scored_item& f : search(index, query, 400)) CHECK_FALSE(std::isnan(f.score));
  // A query that is not a number finds items in their order.
  const std::vector<float> unknown{not_a_number, 0};
  CHECK(items_of(search(index, unknown, 3)) == std::vector<item_id>{0, 1, 2});
}

TEST_CASE("flat_index: no items; a query of another length is refused") {
  const flat_index<> none;
  CHECK(none.size() == 0);
  CHECK(search(none, {}, 3).empty());
  const flat_index<> empty{matrix<float>(0, 4)};
  const std::vector<float> four{1, 2, 3, 4}, three{1, 2, 3};
  CHECK(empty.dim() == 4);
  CHECK(search(empty, four, 3).empty());
  const flat_index<> index{matrix<float>(2, 4)};
  CHECK(refuses([&] { search(index, three, 1); }, "funnel::flat_index::search",
                "query has 3 values, expected 4"));
  CHECK(refuses([&] { search(index, {}, 0); }, "funnel::flat_index::search", "expected 4"));
}

TEST_CASE("flat_index: keeps a copy of what it is given, rows with gaps too") {
  matrix<float> wide = whole_numbers(9, 6, 1);
  const matrix<float> middle(wide.view().middle_cols(2, 3));
  const flat_index<> index(wide.view().middle_cols(2, 3));
  std::ranges::fill(wide.flat(), 0.f);
  for (item_id i = 0; i < 9; ++i)
    CHECK(same_bits(vector_of(index, i).data(), middle.row(i).data(), 3));
  std::vector<float> two(2), three(3);
  CHECK(refuses([&] { index.copy_vector(9, three); }, "funnel::flat_index::copy_vector",
                "item is 9, expected below 9"));
  CHECK(refuses([&] { index.copy_vector(0, two); }, "funnel::flat_index::copy_vector",
                "vector has 2 values, expected 3"));
}

TEST_CASE("flat_index: many threads search one index") {
  const flat_index<> index(random_matrix<float>(3000, 24, 1));
  const matrix<float> queries = random_matrix<float>(20, 24, 2);
  std::vector<std::vector<scored_item>> found(20);
  thread_executor threads;
  threads.for_each(20, [&](std::size_t i) { found[i] = search(index, queries.row(i), 50); });
  for (std::size_t i = 0; i < 20; ++i) check_same(found[i], search(index, queries.row(i), 50));
}

TEST_CASE("flat_index: many queries at once find what each finds alone, to the bit") {
  const auto odd = [](item_id item) { return item % 2 == 1; };
  const auto few = [](item_id item) { return item % 101 == 7; };
  for (const std::size_t n : size_list{0, 1, 31, 64, 65, 1000, 2500}) {
    matrix<float> vectors = random_matrix<float>(n, 24, n);
    for (std::size_t i = 5; i < n; i += 97) vectors(i, 3) = not_a_number;
    const flat_index<> index(vectors);
    for (const std::size_t q : size_list{1, 2, 7, 8, 16, 33, 64, 65, 130}) {
      const matrix<float> queries = random_matrix<float>(q, 24, q);
      for (const std::size_t k : size_list{1, 10, 100}) {
        const auto agree = [&](const auto& admit) {
          std::vector<scored_item> found(q * (k + 1), {77, -7}), of_threads = found;
          const funnel::matrix_view<scored_item> rows(found.data(), q, k, k + 1);
          const std::size_t count = index.search(queries, rows, admit);
          funnel::arena scratch;
          thread_executor threads{3};
          CHECK(index.search(queries,
                             funnel::matrix_view<scored_item>(of_threads.data(), q, k, k + 1),
                             admit, threads, scratch) == count);
          bool same = true;
          for (std::size_t i = 0; i < q; ++i) {
            const std::vector<scored_item> alone = search(index, queries.row(i), k, admit);
            same = same && alone.size() == count &&
                   same_bits(alone.data(), rows.row(i).data(), count) &&
                   same_bits(found.data() + i * (k + 1), of_threads.data() + i * (k + 1), k + 1) &&
                   found[i * (k + 1) + k].item == 77;
          }
          INFO(n << " items, " << q << " queries, " << k << " of them");
          CHECK(same);
        };
        agree(funnel::all_items{});
        agree(odd);
        agree(few);
      }
    }
  }
}

TEST_CASE("flat_index: scores that rise, fall and repeat through more than one block") {
  constexpr std::size_t n = 5000;
  matrix<float> vectors(n, 3);
  for (std::size_t i = 0; i < n; ++i) {
    vectors(i, 0) = static_cast<float>(i);
    vectors(i, 1) = -static_cast<float>(i);
    vectors(i, 2) = static_cast<float>(i * 7919 % 97);
  }
  const flat_index<> index(vectors);
  const auto all = funnel::all_items{};
  for (std::size_t k = 0; k < 3; ++k) {
    std::vector<float> query(3);
    query[k] = 1;
    for (const std::size_t most : size_list{1, 4, 5, 6, 500, n})
      check_same(search(index, query, most), naive(vectors, query, most, all));
  }
}

TEST_CASE("flat_index: batches of queries that are refused") {
  const flat_index<> index{matrix<float>(2, 4)};
  const matrix<float> queries(3, 4), narrow(3, 5);
  std::vector<scored_item> found(30, {77, -7});
  const funnel::matrix_view<scored_item> two(found.data(), 2, 10), three(found.data(), 3, 10);
  CHECK(refuses([&] { index.search(queries, two); }, "funnel::flat_index::search",
                "found has 2 rows, expected 3 as in queries"));
  CHECK(refuses([&] { index.search(narrow, three); }, "funnel::flat_index::search",
                "query has 5 values, expected 4"));
  CHECK(found[0].item == 77);
}

TEST_CASE("flat_index: vectors of no values all score 0, and too many are refused") {
  for (const std::size_t n : size_list{0, 1, 7, 64, 1000}) {
    const funnel::flat_index<> index{matrix<float>(n, 0)};
    CHECK(index.size() == n);
    CHECK(index.dim() == 0);
    for (const std::size_t queries : size_list{1, 3, 40}) {
      matrix<funnel::scored_item> found(queries, 5);
      const std::size_t count = index.search(matrix<float>(queries, 0), found);
      REQUIRE(count == std::min<std::size_t>(n, 5));
      for (std::size_t q = 0; q < queries; ++q)
        for (std::size_t i = 0; i < count; ++i) {
          CHECK(found(q, i).item == i);
          CHECK(found(q, i).score == 0);
        }
    }
  }
  const funnel::matrix_view<const float> many(nullptr, (std::size_t{1} << 32) + 1, 0);
  CHECK(refuses([&] { funnel::flat_index<> index{many}; }, "funnel::flat_index",
                "vectors has 4294967297 rows, expected at most 2^32"));
}

TEST_CASE("flat_index: empty when moved from") {
  funnel::flat_index<> index{matrix<float>(9, 3)};
  const auto taken = std::move(index);
  CHECK(taken.size() == 9);
  CHECK(index.size() == 0);  // NOLINT(bugprone-use-after-move): what this is about
  CHECK(index.dim() == 0);
}

TEST_CASE("flat_index: what a predicate throws on a thread reaches the caller, and the index "
          "works on") {
  const flat_index<> index(random_matrix<float>(500, 4, 8));
  const matrix<float> queries = random_matrix<float>(3, 4, 9);
  const auto search_all = [&](auto& executor, const auto& admit) {
    matrix<scored_item> found(3, 6);
    funnel::arena scratch;
    index.search(queries, found, admit, executor, scratch);
    return std::vector<scored_item>(found.flat().begin(), found.flat().end());
  };
  funnel::serial_executor one;
  const auto expected = search_all(one, funnel::all_items{});
  const auto check = [&](auto executor) {
    const auto throws = [](item_id i) -> bool {
      if (i > 300) throw std::runtime_error("a predicate's");
      return true;
    };
    CHECK_THROWS_AS(search_all(executor, throws), std::runtime_error);
    const auto found = search_all(executor, funnel::all_items{});
    CHECK(same_bits(found.data(), expected.data(), expected.size()));
  };
  check(funnel::serial_executor{});
#ifdef FUNNEL_HAS_TBB
  check(funnel::tbb_executor(2));
#endif
}

TEST_CASE("flat_index: scores of given items have the bits that a search gives") {
  for (const std::size_t n : size_list{1, 31, 33, 700}) {
    for (const std::size_t d : size_list{0, 1, 17, 64, 256, 257}) {
      matrix<float> vectors = random_matrix<float>(n, d, n + d);
      if (d > 3 && n > 5) {
        vectors(2, 3) = not_a_number;
        vectors(3, 0) = std::numeric_limits<float>::infinity();
        for (float& v : vectors.row(4)) v = -0.f;
        for (float& v : vectors.row(5)) v = -std::numeric_limits<float>::denorm_min();
      }
      const flat_index<> index(vectors);
      for (const std::size_t count : size_list{0, 1, 4, 9}) {
        const matrix<float> queries = random_matrix<float>(count, d, d);
        std::vector<item_id> ids;  // all items, in another order, some of them twice
        for (std::size_t i = 0; i < n + n / 2; ++i) ids.push_back(static_cast<item_id>(i * 7 % n));
        matrix<float> scores(ids.size(), count + 2, 7.f);
        index.scores(queries, ids, scores.view().middle_cols(1, count));
        std::size_t other_bits = 0;
        for (std::size_t t = 0; t < count; ++t) {
          std::vector<float> expected(n), alone(ids.size());
          for (const scored_item& f : search(index, queries.row(t), n)) expected[f.item] = f.score;
          index.scores(queries.row(t), ids, alone);
          for (std::size_t i = 0; i < ids.size(); ++i) {
            other_bits += !same_bits(&scores(i, 1 + t), &expected[ids[i]], 1);
            other_bits += !same_bits(&alone[i], &expected[ids[i]], 1);
          }
        }
        for (std::size_t i = 0; i < ids.size(); ++i)
          other_bits += scores(i, 0) != 7 || scores(i, count + 1) != 7;
        CAPTURE(n, d, count);
        CHECK(other_bits == 0);
      }
    }
  }
}

TEST_CASE("flat_index: given items that are refused, before anything is written") {
  const flat_index<> index(matrix<float>(5, 4));
  const matrix<float> queries(2, 4), narrow(2, 3);
  const std::vector<item_id> ids{0, 4, 1}, unknown{0, 5, 6};
  matrix<float> scores(3, 2, 7.f), shorter(2, 2);
  CHECK(refuses([&] { index.scores(queries, unknown, scores); }, "funnel::flat_index::scores",
                "ids[1] is 5, expected below 5"));
  CHECK(refuses([&] { index.scores(narrow, ids, scores); }, "funnel::flat_index::scores",
                "query has 3 values, expected 4"));
  CHECK(refuses([&] { index.scores(queries, ids, shorter); }, "funnel::flat_index::scores",
                "out is [2, 2], expected [3, 2]"));
  for (const float s : scores.flat()) CHECK(s == 7);
  flat_index<>().scores(matrix<float>(1, 0), {}, matrix<float>(0, 1));
}
