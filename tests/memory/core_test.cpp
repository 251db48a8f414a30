// SPDX-License-Identifier: MIT
#include <funnel/core/arena.hpp>
#include <funnel/core/candidates.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/row_cache.hpp>
#include <funnel/core/sparse_matrix.hpp>
#include <funnel/core/top_k.hpp>
#ifdef FUNNEL_HAS_TBB
#include <funnel/adapters/tbb.hpp>
#endif
#include <funnel/index/flat_index.hpp>
#include <funnel/index/neighbor_table.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/preranking/item_tower_cache.hpp>
#include <funnel/retrieval/neighbor_expander.hpp>
#include <funnel/sequence/category_index.hpp>
#include <funnel/sequence/history_search.hpp>
#include <funnel/sequence/sampling.hpp>
#include <funnel/serving/model_slot.hpp>

#include "support/failing_allocator.hpp"
#include "support/matrices.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using failing_allocator::check_every_failure;
using funnel::matrix;

namespace {

std::vector<float> values_of(const matrix<float>& m) {
  std::vector<float> values{static_cast<float>(m.rows()), static_cast<float>(m.cols())};
  for (std::size_t i = 0; i < m.rows(); ++i)
    values.insert(values.end(), m.row(i).begin(), m.row(i).end());
  return values;
}

std::vector<funnel::scored_item> search(const funnel::flat_index<>& index) {
  std::vector<funnel::scored_item> found(5);
  found.resize(index.search(std::vector<float>(index.dim(), 1), found));
  return found;
}
std::vector<float> found_by(const funnel::flat_index<>& index) {
  std::vector<float> all{static_cast<float>(index.size())};
  for (const auto& f : search(index)) all.insert(all.end(), {static_cast<float>(f.item), f.score});
  return all;
}

using lists = std::vector<std::vector<std::uint32_t>>;

lists lists_of(const funnel::category_index& index) {
  lists all;
  for (funnel::category_id c = 0; c < 70; ++c) {
    for (const funnel::category_id factor : {1u, 100003u}) {
      const auto found = index.find(c * factor);
      all.emplace_back(found.begin(), found.end());
    }
  }
  return all;
}

std::vector<funnel::category_id> history(std::size_t n, funnel::category_id factor) {
  std::vector<funnel::category_id> categories(n);
  for (std::size_t i = 0; i < n; ++i)
    categories[i] = static_cast<funnel::category_id>(i * i % 67) * factor;
  return categories;
}

}  // namespace

TEST_CASE("out of memory: candidates have the one that was added, or are as before") {
  const auto make = [] {
    auto found = std::make_unique<funnel::candidates>(
        std::vector<std::string>{"one", "two"},
        std::vector<funnel::score_stage>{{"rank", {"click", "like"}}});
    for (std::int64_t id = 0; id < 64; ++id) found->add(0, id, 1);
    return found;
  };
  const auto observe = [](const auto& found) {
    std::vector<std::int64_t> seen{found->ids().begin(), found->ids().end()};
    seen.insert(seen.end(), found->kept().begin(), found->kept().end());
    for (std::int64_t id = 0; id < 70; ++id) seen.push_back(found->find(id));
    seen.push_back(static_cast<std::int64_t>(found->finds().size()));
    seen.push_back(static_cast<std::int64_t>(found->found_by(1)));
    seen.push_back(static_cast<std::int64_t>(found->scores(0).rows()));
    return seen;
  };
  check_every_failure(
      "add", make, [](auto& found) { found->add(1, 64, 2); }, observe);
  check_every_failure(
      "copy", make,
      [](auto& found) {
        funnel::candidates other({"one"});
        other.add(0, 9, 1);
        *found = other;
        found->clear();
      },
      [](const auto& found) { return found->size(); });
}

TEST_CASE("out of memory: matrix") {
  const matrix<float> small = random_matrix<float>(2, 3, 1), large = random_matrix<float>(50, 7, 2);
  const auto make = [&] { return small; };
  check_every_failure(
      "copy", make, [&](auto& m) { m = large; }, values_of);
  check_every_failure(
      "assign", make, [&](auto& m) { m.assign(9, 40, 2.f); }, values_of);
  const auto none = [] { return std::optional<matrix<float>>(); };
  const auto of = [](const auto& m) { return m ? values_of(*m) : std::vector<float>(); };
  check_every_failure(
      "construct", none, [](auto& m) { m.emplace(4, 4, 1.f); }, of);
  check_every_failure(
      "from view", none, [&](auto& m) { m.emplace(large.view()); }, of);
}

TEST_CASE("out of memory: arena") {
  struct user {
    funnel::arena arena;
    std::vector<std::pair<const int*, int>> pieces;

    int* take(std::size_t n) {
      int* piece = arena.allocate<int>(n);
      std::fill_n(piece, n, static_cast<int>(n));
      return piece;
    }
  };
  const auto make = [] {
    auto u = std::make_unique<user>();
    for (const int n : {10, 20000, 30}) u->pieces.emplace_back(u->take(std::size_t(n)), n);
    return u;
  };
  const auto observe = [](const std::unique_ptr<user>& u) {
    std::vector<int> all;
    for (const auto& [piece, n] : u->pieces) {
      all.push_back(n);
      all.insert(all.end(), piece, piece + n);
    }
    return all;
  };
  check_every_failure(
      "allocate", make, [](auto& u) { u->pieces.emplace_back(u->take(100000), 100000); }, observe);
  check_every_failure(
      "scope", make,
      [](auto& u) {
        const funnel::arena::scope temporary(u->arena);
        u->take(50000);
        u->take(500000);
      },
      observe);
  // Taking back cannot fail: without memory for one block the next pieces get blocks of their own.
  auto u = make();
  u->take(1000000);
  CHECK_FALSE(failing_allocator::runs_out(0, false, [&] { u->arena.reset(); }));
  CHECK(failing_allocator::failures == 1);
  CHECK(u->arena.capacity() == 0);
  for (int round = 0; round < 2; ++round) {
    for (const std::size_t n : {10u, 100000u, 30u}) CHECK(u->take(n)[n - 1] == static_cast<int>(n));
    u->arena.reset();
  }
}

TEST_CASE("out of memory: category_index") {
  for (const funnel::category_id factor : {1u, 100003u}) {
    const auto first = history(40, 1), second = history(700, factor);
    const auto make = [&] { return funnel::category_index(first); };
    const funnel::category_index other(second);
    check_every_failure(
        "assign", make, [&](auto& index) { index.assign(second, 3); }, lists_of);
    check_every_failure(
        "copy", make, [&](auto& index) { index = other; }, lists_of);
    check_every_failure(
        "assign to an empty one", [] { return funnel::category_index(); },
        [&](auto& index) { index.assign(second); }, lists_of);
  }
}

TEST_CASE("out of memory: flat_index") {
  const matrix<float> few = random_matrix<float>(10, 3, 1), many = random_matrix<float>(200, 9, 2);
  const auto make = [&] { return funnel::flat_index<>(few); };
  const funnel::flat_index<> other(many);
  check_every_failure(
      "replace", make, [&](auto& index) { index = funnel::flat_index<>(many); }, found_by);
  check_every_failure(
      "copy", make, [&](auto& index) { index = other; }, found_by);
  struct searcher {
    funnel::arena scratch;
    matrix<funnel::scored_item> found{3, 5};
    std::size_t count = 0;
  };
  const matrix<float> queries = random_matrix<float>(3, 9, 3);
  check_every_failure(
      "search", [] { return std::make_unique<searcher>(); },
      [&](auto& s) {
        funnel::serial_executor executor;
        s->count = other.search(queries, s->found, funnel::all_items{}, executor, s->scratch);
      },
      [](const auto& s) {
        std::vector<float> all{static_cast<float>(s->count)};
        for (const auto& f : s->found.flat())
          all.insert(all.end(), {static_cast<float>(f.item), f.score});
        return all;
      });
}

TEMPLATE_TEST_CASE("out of memory: a flat_index that changes", "", float, std::int8_t) {
  using index_type = funnel::flat_index<funnel::default_arch, TestType>;
  const matrix<float> few = random_matrix<float>(10, 3, 1);
  const auto make = [&] { return index_type(few); };
  const auto observe = [](const auto& index) {
    std::vector<float> all{static_cast<float>(index.size()), static_cast<float>(index.end_id())};
    std::vector<funnel::scored_item> found(20);
    found.resize(index.search(std::vector<float>{-1, 2, -1}, found));
    for (const auto& f : found) all.insert(all.end(), {static_cast<float>(f.item), f.score});
    return all;
  };
  const std::vector<float> vector{5, 5, 5};
  check_every_failure(
      "set", make, [&](auto& index) { index.set(700, vector); }, observe);
  check_every_failure(
      "reserve", make, [&](auto& index) { index.reserve(900); }, observe);
  index_type other(random_matrix<float>(200, 3, 2));
  other.remove(7);
  check_every_failure(
      "copy", make, [&](auto& index) { index = other; }, observe);
}

TEST_CASE("out of memory: item_tower_cache") {
  using cache = funnel::item_tower_cache<float>;
  const auto make = [] {
    cache kept(8, 2);
    kept.insert(3, {}, std::vector<float>{1, 2});
    return kept;
  };
  cache other(64, 3);
  for (funnel::item_id i = 0; i < 60; ++i) other.insert(i, {}, std::vector<float>(3, float(i)));
  const auto observe = [](cache& kept) {
    std::vector<float> all{static_cast<float>(kept.capacity()), static_cast<float>(kept.dim())};
    for (funnel::item_id i = 0; i < 60; ++i) {
      const auto vector = kept.find(i, {});
      all.insert(all.end(), vector.begin(), vector.end());
    }
    return all;
  };
  check_every_failure(
      "copy", make, [&](cache& kept) { kept = other; }, observe);
  check_every_failure(
      "replace", make, [](cache& kept) { kept = cache(100, 7); }, observe);

  // A request that fails leaves a cache that is right: what is in it came from the tower.
  struct server {
    cache vectors{16, 2};
    funnel::inference_context<float> context;
    std::vector<float> given;
  };
  const auto tower = [](auto& context, funnel::matrix_view<const float> x) {
    const auto y = context.make(x.rows(), 2);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      y(i, 0) = 2 * x(i, 0);
      y(i, 1) = -x(i, 0);
    }
    return funnel::matrix_view<const float>(y);
  };
  const std::vector<funnel::item_id> items{1, 5, 9, 1, 7, 12, 5};
  check_every_failure(
      "cached_item_vectors", [] { return std::make_unique<server>(); },
      [&](auto& s) {
        s->context.reset();
        const auto vectors =
            funnel::cached_item_vectors(s->context, tower, s->vectors, items, {},
                                        [&](std::span<const funnel::item_id> missing) {
                                          const auto x = s->context.make(missing.size(), 1);
                                          for (std::size_t i = 0; i < missing.size(); ++i)
                                            x(i, 0) = static_cast<float>(missing[i]);
                                          return funnel::matrix_view<const float>(x);
                                        });
        std::vector<float> given;
        for (std::size_t i = 0; i < items.size(); ++i)
          given.insert(given.end(), {vectors(i, 0), vectors(i, 1)});
        s->given = std::move(given);
      },
      [](const auto& s) { return s->given; });
}

TEST_CASE("out of memory: row_cache") {
  using cache = funnel::row_cache<float>;
  constexpr std::uint64_t ids = 60;
  // What is held, without asking for it: `find` counts.
  const auto observe = [](cache kept) {
    std::vector<float> all{static_cast<float>(kept.capacity()), static_cast<float>(kept.width()),
                           static_cast<float>(kept.bytes_read())};
    for (std::uint64_t id = 0; id < ids; ++id) {
      const auto row = kept.find(id, 1);
      all.insert(all.end(), row.begin(), row.end());
    }
    return all;
  };
  const auto make = [] {
    cache kept(2, {.budget = 3000});
    for (std::uint64_t id = 0; id < 9; ++id) kept.insert(id, 1, std::vector<float>(2, float(id)));
    return kept;
  };
  cache other(3, {.budget = 6000});
  for (std::uint64_t id = 0; id < ids; ++id) other.insert(id, 1, std::vector<float>(3, float(id)));
  check_every_failure(
      "copy", make, [&](cache& kept) { kept = other; }, observe);
  check_every_failure(
      "replace", make, [](cache& kept) { kept = cache(7, {.budget = 10'000}); }, observe);
  const std::vector<std::uint32_t> asked{3, 20, 4, 21, 20};
  check_every_failure(
      "cached_rows", make,
      [&](cache& kept) {
        matrix<float> out(asked.size(), 2);
        funnel::cached_rows(kept, asked, 1, out,
                            [](std::span<const std::uint32_t> missing, auto rows) {
                              const std::vector<float> needed(3);  // a fetch that fails
                              for (std::size_t i = 0; i < missing.size(); ++i)
                                std::ranges::fill(rows.row(i), float(missing[i]) + needed[0]);
                            });
      },
      observe);
}

TEST_CASE("out of memory: model_slot") {
  using slot = funnel::model_slot<std::vector<float>>;
  const std::vector<float> next(20, 2.f);
  std::optional<slot::snapshot> used;
  const auto make = [&] {
    auto of = std::make_unique<slot>();
    of->publish(std::vector<float>(10, 1.f));
    used = of->get();
    return of;
  };
  const auto observe = [](const std::unique_ptr<slot>& of) {
    const auto model = of->get();
    std::vector<float> all{static_cast<float>(model.version()),
                           static_cast<float>(of->destroy_unused())};
    all.insert(all.end(), model->begin(), model->end());
    return all;
  };
  check_every_failure(
      "publish", make, [&](auto& of) { of->publish(next); }, observe);
  const auto shared = std::make_shared<const std::vector<float>>(next);
  check_every_failure(
      "publish a pointer", make, [&](auto& of) { of->publish(shared); }, observe);
}

TEST_CASE("out of memory: filters and sampling leave the positions as they are") {
  const matrix<float> events = random_matrix<float>(3000, 4, 5);
  const auto categories = history(5000, 1);
  struct kept {
    funnel::arena scratch;
    std::vector<std::uint32_t> positions = std::vector<std::uint32_t>(100, 77);
  };
  const auto make = [] { return std::make_unique<kept>(); };
  const auto observe = [](const auto& k) { return k->positions; };
  check_every_failure(
      "soft_search", make,
      [&](auto& k) {
        k->scratch.reset();
        funnel::soft_search(events, std::vector<float>{1, 2, 3, 4}, k->positions, k->scratch);
      },
      observe);
  check_every_failure(
      "sample_sequence_balanced", make,
      [&](auto& k) {
        funnel::random_generator bits(1);
        funnel::sample_sequence_balanced(bits, categories, k->positions, {}, k->scratch);
      },
      observe);
}

#ifdef FUNNEL_HAS_TBB
TEST_CASE("out of memory: an executor passes a task's bad_alloc on, and works on") {
  // What oneTBB makes once for the whole program: where that fails, it waits for ever the next time.
  funnel::tbb_executor(2).for_each(3, [](std::size_t) {});
  std::optional<funnel::tbb_executor> made_late;
  for (long served = 0; !made_late; ++served)
    failing_allocator::runs_out(served, true, [&] { made_late.emplace(2u); });
  funnel::tbb_executor& executor = *made_late;
  for (long served = 0; served < 40; ++served) {
    std::vector<std::vector<int>> made(20);
    const auto run = [&] {
      funnel::for_blocks(executor, 20, 3, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) made[i].assign(i + 1, int(i));
      });
    };
    failing_allocator::runs_out(served, true, run);
    run();
    for (std::size_t i = 0; i < 20; ++i) CHECK(made[i] == std::vector<int>(i + 1, int(i)));
  }
}
#endif

TEST_CASE("out of memory: interactions and lists of neighbors are copied whole or not at all") {
  using entries = std::vector<funnel::sparse_entry>;
  const funnel::sparse_matrix few(entries{{0, 1}, {2, 0}}),
      many(entries{{5, 3, 2, 9}, {1, 1}, {1, 0}});
  check_every_failure(
      "sparse_matrix", [&] { return few; }, [&](auto& m) { m = many; },
      [](const funnel::sparse_matrix& m) {
        std::vector<float> all{static_cast<float>(m.rows()), static_cast<float>(m.columns())};
        for (std::size_t r = 0; r < m.rows(); ++r)
          for (std::size_t i = 0; i < m[r].size(); ++i)
            all.insert(all.end(), {static_cast<float>(m[r].columns[i]), m[r].values[i],
                                   static_cast<float>(m[r].times[i])});
        return all;
      });
  using neighbors = std::vector<std::vector<funnel::scored_item>>;
  const funnel::neighbor_table small(neighbors{{{1, 1}}, {}}),
      large(neighbors{{{1, 3}, {2, 2}}, {{2, 1}, {0, .5f}}, {{0, 1}}});
  check_every_failure(
      "neighbor_table", [&] { return small; }, [&](auto& t) { t = large; },
      [](const funnel::neighbor_table& t) {
        std::vector<float> all{static_cast<float>(t.size())};
        for (funnel::item_id i = 0; i < t.size(); ++i) {
          all.insert(all.end(), t.neighbors(i).begin(), t.neighbors(i).end());
          all.insert(all.end(), t.scores(i).begin(), t.scores(i).end());
        }
        return all;
      });
  // A search that ran out of memory leaves nothing for the next one.
  const auto found_from = [](funnel::neighbor_expander& by, funnel::item_id seed) {
    std::vector<funnel::scored_item> found(4);
    found.resize(by.search(std::vector{seed}, {}, found));
    std::vector<float> all;
    for (const auto& f : found) all.insert(all.end(), {static_cast<float>(f.item), f.score});
    return all;
  };
  check_every_failure(
      "neighbor_expander", [&] { return funnel::neighbor_expander(large); },
      [&](auto& by) { found_from(by, 0); },
      [&](const funnel::neighbor_expander& by) {
        funnel::neighbor_expander copy = by;
        return found_from(copy, 1);
      });
}
