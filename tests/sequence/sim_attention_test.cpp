// SPDX-License-Identifier: MIT
#include <funnel/sequence/sim_attention.hpp>

#include <funnel/core/random.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/sequence/din_attention.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

using ids = std::vector<std::uint32_t>;
template <class T>
using din_sim = sim_attention<T, din_attention<T>>;

constexpr cluster_id none = std::numeric_limits<cluster_id>::max();

const sim_options small{.items = 30,
                        .categories = 6,
                        .actions = 3,
                        .time_buckets = 10,
                        .item_dim = 4,
                        .category_dim = 3,
                        .action_dim = 2,
                        .time_dim = 2,
                        .events = 5};

/// Histories of users 0 to 4, and of user 5 none; and the candidates of three requests.
struct world {
  history_store store;
  std::map<user_id, std::vector<history_event>> events;
  request_offsets requests = offsets_of({4, 1, 7});
  ids users{3, 5, 1};
  std::vector<std::int64_t> times{150, 90, 120};
  ids items, categories, clusters;

  explicit world(std::uint64_t seed, std::int64_t length = 200) {
    random_generator bits(seed);
    const auto draw = [&](std::size_t n) {
      return static_cast<std::uint32_t>(uniform_below(bits, n));
    };
    for (std::int64_t t = 0; t < length; ++t) {
      const user_id user = draw(5);
      const std::uint32_t cluster = draw(5);
      const history_event event{draw(33), draw(6), cluster == 4 ? none : cluster, draw(4), t};
      store.append(user, event);
      events[user].push_back(event);
    }
    for (std::size_t i = 0; i < requests.back(); ++i) {
      items.push_back(draw(32));
      categories.push_back(draw(7));
      const std::uint32_t cluster = draw(5);
      clusters.push_back(cluster == 4 ? none : cluster);
    }
  }
  sim_query query() const { return {users, times, items, categories, clusters}; }
};

std::uint32_t row(std::uint32_t id, std::size_t rows) {
  return id < rows ? id : 0;
}

/// The result by the definition: a list for each candidate, found by looking at all events.
template <class Layer>
matrix<float> expected_values(const Layer& layer, const world& w) {
  const sim_options& options = layer.options();
  inference_context<float> context;
  ids items, categories, actions, buckets, offsets{0}, of_items, of_categories;
  for (const std::uint32_t i : w.items) of_items.push_back(row(i, options.items));
  for (const std::uint32_t c : w.categories) of_categories.push_back(row(c, options.categories));
  const std::array<std::span<const std::uint32_t>, 2> candidate_fields{of_items, of_categories};
  const auto q = layer.events.candidates(context, {.fields = candidate_fields});
  for (std::size_t r = 0; r < w.users.size(); ++r) {
    std::vector<history_event> past;
    if (w.events.contains(w.users[r]))
      for (const history_event& e : w.events.at(w.users[r]))
        if (e.time < w.times[r]) past.push_back(e);
    for (std::size_t i = w.requests[r]; i < w.requests[r + 1]; ++i) {
      std::set<std::size_t> kept;
      const auto add_newest = [&](auto holds) {
        std::size_t count = 0;
        for (std::size_t j = past.size(); j-- > 0 && count < options.events;)
          if (holds(past[j])) kept.insert(j), ++count;
      };
      if (options.by_category && w.categories[i] != 0)
        add_newest([&](const history_event& e) { return e.category == w.categories[i]; });
      if (options.by_cluster && w.clusters[i] != none)
        add_newest([&](const history_event& e) { return e.cluster == w.clusters[i]; });
      if (options.similar > 0) {
        std::vector<std::pair<double, std::size_t>> products;
        const auto a = layer.candidate_search(context, q.middle_rows(i, 1));
        const std::size_t begin =
            past.size() > options.searched ? past.size() - options.searched : 0;
        for (std::size_t j = begin; j < past.size(); ++j) {
          const ids item{row(past[j].item, options.items)},
              category{row(past[j].category, options.categories)},
              action{row(past[j].action, options.actions)},
              bucket{time_bucket(w.times[r], past[j].time, options.time_buckets)};
          const std::array<std::span<const std::uint32_t>, 2> fields{item, category};
          const auto b =
              layer.event_search(context, layer.events(context, {fields, {}, action, bucket}));
          double product = 0;
          for (std::size_t k = 0; k < a.cols(); ++k) product += double{a(0, k)} * double{b(0, k)};
          products.emplace_back(-product, j);
        }
        std::sort(products.begin(), products.end());
        for (std::size_t k = 0; k < std::min(options.similar, products.size()); ++k)
          kept.insert(products[k].second);
      }
      while (kept.size() > options.events) kept.erase(kept.begin());
      for (const std::size_t j : kept) {
        items.push_back(row(past[j].item, options.items));
        categories.push_back(row(past[j].category, options.categories));
        actions.push_back(row(past[j].action, options.actions));
        buckets.push_back(time_bucket(w.times[r], past[j].time, options.time_buckets));
      }
      offsets.push_back(static_cast<std::uint32_t>(items.size()));
    }
  }
  const std::array<std::span<const std::uint32_t>, 2> fields{items, categories};
  const auto x = layer.events(context, {fields, {}, actions, buckets});
  return matrix<float>(view(layer.attention(context, q, x, offsets)));
}

template <class Layer>
void check_definition(const Layer& layer) {
  const Layer of = with_random_parameters(layer);
  for (std::uint64_t seed = 1; seed < 5; ++seed) {
    const world w(seed);
    const matrix<float> expected = expected_values(of, w);
    inference_context<float> context;
    context.group_rows(w.requests);
    CHECK(same_bits(of(context, w.store, w.query()), expected));
    CHECK(same_bits(freeze(of)(context, w.store, w.query()), expected));
    training_context<float> tape;
    tape.group_rows(w.requests);
    CHECK(same_bits(view(of(tape, w.store, w.query())), expected));
    // One request alone; one user per candidate.
    inference_context<float> alone;
    const sim_query all = w.query();
    const std::size_t begin = w.requests[2], count = w.requests[3] - begin;
    const sim_query last{all.users.subspan(2), all.times.subspan(2), all.items.subspan(begin),
                         all.categories.subspan(begin), all.clusters.subspan(begin)};
    CHECK(same_bits(of(alone, w.store, last), expected.view().middle_rows(begin, count)));
    ids users;
    std::vector<std::int64_t> times;
    for (std::size_t r = 0; r < 3; ++r)
      for (std::size_t i = w.requests[r]; i < w.requests[r + 1]; ++i)
        users.push_back(w.users[r]), times.push_back(w.times[r]);
    CHECK(
        same_bits(of(alone, w.store, {users, times, w.items, w.categories, w.clusters}), expected));
  }
}

/// What learns from the auxiliary loss.
struct auxiliary {
  sim_attention<double> sim;

  void visit_parameters(auto&& visit) {
    visit("events", sim.events);
    visit("candidate_search", sim.candidate_search);
    visit("event_search", sim.event_search);
  }
};

sim_options with(const auto& change) {
  sim_options options = small;
  change(options);
  return options;
}

const multi_head_attention_options two_heads{.heads = 2, .head_dim = 3};
const din_attention_options little_din{.hidden = {5}};

}  // namespace

TEST_CASE("sim_attention: the events of the category or the cluster, as by the definition") {
  check_definition(sim_attention<float>(small, two_heads));
  check_definition(din_sim<float>(small, little_din));
  check_definition(sim_attention<float>(with([](auto& o) { o.by_cluster = false; }), two_heads));
  check_definition(din_sim<float>(with([](auto& o) { o.by_category = false; }), little_din));
  check_definition(sim_attention<float>(with([](auto& o) { o.events = 1; }), two_heads));
  check_definition(
      sim_attention<float>(with([](auto& o) { o.events = std::size_t{1} << 63; }), two_heads));
}

TEST_CASE("sim_attention: soft search, alone and with the others, as by the definition") {
  for (const std::size_t searched : {1u, 7u, 1000u}) {
    const auto soft = [&](auto& o) {
      o.similar = 4;
      o.searched = searched;
      o.search_dim = 5;
    };
    check_definition(sim_attention<float>(with(soft), two_heads));
    check_definition(din_sim<float>(with([&](auto& o) {
                                      soft(o);
                                      o.by_category = o.by_cluster = false;
                                    }),
                                    little_din));
  }
  check_definition(sim_attention<float>(
      with([](auto& o) { o.similar = o.searched = std::numeric_limits<std::size_t>::max(); }),
      two_heads));
}

TEST_CASE("sim_attention: worked by hand") {
  // The user has three events; the first two are of the candidate's category, the last two of its
  // cluster: each counts once, and DIN with weights of 1 adds the items' values.
  din_sim<double> layer(
      {.items = 5, .categories = 3, .time_buckets = 0, .item_dim = 1, .category_dim = 1},
      din_attention_options{.hidden = {}});
  for (std::uint32_t i = 0; i < 5; ++i) layer.events.fields[0].table.value(i, 0) = 10. * i;
  for (std::uint32_t c = 0; c < 3; ++c) layer.events.fields[1].table.value(c, 0) = c;
  for (double& w : layer.attention.unit.layers[0].weight.value.flat()) w = 0;
  layer.attention.unit.layers[0].bias.value(0, 0) = 1;
  history_store store;
  store.append(0, {1, 2, 7, 0, 10});
  store.append(0, {2, 2, 8, 0, 20});
  store.append(0, {3, 1, 8, 0, 30});
  const auto sum_of = [&](category_id category, cluster_id cluster, std::int64_t now,
                          user_id user) {
    inference_context<double> context;
    const ids item{4}, categories{category}, clusters{cluster}, users{user};
    const std::vector<std::int64_t> times{now};
    return layer(context, store, {users, times, item, categories, clusters})(0, 0);
  };
  CHECK(sum_of(2, 8, 100, 0) == 60);
  CHECK(sum_of(2, none, 100, 0) == 30);  // no cluster: the category alone
  CHECK(sum_of(0, 8, 100, 0) == 50);     // no category: the cluster alone
  CHECK(sum_of(2, 8, 30, 0) == 30);      // the event of this moment has not happened yet
  CHECK(sum_of(2, 8, 10, 0) == 0);
  CHECK(sum_of(1, 9, 100, 0) == 30);
  CHECK(sum_of(0, none, 100, 0) == 0);  // no filter
  CHECK(sum_of(2, 8, 100, 1) == 0);     // no history
}

TEST_CASE("sim_attention: events after the request change nothing") {
  const auto layer = with_random_parameters(sim_attention<float>(with([](auto& o) {
                                                                   o.similar = 3;
                                                                   o.searched = 20;
                                                                 }),
                                                                 two_heads));
  world past(3, 90), whole(3, 90);
  for (std::int64_t t = 90; t < 300; ++t)
    whole.store.append(static_cast<user_id>(t % 5), {1, static_cast<category_id>(t % 6), 1, 1, t});
  past.times = {90, 90, 90};
  inference_context<float> context;
  context.group_rows(past.requests);
  CHECK(same_bits(layer(context, past.store, past.query()),
                  layer(context, whole.store, past.query())));
}

TEST_CASE("sim_attention: gradients, and those of the auxiliary value of soft search") {
  const world w(2, 60);
  const sim_options tables{.items = 4,
                           .categories = 4,
                           .actions = 3,
                           .time_buckets = 8,
                           .item_dim = 2,
                           .category_dim = 2,
                           .action_dim = 1,
                           .time_dim = 2,
                           .events = 4};
  const auto run = [&](auto& context, const auto& layer, const double_values&) {
    context.group_rows(w.requests);
    return layer(context, w.store, w.query());
  };
  world later = w;
  later.times = {70, 70, 70};
  const auto run_later = [&](auto& context, const auto& layer, const double_values&) {
    context.group_rows(later.requests);
    return layer(context, later.store, later.query());
  };
  check_layer(sim_attention<double>(tables, two_heads), {}, run);
  check_layer(din_sim<double>(tables, din_attention_options{.hidden = {3}}), {}, run_later);
  sim_options soft = tables;
  soft.similar = 2;
  soft.searched = 9;
  soft.search_dim = 3;
  soft.by_category = soft.by_cluster = false;
  check_layer(auxiliary{sim_attention<double>(soft, two_heads)}, {},
              [&](auto& context, const auxiliary& layer, const double_values&) {
                context.group_rows(w.requests);
                return layer.sim.soft_interest(context, w.store, w.query());
              });
}

TEST_CASE("sim_attention: the auxiliary value is the sum of the events times their products") {
  const auto layer = with_random_parameters(sim_attention<double>(with([](auto& o) {
                                                                    o.similar = 1;
                                                                    o.searched = 6;
                                                                  }),
                                                                  two_heads));
  const world w(4);
  inference_context<double> context;
  context.group_rows(w.requests);
  const auto u = layer.soft_interest(context, w.store, w.query());
  REQUIRE(u.rows() == w.items.size());
  for (std::size_t r = 0; r < 3; ++r) {
    std::vector<history_event> past;
    if (w.events.contains(w.users[r]))
      for (const history_event& e : w.events.at(w.users[r]))
        if (e.time < w.times[r]) past.push_back(e);
    if (past.size() > 6) past.erase(past.begin(), past.end() - 6);
    ids items, categories, actions, buckets;
    for (const history_event& e : past) {
      items.push_back(row(e.item, 30));
      categories.push_back(row(e.category, 6));
      actions.push_back(row(e.action, 3));
      buckets.push_back(time_bucket(w.times[r], e.time, 10));
    }
    const std::array<std::span<const std::uint32_t>, 2> fields{items, categories};
    const auto x = layer.events(context, {fields, {}, actions, buckets});
    const auto b = layer.event_search(context, x);
    for (std::size_t i = w.requests[r]; i < w.requests[r + 1]; ++i) {
      const ids item{row(w.items[i], 30)}, category{row(w.categories[i], 6)};
      const std::array<std::span<const std::uint32_t>, 2> of{item, category};
      const auto a =
          layer.candidate_search(context, layer.events.candidates(context, {.fields = of}));
      for (std::size_t k = 0; k < u.cols(); ++k) {
        double sum = 0, largest = 1;
        for (std::size_t j = 0; j < past.size(); ++j) {
          double product = 0;
          for (std::size_t c = 0; c < a.cols(); ++c) product += a(0, c) * b(j, c);
          sum += product * x(j, k);
          largest = std::max(largest, std::abs(product));
        }
        CHECK(tolerance::within(u(i, k), sum, tolerance::iterative<double>(40, largest)));
      }
    }
  }
}

TEST_CASE("sim_attention: what is refused") {
  const char* name = "funnel::sim_attention";
  const auto refused_options = [&](const sim_options& options, const char* words) {
    return refuses([&] { sim_attention<float>(options, two_heads); }, "funnel::", words);
  };
  CHECK(refused_options({.events = 0}, "events is 0"));
  CHECK(refused_options({.items = 0}, "a field has 0 rows"));
  CHECK(refused_options({.categories = 0}, "a field has 0 rows"));
  CHECK(refused_options({.item_dim = 0}, "a field has 1 rows of 0"));
  CHECK(refused_options({.time_dim = 0}, "a time bucket has"));
  CHECK(refused_options({.by_category = false, .by_cluster = false}, "expected one filter"));
  CHECK(refused_options({.similar = 1, .searched = 0}, "searched is 0"));
  CHECK(refused_options({.similar = 1, .search_dim = 0}, "search_dim is 0"));
  const auto layer = with_random_parameters(sim_attention<float>(small, two_heads));
  const world w(1);
  inference_context<float> context;
  const auto refused = [&](const sim_query& query, const char* words) {
    return refuses([&] { layer(context, w.store, query); }, name, words);
  };
  sim_query query = w.query();
  CHECK(refused(query, "users has 3 values, expected 1, 12 as in items, or one per request"));
  context.group_rows(w.requests);
  query.categories = query.categories.first(5);
  CHECK(refused(query, "categories has 5 values, expected 12 as in items"));
  query = w.query();
  query.clusters = {};
  CHECK(refused(query, "clusters has 0 values, expected 12 as in items"));
  query = w.query();
  query.times = query.times.first(2);
  CHECK(refused(query, "times has 2 values, expected 3 as in users"));
  CHECK(refuses([&] { layer.soft_interest(context, w.store, w.query()); },
                "funnel::sim_attention::soft_interest", "similar is 0"));
  const auto by_category = with_random_parameters(
      sim_attention<float>(with([](auto& o) { o.by_cluster = false; }), two_heads));
  query = w.query();
  query.clusters = {};
  CHECK(by_category(context, w.store, query).rows() == 12);
  // No candidates.
  inference_context<float> empty;
  CHECK(layer(empty, w.store, {}).rows() == 0);
}
