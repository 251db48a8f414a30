// SPDX-License-Identifier: MIT
#include <funnel/adapters/hnswlib.hpp>
#include <funnel/index/flat_index.hpp>
#include <funnel/index/index_recall.hpp>
#include <funnel/index/vector_index.hpp>
#include <funnel/serving/model_slot.hpp>

#include "support/allocation.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/threads.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <set>
#include <span>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

// hnswlib draws a number of layers for each row from one generator without a lock. It is passed ours, and
// nobody reads what it drew.
#if defined(__SANITIZE_THREAD__)
extern "C" const char* __tsan_default_suppressions() {
  return "race:getRandomLevel\nrace:linear_congruential_engine\n";
}
#endif

using funnel::item_id;
using funnel::scored_item;
using hnsw = funnel::hnsw_index<>;

static_assert(funnel::VectorIndex<hnsw>);

namespace {

/// Options with which a search for 10 follows links from 640 items on, and scores all of fewer.
funnel::hnsw_options narrow() {
  return {.m = 4, .ef_construction = 40, .ef_search = 40};
}

template <class Index, class Admit = funnel::all_items>
std::vector<scored_item> best_of(const Index& index, std::span<const float> query, std::size_t k,
                                 const Admit& admit = {}) {
  std::vector<scored_item> found(k);
  found.resize(index.search(query, found, admit));
  return found;
}

funnel::matrix<float> unit_rows(std::size_t n, std::size_t d, std::uint64_t seed) {
  funnel::matrix<float> rows = random_matrix<float>(n, d, seed);
  for (std::size_t i = 0; i < n; ++i) {
    double squares = 0;
    for (const float v : rows.row(i)) squares += static_cast<double>(v) * static_cast<double>(v);
    for (float& v : rows.row(i))
      v = static_cast<float>(static_cast<double>(v) / std::sqrt(squares));
  }
  return rows;
}

/// The same items in the same order, with scores that are these inner products up to rounding.
template <class Vectors>
void check_exact(const std::vector<scored_item>& found, const std::vector<scored_item>& exact,
                 std::span<const float> query, const Vectors& vector_of) {
  REQUIRE(found.size() == exact.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::span<const float> vector = vector_of(found[i].item);
    CHECK(tolerance::is_sum(found[i].score, query.size(), [&](std::size_t k) {
      return static_cast<double>(query[k]) * static_cast<double>(vector[k]);
    }));
    // Two items whose scores differ by rounding alone may have changed places.
    if (found[i].item != exact[i].item)
      CHECK(tolerance::within(static_cast<double>(found[i].score),
                              static_cast<double>(exact[i].score),
                              tolerance::reduction<float>(query.size(), 10)));
    if (i > 0) CHECK(funnel::ranks_before(found[i - 1], found[i]));
  }
}

struct learned {
  funnel::matrix<float> users, items;
};

/// Vectors that are learned from clicks: users click the best of some items they are shown, by their
/// interests and by the items' popularity, and the clicked item is to score above a random one.
learned learn(std::size_t users, std::size_t items, std::size_t dim) {
  constexpr std::size_t clicks_each = 40, shown = 30, interests = 6;
  funnel::random_generator bits(7);
  const auto draw = [&](std::size_t n, std::size_t d, double deviation) {
    funnel::matrix<float> rows(n, d);
    for (std::size_t i = 0; i < n; ++i)
      for (float& v : rows.row(i))
        v = static_cast<float>(deviation * funnel::standard_normal(bits));
    return rows;
  };
  const auto product = [](std::span<const float> a, std::span<const float> b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.f);
  };
  const auto tastes = draw(users, interests, 1), topics = draw(items, interests, 1);
  const auto popularity = draw(items, 1, 1);
  learned l{draw(users, dim, .1), draw(items, dim, .1)};
  const auto any = [&] { return funnel::uniform_below(bits, items); };
  for (std::size_t click = 0; click < clicks_each * users; ++click) {
    const std::size_t user = click % users;
    std::size_t clicked = 0;
    float highest = -1e9f;
    for (std::size_t s = 0; s < shown; ++s) {
      const std::size_t item = any();
      const float liking = product(tastes.row(user), topics.row(item)) + popularity(item, 0);
      if (liking > highest) highest = liking, clicked = item;
    }
    const auto u = l.users.row(user), a = l.items.row(clicked), b = l.items.row(any());
    const float step = .1f / (1 + std::exp(product(u, a) - product(u, b)));
    for (std::size_t k = 0; k < dim; ++k) {
      const float to = a[k] - b[k];
      a[k] += step * u[k];
      b[k] -= step * u[k];
      u[k] += step * to;
    }
  }
  return l;
}

}  // namespace

TEST_CASE("hnsw_index: one thread builds the same index each time, any number a good one") {
  const auto vectors = unit_rows(800, 6, 13), queries = unit_rows(40, 6, 14);
  const funnel::hnsw_options options = narrow();
  const funnel::flat_index<> exact(vectors);
  const hnsw first(vectors, options), second(vectors, options);
  for (std::size_t q = 0; q < 40; ++q) {
    const auto a = best_of(first, queries.row(q), 10), b = best_of(second, queries.row(q), 10);
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
      CHECK((a[i].item == b[i].item && same_bits(&a[i].score, &b[i].score, 1)));
  }
  for (const std::size_t threads : size_list{1, 2, 4}) {
    thread_executor executor{threads};
    const hnsw index(vectors, options, executor);
    CHECK(index.size() == 800);
    CHECK(funnel::index_recall(index, exact, queries, 10) > .95);
    for (item_id i = 0; i < 800; i += 10) {
      const auto found = best_of(index, vectors.row(i), 1, [&](item_id item) { return item == i; });
      CHECK((found.size() == 1 && found[0].item == i));
    }
  }
}

TEST_CASE("hnsw_index: is replaced while threads search") {
  const auto vectors = unit_rows(700, 6, 1);
  funnel::model_slot<hnsw> slot;
  slot.publish(hnsw(vectors, narrow()));
  std::atomic<std::size_t> wrong{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t)
    readers.emplace_back([&] {
      for (int request = 0; request < 100; ++request) {
        const auto index = slot.get();
        for (item_id i = 0; i < 700; i += 100)
          if (best_of(*index, vectors.row(i), 10).size() != 10) ++wrong;
        std::this_thread::yield();
      }
    });
  for (int version = 2; version < 5; ++version) slot.publish(hnsw(vectors, narrow()));
  for (std::thread& reader : readers) reader.join();
  CHECK(wrong == 0);
  CHECK(slot.get().version() == 4);
  CHECK(slot.destroy_unused() == 0);
}

#if !defined(__SANITIZE_THREAD__)  // slow there, and without threads
TEST_CASE("hnsw_index: a worked example") {
  const float rows[] = {1, 0, 0, 1, 2, 2, -1, 0};
  hnsw index(funnel::matrix_view<const float>(rows, 4, 2), {.capacity = 6});
  CHECK(index.size() == 4);
  CHECK(index.dim() == 2);
  CHECK(index.free_slots() == 2);
  const float query[] = {1, 2};
  auto found = best_of(index, query, 3);
  REQUIRE(found.size() == 3);
  CHECK((found[0].item == 2 && found[0].score == 6));
  CHECK((found[1].item == 1 && found[1].score == 2));
  CHECK((found[2].item == 0 && found[2].score == 1));
  const float longer[] = {3, 3};
  index.set(0, longer);  // replaced
  CHECK(index.remove(2));
  CHECK(!index.remove(2));
  index.set(9, longer);  // added
  found = best_of(index, query, 10);
  REQUIRE(found.size() == 4);
  CHECK((found[0].item == 0 && found[0].score == 9));
  CHECK((found[1].item == 9 && found[1].score == 9));
  CHECK((found[2].item == 1 && found[3].item == 3));
  CHECK(found[3].score == -1);
  CHECK(index.free_slots() == 0);
  CHECK(index.dead_share() == 1. - 4. / 6);
}

TEST_CASE("hnsw_index: a small index finds what an exact search finds") {
  for (const std::size_t n : size_list{0, 1, 2, 17, 500})
    for (const std::size_t d : size_list{0, 1, 3, 16, 33}) {
      const auto vectors = random_matrix<float>(n, d, 1 + n),
                 queries = random_matrix<float>(3, d, 2);
      const hnsw index(vectors, narrow());
      const funnel::flat_index<> exact(vectors);
      const auto odd = [](item_id item) { return item % 2 == 1; };
      for (const std::size_t k : {std::size_t{0}, std::size_t{1}, std::size_t{10}, n, n + 3})
        for (std::size_t q = 0; q < 3; ++q) {
          const auto vector_of = [&](item_id item) { return vectors.row(item); };
          const auto query = queries.row(q);
          check_exact(best_of(index, query, k), best_of(exact, query, k), query, vector_of);
          check_exact(best_of(index, query, k, odd), best_of(exact, query, k, odd), query,
                      vector_of);
        }
    }
}

TEST_CASE("hnsw_index: finds 98 % of the best of learned vectors") {
  const learned l = learn(1000, 6000, 16);
  const hnsw index(l.items);
  const funnel::flat_index<> exact(l.items);
  const auto users = l.users.view().middle_rows(0, 100);
  std::size_t asked = 0;
  best_of(index, users.row(0), 20, [&](item_id) { return ++asked, true; });
  CHECK(asked < 3000);  // it followed links
  CHECK(funnel::index_recall(index, exact, users, 20) > .98);
  const auto half = [](item_id item) { return item % 2 == 0; };
  CHECK(funnel::index_recall(index, exact, users, 20, half) > .98);
  // Where a search scores all admitted items, rounding alone may exchange items.
  CHECK(funnel::index_recall(index, exact, users, 100) > .999);
  const auto few = [](item_id item) { return item % 100 == 0; };
  CHECK(funnel::index_recall(index, exact, users, 20, few) > .999);
}

TEST_CASE("hnsw_index: items that no links lead to are found as the others") {
  const auto vectors = unit_rows(3000, 24, 5);
  const funnel::hnsw_options options{.m = 2, .ef_construction = 10, .ef_search = 100};
  const hnsw index(vectors, options);
  // The same graph, which says which items these are.
  funnel::detail::hnsw_graph<funnel::default_arch> graph(24, 3000, 2, 10, 0);
  std::vector<unsigned> slots(3000);
  funnel::serial_executor serial;
  graph.add(vectors, slots, serial);
  const auto unreachable = graph.unreachable();
  REQUIRE(unreachable.size() > 20);
  CHECK(index.unreachable() == unreachable.size());
  for (const unsigned slot : unreachable) {
    const auto item = static_cast<item_id>(std::ranges::find(slots, slot) - slots.begin());
    CHECK(best_of(index, vectors.row(item), 1)[0].item == item);
  }
}

TEST_CASE("hnsw_index: finds each item if it is the only one admitted") {
  const auto vectors = unit_rows(1500, 8, 6);
  const hnsw index(vectors, {.m = 2, .ef_construction = 10, .ef_search = 20});
  const auto query = random_values<float>(8, 1);
  for (item_id i = 0; i < 1500; ++i) {
    const auto found = best_of(index, query, 5, [&](item_id item) { return item == i; });
    REQUIRE((found.size() == 1 && found[0].item == i));
  }
  CHECK(best_of(index, query, 5, [](item_id) { return false; }).empty());
}

TEST_CASE("hnsw_index: finds k of many equal vectors") {
  funnel::matrix<float> vectors(2000, 4);
  for (std::size_t i = 0; i < 2000; ++i) vectors(i, i < 1990 ? 0 : 1) = 1;
  const hnsw index(vectors, narrow());
  const std::vector<float> query{1, .5f, 0, 0};
  const auto found = best_of(index, query, 10);
  std::set<item_id> items;
  for (const scored_item& f : found) {
    CHECK(f.score == 1);
    items.insert(f.item);
  }
  CHECK(items.size() == 10);
  for (std::size_t i = 1; i < found.size(); ++i) CHECK(found[i - 1].item < found[i].item);
  const auto rare = best_of(index, query, 20, [](item_id item) { return item >= 1990; });
  REQUIRE(rare.size() == 10);
  for (std::size_t i = 0; i < 10; ++i) CHECK((rare[i].item == 1990 + i && rare[i].score == .5f));
}

TEST_CASE("hnsw_index: vectors of very different lengths") {
  auto vectors = random_matrix<float>(3000, 16, 8);
  for (std::size_t i = 0; i < 3000; ++i)
    for (float& v : vectors.row(i)) v *= std::exp(-static_cast<float>(i % 100) / 20);
  const hnsw index(vectors, {.m = 8, .ef_construction = 100, .ef_search = 80});
  const auto queries = random_matrix<float>(50, 16, 9);
  CHECK(funnel::index_recall(index, funnel::flat_index<>(vectors), queries, 10) > .98);
}

TEST_CASE("hnsw_index: agrees with a list of vectors while items come and go") {
  funnel::random_generator bits(3);
  const auto rows = random_matrix<float>(4000, 6, 4);
  hnsw index(rows.view().middle_rows(0, 0), {.m = 4, .ef_construction = 40, .capacity = 4000});
  std::vector<std::size_t> row_of(60, 4000);  // 4000: not there
  std::size_t next = 0, size = 0;
  for (int step = 0; step < 300; ++step) {
    std::vector<item_id> items(1 + funnel::uniform_below(bits, 4));
    const std::size_t first = next;
    for (item_id& item : items) {
      item = static_cast<item_id>(funnel::uniform_below(bits, 60));
      size += row_of[item] == 4000;
      row_of[item] = next++;
    }
    index.set(items, rows.view().middle_rows(first, items.size()));
    const auto gone = static_cast<item_id>(funnel::uniform_below(bits, 60));
    CHECK(index.remove(gone) == (row_of[gone] != 4000));
    size -= row_of[gone] != 4000;
    row_of[gone] = 4000;
    REQUIRE(index.size() == size);
    CHECK(index.free_slots() == 4000 - next);
    CHECK(index.dead_share() == 1. - static_cast<double>(size) / static_cast<double>(next));
    const auto query = rows.row(funnel::uniform_below(bits, 4000));
    std::vector<scored_item> exact;
    for (item_id i = 0; i < 60; ++i)
      if (row_of[i] != 4000)
        exact.push_back({i, funnel::dot_kernel(funnel::default_arch{}, query.data(),
                                               rows.row(row_of[i]).data(), 6) +
                                0.f});
    std::ranges::sort(exact, [](auto& a, auto& b) { return funnel::ranks_before(a, b); });
    check_exact(best_of(index, query, 60), exact, query,
                [&](item_id item) { return rows.row(row_of[item]); });
  }
}

TEST_CASE("hnsw_index: removed items are not found, and the others still are") {
  const auto vectors = unit_rows(3000, 12, 10);
  hnsw index(vectors, {.m = 8, .ef_construction = 60, .ef_search = 60, .capacity = 3300});
  const funnel::flat_index<> exact(vectors);
  for (item_id i = 0; i < 3000; ++i)
    if (i % 10 != 0) CHECK(index.remove(i));
  const auto tenth = [](item_id item) { return item % 10 == 0; };
  const auto queries = random_matrix<float>(50, 12, 11);
  const auto recall = [&] {
    std::size_t hits = 0;
    for (std::size_t q = 0; q < 50; ++q) {
      const auto found = best_of(index, queries.row(q), 10);
      REQUIRE(found.size() == 10);
      for (const scored_item& f : found) REQUIRE(tenth(f.item));
      for (const scored_item& e : best_of(exact, queries.row(q), 10, tenth))
        if (std::ranges::find(found, e.item, &scored_item::item) != found.end()) ++hits;
    }
    return static_cast<double>(hits) / 500;
  };
  CHECK(recall() > .98);
  CHECK(index.dead_share() == .9);
  // Put back: the same vectors in new slots.
  for (item_id i = 0; i < 3000; i += 10) index.set(i, vectors.row(i));
  CHECK(index.size() == 300);
  CHECK(index.free_slots() == 0);
  CHECK(recall() > .98);
}

TEST_CASE("hnsw_index: a replaced vector is never found again") {
  auto vectors = unit_rows(1500, 8, 12);
  hnsw index(vectors, {.m = 4, .ef_construction = 40, .ef_search = 40, .capacity = 3000});
  std::vector<item_id> all(1500);
  std::iota(all.begin(), all.end(), item_id{0});
  for (std::size_t i = 0; i < 1500; ++i)
    for (float& v : vectors.row(i)) v = -v;
  index.set(all, vectors);
  CHECK(index.size() == 1500);
  CHECK(index.dead_share() == .5);
  for (item_id i = 0; i < 1500; i += 7)
    for (const scored_item& f : best_of(index, vectors.row(i), 10))
      CHECK(tolerance::is_sum(f.score, 8, [&](std::size_t k) {
        return static_cast<double>(vectors(i, k)) * static_cast<double>(vectors(f.item, k));
      }));
}

TEST_CASE("hnsw_index: searches do not allocate after the first") {
  const auto vectors = unit_rows(1500, 8, 15);
  const hnsw index(vectors, narrow());
  std::vector<scored_item> found(10);
  const auto search = [&](std::size_t i) {
    index.search(vectors.row(i), found);
    index.search(vectors.row(i), found, [](item_id item) { return item % 2 == 0; });
    index.search(vectors.row(i), found, [](item_id item) { return item % 100 == 0; });
  };
  for (std::size_t i = 0; i < 200; ++i) search(i);
  CHECK(allocations_of([&] {
          for (std::size_t i = 0; i < 200; ++i) search(i);
        }) == 0);
}

TEST_CASE("hnsw_index: can be moved, and is empty then") {
  const auto vectors = unit_rows(50, 4, 16);
  hnsw index(vectors, {.capacity = 60});
  hnsw moved = std::move(index);
  CHECK(best_of(moved, vectors.row(3), 1)[0].item == 3);
  CHECK(index.size() == 0);
  CHECK(index.free_slots() == 0);
  moved.set(77, vectors.row(0));
  CHECK(moved.size() == 51);
  index = std::move(moved);
  CHECK(index.size() == 51);
  const hnsw none;
  CHECK((none.size() == 0 && none.dim() == 0 && none.free_slots() == 0 && none.dead_share() == 0));
  std::vector<scored_item> found(3);
  CHECK(none.search({}, found) == 0);
}

TEST_CASE("hnsw_index: refuses options outside of their ranges") {
  const auto vectors = unit_rows(3, 2, 17);
  const auto refused = [&](const funnel::hnsw_options& options, std::string_view words) {
    return refuses([&] { hnsw index(vectors, options); }, "funnel::hnsw_index", words);
  };
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  for (const std::size_t m :
       {std::size_t{0}, std::size_t{1}, std::size_t{1025}, most / 2 + 1, most})
    CHECK(refused({.m = m}, "expected 2 to 1024"));
  CHECK(refused({.ef_construction = 0}, "ef_construction is 0, expected 1 or more"));
  CHECK(refused({.capacity = 2}, "capacity is 2, expected the number of rows, 3, or more"));
  for (const std::size_t capacity : {std::size_t{1} << 31, most / 2 + 1, most})
    CHECK(refused({.capacity = capacity}, "at most 2147483647"));
  const hnsw wide(vectors, {.m = 1024, .ef_construction = most, .ef_search = most, .seed = most});
  CHECK(best_of(wide, vectors.row(0), 5).size() == 3);
}

TEST_CASE("hnsw_index: refuses other shapes and values that are not finite, and is as before") {
  const auto vectors = unit_rows(5, 3, 18);
  hnsw index(vectors, {.capacity = 6});
  std::vector<scored_item> found(2);
  const std::vector<float> shorter(2);
  CHECK(refuses([&] { index.search(shorter, found); }, "funnel::hnsw_index::search",
                "query has 2 values, expected 3"));
  CHECK(refuses([&] { index.set(1, shorter); }, "funnel::hnsw_index::set",
                "vectors has 2 columns, expected 3"));
  const std::vector<item_id> two{7, 8};
  CHECK(refuses([&] { index.set(two, vectors); }, "funnel::hnsw_index::set",
                "vectors has 5 rows, expected 2 as in items"));
  CHECK(refuses([&] { index.set(two, vectors.view().middle_rows(0, 2)); },
                "funnel::hnsw_index::set", "items has 2 values, expected at most 1"));
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    std::vector<float> vector{0, bad, 0};
    CHECK(refuses([&] { index.search(vector, found); }, "funnel::hnsw_index::search",
                  "query[1] is "));
    CHECK(refuses([&] { index.set(1, vector); }, "funnel::hnsw_index::set",
                  "vectors, row 0: value[1] is "));
    funnel::matrix<float> rows(2, 3);
    rows(1, 2) = bad;
    CHECK(
        refuses([&] { hnsw refused(rows); }, "funnel::hnsw_index", "vectors, row 1: value[2] is "));
  }
  CHECK(index.size() == 5);
  CHECK(index.free_slots() == 1);
  // The largest numbers there are: products overflow, and order is kept as far as it exists.
  const std::vector<float> largest(3, std::numeric_limits<float>::max());
  index.set(5, largest);
  CHECK(best_of(index, largest, 6)[0].score == std::numeric_limits<float>::infinity());
}
#endif
