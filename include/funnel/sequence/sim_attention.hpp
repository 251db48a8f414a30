// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/top_k.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/detail/request_rows.hpp>
#include <funnel/sequence/detail/attend_lists.hpp>
#include <funnel/sequence/detail/event_lists.hpp>
#include <funnel/sequence/detail/event_rows.hpp>
#include <funnel/sequence/detail/selection_context.hpp>
#include <funnel/sequence/event_embedding.hpp>
#include <funnel/sequence/history_search.hpp>
#include <funnel/sequence/history_store.hpp>
#include <funnel/sequence/multi_head_attention.hpp>
#include <funnel/simd/dense.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <span>
#include <string_view>
#include <tuple>

namespace funnel {

/// Options of `sim_attention`.
struct sim_options {
  /// Rows of the tables of items and categories, 1 or more. Ids from there on share row 0, the unknown.
  std::size_t items = 1, categories = 1;
  /// Rows of the table of actions; 0: the action is not part of an event's vector.
  std::size_t actions = 0;
  /// Buckets of the age of an event, see `time_bucket`; 0: the age is not part of its vector.
  std::size_t time_buckets = 32;
  /// Sizes of the embeddings, 1 or more each.
  std::size_t item_dim = 16, category_dim = 8, action_dim = 4, time_dim = 4;
  /// Most events per candidate, 1 or more. K.
  std::size_t events = 100;
  /// Hard search: the newest events of the candidate's category, or of its cluster.
  bool by_category = true, by_cluster = true;
  /// Soft search: how many of the events that are closest to the candidate are found; 0: none.
  std::size_t similar = 0;
  /// Soft search looks through so many of a user's newest events, 1 or more.
  std::size_t searched = 10'000;
  /// Size of the vectors of soft search, 1 or more.
  std::size_t search_dim = 16;
  /// Standard deviation of the normal distribution that embeddings start from, 0 or more.
  double initial_scale = 0.05;
};

/// Who asks, when, and for which candidates. In training it must live until the context is cleared.
struct sim_query {
  /// The users, one per request: 1 for all candidates, R of the context's requests, or n.
  std::span<const user_id> users;
  /// The time of each request: only events before it are found, and their ages count from it.
  std::span<const std::int64_t> times;
  std::span<const item_id> items;             ///< of the candidates, [n]
  std::span<const category_id> categories;    ///< [n]
  std::span<const cluster_id> clusters = {};  ///< [n]; may be empty without `by_cluster`
};

/// SIM (search-based interest model) from a history store to values: for each candidate, finds the events
/// of the user's history that are related to it, and attends to them.
///
///     S_i = the K newest of  {events of the category} or {events of the cluster} or {soft search}
///     o_i = attention(q_i, {x_j : j in S_i})
///     soft search   the `similar` events with the largest <q_i W_a, x_j W_b>
///
/// Each event counts once, however many filters find it. Events and candidates have the vectors of
/// `event_embedding`: item, category, action and age. A candidate whose category or cluster is missing, or
/// unknown to the user, is served by the other filters. Without any event the result is a zero vector.
///
/// Which events are found has no gradient. Soft search learns from an auxiliary loss: `soft_interest`
/// returns sum_j <q_i W_a, x_j W_b> x_j, from which a small network of its own predicts the label, and
/// whose loss is added to that of the model (weight 1 in the paper). Hard search needs none.
///
/// `Attention` is `multi_head_attention` or `din_attention`, or another layer called alike.
///
/// Shapes      n candidates -> [n, out()].
/// Errors      std::invalid_argument if an option is out of range or the sizes of the query do not fit.
/// Cost        O(K) per filter and candidate, and the attention. Candidates of a request with the same
///             category and cluster share their events, which are embedded once. Soft search: 2 d s
///             operations per event that is searched, 2 s per candidate and such event. Allocates nothing
///             in serving, once a request of the same size has been served.
/// Numerics    the result of a candidate has the same bits whatever the other candidates are, in serving
///             and in training. Of equal products in soft search, the older event is kept.
/// Source      Pi et al., CIKM 2020, sections 3.2 and 3.3; docs/formulas.md#sim.
template <class T, class Attention = multi_head_attention<T>>
class sim_attention : public detail::layer_of<T> {
 public:
  event_embedding<T> events;
  Attention attention;
  /// Projections of soft search: of candidates and of events; without parameters if there is none.
  dense<T> candidate_search, event_search;

  sim_attention() = default;
  /// `attention_options` are those of the attention.
  template <class... Options>
  explicit sim_attention(const sim_options& options, const Options&... attention_options)
      : events(embedding_options_of(options)), attention(events.width(), attention_options...),
        options_(options) {
    detail::check_at_least_one(name, "events", options.events);
    if (!options.by_category && !options.by_cluster && options.similar == 0)
      detail::fail(
          "funnel::sim_attention: by_category, by_cluster and similar are off, expected one "
          "filter or more");
    if (options.similar == 0) return;
    detail::check_at_least_one(name, "searched", options.searched);
    detail::check_at_least_one(name, "search_dim", options.search_dim);
    candidate_search = event_search = dense<T>(events.width(), options.search_dim, {.bias = false});
  }

  const sim_options& options() const { return options_; }
  std::size_t out() const { return attention.out(); }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const history_store& store, const sim_query& query) const {
    const requests of = check(context, query);
    arena& memory = context.scratch();
    const found_lists found = search<C>(memory, store, query, of);
    std::array<std::span<const std::uint32_t>, 2> fields;
    const auto x = events(context, found.rows.columns(fields));
    const auto q = candidates(context, query);
    return attention(context, q, x, found.offsets, found.lists);
  }

  /// sum_j <q_i W_a, x_j W_b> x_j over the `searched` newest events: the input of the network whose loss
  /// trains soft search.
  ///
  /// Shapes      n candidates -> [n, events.width()].
  /// Errors      also std::invalid_argument if `similar` is 0.
  template <ContextOf<T> C>
  value_of<C> soft_interest(C& context, const history_store& store, const sim_query& query) const {
    detail::check_at_least_one("sim_attention::soft_interest", "similar", options_.similar);
    const requests of = check(context, query);
    arena& memory = context.scratch();
    const std::size_t count = query.users.size();
    auto* offsets = memory.template allocate<std::uint32_t>(count + 1);
    std::size_t total = 0;
    for (std::size_t r = 0; r < count; ++r) {
      offsets[r] = size_of_offset(total);
      total += newest(store[query.users[r]], query.times[r]).count;
    }
    offsets[count] = size_of_offset(total);
    detail::event_rows rows(memory, total, tables());
    for (std::size_t r = 0; r < count; ++r) add_newest(rows, store[query.users[r]], query.times[r]);
    std::array<std::span<const std::uint32_t>, 2> fields;
    const auto x = events(context, rows.columns(fields));
    const auto q = candidates(context, query);
    const auto a = candidate_search(context, q);
    const auto b = event_search(context, x);
    const std::size_t n = query.items.size();
    auto* lists = memory.template allocate<std::uint32_t>(n);
    for (std::size_t i = 0; i < n; ++i) lists[i] = static_cast<std::uint32_t>(of(i));
    return detail::attend_lists<C>(context, a, b, x, {{offsets, count + 1}, n, lists},
                                   {T(1), false});
  }

  void visit_parameters(auto&& visit) {
    visit("events", events);
    visit("attention", attention);
    if (options_.similar == 0) return;
    visit("candidate_search", candidate_search);
    visit("event_search", event_search);
  }

 private:
  static constexpr std::string_view name = "sim_attention";

  /// The request of each candidate.
  struct requests {
    std::size_t count;
    const std::uint32_t* of_row;  // null: there is one request, or one per candidate

    std::size_t operator()(std::size_t i) const {
      return count == 1 ? 0 : of_row == nullptr ? i : of_row[i];
    }
  };
  struct found_lists {
    detail::event_rows rows;
    std::span<const std::uint32_t> offsets;  // [L + 1]
    std::span<const std::uint32_t> lists;    // [n]
  };
  /// Positions of a user's newest events before a time: those from `begin` on.
  struct newest_events {
    std::size_t begin, count;
  };

  static event_embedding_options embedding_options_of(const sim_options& options) {
    return {
        .fields = {{options.items, options.item_dim}, {options.categories, options.category_dim}},
        .actions = options.actions,
        .action_dim = options.action_dim,
        .time_buckets = options.time_buckets,
        .time_dim = options.time_dim,
        .initial_scale = options.initial_scale};
  }
  detail::event_tables tables() const {
    return {options_.items, options_.categories, options_.actions, options_.time_buckets};
  }
  static std::uint32_t size_of_offset(std::size_t n) {
    detail::check_size_of_32_bits(name, "the found events", n);
    return static_cast<std::uint32_t>(n);
  }

  template <class C>
  requests check(const C& context, const sim_query& query) const {
    const std::size_t n = query.items.size(), users = query.users.size();
    detail::check_size(name, "categories", query.categories.size(), n, "items");
    if (options_.by_cluster || !query.clusters.empty())
      detail::check_size(name, "clusters", query.clusters.size(), n, "items");
    detail::check_size(name, "times", query.times.size(), users, "users");
    const detail::request_rows of = detail::requests_of(context);
    if (users == 1 || users == n) return {users, nullptr};
    if (!of.match(users, n))
      detail::fail("funnel::sim_attention: users has ", users, " values, expected 1, ", n,
                   " as in items, or one per request of the context");
    return {users, of.of_row()};
  }

  template <class C>
  auto candidates(C& context, const sim_query& query) const {
    const std::size_t n = query.items.size();
    arena& memory = context.scratch();
    auto* items = memory.template allocate<std::uint32_t>(n);
    auto* categories = memory.template allocate<std::uint32_t>(n);
    for (std::size_t i = 0; i < n; ++i) {
      items[i] = detail::event_tables::row(query.items[i], options_.items);
      categories[i] = detail::event_tables::row(query.categories[i], options_.categories);
    }
    const std::array<std::span<const std::uint32_t>, 2> fields{
        std::span<const std::uint32_t>(items, n), std::span<const std::uint32_t>(categories, n)};
    return events.candidates(context, {.fields = fields});
  }

  newest_events newest(const stored_history& history, std::int64_t time) const {
    const std::size_t end = history.count_before(time);
    const std::size_t count = std::min(end, options_.searched);
    return {end - count, count};
  }
  void add_newest(detail::event_rows& rows, const stored_history& history,
                  std::int64_t time) const {
    const newest_events of = newest(history, time);
    for (std::size_t p = 0; p < of.count; ++p) rows.add(history[of.begin + p], time);
  }

  /// The positions of the events of a candidate's category or cluster, newest first.
  std::size_t hard_search(const stored_history& history, const sim_query& query, std::size_t i,
                          std::span<std::uint32_t> positions, std::int64_t before) const {
    if (options_.by_category && options_.by_cluster)
      return history.of_either(query.categories[i], query.clusters[i], positions, before);
    if (options_.by_category) return history.of_category(query.categories[i], positions, before);
    if (options_.by_cluster) return history.of_cluster(query.clusters[i], positions, before);
    return 0;
  }
  /// Finds the events of all candidates.
  template <class C>
  found_lists search(arena& memory, const history_store& store, const sim_query& query,
                     const requests& of) const;
  /// The positions that soft search finds for each candidate, newest first.
  template <class C>
  std::span<std::uint32_t>* soft_search(arena& memory, const history_store& store,
                                        const sim_query& query, const requests& of) const;

  sim_options options_;
};

template <class T, class Attention>
template <class C>
auto sim_attention<T, Attention>::search(arena& memory, const history_store& store,
                                         const sim_query& query, const requests& of) const
    -> found_lists {
  const std::size_t n = query.items.size();
  // Candidates with the same user, category and cluster share a list, and stand next to each other.
  const auto key = [&](std::uint32_t i) {
    return std::tuple(of(i), options_.by_category ? query.categories[i] : 0,
                      options_.by_cluster ? query.clusters[i] : 0);
  };
  const bool shares = options_.similar == 0;
  auto* order = memory.allocate<std::uint32_t>(n);
  std::iota(order, order + n, std::uint32_t{0});
  if (shares)
    std::sort(order, order + n, [&](std::uint32_t a, std::uint32_t b) { return key(a) < key(b); });
  const std::span<std::uint32_t>* similar =
      shares ? nullptr : soft_search<C>(memory, store, query, of);

  auto* lists = memory.allocate<std::uint32_t>(n);
  auto* found = memory.allocate<std::span<const std::uint32_t>>(n);  // by list
  auto* candidate = memory.allocate<std::uint32_t>(n);               // the first of each list
  std::size_t count = 0, total = 0;
  for (std::size_t place = 0; place < n; ++place) {
    const std::uint32_t i = order[place];
    if (!shares || place == 0 || key(i) != key(order[place - 1])) {
      const stored_history history = store[query.users[of(i)]];
      const std::int64_t now = query.times[of(i)];
      const std::size_t most = std::min(options_.events, history.size());
      const std::span<std::uint32_t> kept(memory.allocate<std::uint32_t>(most), most);
      std::size_t kept_count = hard_search(history, query, i, kept, now);
      if (!shares) {
        const arena::scope temporary(memory);
        const std::span<std::uint32_t> hard(memory.allocate<std::uint32_t>(kept_count), kept_count);
        std::copy_n(kept.begin(), kept_count, hard.begin());
        kept_count = filter_union({std::span<const std::uint32_t>(hard), similar[i]}, kept);
      } else {
        std::reverse(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(kept_count));
      }
      found[count] = kept.first(kept_count);
      candidate[count++] = i;
      total += kept_count;
    }
    lists[i] = static_cast<std::uint32_t>(count - 1);
  }
  auto* offsets = memory.allocate<std::uint32_t>(count + 1);
  detail::event_rows rows(memory, size_of_offset(total), tables());
  total = 0;
  for (std::size_t l = 0; l < count; ++l) {
    offsets[l] = size_of_offset(total);
    const std::size_t request = of(candidate[l]);
    const stored_history history = store[query.users[request]];
    for (const std::uint32_t position : found[l]) rows.add(history[position], query.times[request]);
    total += found[l].size();
  }
  offsets[count] = size_of_offset(total);
  return {rows, {offsets, count + 1}, {lists, n}};
}

template <class T, class Attention>
template <class C>
std::span<std::uint32_t>*
sim_attention<T, Attention>::soft_search(arena& memory, const history_store& store,
                                         const sim_query& query, const requests& of) const {
  using arch = typename C::arch;
  const std::size_t n = query.items.size();
  auto* found = memory.allocate<std::span<std::uint32_t>>(n);
  // All results first: the rest is temporary.
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t r = of(i);
    const std::size_t most =
        std::min(options_.similar, newest(store[query.users[r]], query.times[r]).count);
    found[i] = {memory.allocate<std::uint32_t>(most), most};
  }
  const arena::scope temporary(memory);
  detail::selection_context<T, arch> context(memory);
  const auto wanted = candidate_search(context, candidates(context, query));
  for (std::size_t i = 0; i < n;) {
    const std::size_t r = of(i);
    const arena::scope of_request(memory);
    const stored_history history = store[query.users[r]];
    const newest_events range = newest(history, query.times[r]);
    detail::event_rows rows(memory, range.count, tables());
    add_newest(rows, history, query.times[r]);
    std::array<std::span<const std::uint32_t>, 2> fields;
    const auto keys = event_search(context, events(context, rows.columns(fields)));
    T* panels = memory.allocate<T>(packed_size<arch, T>(keys.cols(), keys.rows()));
    pack_transposed_kernel(arch{}, keys, T(1), panels);
    T* zeros = memory.allocate<T>(range.count);
    std::fill_n(zeros, range.count, T(0));
    const matrix_view<T> scores = context.make(1, range.count);
    for (; i < n && of(i) == r; ++i) {
      if (found[i].empty()) continue;
      dense_kernel(arch{}, dense_arguments<T>{wanted.middle_rows(i, 1), panels, keys.cols(), zeros,
                                              0, scores, activation::identity});
      top_k(std::span<const T>(scores.data(), range.count), found[i]);
      std::ranges::sort(found[i], std::greater<>());
      for (std::uint32_t& p : found[i]) p += static_cast<std::uint32_t>(range.begin);
    }
  }
  return found;
}

}  // namespace funnel
