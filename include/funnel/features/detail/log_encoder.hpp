// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/detail/fill_batch.hpp>
#include <funnel/features/detail/log_reader.hpp>
#include <funnel/features/detail/row_features.hpp>
#include <funnel/features/detail/side_reader.hpp>
#include <funnel/features/encoded_log.hpp>
#include <funnel/features/feature_state.hpp>
#include <funnel/features/schema.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace funnel::detail {

/// Replays a log: encodes each request with what is known at its time, then tells the state its
/// events.
class log_encoder {
 public:
  log_encoder(const schema& features, const log_reader& log, feature_state state,
              const columns& earlier)
      : features_(features), plan_(features.plan()), log_(log), state_(std::move(state)) {
    state_.keep_past(true);
    prepare();
    for (std::size_t side = 0; side < 2; ++side) tell_table(side);
    if (earlier.rows() > 0) state_.tell_events(features_, earlier);
    for (std::size_t r = 0, end = 0; r < log_.requests(); r = end) {
      const std::int64_t time = log_.time(r);
      while (end < log_.requests() && log_.time(end) == time) tell_values(end++);
      state_.count_until(features_, time);
      first_row_ = rows_.offsets_[r];
      places_.resize((rows_.offsets_[end] - first_row_) * plan_.places());
      for (std::size_t i = r; i < end; ++i) encode(i);
      for (std::size_t i = r; i < end; ++i) tell_events(i);
    }
    finish();
  }

  /// Sets the mean and factor of each number from the rows.
  void fit_scale(fitted_values& values) const {
    for (std::size_t side = 0; side < sides; ++side) {
      const matrix<float>& numbers = rows_.moving_[side].numbers;
      const std::vector<std::uint8_t> scaled = scaled_numbers(plan_, side);
      for (std::size_t j = 0; j < numbers.cols(); ++j) {
        if (scaled[j] == 0) continue;
        fit_column(numbers, j, values.means[side][j], values.factors[side][j]);
      }
      for (const number_plan& n : plan_.of[side].numbers) {
        if (n.missing_offset == no_index || n.drop_rate > 0) continue;
        // A value that was never missing has no input for missing values.
        float& factor = values.factors[side][n.missing_offset];
        factor = 0;
        for (std::size_t i = 0; i < numbers.rows(); ++i)
          if (numbers(i, n.missing_offset) != 0) factor = 1;
      }
    }
  }
  /// Scales all numbers by the constants of the schema.
  void scale() {
    for (std::size_t side = 0; side < sides; ++side) {
      const std::vector<float> limits = number_limits(features_, side);
      matrix<float>& numbers = rows_.moving_[side].numbers;
      for (std::size_t i = 0; i < numbers.rows(); ++i)
        scale_numbers(numbers.row(i), features_.values().means[side],
                      features_.values().factors[side], limits);
    }
  }

  encoded_log take_rows() { return std::move(rows_); }
  feature_state take_state() {
    state_.keep_past(false);
    state_.belong_to(features_);
    return std::move(state_);
  }

 private:
  void prepare() {
    const std::size_t n = log_.rows();
    const std::size_t requests = log_.requests();
    rows_.plan_ = plan_;
    for (std::size_t side = 0; side < sides; ++side) {
      const side_plan& of = plan_.of[side];
      const bool has_table = side == user_side || side == item_side;
      encoded_log::moving_side& moving = rows_.moving_[side];
      for (std::size_t c = 0; c < of.categories.size(); ++c)
        if (!has_table || is_moving(of.categories[c])) moving.categories.push_back(c);
      const std::size_t count = is_by_request(side) ? requests : n;
      moving.codes.resize(count * moving.categories.size());
      moving.numbers.assign(count, of.scaled_width);
      moving.vectors.assign(count, has_table ? 0 : of.width - of.scaled_width);
      if (!has_table) moving.lists.resize(of.lists.size());
      records_.emplace_back(of);
    }
    rows_.offsets_.assign(log_.offsets().begin(), log_.offsets().end());
    rows_.log_rows_.assign(log_.order().begin(), log_.order().end());
    rows_.users_.resize(requests);
    rows_.times_.resize(requests);
    rows_.items_.resize(n);
    rows_.collected_.resize(plan_.collected);
    for (auto& all : rows_.collected_) {
      all.begin.resize(requests);
      all.size.resize(requests);
    }
    for (const column* label : log_.labels()) {
      std::vector<float> values(n);
      for (std::size_t i = 0; i < n; ++i)
        values[i] = static_cast<float>(label->number(log_.order()[i]));
      rows_.labels_.push_back(std::move(values));
    }
    amounts_.resize(plan_.actions.size());
  }

  auto item_row() {
    return [this](std::uint64_t id) { return state_.entity(features_, item_side, id); };
  }

  /// Sets the values of users or items from their table.
  void tell_table(std::size_t side) {
    if (!log_.has_table(side)) return;
    for (std::size_t i = 0; i < log_.table_rows(side); ++i) {
      read_side(features_, side, log_.table_cells(side, i), no_time, item_row(), records_[side]);
      state_.set(features_, side, log_.table_id(side, i), records_[side], no_time + 1);
    }
  }
  /// Sets the values of the user and the items of a request from its rows.
  void tell_values(std::size_t r) {
    const std::span<const std::uint32_t> rows = log_.rows_of(r);
    rows_.users_[r] = tell_value(user_side, rows[0], log_.events().user(rows[0]), log_.time(r));
    for (std::size_t i = 0; i < rows.size(); ++i)
      rows_.items_[rows_.offsets_[r] + i] =
          tell_value(item_side, rows[i], log_.events().item(rows[i]), log_.time(r));
  }
  std::uint32_t tell_value(std::size_t side, std::size_t row, std::uint64_t id, std::int64_t time) {
    if (log_.has_table(side) || id == missing_key || has_only_id(plan_.of[side]))
      return state_.entity(features_, side, id);
    read_side(features_, side, log_.cells(side, row), time, item_row(), records_[side]);
    return state_.set(features_, side, id, records_[side], time);
  }

  void encode(std::size_t r) {
    const std::int64_t time = log_.time(r);
    rows_.times_[r] = time;
    const std::uint32_t first = rows_.offsets_[r];
    side_record& context = records_[context_side];
    read_side(features_, context_side, log_.events().context(log_.order()[first]), time, item_row(),
              context);
    const entity_table& users = state_.table(user_side);
    const std::uint32_t user = rows_.users_[r];
    row_keys keys{users.keys(users.version(user)), {}, context.keys, {}};
    std::span<std::uint64_t> places = places_of(first);
    state_.counters().add_places(plan_, user_side, keys, places);
    state_.counters().add_places(plan_, context_side, keys, places);
    write(user_side, r, places, time, users.numbers(user), users.times(user),
          users.codes(users.version(user)));
    write(context_side, r, places, time, context.numbers, context.times, context.codes);
    keep(context_side, r, context);
    for (std::size_t h = 0; h < plan_.histories.size(); ++h) {
      const history_plan& plan = plan_.histories[h];
      if (plan.collected == no_index) continue;
      const std::size_t all = state_.histories().all_items(plan.collected, user).size();
      const std::size_t size = std::min(all, plan.last);
      rows_.collected_[plan.collected].begin[r] = all - size;  // of the user's list
      rows_.collected_[plan.collected].size[r] = static_cast<std::uint32_t>(size);
    }
    const entity_table& items = state_.table(item_side);
    for (std::uint32_t i = first; i < rows_.offsets_[r + 1]; ++i) {
      side_record& cross = records_[cross_side];
      read_side(features_, cross_side, log_.events().cross(log_.order()[i]), time, item_row(),
                cross);
      const std::uint32_t item = rows_.items_[i];
      keys[item_side] = items.keys(items.version(item));
      keys[cross_side] = cross.keys;
      places = places_of(i);
      if (i != first) std::ranges::copy(places_of(first), places.begin());  // those of the request
      state_.counters().add_places(plan_, item_side, keys, places);
      state_.counters().add_places(plan_, cross_side, keys, places);
      write(item_side, i, places, time, items.numbers(item), items.times(item),
            items.codes(items.version(item)));
      write(cross_side, i, places, time, cross.numbers, cross.times, cross.codes);
      keep(cross_side, i, cross);
    }
  }
  /// Writes the numbers and the changing categories of a row.
  void write(std::size_t side, std::size_t row, std::span<const std::uint64_t> places,
             std::int64_t time, std::span<const float> numbers, std::span<const std::int64_t> times,
             std::span<const std::uint32_t> codes) {
    encoded_log::moving_side& moving = rows_.moving_[side];
    codes_.assign(codes.begin(), codes.end());
    // In a row that is in the cache: the logarithms read what was just written.
    numbers_.resize(moving.numbers.cols());
    write_row(features_, side, state_.counters(), places, time, numbers, times, numbers_, codes_);
    std::ranges::copy(numbers_, moving.numbers.row(row).begin());
    for (std::size_t m = 0; m < moving.categories.size(); ++m)
      moving.codes[row * moving.categories.size() + m] = codes_[moving.categories[m]];
  }
  /// Keeps the vectors and lists of a side without a table.
  void keep(std::size_t side, std::size_t row, const side_record& record) {
    encoded_log::moving_side& moving = rows_.moving_[side];
    std::ranges::copy(record.vectors, moving.vectors.row(row).begin());
    for (std::size_t l = 0; l < moving.lists.size(); ++l)
      add_list(moving.lists[l], record.lists[l]);
  }

  void tell_events(std::size_t r) {
    const std::uint32_t first = rows_.offsets_[r];
    for (std::uint32_t i = first; i < rows_.offsets_[r + 1]; ++i) {
      const std::size_t row = log_.order()[i];
      for (std::size_t a = 0; a < amounts_.size(); ++a) amounts_[a] = log_.events().amount(a, row);
      if (i != first) use_own_context(r, i);
      state_.tell(features_, {log_.events().time(row), rows_.users_[r], rows_.items_[i],
                              places_of(i), amounts_});
    }
  }
  /// Counts the event of a row with the context of the row, as `feature_state::tell` does, even if it
  /// is not that of the request's first row.
  void use_own_context(std::size_t r, std::uint32_t i) {
    side_record& own = records_[context_side];
    if (own.keys.empty()) return;
    const auto read = [&](std::size_t row) {
      read_side(features_, context_side, log_.events().context(row), log_.events().time(row),
                item_row(), own);
    };
    read(log_.order()[rows_.offsets_[r]]);
    const std::vector<std::uint64_t> of_request = own.keys;
    read(log_.order()[i]);
    if (own.keys == of_request) return;
    const entity_table& users = state_.table(user_side);
    const entity_table& items = state_.table(item_side);
    side_record& cross = records_[cross_side];
    read_side(features_, cross_side, log_.events().cross(log_.order()[i]), log_.time(r), item_row(),
              cross);
    const row_keys keys{users.keys(users.version(rows_.users_[r])),
                        items.keys(items.version(rows_.items_[i])), own.keys, cross.keys};
    state_.counters().add_places(plan_, context_side, keys, places_of(i));
    state_.counters().add_places(plan_, cross_side, keys, places_of(i));
  }
  std::span<std::uint64_t> places_of(std::size_t i) {
    return std::span(places_).subspan((i - first_row_) * plan_.places(), plan_.places());
  }

  /// Joins the histories of all users, and takes the tables.
  void finish() {
    for (std::size_t h = 0; h < plan_.collected; ++h) {
      auto& all = rows_.collected_[h];
      std::vector<std::uint64_t> begin;
      for (std::uint32_t user = 0; user < state_.table(user_side).rows(); ++user) {
        begin.push_back(all.items.size());
        const auto items = state_.histories().all_items(h, user);
        all.items.insert(all.items.end(), items.begin(), items.end());
      }
      for (std::size_t r = 0; r < log_.requests(); ++r) all.begin[r] += begin[rows_.users_[r]];
    }
    rows_.tables_ = {state_.table(user_side), state_.table(item_side)};
  }

  static void fit_column(const matrix<float>& numbers, std::size_t j, float& mean, float& factor) {
    double sum = 0;
    std::size_t count = 0;
    for (std::size_t i = 0; i < numbers.rows(); ++i) {
      if (std::isnan(numbers(i, j))) continue;
      sum += static_cast<double>(numbers(i, j));
      ++count;
    }
    const double center = count > 0 ? sum / static_cast<double>(count) : 0;
    double squares = 0;
    for (std::size_t i = 0; i < numbers.rows(); ++i) {
      if (std::isnan(numbers(i, j))) continue;
      const double away = static_cast<double>(numbers(i, j)) - center;
      squares += away * away;
    }
    const double deviation = count > 0 ? std::sqrt(squares / static_cast<double>(count)) : 0;
    mean = static_cast<float>(center);
    // Values that differ by rounding alone have no deviation.
    const bool varies = deviation > 1e-6 * std::abs(center) && deviation > 0x1p-120;
    factor = varies ? static_cast<float>(1 / deviation) : 0.f;
  }

  const schema& features_;
  const feature_plan& plan_;
  const log_reader& log_;
  feature_state state_;
  encoded_log rows_;
  std::vector<side_record> records_;  // of each side, used again
  std::vector<float> amounts_;
  std::vector<std::uint32_t> codes_;
  std::vector<float> numbers_;
  // Of the requests of one time:
  std::size_t first_row_ = 0;
  std::vector<std::uint64_t> places_;  // [rows, places] of the counters
};

}  // namespace funnel::detail
