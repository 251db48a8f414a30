// SPDX-License-Identifier: MIT
// flat_index, changed and searched at random, against a map of vectors. FUNNEL_CHANGES_SECONDS=600
// goes on for ten minutes, with other worlds all the time.
#include <funnel/core/arena.hpp>
#include <funnel/core/random.hpp>
#include <funnel/index/flat_index.hpp>

#include "index/searches.hpp"
#include "support/catch.hpp"
#include "support/threads.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

using funnel::item_id;
using funnel::matrix;
using funnel::scored_item;

namespace {

/// Calls test(seed) for `worlds` seeds, or for as many seconds as the environment says.
template <class Test>
void for_each_world(std::uint64_t worlds, const Test& test) {
  using clock = std::chrono::steady_clock;
  const char* seconds = std::getenv("FUNNEL_CHANGES_SECONDS");
  if (seconds == nullptr) {
    for (std::uint64_t seed = 0; seed < worlds; ++seed) test(seed);
    return;
  }
  const auto end = clock::now() + std::chrono::seconds(std::atoi(seconds));
  std::uint64_t seed = worlds;
  for (; clock::now() < end; ++seed) test(seed);
  std::printf("%llu worlds\n", static_cast<unsigned long long>(seed - worlds));
}

/// One index and the map that it must be equal to. Vectors and queries are whole numbers times powers
/// of 2, so that all sums are exact and many are equal.
template <class Value>
struct world {
  funnel::random_generator bits;
  std::size_t dim, ids;
  funnel::flat_index<funnel::default_arch, Value> index;
  std::map<item_id, std::vector<float>> model;

  explicit world(std::uint64_t seed)
      : bits(seed), dim(1 + bits() % 20), ids(1 + bits() % (bits() % 4 == 0 ? 3000 : 100)),
        index(dim) {
    if (bits() % 2 == 0) {  // starts with some
      const std::size_t n = bits() % ids;
      matrix<float> vectors(n, dim);
      for (std::size_t i = 0; i < n; ++i) {
        model[static_cast<item_id>(i)] = vector();
        std::ranges::copy(model[static_cast<item_id>(i)], vectors.row(i).begin());
      }
      index = funnel::flat_index<funnel::default_arch, Value>(vectors);
    }
  }

  std::vector<float> vector() {
    const float scale = std::ldexp(1.f, static_cast<int>(bits() % 5) - 2);
    std::vector<float> values(dim);
    for (float& v : values) v = scale * static_cast<float>(static_cast<int>(bits() % 15) - 7);
    return values;
  }
  item_id item() { return static_cast<item_id>(bits() % ids); }

  template <class Admit>
  std::vector<scored_item> expected(const std::vector<float>& query, std::size_t k,
                                    const Admit& admit) const {
    std::vector<scored_item> all;
    for (const auto& [i, v] : model) {
      float score = 0;
      for (std::size_t j = 0; j < dim; ++j) score += query[j] * v[j];
      if (admit(i)) all.push_back({i, score});
    }
    std::ranges::sort(all, [](const scored_item& a, const scored_item& b) {
      return a.score > b.score || (a.score == b.score && a.item < b.item);
    });
    all.resize(std::min(k, all.size()));
    return all;
  }

  bool searches_right() {
    const std::size_t k = bits() % 3 == 0 ? bits() % (ids + 3) : bits() % 6, q = 1 + bits() % 3;
    std::vector<std::uint64_t> words(ids / 64 + 1, ~std::uint64_t{0});
    if (bits() % 2 == 0)
      for (std::uint64_t& word : words) word = bits();
    const funnel::item_bitmap admit{words};
    matrix<float> queries(q, dim);
    matrix<scored_item> found(q, k), of_threads(q, k);
    for (std::size_t i = 0; i < q; ++i) std::ranges::copy(vector(), queries.row(i).begin());
    const std::size_t count = index.search(queries, found, admit);
    funnel::arena scratch;
    funnel::serial_executor serial;
    thread_executor threads{2};
    bool right =
        count == (bits() % 16 == 0 ? index.search(queries, of_threads, admit, threads, scratch)
                                   : index.search(queries, of_threads, admit, serial, scratch));
    for (std::size_t i = 0; i < q; ++i) {
      const std::vector<float> query(queries.row(i).begin(), queries.row(i).end());
      const std::vector<scored_item> wanted = expected(query, k, admit);
      right = right && wanted.size() == count;
      for (std::size_t j = 0; right && j < count; ++j)
        right = found(i, j).item == wanted[j].item && found(i, j).score == wanted[j].score &&
                of_threads(i, j).item == wanted[j].item &&
                of_threads(i, j).score == wanted[j].score;
    }
    return right;
  }

  bool step() {
    switch (bits() % 8) {
    case 0:
    case 1:
    case 2: {
      const item_id i = item();
      const bool is_new = !model.contains(i);
      model[i] = vector();
      return index.set(i, model[i]) == is_new;
    }
    case 3:
    case 4: {
      const item_id i = item();
      return index.remove(i) == (model.erase(i) == 1);
    }
    case 5: {
      const item_id i = item();
      if (!model.contains(i)) return !index.contains(i);
      std::vector<float> kept(dim);
      index.copy_vector(i, kept);
      const std::vector<float> query = vector();
      float score = -1;
      index.scores(query, std::vector<item_id>{i}, std::span(&score, 1));
      float right = 0;
      for (std::size_t j = 0; j < dim; ++j) right += query[j] * model[i][j];
      return index.contains(i) && kept == model[i] && score == right;
    }
    case 6: {
      if (bits() % 8 == 0) {
        const auto copy = index;
        index = copy;
      }
      if (bits() % 8 == 0) index.reserve(bits() % (2 * ids));
      return index.size() == model.size() &&
             (model.empty() || model.rbegin()->first < index.end_id());
    }
    default:
      return searches_right();
    }
  }
};

}  // namespace

TEMPLATE_TEST_CASE("flat_index: changed and searched in any order against a map", "", float,
                   funnel::float16, funnel::bfloat16, std::int8_t) {
  for_each_world(25, [](std::uint64_t seed) {
    world<TestType> w(seed);
    for (std::size_t step = 0; step < 120; ++step) {
      if (w.step()) continue;
      FAIL("world " << seed << ", step " << step);
    }
  });
}

TEST_CASE("flat_index: int8 that changes finds what float that changes finds, to the bit") {
  for_each_world(60, [](std::uint64_t seed) {
    funnel::random_generator bits(seed);
    // Bounds are close to scores where vectors are short, and alike but for their lengths.
    const std::size_t dim = 1 + bits() % 6, ids = 20 + bits() % 100, k = 1 + bits() % 4;
    funnel::flat_index<> plain(dim);
    funnel::flat_index<funnel::default_arch, std::int8_t> index(dim);
    const matrix<float> common = random_matrix<float>(1, dim, seed);
    bool same = true;
    for (std::size_t step = 0; step < 300; ++step) {
      const auto item = static_cast<item_id>(bits() % ids);
      matrix<float> vector = random_matrix<float>(1, dim, bits());
      const float length = std::ldexp(1.f, static_cast<int>(bits() % 12) - 6);
      for (std::size_t j = 0; j < dim; ++j)
        vector(0, j) = length * (common(0, j) + .01f * vector(0, j));
      if (bits() % 4 == 0) {
        same = same && plain.remove(item) == index.remove(item);
      } else {
        same = same && plain.set(item, vector.row(0)) == index.set(item, vector.row(0));
      }
      const matrix<float> query = random_matrix<float>(1, dim, bits());
      const std::vector<scored_item> expected = search(plain, query.row(0), k);
      const std::vector<scored_item> found = search(index, query.row(0), k);
      same = same && found.size() == expected.size() &&
             same_bits(found.data(), expected.data(), found.size());
    }
    INFO("world " << seed);
    CHECK(same);
  });
}

TEMPLATE_TEST_CASE("flat_index: searched by several threads and changed by one with a lock", "",
                   float, std::int8_t) {
  for_each_world(1, [](std::uint64_t seed) {
    constexpr std::size_t dim = 8, ids = 300;
    funnel::flat_index<funnel::default_arch, TestType> index(dim);
    std::shared_mutex mutex;
    const matrix<float> vectors = random_matrix<float>(ids, dim, seed);
    std::vector<std::size_t> wrong(3);
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 3; ++t)
      threads.emplace_back([&, t] {
        std::vector<scored_item> found(20);
        std::vector<item_id> items;
        std::vector<float> scores;
        for (std::size_t i = 0; i < 200; ++i) {
          const std::span<const float> query = vectors.row((i * 7 + t) % ids);
          const std::shared_lock lock(mutex);
          const std::size_t count = index.search(query, found);
          wrong[t] += count != std::min<std::size_t>(20, index.size());
          items = items_of(
              std::vector<scored_item>(found.begin(), found.begin() + static_cast<long>(count)));
          scores.resize(count);
          index.scores(query, items, scores);  // throws if one of them is absent
          for (std::size_t j = 0; j < count; ++j) wrong[t] += scores[j] != found[j].score;
        }
      });
    funnel::random_generator bits(seed);
    for (std::size_t i = 0; i < 600; ++i) {
      const auto item = static_cast<item_id>(bits() % ids);
      const std::unique_lock lock(mutex);
      if (bits() % 3 == 0)
        index.remove(item);
      else
        index.set(item, vectors.row(bits() % ids));
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == std::vector<std::size_t>(3));
  });
}
