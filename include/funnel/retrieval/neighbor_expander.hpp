// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/index/neighbor_table.hpp>
#include <funnel/index/scored_item.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

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
      : table_(&table), options_(options), scores_(table.size()) {
    if (options.combine > combined_scores::largest)
      detail::fail("funnel::neighbor_expander: combine is ", static_cast<int>(options.combine),
                   ", expected below 2");
    detail::check_at_least_one("neighbor_expander", "neighbors", options.neighbors);
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
    for (const float weight : weights)
      detail::check_that(name, "a weight", weight, weight > 0 && std::isfinite(weight),
                         "a finite number above 0");
    for (const item_id item : touched_) scores_[item] = 0;  // of a search that ran out of memory
    touched_.clear();
    for (std::size_t s = 0; s < seeds.size(); ++s) {
      const float weight = weights.empty() ? 1 : weights[s];
      const auto items = table_->neighbors(seeds[s]);
      const auto similarities = table_->scores(seeds[s]);
      for (std::size_t i = 0; i < std::min(items.size(), options_.neighbors); ++i) {
        const float score = weight * similarities[i];
        if (!(score > 0)) continue;
        float& sum = scores_[items[i]];
        if (sum == 0) touched_.push_back(items[i]);
        sum = options_.combine == combined_scores::sum ? sum + score : std::max(sum, score);
      }
    }
    found_.clear();
    for (const item_id item : touched_)
      if (admits(item)) found_.push_back({item, scores_[item]});
    const std::size_t count = std::min(out.size(), found_.size());
    const auto middle = found_.begin() + static_cast<std::ptrdiff_t>(count);
    std::partial_sort(
        found_.begin(), middle, found_.end(),
        [](const scored_item& x, const scored_item& y) { return ranks_before(x, y); });
    std::copy(found_.begin(), middle, out.begin());
    return count;
  }
  /// The same with all items.
  std::size_t search(std::span<const item_id> seeds, std::span<const float> weights,
                     std::span<scored_item> out) {
    return search(seeds, weights, out, [](item_id) { return true; });
  }

 private:
  const neighbor_table* table_;
  neighbor_expander_options options_;
  std::vector<float> scores_;     // by item; 0 but for those of touched_
  std::vector<item_id> touched_;  // by the last search
  std::vector<scored_item> found_;
};

}  // namespace funnel
