// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/optim/detail/optimizer_base.hpp>
#include <funnel/optim/parameter_group.hpp>
#include <funnel/simd/optimizer.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `sgd`.
struct sgd_options {
  /// Learning rate (step size), above 0. eta in the literature.
  double learning_rate = 0.01;
  /// Fraction of the velocity v that carries over to the next step, in [0, 1). 0 is plain SGD.
  double momentum = 0;
  /// Decoupled weight decay, 0 or more: a step also subtracts learning_rate * weight_decay * p from
  /// each weight p. In an embedding table it applies only to the rows that have a gradient.
  double weight_decay = 0;
};

/// Stochastic gradient descent (SGD) with momentum.
///
///     v <- momentum v + g
///     p <- p - learning_rate (v + weight_decay p)
///
/// Weight decay spares the parameters that are not `decays_by_default`; groups of parameters may
/// have other rates (optim/parameter_group.hpp).
///
/// Errors      std::invalid_argument if an option is outside its range.
/// Source      Polyak, 1964; decoupled decay as in Loshchilov and Hutter, ICLR 2019;
///             docs/formulas.md#momentum.
template <class T>
class sgd : public detail::optimizer_base<sgd<T>, T> {
  using base = detail::optimizer_base<sgd<T>, T>;
  friend base;

 public:
  sgd_options options;

  explicit sgd(const sgd_options& given = {}, std::vector<parameter_group> groups = {})
      : options(given) {
    check({});
    this->set_groups(std::move(groups));
    detail::check_positive<T>("sgd", "learning_rate", options.learning_rate);
  }
  sgd(const sgd&) = default;
  sgd(sgd&&) noexcept = default;
  /// Copies everything, or changes nothing if memory runs out.
  sgd& operator=(const sgd& other) {
    *this = sgd(other);
    return *this;
  }
  sgd& operator=(sgd&&) noexcept = default;

 private:
  using state = detail::optimizer_state<T>;
  static constexpr std::string_view name = "sgd";

  void check(const detail::parameter_rates& rates) const {
    detail::check_not_negative<T>("sgd", "learning_rate", options.learning_rate);
    detail::check_fraction<T>("sgd", "momentum", options.momentum);
    detail::check_not_negative<T>("sgd", "weight_decay", options.weight_decay);
    const double rate = options.learning_rate * rates.factor;
    detail::check_not_negative<T>("sgd", "learning_rate * rate_factor", rate);
    detail::check_not_negative<T>("sgd", "learning_rate * weight_decay",
                                  rate * std::max(options.weight_decay, rates.decay));
  }

  template <class Arch>
  struct rule {
    using numbers = sgd_step<T>;
    const sgd& of;

    bool moves_on() const { return static_cast<T>(of.options.momentum) != T(0); }
    void check(const detail::parameter_rates& rates) const { of.check(rates); }
    void reserve(state& s, const parameter<T>& p) const {
      if (moves_on()) s.first.reserve(p.value.size());
    }
    numbers begin(state& s, const parameter<T>& p, const detail::parameter_rates& rates) const {
      if (moves_on()) detail::ensure_size(s.first, p.value.size());
      return {static_cast<T>(of.options.learning_rate * rates.factor),
              static_cast<T>(of.options.momentum), static_cast<T>(rates.decay)};
    }
    T* velocity(state& s, std::size_t i) const { return moves_on() ? s.first.data() + i : nullptr; }
    void values(state& s, parameter<T>& p, const numbers& step, const T* g, std::size_t i,
                std::size_t n) const {
      sgd_kernel(Arch{}, step, g, velocity(s, i), p.value.data() + i, n);
    }
    std::array<detail::row_bytes, 2> arrays(state& s, const parameter<T>& p) const {
      const std::size_t bytes = p.cols() * sizeof(T);
      return {{{p.value.data(), bytes}, {velocity(s, 0), moves_on() ? bytes : 0}}};
    }
    auto rows(state& s, parameter<T>& p, const numbers& step) const {
      return [this, &s, &p, &step](std::size_t row, const T* g) {
        const std::size_t i = row * p.cols();
        sgd_kernel(Arch{}, step, g, velocity(s, i), p.value.data() + i, p.cols());
      };
    }
  };
};

}  // namespace funnel
