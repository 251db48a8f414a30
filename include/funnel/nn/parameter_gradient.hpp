// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/detail/check_ids.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/simd/arch.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/embedding.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace funnel {
namespace detail {

/// The number that is `share` of the way from a to b; NaN if either is, which std::lerp alone does not
/// promise.
inline double between(double a, double b, double share) {
  return std::isnan(a) ? a : std::lerp(a, b, share);
}

/// What a step saw of a running statistic, brought together from its parts.
class seen_statistic {
 public:
  seen_statistic() = default;
  explicit seen_statistic(std::size_t size) : values_(size), centers_(size) {}

  /// Values over some rows. Where they are variances, `centers` are the means around which they were
  /// taken: the whole then has the variance of all rows, which is more than that of its parts by how
  /// far their means are apart.
  void add(double rows, std::span<const double> values, std::span<const double> centers,
           double momentum) {
    if (!(rows > 0)) return;
    const bool first = rows_ == 0;
    rows_ += rows;
    momentum_ = momentum;
    const double share = rows / rows_;
    constexpr double largest = std::numeric_limits<double>::max();
    for (std::size_t j = 0; j < values_.size(); ++j) {
      const double center = centers.empty() ? 0 : centers[j];
      if (first) {
        values_[j] = values[j];
        centers_[j] = center;
      } else {
        const double apart = center - centers_[j];
        const double value = between(values_[j], values[j], share);
        values_[j] = std::min(value + share * (1 - share) * apart * apart, largest);
        centers_[j] += share * apart;
      }
    }
  }
  void add(const seen_statistic& other) {
    add(other.rows_, other.values_, other.centers_, other.momentum_);
  }
  void clear() { rows_ = 0; }

  /// Moves a statistic toward what was seen, by the momentum.
  template <class T>
  void move(std::span<T> statistic) const {
    if (rows_ == 0) return;
    constexpr double largest = static_cast<double>(std::numeric_limits<T>::max());
    for (std::size_t j = 0; j < statistic.size(); ++j) {
      const double moved = between(static_cast<double>(statistic[j]), values_[j], momentum_);
      statistic[j] = static_cast<T>(std::clamp(moved, -largest, largest));
    }
  }

 private:
  double rows_ = 0;
  double momentum_ = 0;
  std::vector<double> values_;
  std::vector<double> centers_;
};

}  // namespace detail

/// The gradient of one parameter: all of it, or for an embedding table the rows that were touched; for
/// a running statistic, what the parts of the step saw of it.
template <class T>
class parameter_gradient {
 public:
  explicit parameter_gradient(const parameter<T>& p)
      : kind_(p.kind), table_rows_(p.rows()), cols_(p.cols()) {
    if (by_rows()) {
      slot_of_row_.assign(p.rows(), 0);
    } else {
      values_.assign(p.rows(), p.cols());
    }
    if (kind_ == parameter_kind::statistic) seen_ = detail::seen_statistic(p.value.size());
  }

  bool by_rows() const { return kind_ == parameter_kind::rows; }
  /// True if a parameter has the shape and the kind of the one that this was made for.
  bool fits(const parameter<T>& p) const {
    return p.kind == kind_ && p.rows() == table_rows_ && p.cols() == cols_;
  }
  /// Rows of the table that have a gradient, in the order they were first touched. Empty where not
  /// by rows.
  std::span<const std::uint32_t> touched() const { return touched_; }
  /// The dense gradient, or [touched, cols].
  matrix_view<const T> values() const {
    return by_rows() ? matrix_view<const T>(rows_.data(), touched_.size(), cols_) : values_.view();
  }
  matrix_view<T> values() {
    return by_rows() ? matrix_view<T>(rows_.data(), touched_.size(), cols_) : values_.view();
  }
  /// The gradient of one row of a table, zero when first touched; valid until the next call.
  /// Errors      std::invalid_argument if there is no such row.
  std::span<T> row(std::uint32_t index) {
    const std::size_t fresh = find_slots(default_arch{}, {&index, 1});
    const std::span<T> values(rows_.data() + slots_[0] * cols_, cols_);
    if (touched_.size() > fresh) std::ranges::fill(values, T(0));
    return values;
  }
  /// Adds `factor` times row i of `values` to the gradient of row ids[i] of a table.
  ///
  /// Errors      std::invalid_argument if an id is not a row of the table, or `values` is not [ids,
  ///             cols].
  /// Numerics    A row that comes more than once gets its terms in the order of the ids.
  template <class Arch>
  void add_rows(Arch arch, std::span<const std::uint32_t> ids, matrix_view<const T> values,
                T factor = T(1)) {
    check_values(values, ids.size());
    std::size_t fresh = find_slots(arch, ids);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      scatter_add_kernel(arch, rows_.data(), cols_, std::span<const std::uint32_t>(slots_), i,
                         i + 1, factor, values.row(i).data(), fresh);
    }
  }
  /// Adds factor(i) times row i of `values` to the gradients of all of
  /// ids[offsets[i]] .. ids[offsets[i + 1] - 1]; offsets don't fall.
  /// Errors      as above, and if the last offset is not the number of ids.
  template <class Arch, class Factor>
  void add_rows(Arch arch, std::span<const std::uint32_t> ids,
                std::span<const std::uint32_t> offsets, matrix_view<const T> values,
                const Factor& factor) {
    if (offsets.empty() || offsets.back() != ids.size()) {
      detail::fail("funnel::parameter_gradient: offsets end at ",
                   offsets.empty() ? 0 : offsets.back(), ", expected the number of ids, ",
                   ids.size());
    }
    check_values(values, offsets.size() - 1);
    std::size_t fresh = find_slots(arch, ids);
    for (std::size_t i = 0; i < values.rows(); ++i) {
      scatter_add_kernel(arch, rows_.data(), cols_, std::span<const std::uint32_t>(slots_),
                         offsets[i], offsets[i + 1], factor(i), values.row(i).data(), fresh);
    }
  }
  /// Takes in what a part of the step, some rows, saw of a running statistic. The optimizer's step
  /// moves it once, by the momentum, toward the mean over the rows of all parts. Of a variance,
  /// `centers` are the means it is around, so that the parts give the variance of all their rows.
  ///
  /// Shapes      values as many as the statistic has; centers the same, or none.
  /// Errors      std::invalid_argument if the parameter is no statistic, or on other shapes.
  void observe(std::size_t rows, std::span<const double> values, double momentum,
               std::span<const double> centers = {}) {
    const std::size_t size =
        kind_ == parameter_kind::statistic ? values_.size() : values.size() + 1;  // fits nothing
    if (values.size() != size || (!centers.empty() && centers.size() != size)) {
      detail::fail("funnel::parameter_gradient::observe: got ", values.size(), " values and ",
                   centers.size(), " centers, expected as many as the running statistic has");
    }
    seen_.add(static_cast<double>(rows), values, centers, momentum);
  }
  /// What an optimizer's step does to a running statistic: takes `values()` off as they are, and moves
  /// it toward what was observed.
  void move_statistic(parameter<T>& p) const {
    const std::span<T> to = p.value.flat();
    for (std::size_t j = 0; j < to.size(); ++j) to[j] -= values_.flat()[j];
    seen_.move(to);
  }

  void clear() {
    touched_.clear();
    std::ranges::fill(values_.flat(), T(0));
    seen_.clear();
  }
  /// Adds `factor` times another gradient of the same parameter. What was observed of a statistic
  /// counts by its rows, whatever the factor.
  template <class Arch = default_arch>
  void add(const parameter_gradient& other, T factor, Arch arch = {}) {
    if (by_rows()) {
      add_rows(arch, other.touched(), other.values(), factor);
    } else {
      axpy_kernel(arch, factor, other.values_.data(), values_.data(), values_.size());
      seen_.add(other.seen_);
    }
  }
  /// Makes room, so that adding another gradient of the same parameter asks for no memory.
  void reserve(const parameter_gradient& other) {
    const std::size_t most = touched_.size() + other.touched_.size();
    touched_.reserve(most);
    slots_.reserve(other.touched_.size());
    if (by_rows() && rows_.size() < most * cols_) rows_.resize(most * cols_);
  }

 private:
  void check_values(matrix_view<const T> values, std::size_t rows) const {
    if (values.rows() != rows || values.cols() != cols_) {
      detail::fail("funnel::parameter_gradient: values are [", values.rows(), ", ", values.cols(),
                   "], expected [", rows, ", ", cols_, "]");
    }
  }
  /// Where in `rows_` the gradient of a row is; a row that has none gets the next place.
  std::uint32_t slot_of(std::uint32_t index) {
    // What a step before this one left behind names a place that another row has, or none has yet.
    std::uint32_t& kept = slot_of_row_[index];
    if (kept >= touched_.size() || touched_[kept] != index) {
      kept = static_cast<std::uint32_t>(touched_.size());
      touched_.push_back(index);
    }
    return kept;
  }
  /// Fills `slots_` and makes room for the new rows, which have no values yet.
  /// The number of rows before.
  template <class Arch>
  std::size_t find_slots(Arch arch, std::span<const std::uint32_t> ids) {
    constexpr std::size_t ahead = 32;
    detail::check_ids(arch, "funnel::parameter_gradient", ids, slot_of_row_.size());
    const std::size_t before = touched_.size();
    try {
      slots_.resize(ids.size());
      for (std::size_t i = 0; i < ids.size(); ++i) {
        if (i + ahead < ids.size())
          detail::prefetch_bytes<false>(&slot_of_row_[ids[i + ahead]], sizeof(std::uint32_t));
        slots_[i] = slot_of(ids[i]);
      }
      const std::size_t needed = touched_.size() * cols_;
      if (rows_.size() < needed) rows_.resize(std::max(needed, 2 * rows_.size()));
    } catch (...) {
      touched_.resize(before);  // no row without a place
      throw;
    }
    return before;
  }

  parameter_kind kind_;
  std::size_t table_rows_ = 0;
  std::size_t cols_ = 0;
  matrix<T> values_;
  detail::aligned_vector<T> rows_;  // those of `touched_`, and room for more
  std::vector<std::uint32_t> touched_;
  detail::aligned_vector<std::uint32_t> slot_of_row_;
  std::vector<std::uint32_t> slots_;  // of the ids that are being added
  detail::seen_statistic seen_;
};

}  // namespace funnel
