// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/detail/plan_columns.hpp>
#include <funnel/features/schema_options.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace funnel::detail {

/// Works out the plan of a schema.
///
/// Errors      std::invalid_argument naming the feature and what was expected.
class feature_planner : column_planner {
 public:
  explicit feature_planner(const schema_options& options) : column_planner(options) {
    for (std::size_t side = 0; side < sides; ++side) {
      side_plan& of = plan_.of[side];
      of.simple_width = width(side);
      of.sums.begin = plan_.sums.size();
      of.windows.begin = plan_.windows.size();
      for (const feature& f : options_.of(side))
        std::visit([&](const auto& kind) { add_counted(side, kind); }, f);
      of.sums.end = plan_.sums.size();
      of.windows.end = plan_.windows.size();
      of.scaled_width = width(side);
      for (vector_plan& v : of.vectors) v.offset = take(side, v.size);
    }
    for (std::size_t side = 0; side < sides; ++side)
      for (const feature& f : options_.of(side))
        if (const auto* kind = std::get_if<history>(&f)) add_history(side, *kind);
  }

  feature_plan result() && { return std::move(plan_); }

 private:
  // Features that are counted

  std::vector<key_part> key_of(std::size_t side, std::string_view name, const name_list& keys) {
    if (keys.empty()) refuse(side, name, "keys is empty, expected one column or more");
    std::vector<key_part> parts;
    for (const std::string& column : keys) {
      const std::size_t before = parts.size();
      const auto look_in = [&](std::size_t of) {
        for (std::size_t k = 0; k < plan_.of[of].keys.size() && parts.size() == before; ++k)
          if (plan_.of[of].keys[k].name == column) parts.push_back({of, k});
      };
      look_in(side);  // first: another side may have a column of this name, too
      for (std::size_t of = 0; of < sides; ++of) look_in(of);
      if (parts.size() == before)
        refuse(side, name, "key column \"", column,
               "\" is not known, expected a category or a bucketized number of any side, an id, or "
               "a column of user_keys, item_keys or context_keys");
      const std::size_t found = parts.back().side;
      const bool allowed =
          side == cross_side || found == side || (side == context_side && found == user_side);
      if (!allowed)
        refuse(side, name, "key column \"", column, "\" is ", side_names[found], ", expected ",
               side == context_side ? "of_user or of_context" : side_names[side],
               "; counters of several sides belong to of_cross");
    }
    return parts;
  }
  std::size_t action(const std::string& name) {
    const auto found = std::ranges::find(plan_.actions, name);
    if (found == plan_.actions.end()) {
      plan_.actions.push_back(name);
      return plan_.actions.size() - 1;
    }
    return static_cast<std::size_t>(found - plan_.actions.begin());
  }

  /// The sums of a key, which counters share; those of items apart.
  std::size_t sums_of(const std::vector<key_part>& keys, bool of_items) {
    const auto found = std::ranges::find_if(
        plan_.sums, [&](const counts_plan& s) { return s.keys == keys && s.of_items == of_items; });
    if (found != plan_.sums.end()) return static_cast<std::size_t>(found - plan_.sums.begin());
    plan_.sums.push_back({.keys = keys, .of_items = of_items});
    return plan_.sums.size() - 1;
  }
  /// Positions of actions among those that are summed, which they join.
  std::vector<std::size_t> actions_of(counts_plan& counts, const name_list& names) {
    std::vector<std::size_t> positions;
    for (const std::string& name : names) {
      const std::size_t wanted = action(name);
      const auto found = std::ranges::find(counts.actions, wanted);
      positions.push_back(static_cast<std::size_t>(found - counts.actions.begin()));
      if (found == counts.actions.end()) counts.actions.push_back(wanted);
    }
    return positions;
  }
  /// Adds a counter of `width` numbers; of the first ones the logarithm is taken.
  void add_counter(std::size_t side, counter_plan planned, std::size_t width,
                   std::size_t logarithms) {
    const std::size_t begin = take(side, width), end = begin + logarithms;
    planned.offset = begin;
    planned.width = width;
    planned.logarithms = {begin, end};
    plan_.of[side].counters.push_back(std::move(planned));
    std::vector<plan_range>& all = plan_.of[side].logarithms;
    if (!all.empty() && all.back().end == begin)
      all.back().end = end;
    else
      all.push_back({begin, end});
  }

  void add_counted(std::size_t side, const rate& f) {
    const std::vector<key_part> keys = key_of(side, f.name, f.keys);
    if (f.actions.empty()) refuse(side, f.name, "actions is empty, expected one or more");
    if (!(f.prior_strength >= 0 && f.prior_strength < 1e18))
      refuse(side, f.name, "prior_strength is ", f.prior_strength,
             ", expected a number in [0, 1e18)");
    if (f.as > rate_as::value)
      refuse(side, f.name, "rate_as is ", static_cast<int>(f.as), ", expected below 2");
    counter_plan planned{.name = f.name,
                         .kind = counter_kind::rate,
                         .counts = sums_of(keys, false),
                         .prior_strength = f.prior_strength,
                         .log_odds = f.as == rate_as::log_odds,
                         .relative = f.relative};
    counts_plan& sums = plan_.sums[planned.counts];
    planned.actions = actions_of(sums, f.actions);
    if (!f.per.empty()) planned.per = actions_of(sums, f.per)[0];
    const std::size_t width = 1 + f.actions.size();
    add_counter(side, std::move(planned), width, f.as == rate_as::log_odds ? width : 1);
  }
  void add_counted(std::size_t side, const window& f) {
    counts_plan counts{.keys = key_of(side, f.name, f.keys)};
    if (f.lengths.empty()) refuse(side, f.name, "lengths is empty, expected one or more");
    for (const std::uint32_t length : f.lengths)
      if (length == 0 || length > 10000)
        refuse(side, f.name, "a length is ", length, ", expected 1 to 10000");
    if (f.period_hours == 0 || f.period_hours > 8784)
      refuse(side, f.name, "period_hours is ", f.period_hours, ", expected 1 to 8784");
    if (f.actions.size() > most_window_actions)
      refuse(side, f.name, "actions has ", f.actions.size(), " names, expected ",
             most_window_actions, " or fewer");
    counts.period_ticks = std::int64_t{f.period_hours} * 3600 * options_.ticks_per_second;
    counts.periods = std::ranges::max(f.lengths);
    counter_plan planned{.name = f.name,
                         .kind = counter_kind::window,
                         .counts = plan_.windows.size(),
                         .actions = actions_of(counts, f.actions),
                         .lengths = f.lengths};
    plan_.windows.push_back(std::move(counts));
    const std::size_t width = f.lengths.size() * (1 + f.actions.size());
    add_counter(side, std::move(planned), width, width);
  }
  void add_counted(std::size_t side, const stock& f) {
    const std::vector<key_part> keys = key_of(side, f.name, f.keys);
    if (f.of_items) {
      if (!f.action.empty())
        refuse(side, f.name, "action is \"", f.action, "\", expected none: items are counted");
      for (const key_part& part : keys)
        if (part.side != item_side)
          refuse(side, f.name, "a key is ", side_names[part.side],
                 ", expected of_item: items are counted");
    }
    counter_plan planned{
        .name = f.name, .kind = counter_kind::stock, .counts = sums_of(keys, f.of_items)};
    if (!f.action.empty()) planned.actions = actions_of(plan_.sums[planned.counts], f.action);
    add_counter(side, std::move(planned), 1, 1);
  }
  void add_counted(std::size_t side, const activity& f) {
    if (f.days == 0 || f.days > 1000)
      refuse(side, f.name, "days is ", f.days, ", expected 1 to 1000");
    for (std::size_t i = 0; i < f.bounds.size(); ++i)
      if (f.bounds[i] == 0 || (i > 0 && f.bounds[i] <= f.bounds[i - 1]))
        refuse(side, f.name, "bounds[", i, "] is ", f.bounds[i], ", expected more than ",
               i == 0 ? 0 : f.bounds[i - 1]);
    side_plan& of = plan_.of[side];
    of.activities.push_back({plan_.windows.size(), f.bounds, f.days, of.categories.size()});
    plan_.windows.push_back({.keys = key_of(side, f.name, f.keys),
                             .period_ticks = 86400 * options_.ticks_per_second,
                             .periods = f.days});
    // Row 0 is that of a missing value, which a class never is.
    const std::size_t table =
        add_table(side, {.name = f.name, .fixed_rows = f.bounds.size() + 2, .dim = f.dim});
    of.categories.push_back({.name = f.name, .source = category_source::activity, .table = table});
  }
  void add_counted(std::size_t, const auto&) {}

  void add_history(std::size_t side, const history& f) {
    if (side != user_side && side != context_side)
      refuse(side, f.name, "is a history, expected in of_user or of_context");
    if (f.last == 0 || f.last > 1'000'000)
      refuse(side, f.name, "last is ", f.last, ", expected 1 to 1000000");
    if (!f.column.empty() && !f.action.empty())
      refuse(side, f.name, "has a column and an action, expected one of the two");
    history_plan planned{.name = f.name, .side = side, .last = f.last};
    if (!f.column.empty()) {
      planned.list = plan_.of[side].lists.size();
      plan_.of[side].lists.push_back({f.column, no_index, plan_.of[side].column(f.column)});
    } else {
      if (side != user_side) refuse(side, f.name, "is collected by user, expected in of_user");
      planned.collected = plan_.collected++;
      if (!f.action.empty()) planned.action = action(f.action);
    }
    const name_list fields = f.fields.empty() ? name_list(options_.item) : f.fields;
    const std::vector<category_plan>& categories = plan_.of[item_side].categories;
    for (const std::string& field : fields) {
      const auto found = std::ranges::find(categories, field, &category_plan::name);
      if (found == categories.end() || found->source == category_source::activity ||
          found->age != no_index)
        refuse(side, f.name, "field \"", field, "\" is not known, expected a category of of_item");
      planned.categories.push_back(static_cast<std::size_t>(found - categories.begin()));
    }
    plan_.histories.push_back(std::move(planned));
  }
};

inline feature_plan plan_features(const schema_options& options) {
  return feature_planner(options).result();
}

}  // namespace funnel::detail
