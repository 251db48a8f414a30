// SPDX-License-Identifier: MIT
// How long a request of 500 candidates takes to read a user's history, by the length of the history:
// history_lengths [requests]. Prints the median milliseconds, on the clock and of the processor alone, of the mean of the last n, of DIN over all
// events, and of SIM over the events of each candidate's category and cluster.
//
// Users are drawn in turn, so that histories come from memory and not from the cache.
#include <funnel/core/random.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/sequence/din_attention.hpp>
#include <funnel/sequence/event_embedding.hpp>
#include <funnel/sequence/history_store.hpp>
#include <funnel/sequence/last_n_mean.hpp>
#include <funnel/sequence/sim_attention.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

namespace {

using namespace funnel;

constexpr std::size_t candidates = 500, users = 8;
constexpr std::uint32_t item_rows = 1'000'000, categories = 200, clusters = 1000;

/// Draws small numbers more often: the square of a uniform one.
std::uint32_t skewed(random_generator& bits, std::uint32_t below) {
  const double u = uniform01(bits);
  return static_cast<std::uint32_t>(u * u * below);
}

/// An item has one category, 1 or more, and one cluster.
history_event event_of(std::uint32_t item, std::uint32_t action, std::int64_t time) {
  random_generator bits(item);
  return {item, 1 + skewed(bits, categories - 1), skewed(bits, clusters), action, time};
}

struct request {
  std::vector<user_id> user{0};
  std::vector<std::int64_t> time{0};
  std::vector<std::uint32_t> items, categories, clusters;

  request(random_generator& bits, std::size_t number, std::int64_t now) {
    user[0] = static_cast<user_id>(number % users);
    time[0] = now;
    for (std::size_t i = 0; i < candidates; ++i) {
      const history_event e =
          event_of(static_cast<std::uint32_t>(uniform_below(bits, item_rows)), 0, 0);
      items.push_back(e.item);
      categories.push_back(e.category);
      clusters.push_back(e.cluster);
    }
  }
  sim_query query() const { return {user, time, items, categories, clusters}; }
};

struct din_of_all {
  event_embedding<float> events{
      {.fields = {{item_rows, 16}, {categories, 8}}, .actions = 4, .time_buckets = 32}};
  din_attention<float> attention{events.width()};

  void visit_parameters(auto&& visit) {
    visit("events", events);
    visit("attention", attention);
  }
  /// The newest `length` events of the user.
  template <Context C>
  value_of<C> operator()(C& context, const history_store& store, const request& of,
                         std::size_t length) const {
    const stored_history history = store[of.user[0]];
    const std::size_t n = std::min(length, history.size()), begin = history.size() - n;
    std::array<std::uint32_t*, 4> columns;
    for (auto& column : columns) column = context.scratch().template allocate<std::uint32_t>(n);
    for (std::size_t i = 0; i < n; ++i) {
      const history_event e = history[begin + i];
      columns[0][i] = e.item;
      columns[1][i] = e.category;
      columns[2][i] = e.action;
      columns[3][i] = time_bucket(of.time[0], e.time, 32);
    }
    using ids = std::span<const std::uint32_t>;
    const std::array<ids, 2> fields{ids(columns[0], n), ids(columns[1], n)};
    const std::array<ids, 2> wanted{of.items, of.categories};
    const std::array<std::uint32_t, 2> offsets{0, static_cast<std::uint32_t>(n)};
    const auto x = events(context, {fields, {}, ids(columns[2], n), ids(columns[3], n)});
    return attention(context, events.candidates(context, {.fields = wanted}), x, offsets);
  }
};

struct mean_of_last {
  embedding<float> items{item_rows, 16};

  void visit_parameters(auto&& visit) { visit("items", items); }
  template <Context C>
  value_of<C> operator()(C& context, const history_store& store, const request& of,
                         std::size_t length) const {
    const stored_history history = store[of.user[0]];
    const std::size_t n = std::min(length, history.size()), begin = history.size() - n;
    auto* ids = context.scratch().template allocate<std::uint32_t>(n);
    for (std::size_t i = 0; i < n; ++i) ids[i] = history[begin + i].item;
    const std::array<std::uint32_t, 2> offsets{0, static_cast<std::uint32_t>(n)};
    return last_n_mean(context, items, {{ids, n}, offsets}, length);
  }
};

/// Runs requests and prints the median times: on the clock, and of the processor alone.
void measure(const std::string& name, std::size_t requests, std::int64_t now,
             const std::function<float(inference_context<float>&, const request&)>& serve) {
  using clock = std::chrono::steady_clock;
  random_generator bits(7);
  inference_context<float> context;
  std::vector<double> milliseconds, busy;
  float sum = 0;
  for (std::size_t r = 0; r < requests + users; ++r) {
    const request of(bits, r, now);
    const std::clock_t start = std::clock();
    const auto begin = clock::now();
    context.reset();
    sum += serve(context, of);
    const std::chrono::duration<double, std::milli> took = clock::now() - begin;
    const auto ticks = static_cast<double>(std::clock() - start);
    if (r < users) continue;
    milliseconds.push_back(took.count());
    busy.push_back(1000 * ticks / CLOCKS_PER_SEC);
  }
  std::ranges::sort(milliseconds);
  std::ranges::sort(busy);
  std::printf("%-32s %10.3f %10.3f   (%g)\n", name.c_str(), milliseconds[milliseconds.size() / 2],
              busy[busy.size() / 2], static_cast<double>(sum));
  std::fflush(stdout);
}

template <class Model>
auto frozen_model(Model model) {
  initialize(model, 1);
  return freeze(std::move(model));
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t requests = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 101;
  std::printf("%-32s %10s %10s\n", "500 candidates", "p50 ms", "of CPU");
  history_store store;
  random_generator bits(1);
  constexpr std::size_t longest = 1'000'000;
  const auto mean = frozen_model(mean_of_last());
  const auto din = frozen_model(din_of_all());
  const sim_options options{.items = item_rows, .categories = categories, .actions = 4};
  const auto heads = frozen_model(sim_attention<float>(options));
  const auto sim_din = frozen_model(sim_attention<float, din_attention<float>>(
      options, din_attention_options{.hidden = {16}, .function = activation::relu}));
  std::int64_t now = 0;
  for (const std::size_t length :
       {std::size_t{100}, std::size_t{1000}, std::size_t{10'000}, std::size_t{100'000}, longest}) {
    for (; store[users - 1].size() < length; now += 60)
      for (user_id user = 0; user < users; ++user)
        store.append(user, event_of(static_cast<std::uint32_t>(uniform_below(bits, item_rows)),
                                    static_cast<std::uint32_t>(uniform_below(bits, 4)), now));
    const std::string of = " of " + std::to_string(length);
    if (length <= 10'000) {
      measure("last n" + of, requests, now, [&](auto& context, const request& r) {
        return mean(context, store, r, length)(0, 0);
      });
      measure(
          "DIN" + of, std::min<std::size_t>(requests, length < 10'000 ? requests : 5), now,
          [&](auto& context, const request& r) { return din(context, store, r, length)(0, 0); });
    }
    if (length < 10'000) continue;
    measure("SIM, 4 heads of 16" + of, requests, now, [&](auto& context, const request& r) {
      return heads(context, store, r.query())(0, 0);
    });
    measure("SIM, DIN (16)" + of, requests, now, [&](auto& context, const request& r) {
      return sim_din(context, store, r.query())(0, 0);
    });
  }
  return 0;
}
