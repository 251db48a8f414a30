// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/vocabulary.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `rate_counters`.
struct rate_options {
  /// Weight of the mean over all keys, in impressions; 0 or more. s.
  double prior_strength = 20;
  /// The rate to return if nothing has been counted yet.
  double default_rate = 0;
};

/// Rate counters: count impressions and actions per key (a user, an item or a pair), and return the
/// rate of each action, smoothed toward the mean over all keys.
///
///     rate(key, action) = (c + s m) / (n + s),   m = (sum of c over keys) / (sum of n over keys)
///
/// The mean m is computed from the same counts, so it contains no information about the future
/// either. The amount of an action is 0 or 1, or any number: for seconds played the rate is the
/// mean play time. For keys made of two ids see `pair_key`.
///
/// Errors      std::invalid_argument if an option is out of range, the number of amounts differs
///             from the number of actions, or an amount is not finite; std::bad_alloc if memory
///             runs out. Nothing is counted then.
/// Cost        O(actions) and one lookup per call; at most 8 (actions + 1) + 72 bytes per key.
/// Source      docs/formulas.md#rate-counters.
class rate_counters {
 public:
  explicit rate_counters(std::size_t actions, const rate_options& options = {})
      : options_(options),
        actions_(detail::array_size<double>("funnel::rate_counters: actions", actions)),
        totals_(width()), sums_(width()) {
    check_options();
  }
  rate_counters(const rate_counters&) = default;
  rate_counters(rate_counters&&) noexcept = default;
  /// Copies all counters; if memory runs out, this object is unchanged.
  rate_counters& operator=(const rate_counters& other) {
    *this = rate_counters(other);
    return *this;
  }
  rate_counters& operator=(rate_counters&&) noexcept = default;

  std::size_t actions() const { return actions_; }

  /// Counts one impression of the key, with the amount of each action.
  void add(std::uint64_t key, std::span<const float> amounts) {
    detail::check_size("rate_counters", "amounts", amounts.size(), actions(), "actions");
    detail::check_finite("rate_counters", "amounts", amounts);
    add_to_row(row_of(key), amounts);
  }

  /// Number of impressions of the key; 0 for an unknown key.
  double impressions(std::uint64_t key) const { return sums(key)[0]; }

  /// Sum of the key's amounts of an action.
  double amount(std::uint64_t key, std::size_t action) const {
    check_action(action);
    return sums(key)[1 + action];
  }

  /// Smoothed rate of an action for a key.
  double rate(std::uint64_t key, std::size_t action) const {
    check_action(action);
    return rate_of(sums(key), action);
  }

  /// Rate of an action over all keys; `default_rate` if nothing was counted.
  double mean_rate(std::size_t action) const {
    check_action(action);
    return totals_[0] > 0 ? totals_[1 + action] / totals_[0] : options_.default_rate;
  }

  /// Writes the key's number of impressions followed by its rates: 1 + actions numbers.
  void write(std::uint64_t key, std::span<float> out) const {
    detail::check_size("rate_counters", "out", out.size(), width());
    write_row(keys_.find(key), out);
  }

  /// Multiplies all counts by `keep` in [0, 1] (exponential decay): called once a day, it lets old
  /// days lose weight.
  void decay(double keep) {
    detail::check_unit_interval("rate_counters", "keep", keep);
    for (double& sum : sums_) sum *= keep;
    for (double& total : totals_) total *= keep;
  }

  /// See `HasState`: the counts and the options, for an object with as many actions. Throws a
  /// format_error if what was loaded is not that.
  void visit_state(auto&& visit) {
    visit("prior_strength", options_.prior_strength), visit("default_rate", options_.default_rate);
    visit("keys", keys_), visit("totals", totals_), visit("sums", sums_);
    if (is_loading(visit))
      detail::check_loaded([&] {
        check_options();
        check_counts();
      });
  }

 private:
  friend class rate_features;

  std::size_t width() const { return 1 + actions_; }  // impressions, then the actions

  std::span<const double> sums(std::uint64_t key) const { return sums_of_row(keys_.find(key)); }
  std::span<const double> sums_of_row(std::uint32_t row) const {
    static constexpr double none[1] = {};
    if (sums_.empty()) return none;  // after a move: no actions and no keys
    return std::span(sums_).subspan(row * width(), width());
  }

  double rate_of(std::span<const double> sums, std::size_t action) const {
    const double n = sums[0] + options_.prior_strength;
    if (n == 0) return mean_rate(action);
    // Each part is divided by n separately, as the sum of both may overflow.
    return sums[1 + action] / n + options_.prior_strength / n * mean_rate(action);
  }

  void check_options() const {
    detail::check_not_negative("rate_counters", "prior_strength", options_.prior_strength);
    detail::check_that("rate_counters", "default_rate", options_.default_rate,
                       std::isfinite(options_.default_rate), "a finite number");
  }
  void check_counts() const {
    detail::check_size("rate_counters", "totals", totals_.size(), width(), "1 + actions");
    const std::size_t rows = sums_.size() / width();
    if (rows * width() != sums_.size() || (rows != keys_.rows() && rows != keys_.rows() + 1))
      detail::fail("funnel::rate_counters: sums has ", sums_.size(), " values, expected ",
                   keys_.rows(), " rows of ", width(), ", or one row more");
    for (std::size_t i = 0; i < width(); ++i)
      if (sums_[i] != 0 || (rows > keys_.rows() && sums_[keys_.rows() * width() + i] != 0))
        detail::fail("funnel::rate_counters: sums has counts of unknown keys, expected zeros");
  }

  void check_action(std::size_t action) const {
    detail::check_below("rate_counters", "action", action, actions());
  }

  /// The row of a key. A new key gets a row of zeros, so its answers do not change.
  std::uint32_t row_of(std::uint64_t key) {
    // Allocate before the row exists, so that no row is ever without sums.
    if (totals_.empty()) totals_.resize(width());  // after a move
    const std::size_t needed = (keys_.rows() + 1) * width();
    if (sums_.size() < needed) sums_.resize(needed);
    return keys_.add(key);
  }

  void add_to_row(std::uint32_t row, std::span<const float> amounts) noexcept {
    double* sums = sums_.data() + row * width();
    ++sums[0];
    ++totals_[0];
    for (std::size_t i = 0; i < amounts.size(); ++i) {
      sums[1 + i] += double{amounts[i]};
      totals_[1 + i] += double{amounts[i]};
    }
  }

  void write_row(std::uint32_t row, std::span<float> out) const noexcept {
    const std::span<const double> counts = sums_of_row(row);
    out[0] = static_cast<float>(counts[0]);
    for (std::size_t i = 0; i < actions(); ++i) out[1 + i] = static_cast<float>(rate_of(counts, i));
  }

  rate_options options_;
  detail::owned_size actions_;
  std::vector<double> totals_;  // [width]
  std::vector<double> sums_;    // [keys + 1, width] and a spare row; row 0 is for unknown keys
  vocabulary keys_;
};

/// Rate counters for several kinds of keys at once ("families", such as user, video, and user x
/// tag): counts rows of impressions and writes the counts and rates as features.
///
/// Shapes      keys [n, families]; amounts [n, actions]; out [n, width()]: for each family its
///             impressions, followed by its rates.
/// Errors      std::invalid_argument if a shape differs or an amount is not finite; std::bad_alloc
///             if memory runs out. Nothing is counted or written then.
/// Cost        one lookup per key: about 0.4 s to count and write 200,000 rows with 8 keys and 4
///             actions. `add` and `write_by_day` need 4 bytes of temporary memory per key.
/// Source      docs/formulas.md#rate-counters.
class rate_features {
 public:
  rate_features(std::size_t families, std::size_t actions, const rate_options& options = {})
      : actions_(actions),
        families_(detail::array_size<rate_counters>("funnel::rate_features: families", families),
                  rate_counters(actions, options)) {}
  rate_features(const rate_features&) = default;
  rate_features(rate_features&&) noexcept = default;
  /// Copies all counters; if memory runs out, this object is unchanged.
  rate_features& operator=(const rate_features& other) {
    *this = rate_features(other);
    return *this;
  }
  rate_features& operator=(rate_features&&) noexcept = default;

  std::size_t families() const { return families_.size(); }
  std::size_t actions() const { return actions_; }
  std::size_t width() const { return families() * (1 + actions()); }
  const rate_counters& family(std::size_t i) const {
    detail::check_below("rate_features", "family", i, families());
    return families_[i];
  }

  /// Counts a batch of rows.
  void add(matrix_view<const std::uint64_t> keys, matrix_view<const float> amounts) {
    check_keys(keys);
    check_amounts(keys.rows(), amounts);
    const std::vector<std::uint32_t> rows = rows_of(keys);
    for (std::size_t i = 0; i < keys.rows(); ++i)
      add_row(rows.data() + i * families(), amounts.row(i));
  }

  /// Writes the features of rows from everything counted so far.
  void write(matrix_view<const std::uint64_t> keys, matrix_view<float> out) const {
    check_keys(keys);
    check_out(keys.rows(), out);
    for (std::size_t i = 0; i < keys.rows(); ++i)
      write_row(out.row(i), [&](std::size_t f) { return families_[f].keys_.find(keys(i, f)); });
  }

  /// Writes the features of rows without leakage, then counts the rows: the features of a row use
  /// what was counted before the call and the rows of strictly earlier days, but no row of its own
  /// day.
  ///
  /// Shapes      days [n], in any order; any number that increases with time.
  void write_by_day(matrix_view<const std::uint64_t> keys, std::span<const std::int32_t> days,
                    matrix_view<const float> amounts, matrix_view<float> out) {
    check_keys(keys);
    check_amounts(keys.rows(), amounts);
    check_out(keys.rows(), out);
    detail::check_size("rate_features", "days", days.size(), keys.rows(), "a column of keys");
    std::vector<std::size_t> order(days.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair(days[i], i); });
    const std::vector<std::uint32_t> rows = rows_of(keys);
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
      for (; end < order.size() && days[order[end]] == days[order[begin]]; ++end) {
        const std::uint32_t* row = rows.data() + order[end] * families();
        write_row(out.row(order[end]), [&](std::size_t f) { return row[f]; });
      }
      for (std::size_t i = begin; i < end; ++i)
        add_row(rows.data() + order[i] * families(), amounts.row(order[i]));
    }
  }

  /// Multiplies all counts by `keep` in [0, 1], as `rate_counters::decay`.
  void decay(double keep) {
    for (rate_counters& family : families_) family.decay(keep);
  }

  /// See `HasState`: an object with as many families and actions can load it.
  void visit_state(auto&& visit) { visit("families", families_); }

 private:
  void check_keys(matrix_view<const std::uint64_t> keys) const {
    detail::check_cols("rate_features", "keys", keys.cols(), families(), "families");
  }
  void check_amounts(std::size_t rows, matrix_view<const float> amounts) const {
    detail::check_shape("rate_features", "amounts", amounts, rows, actions_);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < actions_; ++j)
        if (!std::isfinite(amounts(i, j)))
          detail::fail("funnel::rate_features: amounts[", i, ", ", j, "] is ", amounts(i, j),
                       ", expected a finite number");
  }
  void check_out(std::size_t rows, matrix_view<float> out) const {
    detail::check_shape("rate_features", "out", out, rows, width());
  }
  /// The row of each key in its family, [n, families]. Everything that may fail is done here; the
  /// code after it only counts and writes.
  std::vector<std::uint32_t> rows_of(matrix_view<const std::uint64_t> keys) {
    std::vector<std::uint32_t> rows(keys.rows() * families());
    for (std::size_t i = 0; i < keys.rows(); ++i)
      for (std::size_t f = 0; f < families(); ++f)
        rows[i * families() + f] = families_[f].row_of(keys(i, f));
    return rows;
  }
  void add_row(const std::uint32_t* rows, std::span<const float> amounts) noexcept {
    for (std::size_t f = 0; f < families(); ++f) families_[f].add_to_row(rows[f], amounts);
  }
  template <class RowOf>
  void write_row(std::span<float> out, const RowOf& row_of) const noexcept {
    for (std::size_t f = 0; f < families(); ++f)
      families_[f].write_row(row_of(f), out.subspan(f * (1 + actions_), 1 + actions_));
  }

  std::size_t actions_;
  std::vector<rate_counters> families_;
};

}  // namespace funnel
