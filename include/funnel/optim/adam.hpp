// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/optim/detail/optimizer_base.hpp>
#include <funnel/optim/parameter_group.hpp>
#include <funnel/simd/optimizer.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `adam`.
struct adam_options {
  /// Learning rate (step size), above 0. alpha in the source.
  double learning_rate = 0.001;
  /// Decay rate of the mean gradient m, in [0, 1). beta_1 in the source.
  double first_decay = 0.9;
  /// Decay rate of the mean squared gradient v, in [0, 1). beta_2 in the source.
  double second_decay = 0.999;
  /// Added to the square root (not under it), above 0.
  double epsilon = 1e-8;
  /// Decoupled weight decay (AdamW), 0 or more: a step also subtracts learning_rate * weight_decay
  /// * p from each weight p. In an embedding table it applies only to the rows that have a
  /// gradient.
  double weight_decay = 0;
};

/// Adam optimizer; AdamW if `weight_decay` is above 0.
///
///     m <- beta_1 m + (1 - beta_1) g
///     v <- beta_2 v + (1 - beta_2) g^2
///     p <- p - learning_rate (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)
///            - learning_rate weight_decay p
///
/// On embedding tables it is lazy: a step changes m, v, the step count t and the values of only
/// those rows that have a gradient.
///
/// Weight decay spares the parameters that are not `decays_by_default`; groups of parameters may
/// have other rates (optim/parameter_group.hpp).
///
/// Errors      std::invalid_argument if an option is outside its range.
/// Source      Kingma and Ba, ICLR 2015, algorithm 1; decay as in Loshchilov and Hutter, ICLR 2019
///             (AdamW); docs/formulas.md#adam.
template <class T>
class adam : public detail::optimizer_base<adam<T>, T> {
  using base = detail::optimizer_base<adam<T>, T>;
  friend base;

 public:
  adam_options options;

  explicit adam(const adam_options& given = {}, std::vector<parameter_group> groups = {})
      : options(given) {
    check({});
    this->set_groups(std::move(groups));
    detail::check_positive<T>("adam", "learning_rate", options.learning_rate);
  }
  adam(const adam&) = default;
  adam(adam&&) noexcept = default;
  /// Copies everything, or changes nothing if memory runs out.
  adam& operator=(const adam& other) {
    *this = adam(other);
    return *this;
  }
  adam& operator=(adam&&) noexcept = default;

 private:
  /// Counts a step. Stops at 2^32 - 1: both bias corrections are 1 by then.
  static std::uint32_t next(std::uint32_t& steps) {
    if (steps < std::numeric_limits<std::uint32_t>::max()) ++steps;
    return steps;
  }

  using state = detail::optimizer_state<T>;
  static constexpr std::string_view name = "adam";

  void check(const detail::parameter_rates& rates) const {
    detail::check_not_negative<T>("adam", "learning_rate", options.learning_rate);
    detail::check_fraction<double>("adam", "first_decay", options.first_decay);
    detail::check_fraction<double>("adam", "second_decay", options.second_decay);
    detail::check_positive<T>("adam", "epsilon", options.epsilon);
    detail::check_not_negative<T>("adam", "weight_decay", options.weight_decay);
    // The numbers that `numbers_of_step` computes; the rate of the first step is the largest.
    const double rate = options.learning_rate * rates.factor;
    detail::check_not_negative<T>("adam", "learning_rate / (1 - first_decay)",
                                  rate / (1 - options.first_decay));
    detail::check_not_negative<T>("adam", "learning_rate * weight_decay",
                                  rate * std::max(options.weight_decay, rates.decay));
  }

  adam_step<T> numbers_of_step(double t, const detail::parameter_rates& rates) const {
    const double rate = options.learning_rate * rates.factor;
    return {static_cast<T>(1 - options.first_decay),
            static_cast<T>(1 - options.second_decay),
            static_cast<T>(rate / (1 - std::pow(options.first_decay, t))),
            static_cast<T>(1 / (1 - std::pow(options.second_decay, t))),
            detail::step_epsilon<T>(options.epsilon),
            static_cast<T>(rate * rates.decay)};
  }

  struct numbered {
    std::uint32_t step = 0;
    adam_step<T> numbers{};
  };

  template <class Arch>
  struct rule {
    struct numbers {
      detail::parameter_rates rates{};
      adam_step<T> step{};  // of a dense parameter
    };
    const adam& of;

    void check(const detail::parameter_rates& rates) const { of.check(rates); }
    void reserve(state& s, const parameter<T>& p) const {
      s.first.reserve(p.value.size());
      s.second.reserve(p.value.size());
      s.steps.reserve(p.kind == parameter_kind::rows ? p.rows() : 1);
    }
    numbers begin(state& s, const parameter<T>& p, const detail::parameter_rates& rates) const {
      const bool by_rows = p.kind == parameter_kind::rows;
      detail::ensure_size(s.first, p.value.size());
      detail::ensure_size(s.second, p.value.size());
      detail::ensure_size(s.steps, by_rows ? p.rows() : 1);
      if (by_rows) return {rates, {}};
      return {rates, of.numbers_of_step(next(s.steps[0]), rates)};
    }
    void values(state& s, parameter<T>& p, const numbers& with, const T* g, std::size_t i,
                std::size_t n) const {
      adam_kernel(Arch{}, with.step, g, s.first.data() + i, s.second.data() + i, p.value.data() + i,
                  n);
    }
    std::array<detail::row_bytes, 4> arrays(state& s, const parameter<T>& p) const {
      const std::size_t bytes = p.cols() * sizeof(T);
      return {{{p.value.data(), bytes},
               {s.first.data(), bytes},
               {s.second.data(), bytes},
               {s.steps.data(), sizeof(std::uint32_t)}}};
    }
    auto rows(state& s, parameter<T>& p, const numbers& with) const {
      // The numbers of a step take two calls of std::pow, and many rows have the same few step
      // counts.
      return [this, &s, &p, &with, known = std::array<numbered, 64>{}](std::size_t row,
                                                                       const T* g) mutable {
        const std::uint32_t step = next(s.steps[row]);
        numbered& kept = known[step % known.size()];
        if (kept.step != step) kept = {step, of.numbers_of_step(step, with.rates)};
        const std::size_t i = row * p.cols();
        adam_kernel(Arch{}, kept.numbers, g, s.first.data() + i, s.second.data() + i,
                    p.value.data() + i, p.cols());
      };
    }
  };
};

}  // namespace funnel
