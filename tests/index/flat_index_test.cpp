// SPDX-License-Identifier: MIT
#include <funnel/core/executor.hpp>
#ifdef FUNNEL_HAS_TBB
#include <funnel/adapters/tbb.hpp>
#endif
#include <funnel/index/flat_index.hpp>

#include "index/searches.hpp"
#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/threads.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
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

template <class Index>
std::vector<float> vector_of(const Index& index, item_id item) {
  std::vector<float> vector(index.dim());
  index.copy_vector(item, vector);
  return vector;
}

template <class Value>
using index_of = flat_index<funnel::default_arch, Value>;

/// The values that an index keeps of these.
template <class Value>
matrix<float> as_stored(matrix<float> values) {
  for (float& v : values.flat()) {
    if constexpr (std::same_as<Value, funnel::float16>) v = funnel::to_float(funnel::to_float16(v));
    if constexpr (std::same_as<Value, funnel::bfloat16>)
      v = funnel::to_float(funnel::to_bfloat16(v));
  }
  return values;
}

#define STORED_VALUES float, funnel::float16, funnel::bfloat16, std::int8_t

/// Vectors and queries that are hard for bounds: huge, tiny, of a few values, with one value far
/// above the others, repeated, or such that products cancel.
matrix<float> hard_vectors(std::size_t n, std::size_t d, std::uint64_t seed) {
  matrix<float> values = random_matrix<float>(n, d, seed);
  funnel::random_generator bits(seed + 1000);
  const std::uint64_t kind = bits() % 8;
  for (std::size_t i = 0; i < n; ++i) {
    const auto row = values.row(i);
    const float scale = std::ldexp(1.f, static_cast<int>(bits() % 250) - 140);
    for (std::size_t k = 0; k < d; ++k) {
      if (kind == 1 || kind == 2) row[k] *= scale;
      if (kind == 3 && bits() % 8 != 0) row[k] = 0;
      if (kind == 4 && k == 0) row[k] *= 1000;
      if (kind == 5 && i > 0 && bits() % 2 == 0) row[k] = values(i - 1, k);
      if (kind == 6 && k % 2 == 1) row[k] = -row[k - 1] + 1e-6f * row[k];
      if (kind == 7) row[k] = std::floor(3 * row[k]);
    }
  }
  return values;
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

TEMPLATE_TEST_CASE("flat_index: items that come, change and go, worked by hand", "",
                   STORED_VALUES) {
  index_of<TestType> index(2);
  CHECK(index.dim() == 2);
  CHECK(index.end_id() == 0);
  const std::vector<float> query{1, 0};
  CHECK(search(index, query, 3).empty());
  CHECK(index.set(3, std::vector<float>{.5f, 0}));
  CHECK(index.set(1, std::vector<float>{-2, 7}));
  CHECK(index.size() == 2);
  CHECK(index.end_id() == 4);
  CHECK_FALSE(index.contains(2));
  // Absent items would have a score of 0.
  check_same(search(index, query, 3), {{3, .5f}, {1, -2.f}});
  CHECK_FALSE(index.set(1, std::vector<float>{4, 1}));
  CHECK(vector_of(index, 1) == std::vector<float>{4, 1});
  check_same(search(index, query, 3), {{1, 4.f}, {3, .5f}});
  CHECK(index.remove(1));
  CHECK_FALSE(index.remove(1));
  CHECK_FALSE(index.remove(2));
  CHECK_FALSE(index.remove(4000000000));
  CHECK_FALSE(index.contains(1));
  CHECK(index.size() == 1);
  CHECK(index.end_id() == 4);
  check_same(search(index, query, 3), {{3, .5f}});
  CHECK(index.set(1, std::vector<float>{1, 0}));
  check_same(search(index, query, 3), {{1, 1.f}, {3, .5f}});
  index_of<TestType> copy;
  copy = index;
  CHECK(copy.remove(3));
  CHECK(index.contains(3));
  index = std::move(copy);
  check_same(search(index, query, 3), {{1, 1.f}});
  CHECK(copy.size() == 0);  // NOLINT(bugprone-use-after-move): what this is about
  CHECK(copy.end_id() == 0);
}

TEMPLATE_TEST_CASE("flat_index: stored in any type, it is the index of what is stored", "",
                   STORED_VALUES) {
  for_each_arch([]<class Arch>(Arch) {
    for (const std::size_t n : size_list{0, 1, 33, 700, 2500}) {
      for (const std::size_t d : size_list{0, 1, 7, 64, 257}) {
        if (n * d > 200000) continue;
        const matrix<float> vectors = random_matrix<float>(n, d, n + d);
        const flat_index<Arch, TestType> index(vectors);
        const flat_index<Arch> plain(as_stored<TestType>(vectors));
        const matrix<float> queries = random_matrix<float>(20, d, d);
        const auto few = [](item_id item) { return item % 3 == 1; };
        const auto agree = [&](const auto& admit) {
          for (const std::size_t k : size_list{1, 10, 100}) {
            matrix<scored_item> expected(20, k), found(20, k), of_threads(20, k);
            const std::size_t count = plain.search(queries, expected, admit);
            REQUIRE(index.search(queries, found, admit) == count);
            funnel::arena scratch;
            thread_executor threads{3};
            REQUIRE(index.search(queries, of_threads, admit, threads, scratch) == count);
            bool same = same_bits(found.view(), expected.view()) &&
                        same_bits(of_threads.view(), expected.view());
            for (std::size_t q = 0; q < 20; q += 7) {
              const auto alone = search(index, queries.row(q), k, admit);
              same = same && alone.size() == count &&
                     same_bits(alone.data(), expected.row(q).data(), count);
            }
            INFO(n << " items of " << d << ", " << k << " of them");
            CHECK(same);
          }
        };
        agree(funnel::all_items{});
        agree(few);
        std::vector<item_id> ids;
        for (std::size_t i = 0; i < n + n / 2; ++i) ids.push_back(static_cast<item_id>(i * 7 % n));
        matrix<float> scores(ids.size(), 20), expected = scores;
        index.scores(queries, ids, scores);
        plain.scores(queries, ids, expected);
        CHECK(same_bits(scores.view(), expected.view()));
      }
    }
  });
}

TEST_CASE("flat_index: int8 finds what float finds, to the bit, whatever the vectors are") {
  for_each_arch([]<class Arch>(Arch) {
    for (std::uint64_t seed = 0; seed < 48; ++seed) {
      const std::size_t n = 1 + seed * 37 % 900, d = 1 + seed * 5 % 70;
      const matrix<float> vectors = hard_vectors(n, d, seed);
      matrix<float> queries = hard_vectors(9, d, seed + 77);
      if (seed % 5 == 0) {
        queries(1, 0) = not_a_number;
        queries(2, d - 1) = std::numeric_limits<float>::infinity();
        std::ranges::fill(queries.row(3), 0.f);
      }
      const flat_index<Arch> plain(vectors);
      const flat_index<Arch, std::int8_t> index(vectors);
      for (const std::size_t k : size_list{1, 7, 120}) {
        matrix<scored_item> expected(9, k), found(9, k);
        const std::size_t count = plain.search(queries, expected);
        REQUIRE(index.search(queries, found) == count);
        CAPTURE(seed, n, d, k);
        CHECK(same_bits(found.view(), expected.view()));
      }
    }
  });
}

TEST_CASE("flat_index: int8 bounds of vectors so small that their lengths are rounded by much") {
  constexpr float least = std::numeric_limits<float>::denorm_min();
  flat_index<> plain(2);
  index_of<std::int8_t> index(2);
  const auto set = [&](item_id item, float a, float b) {
    const std::vector<float> vector{a * least, b * least};
    plain.set(item, vector);
    index.set(item, vector);
  };
  // In panels apart, as bounds are common to a panel: 2.91, and 2.97 of a vector 2.24 long.
  set(0, 0, 3);
  set(100, 2, 1);
  const std::vector<float> query{1e30f, .97e30f};
  CHECK(search(plain, query, 1)[0].item == 100);
  check_same(search(index, query, 1), search(plain, query, 1));
}

TEST_CASE("flat_index: half the bytes find almost the same items") {
  constexpr std::size_t n = 20000, d = 64, k = 100, asked = 10;
  // Vectors of length 1 in 50 clusters, as a two-tower model learns them.
  const matrix<float> centers = random_matrix<float>(50, d, 1);
  const auto make = [&](std::size_t count, std::uint64_t seed) {
    matrix<float> vectors = random_matrix<float>(count, d, seed);
    for (std::size_t i = 0; i < count; ++i) {
      float squares = 0;
      for (std::size_t j = 0; j < d; ++j) {
        vectors(i, j) += centers(i % 50, j);
        squares += vectors(i, j) * vectors(i, j);
      }
      for (float& v : vectors.row(i)) v /= std::sqrt(squares);
    }
    return vectors;
  };
  const matrix<float> vectors = make(n, 2), queries = make(asked, 3);
  const flat_index<> exact(vectors);
  const auto recall = [&](const auto& index) {
    std::size_t hits = 0;
    for (std::size_t q = 0; q < asked; ++q) {
      std::set<item_id> right;
      for (const scored_item& s : search(exact, queries.row(q), k)) right.insert(s.item);
      for (const scored_item& s : search(index, queries.row(q), k)) hits += right.count(s.item);
    }
    return static_cast<double>(hits) / (k * asked);
  };
  CHECK(recall(index_of<std::int8_t>(vectors)) == 1);
  CHECK(recall(index_of<funnel::float16>(vectors)) >= .999);
  CHECK(recall(index_of<funnel::bfloat16>(vectors)) >= .98);
}

TEMPLATE_TEST_CASE("flat_index: absent items are not found, whatever the scores", "",
                   STORED_VALUES) {
  index_of<TestType> index(3);
  const std::vector<float> low{-1, -2, -3}, query{1, 1, 1};
  for (item_id i = 0; i < 3000; i += 7) index.set(i, low);
  for (item_id i = 0; i < 3000; i += 21) index.remove(i);
  const std::vector<scored_item> found = search(index, query, 3000);
  CHECK(found.size() == index.size());
  for (const scored_item& s : found) CHECK((s.item % 7 == 0 && s.item % 21 != 0 && s.score == -6));
  // A query that is not a number, too: its scores are none.
  const std::vector<float> unknown(3, not_a_number);
  CHECK(search(index, unknown, 3000).size() == index.size());
}

TEMPLATE_TEST_CASE("flat_index: ids too far away, vectors that do not fit", "", STORED_VALUES) {
  index_of<TestType> index(2);
  const std::vector<float> two{1, 2}, three{1, 2, 3};
  CHECK(refuses([&] { index.set(0, three); }, "funnel::flat_index::set",
                "vector has 3 values, expected 2"));
  CHECK(refuses([&] { index.set(65536, two); }, "funnel::flat_index::set",
                "item is 65536, expected below 65536"));
  CHECK(index.end_id() == 0);
  CHECK(index.set(65535, two));
  CHECK(refuses([&] { index.set(131072, two); }, "funnel::flat_index::set", "below 131072"));
  index.reserve(200000);
  CHECK(index.set(199999, two));
  index.reserve(5);
  CHECK(index.size() == 2);
  CHECK(index.end_id() == 200000);
  CHECK(refuses([&] { index.reserve((std::size_t{1} << 32) + 1); }, "funnel::flat_index::reserve",
                "end is 4294967297, expected at most 2^32"));
  CHECK(refuses([&] { index.reserve(std::numeric_limits<std::size_t>::max()); },
                "funnel::flat_index::reserve", "expected at most 2^32"));
  std::vector<float> copied(2);
  CHECK(refuses([&] { index.copy_vector(7, copied); }, "funnel::flat_index::copy_vector",
                "item is 7, which was removed or never set, expected an item"));
  matrix<float> out(2, 1);
  const std::vector<item_id> ids{65535, 3};
  CHECK(refuses([&] { index.scores(matrix<float>(1, 2), ids, out); }, "funnel::flat_index::scores",
                "ids[1] is 3, which was removed or never set, expected an item"));
  const std::size_t huge = std::size_t{1} << 62;
  if constexpr (std::same_as<TestType, std::int8_t>) {
    CHECK(refuses([&] { index_of<TestType> wide(16385); }, "funnel::flat_index",
                  "dim is 16385, expected at most 16384"));
    CHECK(index_of<TestType>(16384).dim() == 16384);
  } else {
    index_of<TestType> wide(huge);
    CHECK(refuses([&] { wide.reserve(1); }, "funnel::flat_index", "items x dim is"));
  }
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float value : {not_a_number, infinity, -infinity, 65520.f, 3.4e38f}) {
    const bool stored = std::same_as<TestType, float> ||
                        (std::isfinite(value) && std::same_as<TestType, std::int8_t>) ||
                        (value == 65520.f && std::same_as<TestType, funnel::bfloat16>);
    index_of<TestType> other(2);
    const std::vector<float> vector{1, value};
    matrix<float> rows(2, 2);
    rows(1, 1) = value;
    if (stored) {
      CHECK(other.set(1, vector));
      CHECK(index_of<TestType>(rows).size() == 2);
    } else {
      CHECK(refuses([&] { other.set(1, vector); }, "funnel::flat_index::set",
                    ", expected a finite number that can be stored"));
      CHECK(refuses([&] { index_of<TestType> made(rows); }, "funnel::flat_index",
                    "vectors[1][1] is "));
      CHECK(other.end_id() == 0);
    }
  }
}

TEMPLATE_TEST_CASE("flat_index: what was reserved is not moved", "", STORED_VALUES) {
  index_of<TestType> grown(5), made(random_matrix<float>(1000, 5, 1));
  grown.reserve(1000);
  const matrix<float> vectors = random_matrix<float>(1000, 5, 1),
                      query = random_matrix<float>(1, 5, 2);
  for (item_id i = 1000; i-- > 0;) grown.set(i, vectors.row(i));
  CHECK(grown.size() == 1000);
  check_same(search(grown, query.row(0), 50), search(made, query.row(0), 50));
}
