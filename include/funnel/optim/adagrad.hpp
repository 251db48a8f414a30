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

/// Options of `adagrad`.
struct adagrad_options {
  /// Learning rate (step size), above 0. eta in the source.
  double learning_rate = 0.05;
  /// Initial value of the sums of squared gradients, 0 or more.
  double initial_accumulator = 0.1;
  /// Added to the square root (not under it), above 0. delta in the source.
  double epsilon = 1e-10;
  /// Decoupled weight decay, 0 or more: a step also subtracts learning_rate * weight_decay * p from
  /// each weight p. In an embedding table it applies only to the rows that have a gradient.
  double weight_decay = 0;
};

/// Adagrad optimizer.
///
///     s <- s + g^2
///     p <- p - learning_rate (g / (sqrt(s) + epsilon) + weight_decay p)
///
/// For an embedding table, s is one double per row instead of one number per value: the sum of the
/// means of the row's squared gradients.
///
/// Weight decay spares the parameters that are not `decays_by_default`; groups of parameters may
/// have other rates (optim/parameter_group.hpp).
///
/// Errors      std::invalid_argument if an option is outside its range.
/// Source      Duchi, Hazan and Singer, JMLR 2011; row-wise as in Mudigere et al., ISCA 2022,
///             section 4.1.3; docs/formulas.md#adagrad.
template <class T>
class adagrad : public detail::optimizer_base<adagrad<T>, T> {
  using base = detail::optimizer_base<adagrad<T>, T>;
  friend base;

 public:
  adagrad_options options;

  explicit adagrad(const adagrad_options& given = {}, std::vector<parameter_group> groups = {})
      : options(given) {
    check({});
    this->set_groups(std::move(groups));
    detail::check_positive<T>("adagrad", "learning_rate", options.learning_rate);
  }
  adagrad(const adagrad&) = default;
  adagrad(adagrad&&) noexcept = default;
  /// Copies everything, or changes nothing if memory runs out.
  adagrad& operator=(const adagrad& other) {
    *this = adagrad(other);
    return *this;
  }
  adagrad& operator=(adagrad&&) noexcept = default;

 private:
  using state = detail::optimizer_state<T>;
  static constexpr std::string_view name = "adagrad";

  void check(const detail::parameter_rates& rates) const {
    detail::check_not_negative<T>("adagrad", "learning_rate", options.learning_rate);
    detail::check_not_negative<T>("adagrad", "initial_accumulator", options.initial_accumulator);
    detail::check_positive<T>("adagrad", "epsilon", options.epsilon);
    detail::check_not_negative<T>("adagrad", "weight_decay", options.weight_decay);
    const double rate = options.learning_rate * rates.factor;
    detail::check_not_negative<T>("adagrad", "learning_rate * rate_factor", rate);
    detail::check_not_negative<T>("adagrad", "learning_rate * weight_decay",
                                  rate * std::max(options.weight_decay, rates.decay));
  }

  template <class Arch>
  struct rule {
    using numbers = adagrad_step<T>;
    const adagrad& of;

    void check(const detail::parameter_rates& rates) const { of.check(rates); }
    void reserve(state& s, const parameter<T>& p) const {
      if (p.kind == parameter_kind::rows)
        s.row_sums.reserve(p.rows());
      else
        s.second.reserve(p.value.size());
    }
    numbers begin(state& s, const parameter<T>& p, const detail::parameter_rates& rates) const {
      const double start = of.options.initial_accumulator;
      if (p.kind == parameter_kind::rows)
        detail::ensure_size(s.row_sums, p.rows(), start);
      else
        detail::ensure_size(s.second, p.value.size(), static_cast<T>(start));
      return {static_cast<T>(of.options.learning_rate * rates.factor),
              detail::step_epsilon<T>(of.options.epsilon), static_cast<T>(rates.decay)};
    }
    void values(state& s, parameter<T>& p, const numbers& step, const T* g, std::size_t i,
                std::size_t n) const {
      adagrad_kernel(Arch{}, step, g, s.second.data() + i, p.value.data() + i, n);
    }
    std::array<detail::row_bytes, 2> arrays(state& s, const parameter<T>& p) const {
      return {{{p.value.data(), p.cols() * sizeof(T)}, {s.row_sums.data(), sizeof(double)}}};
    }
    auto rows(state& s, parameter<T>& p, const numbers& step) const {
      return [&s, &p, &step](std::size_t row, const T* g) {
        row_adagrad_kernel(Arch{}, step, g, s.row_sums[row], p.value.data() + row * p.cols(),
                           p.cols());
      };
    }
  };
};

}  // namespace funnel
