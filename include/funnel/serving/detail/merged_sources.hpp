// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/candidates.hpp>
#include <funnel/retrieval/merge_channels.hpp>
#include <funnel/retrieval/split_quota.hpp>
#include <funnel/serving/detail/cascade_stage.hpp>
#include <funnel/serving/stage_call.hpp>
#include <funnel/serving/stage_options.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace funnel::detail {

/// What the sources of a cascade with a total find in a request, until it is merged.
template <class Request>
struct merged_sources {
  std::size_t total = 0;
  std::function<void(const Request&, std::span<double>)> set_shares = {};
  std::vector<double> shares = {};
  std::vector<std::size_t> quotas = {};
  std::vector<std::vector<channel_item>> found = {};
  std::vector<std::span<const channel_item>> lists = {};
  std::size_t count = 0;  ///< of all that was found, duplicates included

  /// Sets the quotas of a request. Sources are the first stages.
  void begin(const Request& request, const std::vector<cascade_stage<Request>>& stages,
             std::size_t sources) {
    shares.resize(sources);
    quotas.resize(sources);
    found.resize(sources);
    lists.resize(sources);
    for (std::size_t s = 0; s < sources; ++s) {
      shares[s] = stages[s].options.share;
      found[s].clear();
    }
    if (set_shares) set_shares(request, shares);
    split_quota(total, shares, quotas);
    count = 0;
  }
  /// What a source is called with: the most that it may add, its quota, and where it is added.
  source_room room(const cascade_stage<Request>& source) {
    const std::size_t keeps = source.options.keeps;
    if (total == 0) return {keeps, keeps, nullptr};
    return {std::min(keeps, total), quotas[source.number], &found[source.number]};
  }
  /// Merges what was found into `to`.
  void merge(candidates& to, std::vector<cascade_stage<Request>>& stages, cascade_trace* trace) {
    for (std::size_t s = 0; s < lists.size(); ++s) lists[s] = found[s];
    merge_channels<channel_item>(lists, quotas, to);
    for (std::size_t s = 0; s < lists.size(); ++s) {
      stages[s].counts.went_on += to.found_by(s);  // in the place of what was found
      stages[s].counts.went_on -= found[s].size();
      if (trace == nullptr) continue;
      trace->stages[s].quota = quotas[s];
      trace->stages[s].went_on = to.found_by(s);
    }
  }
};

}  // namespace funnel::detail
