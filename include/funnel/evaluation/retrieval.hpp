// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/evaluation/report.hpp>
#include <funnel/metrics/ndcg.hpp>
#include <funnel/metrics/recall.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace funnel {

/// Concept of lists of items, one per user: `std::vector<std::vector<item_id>>`, `id_lists`, or
/// anything else with a size and spans of ids.
template <class L>
concept ItemLists = requires(const L& lists, std::size_t i) {
  { lists.size() } -> std::convertible_to<std::size_t>;
  { lists[i] } -> std::convertible_to<std::span<const item_id>>;
};

/// Options of `evaluate_retrieval`.
struct retrieval_options {
  /// Numbers of first items that count, each 1 or more.
  std::vector<std::size_t> k = {10, 100};
  /// Number of items in the catalog, which the ids are below; 0: no coverage.
  std::size_t catalog = 0;
  recall_denominator denominator = recall_denominator::relevant;
};

/// Measures lists that a retrieval or a ranker found, and sets the numbers in a report, as the group
/// `name`: for each k, in this order, recall_at_<k>, hit_rate_at_<k>, ndcg_at_<k> and, if the size of
/// the catalog is given, coverage_at_<k>; then mrr, users and users_without_relevant.
///
///     evaluate_retrieval(numbers, "retrieval", found, clicked, {.k = {100, 500}});
///
/// Recall, hit rate, NDCG and the reciprocal rank are means over the users who have relevant items;
/// `users` counts them. The others are counted in `users_without_relevant`. Coverage is the share of
/// the catalog that is among the first k of any list, of any user.
///
/// The reciprocal rank looks at the first items up to the largest k. NDCG has relevance 1 for each
/// relevant item.
///
/// Shapes      found [users], best first; relevant [users], in any order. An id that is listed twice
///             counts once; in found it still takes up two positions.
/// Errors      std::invalid_argument if there are no users, the sizes differ, k is empty, has a 0 or
///             has a value twice, an item that was found is not below the catalog, or a name cannot
///             be set in the report. The report is unchanged then.
/// Cost        O(sum of (r + k) log r) per k; catalog integers of memory.
/// Numerics    NaN if no user has relevant items.
/// Source      docs/formulas.md#recall-and-hit-rate, docs/formulas.md#ndcg,
///             docs/formulas.md#reciprocal-rank, docs/formulas.md#catalog-coverage.
template <ItemLists Found, ItemLists Relevant>
void evaluate_retrieval(report& numbers, std::string_view name, const Found& found,
                        const Relevant& relevant, const retrieval_options& options = {}) {
  constexpr const char* function = "evaluate_retrieval";
  const std::vector<std::size_t>& depths = options.k;
  const std::size_t n = found.size();
  detail::check_not_empty(function, "found", n);
  detail::check_size(function, "relevant", relevant.size(), n, "found");
  detail::check_not_empty(function, "k", depths.size());
  for (std::size_t d = 0; d < depths.size(); ++d) {
    detail::check_at_least_one(function, "k", depths[d]);
    if (std::find(depths.begin(), depths.begin() + static_cast<std::ptrdiff_t>(d), depths[d]) !=
        depths.begin() + static_cast<std::ptrdiff_t>(d))
      detail::fail("funnel::evaluate_retrieval: k has ", depths[d], " twice, expected once");
  }
  const std::size_t deepest = *std::max_element(depths.begin(), depths.end());

  struct sums {
    double recall = 0, hits = 0, ndcg = 0;
  };
  std::vector<sums> of(depths.size());
  double reciprocal = 0;
  std::size_t users = 0;
  constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
  detail::array_size<std::size_t>("funnel::evaluate_retrieval: catalog", options.catalog);
  std::vector<std::size_t> first_place(options.catalog, never);  // of each item, in any list
  std::vector<item_id> sought;
  std::vector<float> ones;
  for (std::size_t u = 0; u < n; ++u) {
    const std::span<const item_id> list = found[u];
    const std::span<const item_id> top = list.first(std::min(deepest, list.size()));
    if (options.catalog > 0)
      for (std::size_t i = 0; i < top.size(); ++i) {
        if (top[i] >= options.catalog)
          detail::fail("funnel::evaluate_retrieval: found[", u, "][", i, "] is ", top[i],
                       ", expected below ", options.catalog, ", the catalog");
        first_place[top[i]] = std::min(first_place[top[i]], i);
      }
    const std::span<const item_id> own = relevant[u];
    if (own.empty()) continue;
    ++users;
    sought.assign(own.begin(), own.end());
    std::sort(sought.begin(), sought.end());
    sought.erase(std::unique(sought.begin(), sought.end()), sought.end());
    ones.assign(sought.size(), 1.f);
    reciprocal += reciprocal_rank(top, sought);
    for (std::size_t d = 0; d < depths.size(); ++d) {
      const std::size_t k = depths[d];
      of[d].recall += recall_at_k(top, sought, {.k = k, .denominator = options.denominator});
      of[d].hits += hit_at_k(top, sought, k);
      of[d].ndcg += ndcg_at_k(top, sought, ones, {.k = k});
    }
  }

  const auto mean = [&](double sum) {
    return users == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(users);
  };
  report part;
  for (std::size_t d = 0; d < depths.size(); ++d) {
    const std::string at = "_at_" + std::to_string(depths[d]);
    part.set("recall" + at, mean(of[d].recall));
    part.set("hit_rate" + at, mean(of[d].hits));
    part.set("ndcg" + at, mean(of[d].ndcg));
    if (options.catalog == 0) continue;
    const auto shown = std::count_if(first_place.begin(), first_place.end(),
                                     [&](std::size_t place) { return place < depths[d]; });
    part.set("coverage" + at, static_cast<double>(shown) / static_cast<double>(options.catalog));
  }
  part.set("mrr", mean(reciprocal));
  part.set("users", static_cast<double>(users));
  part.set("users_without_relevant", static_cast<double>(n - users));
  numbers.merge(name, part);
}

}  // namespace funnel
