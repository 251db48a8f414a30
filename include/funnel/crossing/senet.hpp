// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/crossing/detail/fields.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/detail/request_rows.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace funnel {
namespace detail {

/// The mean of every field, [rows, fields]. The fields have equal numbers of rows.
template <Context C>
value_of<C> field_means(C& context, std::span<const value_of<C>> fields, std::size_t rows) {
  using t = scalar_of<C>;
  using arch = typename C::arch;
  const auto y = context.make(rows, fields.size());
  std::size_t widest = 0;
  for (const auto& field : fields) widest = std::max(widest, field.cols());
  t* ones = context.scratch().template allocate<t>(widest);
  std::fill_n(ones, widest, t(1));
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t f = 0; f < fields.size(); ++f) {
      const std::size_t k = fields[f].cols();
      writable(y)(i, f) =
          dot_kernel(arch{}, view(fields[f]).row(i).data(), ones, k) / static_cast<t>(k);
    }
  }
  if constexpr (C::is_training) {
    context.record([fields, y, ones] {
      for (std::size_t f = 0; f < fields.size(); ++f) {
        if (!fields[f].has_gradient()) continue;
        const std::size_t k = fields[f].cols();
        for (std::size_t i = 0; i < y.rows(); ++i)
          axpy_kernel(arch{}, y.gradient(i, f) / static_cast<t>(k), ones,
                      fields[f].gradient.row(i).data(), k);
      }
    });
  }
  return y;
}

/// y = the fields side by side, field f times column f of the gates.
template <Context C, class Y>
void scale_fields(C& context, std::span<const value_of<C>> fields, const value_of<C>& gates,
                  const Y& y) {
  using arch = typename C::arch;
  const row_map row_of(requests_of(context), y.rows());
  for (std::size_t i = 0; i < y.rows(); ++i) {
    auto* to = writable(y).row(i).data();
    for (std::size_t f = 0; f < fields.size(); to += fields[f++].cols())
      scale_kernel(arch{}, view(gates)(i, f), row_of(view(fields[f]), i), to, fields[f].cols());
  }
  if constexpr (C::is_training) {
    context.record([fields, gates, y, row_of] {
      for (std::size_t i = 0; i < y.rows(); ++i) {
        const auto* g = y.gradient.row(i).data();
        for (std::size_t f = 0; f < fields.size(); g += fields[f++].cols()) {
          const std::size_t k = fields[f].cols();
          gates.gradient(i, f) += dot_kernel(arch{}, g, row_of(fields[f].values, i), k);
          if (fields[f].has_gradient())
            axpy_kernel(arch{}, gates.values(i, f), g, row_of(fields[f].gradient, i), k);
        }
      }
    });
  }
}

}  // namespace detail

/// Options of `senet`.
struct senet_options {
  /// How many times fewer units the hidden layer has than there are fields; 1 or more. r in the
  /// paper.
  std::size_t reduction = 3;
  /// Activation of the weights. The paper has relu, which can switch a field off for good.
  activation gate = activation::sigmoid;
};

/// SENet (squeeze and excitation) over fields: weights each field by its importance, which a small
/// network computes from the means of all fields.
///
///     z_f = mean(v_f),   a = gate(relu(z W_1) W_2),   y_f = a_f v_f
///
/// A field is an embedding, such as that of the user's city; W_1 has max(1, fields / r) columns.
///
/// Shapes      x: the fields side by side, [n, sum of the widths], a value or a concatenation whose
///             parts hold whole fields -> a value of the same shape.
/// Errors      std::invalid_argument if there is no field, a width or the reduction is 0, the widths add
///             up to more values than an array can have, or x does not consist of these fields.
/// Cost        2 operations per value of x and 4 n fields^2 / r for the network. The means of a part
///             with fewer rows, such as the user's, and their product with W_1 are computed once.
/// Numerics    A row has the same bits in every batch.
/// Source      Huang, Zhang and Zhang, RecSys 2019; docs/formulas.md#senet.
template <class T>
class senet : public detail::layer_of<T> {
 public:
  dense<T> reduce;  ///< W_1 and the relu
  dense<T> excite;  ///< W_2 and the gate

  senet() = default;
  /// `widths` are the numbers of columns of the fields.
  explicit senet(std::vector<std::size_t> widths, const senet_options& options = {})
      : widths_(std::move(widths)) {
    detail::check_not_empty("senet", "widths", widths_.size());
    detail::check_each<std::size_t>("senet", "widths", widths_, "1 or more",
                                    [](std::size_t width) { return width > 0; });
    std::size_t columns = 0;
    for (const std::size_t width : widths_) {
      columns =
          detail::array_size<T>("funnel::senet: the sum of widths",
                                columns + detail::array_size<T>("funnel::senet: a width", width));
    }
    detail::check_at_least_one("senet", "reduction", options.reduction);
    const std::size_t fields = widths_.size();
    const std::size_t hidden = std::max<std::size_t>(1, fields / options.reduction);
    reduce = dense<T>(
        fields, hidden,
        {.function = activation::relu, .bias = false, .initial = initial_values::he_normal});
    excite = dense<T>(hidden, fields, {.function = options.gate, .bias = false});
  }
  /// The same for `fields` fields of `dim` columns each.
  senet(std::size_t fields, std::size_t dim, const senet_options& options = {})
      : senet(std::vector<std::size_t>(
                  detail::array_size<std::size_t>("funnel::senet: fields", fields), dim),
              options) {}

  std::size_t fields() const { return widths_.size(); }
  const std::vector<std::size_t>& widths() const { return widths_; }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const auto& values) const {
    const auto x = detail::as_concatenated(detail::as_value(context, values));
    detail::check_not_empty("senet", "widths", widths_.size());
    const auto y = context.make(x.rows(), x.cols());
    if constexpr (C::is_training) {
      scale(context, x, y);
    } else {
      const arena::scope temporary(context.scratch());
      scale(context, x, y);
    }
    return y;
  }

  void visit_parameters(auto&& visit) {
    visit("reduce", reduce);
    visit("excite", excite);
  }

 private:
  template <Context C, std::size_t N, class Y>
  void scale(C& context, const concatenated<value_of<C>, N>& x, const Y& y) const {
    const std::span<const value_of<C>> fields = detail::fields_of(
        context, "senet", x, widths_.size(), [this](std::size_t f) { return widths_[f]; });
    concatenated<value_of<C>, N> means;
    std::size_t f = 0;
    for (std::size_t part = 0; part < N; ++part) {
      const std::size_t begin = f;
      for (std::size_t columns = 0; columns < x.parts[part].cols(); ++f) columns += widths_[f];
      means.parts[part] =
          detail::field_means(context, fields.subspan(begin, f - begin), x.parts[part].rows());
    }
    detail::scale_fields(context, fields, excite(context, reduce(context, means)), y);
  }

  std::vector<std::size_t> widths_;
};

}  // namespace funnel
