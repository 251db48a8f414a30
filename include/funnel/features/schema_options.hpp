// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/feature_kinds.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace funnel {

/// When an event becomes visible to counters and histories: an amount of time after it, or at the
/// next midnight.
struct event_delay {
  /// The event is visible at times later than its own plus this many ticks; 0 or more.
  std::int64_t ticks = 0;
  /// The event is visible from the next local midnight; `ticks` is not used.
  bool until_midnight = false;

  void visit_state(auto&& visit) { visit("ticks", ticks), visit("until_midnight", until_midnight); }
};

/// The day-wise rule: a row sees the events of earlier days. For logs whose counters are computed
/// once a day.
inline constexpr event_delay to_midnight{.until_midnight = true};

/// Options of `schema`: the columns of a log, and the features that are computed from them.
struct schema_options {
  /// Name, for error messages.
  std::string name = "features";
  /// Columns of the log: ids of the user and the item, integers or text, and the time of the row, an
  /// integer. Empty for a table without them, whose features are those of the context: then no
  /// feature may need them.
  std::string user = "user_id";
  std::string item = "item_id";
  std::string time = "time";
  /// Column of the log with the request of a row: rows of one request were shown to one user at one
  /// time. Empty: each row is a request.
  std::string request = {};

  /// Features that depend on the user alone, from the user table or from the log.
  std::vector<feature> of_user = {};
  /// Features that depend on the item alone, from the item table or from the log.
  std::vector<feature> of_item = {};
  /// Features that are the same for all rows of a request: device, time, counters of the user at this
  /// hour.
  std::vector<feature> of_context = {};
  /// Features that differ by row and are not of the item alone: position, counters of user and item
  /// together.
  std::vector<feature> of_cross = {};
  /// Columns of the log with what a model learns.
  name_list labels = {};

  /// Columns that are only parts of keys: of the user, the item, and the request.
  name_list user_keys = {};
  name_list item_keys = {};
  name_list context_keys = {};

  /// When counters and histories see an event.
  event_delay delay = {};
  /// Unit of times: 1 for seconds since 1970-01-01 UTC, 1000 for milliseconds.
  std::int64_t ticks_per_second = 1;
  /// Local time minus UTC in seconds, for hours, days and midnights.
  std::int64_t utc_offset = 0;
  /// Standardized numbers are limited to this many deviations from the mean; above 0.
  float number_limit = 5;

  /// The features of a side, in the order user, item, context, cross.
  std::vector<feature>& of(std::size_t side) {
    return side == 0 ? of_user : side == 1 ? of_item : side == 2 ? of_context : of_cross;
  }
  const std::vector<feature>& of(std::size_t side) const {
    return const_cast<schema_options*>(this)->of(side);
  }

  void visit_state(auto&& visit) {
    visit("name", name), visit("user", user), visit("item", item), visit("time", time);
    visit("request", request), visit("labels", labels), visit("user_keys", user_keys);
    visit("item_keys", item_keys), visit("context_keys", context_keys), visit("delay", delay);
    visit("ticks_per_second", ticks_per_second), visit("utc_offset", utc_offset);
    visit("number_limit", number_limit);
    for (std::size_t side = 0; side < 4; ++side) {
      std::vector<feature>& features = of(side);
      std::uint64_t count = features.size();
      visit("features", count);
      if (is_loading(visit)) features.clear();
      for (std::uint64_t i = 0; i < count; ++i) {
        std::uint8_t kind = 0;
        if (!is_loading(visit)) kind = static_cast<std::uint8_t>(features[i].index());
        visit("kind", kind);
        if (is_loading(visit)) features.push_back(feature_of_kind(kind));
        std::visit([&](auto& f) { visit("feature", f); }, features[i]);
      }
    }
  }

 private:
  template <std::size_t I = 0>
  static feature feature_of_kind(std::size_t kind) {
    if constexpr (I == std::variant_size_v<feature>) {
      throw format_error(
          detail::join_text("funnel::schema: a feature has kind ", kind, ", expected below ", I));
    } else {
      if (kind == I) return feature(std::in_place_index<I>);
      return feature_of_kind<I + 1>(kind);
    }
  }
};

}  // namespace funnel
