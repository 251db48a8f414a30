// SPDX-License-Identifier: MIT
#include <funnel/core/executor_ref.hpp>
#include <funnel/core/math.hpp>
#include <funnel/core/row_cache.hpp>
#include <funnel/core/top_k.hpp>
#include <funnel/data/funnel_log.hpp>
#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>
#include <funnel/features/column_table.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/features/request_encoder.hpp>
#include <funnel/fusion/weighted_sum.hpp>
#include <funnel/index/flat_index.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/preranking/item_tower_cache.hpp>
#include <funnel/preranking/multi_vector_tower.hpp>
#include <funnel/preranking/three_tower.hpp>
#include <funnel/ranking/gated_experts.hpp>
#include <funnel/ranking/special_group.hpp>
#include <funnel/retrieval/two_tower.hpp>
#include <funnel/serving/cascade.hpp>
#include <funnel/serving/model_slot.hpp>
#include <funnel/serving/score_rows.hpp>

#include "features/random_log.hpp"
#include "support/allocation.hpp"
#include "support/catch.hpp"
#include "support/feed_ranker.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/towers.hpp"
#include "support/two_head_ranker.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using funnel::item_id;
using funnel::matrix;
using funnel::matrix_view;

namespace {

constexpr std::size_t item_count = 3000;
constexpr std::size_t item_numbers = 6;
constexpr std::size_t vector_width = 8;

using tower = network_tower<float>;
using retriever = funnel::two_tower<tower, tower>;
using preranker = funnel::three_tower<tower, tower, tower, funnel::mlp<float>>;

/// A page for a user: retrieval, pre-ranking, ranking and re-ranking, as one thread serves it.
class server {
 public:
  explicit server(std::size_t cached) : cache_(cached, vector_width) {
    funnel::inference_context<float> context;
    const auto vectors = [](const auto& m, auto& c, const auto& x) { return m.item_vectors(c, x); };
    index_ = funnel::flat_index<>(retrieve_.call(context, vectors, items_.view()));
  }

  /// The page, valid until the next call.
  std::span<const std::size_t> serve(const ranker_rows<float>& user, std::size_t retrieved,
                                     std::size_t ranked, std::span<std::size_t> page) {
    funnel::arena& scratch = context_.scratch();
    context_.reset();
    const auto room = [&]<class T>(T, std::size_t n) {
      return std::span<T>(scratch.allocate<T>(n), n);
    };

    const auto user_vectors = [](const auto& m, auto& c, const auto& x) {
      return m.user_vectors(c, x);
    };
    const auto query = retrieve_.call(context_, user_vectors, user.user.view());
    auto found = room(funnel::scored_item{}, retrieved);
    found = found.first(index_.search(query.row(0), found, [](item_id i) { return i % 5 != 0; }));

    const auto items = room(item_id{}, found.size());
    std::ranges::transform(found, items.begin(), &funnel::scored_item::item);
    const auto item_tower = [&](auto& c, const auto& x) {
      return prerank_.call(
          c, [](const auto& m, auto& inner, const auto& rows) { return m.item(inner, rows); }, x);
    };
    const auto vectors = funnel::cached_item_vectors(
        context_, item_tower, cache_, items, {.model = 1},
        [&](std::span<const item_id> missing) { return numbers_of(missing); });
    const auto with_item_vectors = [](const auto& m, auto& c, const auto&... x) {
      return m.with_item_vectors(c, x...);
    };
    const auto prerank_scores = prerank_.call(context_, with_item_vectors, user.user.view(),
                                              vectors, numbers_of(items).middle_cols(0, 2));
    const auto kept = room(std::uint32_t{}, std::min(ranked, found.size()));
    funnel::top_k(std::span<const float>(prerank_scores.data(), prerank_scores.rows()), kept);

    const auto candidates = room(item_id{}, kept.size());
    std::ranges::transform(kept, candidates.begin(), [&](std::uint32_t i) { return items[i]; });
    ranker_input<float> x = user.all();
    x.items = candidates;
    x.numbers = numbers_of(candidates).middle_cols(0, ranker_item_numbers);
    const auto z = rank_(context_, x);

    const matrix_view<float> objectives(scratch.allocate<float>(candidates.size() * ranker_tasks),
                                        candidates.size(), ranker_tasks);
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      for (std::size_t t = 0; t < watch; ++t) objectives(i, t) = funnel::sigmoid(z[t](i, 0));
      objectives(i, watch) = rank_.call(
          context_, [](const auto& m, auto&, float logit) { return m.watch_head.seconds(logit); },
          z[watch](i, 0));
    }
    const auto scores = room(float{}, candidates.size());
    funnel::fuse(funnel::click_times_weighted_sum<3>{{1, 2, .01f}}, objectives, scores, scratch);

    const matrix_view<float> content(scratch.allocate<float>(candidates.size() * item_numbers),
                                     candidates.size(), item_numbers);
    for (std::size_t i = 0; i < candidates.size(); ++i)
      std::ranges::copy(items_.row(candidates[i]), content.row(i).begin());
    const std::size_t half = page.size() / 2;
    funnel::mmr(scores, content, page.first(half), {.relevance_weight = .7, .window = 4}, scratch);
    funnel::dpp(scores, content, page, {.relevance_weight = .7, .window = 4, .given = half},
                scratch);
    std::ranges::transform(page, page.begin(), [&](std::size_t i) { return candidates[i]; });
    return page;
  }

  const funnel::item_tower_cache<float>& cache() const { return cache_; }

 private:
  matrix_view<const float> numbers_of(std::span<const item_id> of) {
    const matrix_view<float> x = context_.make(of.size(), item_numbers);
    for (std::size_t i = 0; i < of.size(); ++i)
      std::ranges::copy(items_.row(of[i]), x.row(i).begin());
    return x;
  }

  matrix<float> items_ = random_matrix<float>(item_count, item_numbers, 1);
  funnel::frozen<retriever, funnel::default_arch> retrieve_{
      with_random_parameters(retriever{{funnel::mlp<float>(ranker_user_numbers, {16, 8})},
                                       {funnel::mlp<float>(item_numbers, {16, 8})},
                                       {}})};
  funnel::frozen<preranker, funnel::default_arch> prerank_{with_random_parameters(
      preranker{{funnel::mlp<float>(ranker_user_numbers, {16, vector_width})},
                {funnel::mlp<float>(item_numbers, {16, vector_width})},
                {funnel::mlp<float>(2, {4})},
                funnel::mlp<float>(2 * vector_width + 4, {16, 1})})};
  funnel::frozen<feed_ranker<float>, funnel::default_arch> rank_{
      feed_ranker<float>{ranker_sizes{.items = item_count, .width = 8, .expert_sizes = {32, 16}}}};
  funnel::flat_index<> index_;
  funnel::item_tower_cache<float> cache_;
  funnel::inference_context<float> context_;
};

using page_of_items = std::vector<std::size_t>;

}  // namespace

TEST_CASE("serving: a whole request asks for no memory after the first") {
  server feed(item_count);
  std::vector<ranker_rows<float>> users;
  for (const std::size_t history : size_list{50, 0, 7, 49})
    users.emplace_back(1, 0, item_count, history, history);
  page_of_items page(20), first(20);
  CHECK(allocations_of([&] { feed.serve(users[0], 1000, 200, first); }) > 0);
  feed.serve(users[0], 1000, 200, page);  // joins the blocks of the first
  CHECK(allocations_of([&] {
          for (const auto& user : users) {
            for (const std::size_t retrieved : size_list{1000, 400, 999})
              feed.serve(user, retrieved, 200, page);
          }
          feed.serve(users[0], 1000, 200, page);
        }) == 0);
  CHECK(page == first);
  CHECK(feed.cache().hits() > feed.cache().misses());
  std::ranges::sort(page);
  CHECK(std::ranges::adjacent_find(page) == page.end());
  for (const std::size_t item : page) CHECK(item % 5 != 0);
}

TEST_CASE("serving: model_slot::get asks for no memory, and gives the model itself") {
  funnel::model_slot<std::vector<float>> slot;
  std::vector<float> values(1000, 3.f);
  const float* first = values.data();
  slot.publish(std::move(values));
  CHECK(slot.get()->data() == first);
  CHECK(allocations_of([&] {
          for (int i = 0; i < 10; ++i) {
            const auto model = slot.get();
            const auto copy = model;
            if (copy.version() != 1 || copy->data() != first) FAIL("another model");
          }
        }) == 0);
}

TEST_CASE("serving: a cascade asks for no memory after the first requests") {
  struct request {
    std::int64_t first = 0;
    std::size_t n = 0;
  };
  const std::size_t total = GENERATE(std::size_t{0}, std::size_t{700});
  funnel::cascade<request> pages({.budget_ms = 1e9, .total = total});
  for (const char* name : {"one", "two"})
    pages.add_source({.name = name}, [](const request& r, funnel::source_call& to) {
      for (std::size_t i = 0; i < r.n; ++i) to.add(r.first + 7 * static_cast<std::int64_t>(i), 1);
    });
  pages.add_filter({.name = "filter"}, [](const request&, std::int64_t id) { return id % 5 != 0; });
  pages.add_scorer({.name = "prerank", .takes = 900, .keeps = 500},
                   [](const request&, funnel::scorer_call& call) {
                     for (std::size_t i = 0; i < call.size(); ++i)
                       call.scores()(i, 0) = static_cast<float>(call.ids()[i] % 101);
                   });
  pages.add_scorer({.name = "rank", .keeps = 50, .outputs = {"a", "b"}},
                   [](const request&, funnel::scorer_call& call) {
                     const auto before = call.scores_of("prerank");
                     for (std::size_t i = 0; i < call.size(); ++i)
                       call.scores()(i, 0) = call.scores()(i, 1) = -before(i, 0);
                   });
  pages.add_selector({.name = "page", .keeps = 10},
                     [](const request&, funnel::selector_call& call) {
                       for (std::size_t i = 0; i < call.picked().size(); ++i)
                         call.picked()[i] = 2 * i;
                     });
  const auto serve = [&](const request& r) { needed = pages(r).data(); };
  for (std::int64_t r = 0; r < 3; ++r) serve({r, 2000});
  for (std::int64_t r = 0; r < 20; ++r)
    CHECK(allocations_of([&] { serve({11 * r, static_cast<std::size_t>(100 * r)}); }) == 0);
  if (total == 0)  // more candidates than ever before
    CHECK(allocations_of([&] { serve({0, 5000}); }) > 0);
}

TEST_CASE("serving: a log of requests asks for no memory after the first ones") {
  funnel::column_table past;
  for (const char* name : {"user_id", "item_id", "time", "click"})
    past.add(name, 9, [](std::size_t i) { return i; });
  funnel::schema features({.of_user = {funnel::category{"user_id"}},
                           .of_item = {funnel::category{"item_id"}},
                           .labels = "click"});
  const funnel::fitted fitted = funnel::fit_schema(features, past);
  funnel::request_encoder encode(features, fitted.state);
  funnel::candidates found({"popular"}, {{"rank"}});
  funnel::funnel_log log(features, found, {"popular", "rank"});
  std::vector<std::uint32_t> slots;
  const auto serve = [&](std::uint64_t request, std::int64_t n) {
    found.clear();
    for (std::int64_t id = 0; id < n; ++id) found.add(0, id, 1);
    slots.assign(found.kept().begin(), found.kept().end());
    const auto& rows = encode(1, found.ids(), 20);
    found.keep(std::span(slots).first(10), 1, funnel::drop_cause::size);
    log.add({.id = request, .user = 1, .time = 20}, found, found.kept(), rows, slots);
  };
  for (std::uint64_t round = 0; round < 3; ++round) {
    const std::size_t count = allocations_of([&] {
      for (std::uint64_t r = 0; r < 10; ++r) serve(r, 500 - 10 * static_cast<std::int64_t>(r));
      log.clear();
    });
    CHECK((count > 0) == (round == 0));
  }
}

namespace {

/// All that requests need of one version: a ranker on its own schema and state, with an encoder and a
/// context for each thread, which the thread that publishes has warmed up.
struct served_version {
  funnel::schema features;
  funnel::feature_state state;
  funnel::frozen<two_head_ranker<float>, funnel::default_arch> ranker;
  struct of_thread {
    funnel::request_encoder encode;
    funnel::inference_context<float> context;
  };
  mutable std::vector<of_thread> threads;

  served_version(const funnel::schema& schema, const funnel::feature_state& past,
                 std::uint64_t seed, std::size_t thread_count)
      : features(schema), state(past),
        ranker(funnel::freeze(two_head_ranker<float>(schema, seed))) {
    matrix<float> scores(served_items.size(), 2);
    for (std::size_t t = 0; t < thread_count; ++t) {
      threads.push_back({funnel::request_encoder(features, state), {}});
      for (int i = 0; i < 2; ++i) score(t, 100, served_items, scores);
    }
  }
  void score(std::size_t thread, std::int64_t user, std::span<const std::int64_t> items,
             matrix_view<float> scores) const {
    of_thread& own = threads[thread];
    funnel::score_rows(own.context, ranker, own.encode(user, items, 900'000), scores);
  }

  static constexpr std::array<std::int64_t, 9> served_items{0, 1, 2, 3, 4, 5, 6, 7, 8};
};

}  // namespace

TEST_CASE("serving: models are replaced while two threads serve; each page is of one version") {
  const funnel::schema_options options{
      .of_user = {funnel::category{"user_id"}, funnel::rate{"ctr", {"user_id"}, "click"}},
      .of_item = {funnel::category{"item_id"}, funnel::rate{"item_ctr", {"item_id"}, "click"}},
      .labels = {"click", "like"}};
  funnel::schema features(options);
  const funnel::fitted past = funnel::fit_schema(features, table_of(random_log(1)));
  constexpr std::size_t threads = 2, requests_of_thread = 150, versions = 8;
  // What each version gives to each user.
  const auto seed_of = [](std::uint32_t version) { return std::uint64_t{1000} + version; };
  std::vector<std::map<std::int64_t, std::vector<float>>> expected(versions + 1);
  for (std::uint32_t v = 1; v <= versions; ++v) {
    const served_version made(features, past.state, seed_of(v), 1);
    for (std::int64_t user = 100; user < 107; ++user) {
      matrix<float> scores(served_version::served_items.size(), 2);
      made.score(0, user, served_version::served_items, scores);
      for (std::size_t i = 0; i < scores.rows(); ++i)
        expected[v][user].push_back(scores(i, 0)), expected[v][user].push_back(scores(i, 1));
    }
  }
  CHECK(expected[1] != expected[2]);

  funnel::model_slot<served_version> slot;
  const auto publish = [&](std::uint32_t version) {
    slot.publish(
        std::make_shared<const served_version>(features, past.state, seed_of(version), threads));
  };
  publish(1);
  struct request {
    std::int64_t user = 0;
    const served_version* served = nullptr;
    std::size_t thread = 0;
  };
  std::atomic<std::size_t> served{0}, wrong{0}, allocations{0}, swaps_seen{0}, done{0};
  const auto serve_all = [&](std::size_t thread) {
    funnel::cascade<request> pages({.budget_ms = 1e9});
    pages.add_source({.name = "all"}, [](const request&, funnel::source_call& to) {
      for (const std::int64_t item : served_version::served_items) to.add(item, 1);
    });
    pages.add_scorer({.name = "rank", .outputs = {"click", "like"}},
                     [](const request& r, funnel::scorer_call& call) {
                       r.served->score(r.thread, r.user, call.ids(), call.scores());
                     });
    std::uint32_t last = 0;
    for (std::size_t i = 0; i < requests_of_thread || last < versions; ++i) {
      const std::size_t before = allocations_of_thread;
      const auto snapshot = slot.get();
      const std::int64_t user = 100 + static_cast<std::int64_t>(i % 7);
      const auto page = pages({user, &*snapshot, thread});
      if (i >= 2) allocations += allocations_of_thread - before;  // of this thread's cascade
      if (last != 0 && snapshot.version() != last) ++swaps_seen;
      last = snapshot.version();
      const matrix_view<const float> scores = pages.candidates().scores(0);
      if (page.size() == served_version::served_items.size()) ++served;
      const std::vector<float>& right = expected[snapshot.version()].at(user);
      for (std::size_t s = 0; s < scores.rows(); ++s)
        for (std::size_t t = 0; t < 2; ++t)
          if (std::bit_cast<std::uint32_t>(scores(s, t)) !=
              std::bit_cast<std::uint32_t>(right[2 * s + t]))
            ++wrong;
    }
    ++done;
  };
  std::vector<std::thread> running;
  for (std::size_t t = 0; t < threads; ++t) running.emplace_back(serve_all, t);
  for (std::uint32_t v = 2; v <= versions; ++v) {
    const std::size_t until = served + 10;  // a few requests on each
    while (served < until && done < threads) std::this_thread::yield();
    publish(v);
  }
  for (std::thread& thread : running) thread.join();
  CHECK(served >= threads * requests_of_thread);
  CHECK(wrong == 0);
  CHECK(allocations == 0);
  CHECK(swaps_seen >= 2);
}

TEST_CASE("serving: executor_ref asks for no memory") {
  funnel::serial_executor serial;
  std::size_t sum = 0;
  CHECK(allocations_of([&] {
          const funnel::executor_ref threads = serial;
          const funnel::executor_ref copy = threads;
          const std::array<std::size_t, 16> large{1};  // more than fits into a std::function
          copy.for_each(10, [&sum, large](std::size_t i) { sum += i + large[0]; });
        }) == 0);
  CHECK(sum == 55);
}

TEST_CASE("serving: row_cache asks for its budget once, and a request for nothing") {
  for (const std::size_t width : size_list{1, 7, 100}) {
    for (const std::size_t budget : size_list{5000, 123'457, std::size_t{5} << 20}) {
      std::size_t held = 0, room = 0;
      const std::size_t asked = bytes_of([&] {
        const funnel::row_cache<float> cache(width, {.budget = budget});
        held = cache.bytes();
        room = cache.capacity();
      });
      INFO("width " << width << ", budget " << budget);
      CHECK(asked <= budget);
      CHECK(asked == held);
      CHECK(asked > room * width * sizeof(float));
    }
  }

  funnel::row_cache<float> cache(3, {.budget = 10'000});
  funnel::arena scratch;
  matrix<float> out(100, 3);
  std::vector<std::uint64_t> ids(100);
  std::uint64_t version = 0;
  const auto request = [&] {
    scratch.reset();
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = i * i % 900 + version;
    funnel::cached_rows(
        cache, ids, version++ / 4, out,
        [](std::span<const std::uint64_t> missing, matrix_view<float> rows) {
          for (std::size_t i = 0; i < missing.size(); ++i)
            std::ranges::fill(rows.row(i), static_cast<float>(missing[i]));
        },
        scratch);
  };
  request();
  request();
  CHECK(allocations_of([&] {
          for (int i = 0; i < 50; ++i) request();
        }) == 0);
  CHECK(cache.hits() > 0);
  CHECK(cache.evictions() > 0);
  CHECK(out(99, 2) == static_cast<float>(ids[99]));
}

TEST_CASE("serving: scores of given items ask for no memory, and by a model none after the first") {
  const matrix<float> vectors = random_matrix<float>(item_count, vector_width, 1);
  const funnel::flat_index<> index(vectors);
  const auto model = funnel::freeze(with_random_parameters(
      funnel::multi_vector_tower<tower, tower>{{funnel::mlp<float>(5, {16, 3 * vector_width})},
                                               {funnel::mlp<float>(item_numbers, {vector_width})},
                                               funnel::cosine_heads<float>(3)}));
  const matrix<float> user = random_matrix<float>(1, 5, 2);
  const matrix<float> queries = random_matrix<float>(3, vector_width, 3);
  std::vector<item_id> ids;
  for (std::size_t i = 0; i < 500; ++i) ids.push_back(static_cast<item_id>(i * 7 % item_count));
  matrix<float> scores(500, 3);
  CHECK(allocations_of([&] { funnel::score_items(queries, vectors, ids, scores); }) == 0);
  CHECK(allocations_of([&] { index.scores(queries, ids, scores); }) == 0);
  funnel::flat_index<funnel::default_arch, std::int8_t> small(vectors);
  matrix<funnel::scored_item> found(3, 20);
  small.reserve(item_count + 9);
  CHECK(allocations_of([&] {
          small.scores(queries, ids, scores);
          small.search(queries, found);
          small.remove(3);
          small.set(static_cast<item_id>(item_count + 8), vectors.row(0));
        }) == 0);
  funnel::inference_context<float> context;
  const auto serve = [&] {
    context.reset();
    model.call(
        context,
        [&](const auto& m, auto& c, const auto& x) {
          return m.score(c, m.user_vectors(c, x), vectors, ids);
        },
        user.view());
  };
  CHECK(allocations_of(serve) > 0);
  serve();
  CHECK(allocations_of(serve) == 0);
}

TEST_CASE("serving: freezing a model that is moved in copies no table") {
  const auto make = [] {
    return with_random_parameters(
        feed_ranker<float>{ranker_sizes{.items = 200'000, .width = 8, .expert_sizes = {64, 32}}});
  };
  constexpr std::size_t table_bytes = sizeof(float) * 200'000 * 8;
  auto model = make();
  std::size_t weight_bytes = 0;
  funnel::for_each_parameter(model, [&](std::string_view path, const auto& p) {
    if (path.ends_with("weight")) weight_bytes += sizeof(float) * p.value.size();
  });
  const float* table = model.item.table.value.data();
  // A copy asks for the table; a move for packed weights, in panels of up to 64 columns, and for one
  // copy of those that are joined.
  CHECK(bytes_of([&] { static_cast<void>(funnel::freeze(model)); }) > table_bytes);
  CHECK(model.item.table.value.data() == table);
  funnel::inference_context<float> context;
  const ranker_rows<float> user(1, 0, 200'000, 20, 3);
  const auto rows = user.all();
  std::vector<matrix<float>> expected;
  for (const auto& z : model(context, rows)) expected.emplace_back(z);
  const auto frozen_and_checked = [&](auto&& taken) {
    const auto frozen = funnel::freeze(std::move(taken));
    const auto z = frozen(context, rows);
    for (std::size_t t = 0; t < expected.size(); ++t)
      CHECK(same_bits(z[t], matrix_view<const float>(expected[t])));
    CHECK(frozen.call(context, [&](const auto& m, auto&) {
      return m.item.table.value.data() == table && m.watch_head.logit.weight.value.empty();
    }));
  };
  const std::size_t bytes = bytes_of([&] { frozen_and_checked(std::move(model)); });
  CHECK(bytes < table_bytes / 2);
  CHECK(bytes > weight_bytes);
  // A temporary is moved in as well.
  const std::size_t made = bytes_of([&] { static_cast<void>(make()); });
  CHECK(bytes_of([&] { static_cast<void>(funnel::freeze(make())); }) < made + table_bytes / 2);
}

TEST_CASE("serving: pages are the same with a cache that is too small, and warm or cold") {
  server roomy(item_count), tight(8);
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const ranker_rows<float> user(1, 0, item_count, 20, seed);
    page_of_items cold(12), warm(12), small(12);
    roomy.serve(user, 600, 100, cold);
    roomy.serve(user, 600, 100, warm);
    tight.serve(user, 600, 100, small);
    CHECK(warm == cold);
    CHECK(small == cold);
  }
}

TEST_CASE("serving: models of special users ask for no memory after the first requests") {
  const auto group = funnel::freeze(with_random_parameters(funnel::special_group<float>(5)));
  const auto experts = funnel::freeze(with_random_parameters(funnel::gated_experts<float>(5, 2)));
  const matrix<float> user = random_matrix<float>(3, 2, 1), items = random_matrix<float>(900, 3, 2);
  const matrix<float> big = random_matrix<float>(900, 1, 3);
  const std::vector<std::uint32_t> offsets{0, 300, 400, 900};
  const std::vector<std::uint8_t> special{1, 0, 1};
  funnel::inference_context<float> context;
  const auto serve = [&] {
    context.group_rows(offsets);
    const auto x = concat(context, user.view(), items.view());
    needed = group(context, x, big.view(), special).data();
    needed = experts(context, x, user.view()).data();
    context.reset();
  };
  for (int warm = 0; warm < 3; ++warm) serve();
  CHECK(allocations_of(serve) == 0);
}
