// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/fusion/formula.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace funnel {

/// One factor of `power_product`.
template <class T = float>
struct power_term {
  /// 0 takes the factor out. alpha in the lectures.
  T power = 1;
  /// Estimates below it count as it, above 0. A price wants about 0.01.
  T floor = static_cast<T>(1e-8);
};

/// A product of powers, as for what sells: click, cart and pay rates and the price.
///
///     ln s = sum_k alpha_k ln max(p_k, floor_k)
///
/// With all powers 1, p_cart = P(cart | click) and p_pay = P(pay | cart), the expected sales of an
/// impression. An estimate of 0 brings the score close to 0, unlike `product_of_shifted_powers`.
///
/// Shapes      N objectives.
/// Units       estimates above 0; the score is a logarithm or the product, see scale.
/// Order       NaN in an objective of power other than 0 gives NaN. An objective of power 0 is
///             absent, whatever it holds.
/// Errors      `check` throws std::invalid_argument unless each floor of a factor that counts is
///             above 0.
/// Numerics    in double; the product may overflow or vanish in T where its logarithm does not.
/// Source      docs/formulas.md#product-of-powers.
template <std::size_t N, class T = float>
struct power_product {
  std::array<power_term<T>, N> terms{};
  fused_scale scale = fused_scale::logarithm;

  void check(std::size_t columns) const {
    detail::check_objectives("power_product", columns, N);
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
      const T estimate = std::max(objectives[k], terms[k].floor);  // NaN stays, as the first
      sum += static_cast<double>(terms[k].power) * std::log(static_cast<double>(estimate));
    }
    return static_cast<T>(scale == fused_scale::logarithm ? sum : std::exp(sum));
  }
};

/// One factor of `product_of_shifted_powers`.
template <class T = float>
struct shifted_power_term {
  /// 0 or more; 0 takes the factor out. w in the lectures.
  T weight = 1;
  /// 0 takes the factor out. alpha in the lectures.
  T power = 1;
};

/// A product of powers of one plus each objective, as for short videos.
///
///     ln s = sum_k alpha_k ln(1 + w_k p_k)
///
/// The 1 keeps an estimate of 0 from taking the whole score.
///
/// Shapes      N objectives.
/// Units       estimates of 0 or more (rates, seconds); the score is a logarithm or the product,
///             see scale.
/// Order       NaN in an objective whose weight and power are other than 0 gives NaN, and so does
///             1 + w_k p_k below 0. Other objectives are absent, whatever they hold.
/// Numerics    in double, by log1p; the product may overflow in T where its logarithm does not.
/// Source      docs/formulas.md#product-of-shifted-powers.
template <std::size_t N, class T = float>
struct product_of_shifted_powers {
  std::array<shifted_power_term<T>, N> terms{};
  fused_scale scale = fused_scale::logarithm;

  void check(std::size_t columns) const {
    detail::check_objectives("product_of_shifted_powers", columns, N);
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
};

}  // namespace funnel
