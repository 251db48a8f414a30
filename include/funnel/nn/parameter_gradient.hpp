// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/nn/detail/check_ids.hpp>
#include <funnel/nn/detail/row_index.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/simd/arch.hpp>
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

/// Linear interpolation from a to b by `share`; NaN if a or b is NaN, which std::lerp alone does
/// not guarantee.
inline double between(double a, double b, double share) {
  return std::isnan(a) ? a : std::lerp(a, b, share);
}

/// Observations of a running statistic in one step, merged from the parts of the batch.
class seen_statistic {
 public:
  seen_statistic() = default;
  explicit seen_statistic(std::size_t size) : values_(size), centers_(size) {}

  /// Adds values that were observed over some rows. If they are variances, `centers` are the means
  /// they were taken around. The merged variance is that of all rows: it includes the differences
  /// between the means of the parts.
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

  /// Moves a statistic toward the observed values, by the momentum.
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

/// Gradient of one parameter. Of an embedding table it holds only the rows that were touched (used
/// by the batch); of a running statistic, the observations of the step.
template <class T>
class parameter_gradient {
 public:
  explicit parameter_gradient(const parameter<T>& p)
      : kind_(p.kind), table_rows_(p.rows()), cols_(p.cols()) {
    if (!by_rows()) values_.assign(p.rows(), p.cols());
    if (kind_ == parameter_kind::statistic) seen_ = detail::seen_statistic(p.value.size());
  }

  bool by_rows() const { return kind_ == parameter_kind::rows; }
  /// True if a parameter has the shape and kind of the one that this gradient was made for.
  bool fits(const parameter<T>& p) const {
    return p.kind == kind_ && p.rows() == table_rows_ && p.cols() == cols_;
  }
  /// Rows of an embedding table that have a gradient, in the order in which they were first
  /// touched. Empty for other parameters.
  std::span<const std::uint32_t> touched() const { return touched_; }
  /// The gradient: the shape of the parameter or, for an embedding table, [touched, cols].
  matrix_view<const T> values() const {
    return by_rows() ? matrix_view<const T>(rows_.data(), touched_.size(), cols_) : values_.view();
  }
  matrix_view<T> values() {
    return by_rows() ? matrix_view<T>(rows_.data(), touched_.size(), cols_) : values_.view();
  }
  /// The gradient of one row of an embedding table, zero when first touched; valid until the next
  /// call.
  /// Errors      std::invalid_argument if there is no such row.
  std::span<T> row(std::uint32_t index) {
    const std::size_t fresh = find_slots(default_arch{}, {&index, 1});
    const std::span<T> values(rows_.data() + slots_[0] * cols_, cols_);
    if (touched_.size() > fresh) std::ranges::fill(values, T(0));
    return values;
  }
  /// Adds `factor` times row i of `values` to the gradient of row ids[i] of an embedding table.
  ///
  /// Errors      std::invalid_argument if an id is not a row of the table, or `values` is not
  ///             [ids.size(), cols].
  /// Numerics    If an id occurs several times, its terms are added in the order of the ids.
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
  /// Adds factor(i) times row i of `values` to the gradients of all rows ids[offsets[i]] ..
  /// ids[offsets[i + 1] - 1]; the offsets are non-decreasing.
  /// Errors      as above, and if the last offset is not the number of ids.
  template <class Arch, class Factor>
  void add_rows(Arch arch, std::span<const std::uint32_t> ids,
                std::span<const std::uint32_t> offsets, matrix_view<const T> values,
                const Factor& factor) {
    if (offsets.empty() || offsets.back() != ids.size()) {
      detail::fail("funnel::parameter_gradient: offsets ends at ",
                   offsets.empty() ? 0 : offsets.back(), ", expected ", ids.size(),
                   ", the number of ids");
    }
    check_values(values, offsets.size() - 1);
    std::size_t fresh = find_slots(arch, ids);
    for (std::size_t i = 0; i < values.rows(); ++i) {
      scatter_add_kernel(arch, rows_.data(), cols_, std::span<const std::uint32_t>(slots_),
                         offsets[i], offsets[i + 1], factor(i), values.row(i).data(), fresh);
    }
  }
  /// Records an observation of a running statistic over `rows` rows, one part of a step. The
  /// optimizer's step moves the statistic once, by `momentum`, toward the mean of the
  /// observations, weighted by their rows. If `values` are variances, `centers` are the means they
  /// were taken around; the merged variance is then that of all rows.
  ///
  /// Shapes      values has the size of the statistic; centers too, or it is empty.
  /// Errors      std::invalid_argument if the parameter is not a statistic, or on other shapes.
  void observe(std::size_t rows, std::span<const double> values, double momentum,
               std::span<const double> centers = {}) {
    const std::size_t size =
        kind_ == parameter_kind::statistic ? values_.size() : values.size() + 1;  // fits nothing
    if (values.size() != size || (!centers.empty() && centers.size() != size)) {
      detail::fail("funnel::parameter_gradient::observe: values has ", values.size(),
                   " values and centers ", centers.size(),
                   ", expected as many as the running statistic has");
    }
    seen_.add(static_cast<double>(rows), values, centers, momentum);
  }
  /// Updates a running statistic in an optimizer's step: subtracts `values()`, without a learning
  /// rate, and moves the result toward the observations.
  void move_statistic(parameter<T>& p) const {
    const std::span<T> to = p.value.flat();
    for (std::size_t j = 0; j < to.size(); ++j) to[j] -= values_.flat()[j];
    seen_.move(to);
  }

  void clear() {
    if (!touched_.empty()) slot_of_row_.clear();
    touched_.clear();
    std::ranges::fill(values_.flat(), T(0));
    seen_.clear();
  }
  /// Adds `factor` times another gradient of the same parameter. Observations of a running
  /// statistic are weighted by their rows, not by the factor.
  template <class Arch = default_arch>
  void add(const parameter_gradient& other, T factor, Arch arch = {}) {
    if (by_rows()) {
      add_rows(arch, other.touched(), other.values(), factor);
    } else {
      axpy_kernel(arch, factor, other.values_.data(), values_.data(), values_.size());
      seen_.add(other.seen_);
    }
  }
  /// Allocates memory, so that adding `other`, a gradient of the same parameter, allocates nothing.
  void reserve(const parameter_gradient& other) {
    const std::size_t most = touched_.size() + other.touched_.size();
    touched_.reserve(most);
    slots_.reserve(other.touched_.size());
    if (!by_rows()) return;
    if (rows_.size() < most * cols_) rows_.resize(most * cols_);
    slot_of_row_.reserve(most);
  }

 private:
  void check_values(matrix_view<const T> values, std::size_t rows) const {
    detail::check_shape("parameter_gradient", "values", values, rows, cols_);
  }
  /// Position in `rows_` of the gradient of a table row. A row that has no gradient gets the next
  /// free position.
  std::uint32_t slot_of(std::uint32_t index) {
    std::uint32_t& kept = slot_of_row_[index];
    if (kept != detail::row_index::none) return kept;
    const std::uint32_t fresh = static_cast<std::uint32_t>(touched_.size());
    touched_.push_back(index);
    kept = fresh;
    return fresh;
  }
  /// Fills `slots_` and makes room for the rows that are new, which have no values yet. Returns the
  /// number of rows before the call.
  template <class Arch>
  std::size_t find_slots(Arch arch, std::span<const std::uint32_t> ids) {
    detail::check_ids(arch, "parameter_gradient", ids, by_rows() ? table_rows_ : 0);
    const std::size_t before = touched_.size();
    try {
      slots_.resize(ids.size());
      for (std::size_t i = 0; i < ids.size(); ++i) {
        if (!slot_of_row_.has_room(touched_.size() + 1))
          slot_of_row_.reserve(2 * (touched_.size() + 1));
        slots_[i] = slot_of(ids[i]);
      }
      const std::size_t needed = touched_.size() * cols_;
      if (rows_.size() < needed) rows_.resize(std::max(needed, 2 * rows_.size()));
    } catch (...) {
      touched_.resize(before);  // no row without a position
      slot_of_row_.clear();
      for (std::size_t i = 0; i < before; ++i)
        slot_of_row_[touched_[i]] = static_cast<std::uint32_t>(i);
      throw;
    }
    return before;
  }

  parameter_kind kind_;
  std::size_t table_rows_ = 0;
  std::size_t cols_ = 0;
  matrix<T> values_;
  detail::aligned_vector<T> rows_;  // gradients of the `touched_` rows, and room for more
  std::vector<std::uint32_t> touched_;
  detail::row_index slot_of_row_;     // where each of the `touched_` rows is
  std::vector<std::uint32_t> slots_;  // positions of the ids that are being added
  detail::seen_statistic seen_;
};

}  // namespace funnel
