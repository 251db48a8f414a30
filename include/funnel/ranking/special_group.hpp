// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/request_rows.hpp>
#include <funnel/nn/detail/rows.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/parameter.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace funnel {

/// How `special_group` adds the small model's output to the big model's.
enum class special_sum {
  /// To logits: sigmoid(z_big + z_small) is always a probability.
  logit,
  /// To probabilities: p + q with q in (-1, 1), clipped to [1e-6, 1 - 1e-6].
  residual,
};

/// Options of `special_group`.
struct special_group_options {
  /// Number of outputs of each hidden layer of the small model, first to last; may be empty.
  std::vector<std::size_t> sizes = {32};
  /// Number of columns of the big model's scores, one per objective; 1 or more.
  std::size_t heads = 1;
  /// What is added.
  special_sum sum = special_sum::logit;
  /// Dropout rate of hidden outputs, in training only; in [0, 1).
  double dropout = 0;
};

/// Small model that corrects a big model for a group of special users, such as new ones. All other
/// users get the big model's scores with the same bits.
///
///     logit:    z = z_big + z_small                          for users of the group
///     residual: p = clip(p_big + q, 1e-6, 1 - 1e-6)          for users of the group
///
/// The big model is frozen: no gradient reaches its scores, which may just as well come from a file.
/// Train with `bce_with_logits` on the logits; with `residual`, train by `mse_loss` on the sum,
/// which fits q to y - p_big. The last layer starts at zero, so that an untrained group keeps the
/// big model's scores.
///
/// The big model's scores must be out of sample: of a model that was not trained on these rows, such
/// as the scores that were served, or those of the model of the day before. On rows that it learned
/// by heart nothing is left to correct.
///
/// Shapes      x [n, in], or [1, in] or [R, in] with one row per request; big [n, heads]; special
///             [1], [R] or [n], 1 for a user of the group and 0 for others; result [n, heads].
/// Units       big: logits; probabilities with `residual`.
/// Errors      std::invalid_argument on other shapes, or if a value of special is not 0 or 1.
/// Cost        serving runs the small model on rows of the group only, request by request; training
///             runs it on all rows if one is of the group.
/// Numerics    training does not clip: behind a clip there is no gradient.
/// Source      docs/formulas.md#special-groups.
template <class T>
struct special_group : detail::layer_of<T> {
  mlp<T> small;
  special_sum sum = special_sum::logit;

  special_group() = default;
  explicit special_group(std::size_t in, const special_group_options& options = {})
      : sum(options.sum) {
    detail::check_at_least_one("special_group", "heads", options.heads);
    detail::check_fraction("special_group", "dropout", options.dropout);
    if (sum != special_sum::logit && sum != special_sum::residual)
      detail::fail("funnel::special_group: sum is ", static_cast<int>(sum),
                   ", expected special_sum::logit or special_sum::residual");
    std::vector<std::size_t> sizes = options.sizes;
    sizes.push_back(options.heads);
    const activation last = sum == special_sum::residual ? activation::tanh : activation::identity;
    small = mlp<T>(in, sizes, {.output = last, .dropout = options.dropout});
    small.layers.back().weight.initial = initial_values::zeros;
  }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const auto& x, const auto& big,
                         std::span<const std::uint8_t> special) const {
    return corrected(context, detail::as_concatenated(detail::as_value(context, x)),
                     detail::as_value(context, big), special);
  }

  void visit_parameters(auto&& visit) { visit("small", small); }

 private:
  /// Finds out whether a row is of the group.
  struct row_flags {
    std::span<const std::uint8_t> special;
    std::size_t rows;
    const std::uint32_t* of_row;

    bool operator()(std::size_t i) const {
      return special[special.size() == rows ? i : special.size() == 1 ? 0 : of_row[i]] != 0;
    }
  };

  template <Context C, std::size_t N>
  value_of<C> corrected(C& context, const concatenated<value_of<C>, N>& x, const value_of<C>& big,
                        std::span<const std::uint8_t> special) const {
    const detail::request_rows requests = detail::requests_of(context);
    const std::size_t n = big.rows();
    detail::check_cols("special_group", "big", big.cols(), small.out(), "the small model");
    const auto is_one_of = [&](std::size_t rows) {
      return rows == n || rows == 1 || requests.match(rows, n);
    };
    detail::check_that("special_group", "x.rows()", x.rows(), is_one_of(x.rows()),
                       "1, one per request, or ", n, " as in big");
    detail::check_that("special_group", "special.size()", special.size(), is_one_of(special.size()),
                       "1, one per request, or ", n, " as in big");
    detail::check_binary("special_group", "special", special);

    const auto any = std::ranges::find_if(special, [](std::uint8_t flag) { return flag != 0; });
    const row_flags is_special{special, n, requests.of_row()};
    if constexpr (C::is_training) {
      if (any == special.end()) return {big.values, {}};
      return trained(context, small(context, x), big, is_special);
    } else {
      if (any == special.end()) return big;
      return served(context, x, big, is_special, requests);
    }
  }

  template <Context C>
  value_of<C> trained(C& context, const value_of<C>& correction, const value_of<C>& big,
                      const row_flags& is_special) const {
    const auto y = context.make(big.rows(), big.cols());
    auto* flags = context.scratch().template allocate<std::uint8_t>(big.rows());
    const detail::row_map row_of(detail::requests_of(context), big.rows());
    for (std::size_t i = 0; i < big.rows(); ++i) {
      flags[i] = is_special(i);
      std::ranges::copy(big.row(i), y.values.row(i).begin());
      if (flags[i] == 0) continue;
      const T* add = row_of(view(correction), i);
      for (std::size_t j = 0; j < big.cols(); ++j) y.values(i, j) += add[j];
    }
    context.record([correction, y, flags, row_of] {
      for (std::size_t i = 0; i < y.rows(); ++i)
        if (flags[i] != 0) row_of.add(correction.gradient, i, y.gradient.row(i).data());
    });
    return y;
  }

  /// Runs the small model on each run of rows of the group. Where the batch has requests, a run ends
  /// with its request, so that a part of one row per request is one row.
  template <Context C, std::size_t N>
  value_of<C> served(C& context, const concatenated<value_of<C>, N>& x, const value_of<C>& big,
                     const row_flags& is_special, const detail::request_rows& requests) const {
    const std::size_t n = big.rows();
    const bool grouped = requests.of_row() != nullptr && requests.rows() == n;
    const auto y = context.make(n, big.cols());
    detail::copy_rows<T>(big, y, 0);
    for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
      end = begin + 1;
      if (!is_special(begin)) continue;
      while (end < n && is_special(end) &&
             (!grouped || requests.of_row()[end] == requests.of_row()[begin]))
        ++end;
      const arena::scope temporary(context.scratch());
      auto run = x;
      for (auto& part : run.parts) {
        if (part.rows() == n)
          part = part.middle_rows(begin, end - begin);
        else if (part.rows() != 1)
          part = part.middle_rows(requests.of_row()[begin], 1);
      }
      const value_of<C> correction = small(context, run);
      for (std::size_t i = begin; i < end; ++i)
        for (std::size_t j = 0; j < big.cols(); ++j) {
          T& score = y(i, j);
          score += correction(correction.rows() == 1 ? 0 : i - begin, j);
          if (sum == special_sum::residual) score = std::clamp(score, T(1e-6), T(1) - T(1e-6));
        }
    }
    return y;
  }
};

}  // namespace funnel
