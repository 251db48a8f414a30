// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/calibration/quantile_tables.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/state.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace funnel {

/// Brings the scores of different types of items, such as videos and image-text posts in one list, to
/// one scale: a score becomes its quantile among the logged scores of the same head and type.
///
///     scaled = F_head,type(score), in [0, 1]
///
/// Heads of different types estimate different things (completion of a video, of a text), or are
/// calibrated differently, so their numbers cannot be compared; their quantiles can, if the types are
/// equally good on the whole. The map never falls, so the order within a type stays.
///
/// Source      docs/formulas.md#quantile-scale.
template <class T = float>
class quantile_scale {
 public:
  /// Without heads; to be loaded.
  quantile_scale() = default;
  /// Makes a scale that is not fitted yet.
  ///
  /// Errors      std::invalid_argument if heads or types is 0, there are 2^32 tables or more, or the
  ///             levels are out of range.
  quantile_scale(std::size_t heads, std::size_t types, const quantile_tables_options& options = {})
      : types_(check_sizes(heads, types)), tables_(heads * types, options) {}

  std::size_t heads() const { return tables_.tables() / types(); }
  std::size_t types() const { return static_cast<std::size_t>(types_); }
  /// Whether a head has a table for a type. A head that does not exist for a type has none.
  bool fitted(std::size_t head, std::size_t type) const {
    return tables_.fitted(table_of("quantile_scale::fitted", head, type));
  }

  /// Fits the tables of one head on a log: scores [n] of candidates, and the type of each.
  ///
  /// Rows whose score is NaN are left out. Tables of types without a score stay as they are.
  ///
  /// Errors      std::invalid_argument if the head does not exist, the sizes differ, a type is not
  ///             below the number of types, or a score is infinite; nothing is changed then.
  /// Cost        O(n log n); one copy of the scores.
  template <detail::Numbers Scores>
  void fit(std::size_t head, const Scores& scores, std::span<const std::uint32_t> types) {
    constexpr const char* name = "quantile_scale::fit";
    const auto x = detail::as_span(scores);
    detail::check_below(name, "head", head, heads());
    check_types(name, types, x.size());
    std::vector<std::vector<T>> of_type(this->types());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const T score = static_cast<T>(x[i]);
      if (std::isinf(score))
        detail::fail("funnel::", name, ": scores[", i, "] is ", score,
                     ", expected a finite number or NaN");
      if (!std::isnan(score)) of_type[types[i]].push_back(score);
    }
    quantile_tables<T> fitted = tables_;
    for (std::size_t type = 0; type < of_type.size(); ++type)
      if (!of_type[type].empty()) fitted.fit(head * this->types() + type, of_type[type]);
    tables_ = std::move(fitted);
  }

  /// The scaled score, in [0, 1]. NaN for a NaN score, or if the head has no table for the type.
  ///
  /// Errors      std::invalid_argument if the head or the type does not exist.
  T scale(std::size_t head, std::size_t type, T score) const {
    return tables_.quantile(table_of("quantile_scale::scale", head, type), score);
  }
  /// The scaled estimates of candidates [n, heads], in place, with the type of each candidate.
  ///
  /// Errors      std::invalid_argument if the sizes differ or a type does not exist; nothing is
  ///             written then.
  void apply(matrix_view<T> estimates, std::span<const std::uint32_t> types) const {
    constexpr const char* name = "quantile_scale::apply";
    detail::check_cols(name, "estimates", estimates.cols(), heads(), "the scale");
    check_types(name, types, estimates.rows());
    for (std::size_t i = 0; i < estimates.rows(); ++i)
      for (std::size_t k = 0; k < estimates.cols(); ++k)
        estimates(i, k) = scale(k, types[i], estimates(i, k));
  }

  /// See `HasState`. Throws a format_error if what was loaded is not a scale.
  void visit_state(auto&& visit) {
    visit("types", types_), visit("tables", tables_);
    if (is_loading(visit))
      detail::check_loaded([&] {
        detail::check_at_least_one("quantile_scale", "types", types());
        detail::check_that("quantile_scale", "tables", tables_.tables(),
                           tables_.tables() % types() == 0, "a multiple of ", types(),
                           ", the number of types");
      });
  }

 private:
  static std::uint32_t check_sizes(std::size_t heads, std::size_t types) {
    constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
    detail::check_at_least_one("quantile_scale", "heads", heads);
    detail::check_at_least_one("quantile_scale", "types", types);
    detail::check_that("quantile_scale", "types", types, types <= most && heads <= most / types,
                       "fewer than 2^32 tables, one for each head and type");
    return static_cast<std::uint32_t>(types);
  }
  std::size_t table_of(const char* function, std::size_t head, std::size_t type) const {
    detail::check_below(function, "head", head, heads());
    detail::check_below(function, "type", type, types());
    return head * types() + type;
  }
  void check_types(const char* function, std::span<const std::uint32_t> types,
                   std::size_t n) const {
    detail::check_size(function, "types", types.size(), n);
    for (std::size_t i = 0; i < n; ++i)
      if (types[i] >= types_)
        detail::fail("funnel::", function, ": types[", i, "] is ", types[i], ", expected below ",
                     types_);
  }

  std::uint32_t types_ = 1;
  quantile_tables<T> tables_;  // of head h and type t: h * types + t
};

}  // namespace funnel
