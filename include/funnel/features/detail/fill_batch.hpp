// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/random.hpp>
#include <funnel/features/detail/entity_table.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/row_batch.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

// How rows are written to a `row_batch`, in training and in serving.
namespace funnel::detail {

/// Empties a batch, and gives it the columns of a plan. Keeps its memory.
inline void clear_batch(const feature_plan& plan, row_batch& to) {
  for (std::size_t side = 0; side < sides; ++side) {
    to.side(side).categories.resize(plan.of[side].categories.size());
    to.side(side).lists.resize(plan.of[side].lists.size());
  }
  to.histories.resize(plan.histories.size());
  for (std::size_t h = 0; h < plan.histories.size(); ++h)
    to.histories[h].fields.resize(plan.histories[h].categories.size());
  clear_values(to);
}

/// Appends a row to a side, and returns its position. The numbers are `scaled` and then `vectors`.
inline std::size_t add_side_row(side_values& to, std::span<const std::uint32_t> codes,
                                std::span<const float> scaled, std::span<const float> vectors) {
  for (std::size_t c = 0; c < codes.size(); ++c) to.categories[c].push_back(codes[c]);
  to.numbers.insert(to.numbers.end(), scaled.begin(), scaled.end());
  to.numbers.insert(to.numbers.end(), vectors.begin(), vectors.end());
  return to.rows++;
}

inline void add_list(side_values::list& to, std::span<const std::uint32_t> ids) {
  to.ids.insert(to.ids.end(), ids.begin(), ids.end());
  to.offsets.push_back(static_cast<std::uint32_t>(to.ids.size()));
}

/// Appends the events of a request: items of the item table as they were at a time.
inline void add_history(const history_plan& plan, const entity_table& items,
                        std::span<const std::uint32_t> events, std::int64_t time,
                        history_values& to) {
  for (const std::uint32_t item : events) {
    const auto codes = items.codes(items.version(item, time));
    for (std::size_t f = 0; f < plan.categories.size(); ++f)
      to.fields[f].push_back(codes[plan.categories[f]]);
  }
  to.offsets.push_back(to.offsets.back() + static_cast<std::uint32_t>(events.size()));
}

/// Scales raw numbers: (x - mean) * factor, within limits; 0 if x is missing (NaN).
inline void scale_numbers(std::span<float> numbers, std::span<const float> means,
                          std::span<const float> factors, std::span<const float> limits) {
  for (std::size_t j = 0; j < numbers.size(); ++j) {
    const float scaled = (numbers[j] - means[j]) * factors[j];
    const float limited = std::min(std::max(scaled, -limits[j]), limits[j]);
    numbers[j] = std::isnan(numbers[j]) ? 0.f : limited;
  }
}

/// Treats values as missing, with the probability of their feature.
inline void drop_values(const feature_plan& plan, row_batch& to, random_generator& random) {
  for (std::size_t side = 0; side < sides; ++side) {
    const side_plan& of = plan.of[side];
    side_values& values = to.side(side);
    for (std::size_t c = 0; c < of.categories.size(); ++c) {
      if (of.categories[c].drop_rate == 0) continue;
      for (std::uint32_t& code : values.categories[c])
        if (bernoulli(random, of.categories[c].drop_rate)) code = 0;
    }
    for (const number_plan& n : of.numbers) {
      if (n.drop_rate == 0) continue;
      for (std::size_t i = 0; i < values.rows; ++i) {
        if (!bernoulli(random, n.drop_rate)) continue;
        values.numbers[i * of.width + n.offset] = 0;
        values.numbers[i * of.width + n.missing_offset] = 1;
      }
    }
  }
}

}  // namespace funnel::detail
