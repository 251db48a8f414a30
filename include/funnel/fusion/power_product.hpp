// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/state.hpp>
#include <funnel/fusion/formula.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace funnel {

/// One factor of `power_product`.
template <class T = float>
struct power_term {
  /// Any number; 0 removes the factor. alpha in the lectures.
  T power = 1;
  /// Lower limit of the estimate, above 0: smaller estimates are replaced by it. About 0.01 suits a
  /// price.
  T floor = static_cast<T>(1e-8);

  void visit_state(auto&& visit) { visit("power", power), visit("floor", floor); }
};

/// Product of powers of the objectives. Common in e-commerce: click, cart and pay rates times the
/// price.
///
///     ln s = sum_k alpha_k ln max(p_k, floor_k)
///
/// With all powers 1, p_cart = P(cart | click) and p_pay = P(pay | cart), the product is the
/// expected revenue of an impression. An estimate of 0 brings the score close to 0; with
/// `product_of_shifted_powers` it does not.
///
/// Shapes      N objectives.
/// Units       estimates above 0; the score is a logarithm or the product, see `scale`.
/// Order       NaN in an objective makes the score NaN. An objective with power 0 is ignored, even
///             if it is NaN.
/// Errors      `check` throws std::invalid_argument if the number of columns is not N, or the floor
///             of a factor with power other than 0 is not above 0.
/// Numerics    computed in double. The product may overflow or underflow in T; its logarithm does
///             not.
/// Source      docs/formulas.md#product-of-powers.
template <std::size_t N, class T = float>
struct power_product {
  std::array<power_term<T>, N> terms{};
  fused_scale scale = fused_scale::logarithm;

  void check(std::size_t columns) const {
    detail::check_cols("power_product", "objectives", columns, N);
    detail::check_scale("power_product", scale);
    for (std::size_t k = 0; k < N; ++k)
      if (terms[k].power != 0 && !(terms[k].floor > 0))
        detail::fail("funnel::power_product: terms[", k, "].floor is ",
                     static_cast<double>(terms[k].floor), ", expected a number above 0");
  }

  T operator()(std::span<const T> objectives) const {
    FUNNEL_ASSERT(objectives.size() == N);
    double sum = 0;
    for (std::size_t k = 0; k < N; ++k) {
      if (terms[k].power == 0) continue;
      const T estimate = std::max(objectives[k], terms[k].floor);  // NaN, as first, stays
      sum += static_cast<double>(terms[k].power) * std::log(static_cast<double>(estimate));
    }
    return static_cast<T>(scale == fused_scale::logarithm ? sum : std::exp(sum));
  }
  /// The estimate that changes nothing, unless its floor is above 1; see `fill_missing`.
  T neutral(std::size_t) const { return 1; }

  /// See `HasState`. Throws a format_error if a factor or the scale that was loaded is out of range.
  void visit_state(auto&& visit) {
    visit("terms", terms), visit("scale", scale);
    if (is_loading(visit)) detail::check_loaded([&] { check(N); });
  }
};

/// One factor of `product_of_shifted_powers`.
template <class T = float>
struct shifted_power_term {
  /// 0 or more; 0 removes the factor. w in the lectures.
  T weight = 1;
  /// Any number; 0 removes the factor. alpha in the lectures.
  T power = 1;

  void visit_state(auto&& visit) { visit("weight", weight), visit("power", power); }
};

/// Product of powers of one plus each weighted objective. Common for short videos.
///
///     ln s = sum_k alpha_k ln(1 + w_k p_k)
///
/// Because of the 1, an estimate of 0 is a factor of 1 and does not make the whole score 0.
///
/// Shapes      N objectives.
/// Units       estimates of 0 or more (rates, seconds); the score is a logarithm or the product,
///             see `scale`.
/// Order       NaN in an objective makes the score NaN, and so does 1 + w_k p_k below 0. An
///             objective with weight or power 0 is ignored, even if it is NaN.
/// Numerics    computed in double, by log1p. The product may overflow in T; its logarithm does not.
/// Source      docs/formulas.md#product-of-shifted-powers.
template <std::size_t N, class T = float>
struct product_of_shifted_powers {
  std::array<shifted_power_term<T>, N> terms{};
  fused_scale scale = fused_scale::logarithm;

  void check(std::size_t columns) const {
    detail::check_cols("product_of_shifted_powers", "objectives", columns, N);
    detail::check_scale("product_of_shifted_powers", scale);
  }

  T operator()(std::span<const T> objectives) const {
    FUNNEL_ASSERT(objectives.size() == N);
    double sum = 0;
    for (std::size_t k = 0; k < N; ++k) {
      if (terms[k].power == 0 || terms[k].weight == 0) continue;
      sum += static_cast<double>(terms[k].power) *
             std::log1p(static_cast<double>(terms[k].weight) * static_cast<double>(objectives[k]));
    }
    return static_cast<T>(scale == fused_scale::logarithm ? sum : std::exp(sum));
  }
  /// The estimate that changes nothing; see `fill_missing`.
  T neutral(std::size_t) const { return 0; }

  /// See `HasState`. Throws a format_error if a factor or the scale that was loaded is out of range.
  void visit_state(auto&& visit) {
    visit("terms", terms), visit("scale", scale);
    if (is_loading(visit)) detail::check_loaded([&] { check(N); });
  }
};

}  // namespace funnel
