// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/features/schema.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace funnel {

/// Takes the candidates of each request out of the histories of its user: to train a model that
/// finds an item of a history from the others. Otherwise the answer would be in the question.
///
/// An event is taken out if all fields of the history are those of a candidate: name the item's id
/// among them. What is unknown to the vocabulary is not told apart, and stays.
///
/// Order       the other events keep theirs.
/// Errors      std::invalid_argument if the batch was not made with this schema (another number of
///             histories, fields or categories); nothing is changed then.
/// Cost        events x candidates of a request.
inline void hide_candidates(const schema& features, row_batch& rows) {
  constexpr std::string_view name = "hide_candidates";
  const auto& plans = features.plan().histories;
  const auto& items = rows.item.categories;
  detail::check_size(name, "rows.histories", rows.histories.size(), plans.size(),
                     "histories of the schema");
  detail::check_size(name, "rows.item.categories", items.size(),
                     features.plan().of[detail::item_side].categories.size(),
                     "categories of the schema");
  for (std::size_t h = 0; h < plans.size(); ++h)
    detail::check_size(name, "fields of a history", rows.histories[h].fields.size(),
                       plans[h].categories.size(), "fields of the schema");
  for (std::size_t h = 0; h < plans.size(); ++h) {
    history_values& events = rows.histories[h];
    const auto is_event = [&](std::size_t candidate, std::size_t event) {
      bool known = false;
      for (std::size_t f = 0; f < events.fields.size(); ++f) {
        const std::uint32_t code = items[plans[h].categories[f]][candidate];
        if (code != events.fields[f][event]) return false;
        known = known || (f == 0 && code != 0);
      }
      return known;
    };
    std::uint32_t kept = 0, begin = 0;
    for (std::size_t r = 0; r < rows.requests(); ++r) {
      const std::uint32_t end = events.offsets[r + 1];
      for (std::uint32_t j = begin; j < end; ++j) {
        bool hidden = false;
        for (std::uint32_t i = rows.offsets[r]; i < rows.offsets[r + 1] && !hidden; ++i)
          hidden = is_event(i, j);
        if (hidden) continue;
        for (auto& field : events.fields) field[kept] = field[j];
        ++kept;
      }
      begin = end;
      events.offsets[r + 1] = kept;
    }
    for (auto& field : events.fields) field.resize(kept);
  }
}

}  // namespace funnel
