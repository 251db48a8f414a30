// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/index/neighbor_table.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/retrieval/detail/score_sums.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

namespace funnel {

/// How the scores of an item that several seeds lead to become one.
enum class combined_scores : std::uint8_t {
  sum,      ///< items that are similar to many seeds come first
  largest,  ///< the best seed alone decides
};

/// Options of `neighbor_expander`.
struct neighbor_expander_options {
  combined_scores combine = combined_scores::sum;
  /// Neighbors that are read of each seed, 1 or more.
  std::size_t neighbors = std::numeric_limits<std::size_t>::max();
};

/// Retrieval from seeds (U2I2I): the items that are similar to what a user liked.
///
///     score(i) = sum over seeds j with neighbor i of weight(j) sim(j, i), or the largest of them
///
/// One thread uses an expander; each serving thread has its own. The table must live as long. After the
/// first request it allocates no memory, but for more items than ever before.
///
/// Cost        4 bytes per item of the table; a search reads the lists of the seeds.
/// Source      docs/formulas.md#retrieval-from-seeds.
class neighbor_expander {
 public:
  /// Errors      std::invalid_argument if an option is out of range.
  explicit neighbor_expander(const neighbor_table& table,
                             const neighbor_expander_options& options = {})
      : table_(&table), options_(options), sums_(table.size()) {
    if (options.combine > combined_scores::largest)
      detail::fail("funnel::neighbor_expander: combine is ", static_cast<int>(options.combine),
                   ", expected below 2");
    detail::check_at_least_one("neighbor_expander", "neighbors", options.neighbors);
  }

  /// Goes on with another table, such as that of the next version. Allocates only if it has more items
  /// than any before.
  void follow(const neighbor_table& table) {
    sums_.grow(table.size());
    table_ = &table;
  }

  /// Finds the best items, best first, and returns their number: fewer than out.size() if the lists of
  /// the seeds have no more. Seeds that the table does not have lead nowhere. Items that `admits`
  /// returns false for are left out, such as those that the user has seen; a seed is found only if it
  /// is a neighbor of another one and `admits` lets it pass.
  ///
  /// Shapes      seeds [s]; weights [s], above 0, or empty: all 1; out [most].
  /// Errors      std::invalid_argument if the sizes differ or a weight is not a finite number above 0;
  ///             `out` is unchanged then.
  template <class Admits>
  std::size_t search(std::span<const item_id> seeds, std::span<const float> weights,
                     std::span<scored_item> out, const Admits& admits) {
    constexpr std::string_view name = "neighbor_expander::search";
    if (!weights.empty())
      detail::check_size(name, "weights", weights.size(), seeds.size(), "seeds");
    for (const float weight : weights) check_weight(weight);
    sums_.clear();
    for (std::size_t s = 0; s < seeds.size(); ++s)
      add_neighbors(seeds[s], weights.empty() ? 1 : weights[s]);
    return sums_.best(out, admits);
  }
  /// The same with all items.
  std::size_t search(std::span<const item_id> seeds, std::span<const float> weights,
                     std::span<scored_item> out) {
    return search(seeds, weights, out, [](item_id) { return true; });
  }

  /// The same for seeds with weights, such as what another search found.
  template <class Admits>
  std::size_t search(std::span<const scored_item> seeds, std::span<scored_item> out,
                     const Admits& admits) {
    for (const scored_item& seed : seeds) check_weight(seed.score);
    sums_.clear();
    for (const scored_item& seed : seeds) add_neighbors(seed.item, seed.score);
    return sums_.best(out, admits);
  }

 private:
  static void check_weight(float weight) {
    detail::check_positive("neighbor_expander::search", "a weight", weight);
  }
  void add_neighbors(item_id seed, float weight) {
    const auto items = table_->neighbors(seed);
    const auto similarities = table_->scores(seed);
    for (std::size_t i = 0; i < std::min(items.size(), options_.neighbors); ++i) {
      const float score = weight * similarities[i];
      if (options_.combine == combined_scores::sum)
        sums_.add(items[i], score);
      else
        sums_.add_largest(items[i], score);
    }
  }

  const neighbor_table* table_;
  neighbor_expander_options options_;
  detail::score_sums sums_;
};

}  // namespace funnel
