// SPDX-License-Identifier: MIT
#pragma once

#include "features.hpp"

#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>
#include <funnel/features/standardize.hpp>
#include <funnel/nn/embedding.hpp>

#include <cstdint>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

namespace feed {

/// Is called with the progress of a step, in [0, 1].
using progress = std::function<void(double)>;

/// Standardizes features to mean 0 and standard deviation 1, then limits them to [-4, 4].
class scaler {
 public:
  explicit scaler(funnel::matrix_view<const float> training) : standard_(training) {}
  void apply(funnel::matrix_view<float> values) const;

 private:
  funnel::standardizer<float> standard_;
};

/// Impressions and their features, as known before the day of the impression.
struct rows {
  std::vector<funnel::impression> shown;
  funnel::matrix<float> user;
  funnel::matrix<float> item;
  funnel::matrix<float> cross;
  funnel::matrix<float> labels;  ///< [n, watch]: 0 or 1 for each task before `watch`

  std::size_t size() const { return shown.size(); }
};

/// Computes the features of impressions from the current counters.
rows make_rows(const features& known, std::vector<funnel::impression> shown);

/// Concatenates rows.
rows join_rows(std::span<const rows> parts);

/// One list per user of videos before the log, with their tags. Batches are gathered from them.
struct history_lists {
  std::vector<std::uint32_t> items;
  std::vector<std::uint32_t> tags;
  std::vector<std::uint32_t> offsets = {0};

  void append(std::span<const funnel::item_id> history, const std::vector<funnel::video>& videos);
  /// Appends the list of `user` in `from`.
  void append(const history_lists& from, std::size_t user);
  void clear();
  std::size_t size() const { return offsets.size() - 1; }
  funnel::id_lists item_lists() const { return {items, offsets}; }
  funnel::id_lists tag_lists() const { return {tags, offsets}; }
};

/// Maximum length of a history list.
inline constexpr std::size_t history_length = 20;

/// The newest `most` videos of one kind of history, for every user.
history_lists newest(const funnel::interaction_log& log,
                     std::vector<funnel::item_id> funnel::user_history::*kind, std::size_t most);

/// A random permutation of 0, 1, ..., n - 1.
std::vector<std::uint32_t> random_order(std::size_t n, funnel::random_generator& bits);

}  // namespace feed
