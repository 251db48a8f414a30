// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/context.hpp>
#include <funnel/nn/parameter.hpp>

#include <concepts>
#include <string_view>
#include <utility>

namespace funnel {
namespace detail {

template <class Arch, class Field>
void freeze_field(Field& field) {
  if constexpr (requires { field.template freeze<Arch>(); }) {
    field.template freeze<Arch>();
  } else if constexpr (is_parameter<Field>) {
    // stays as it is
  } else if constexpr (HasParameters<Field>) {
    field.visit_parameters([](std::string_view, auto& inner) { freeze_field<Arch>(inner); });
  } else {
    for (auto& inner : field) freeze_field<Arch>(inner);
  }
}

}  // namespace detail

/// The serving form of a model: the same call on an `inference` context, on weights packed for
/// `Arch`.
///
/// It cannot be trained, saved or changed; keep the model it came from for that. Calling it is
/// const and safe from any number of threads with one context each.
template <class Model, class Arch>
class frozen {
 public:
  explicit frozen(Model model) : model_(std::move(model)) { detail::freeze_field<Arch>(model_); }

  template <Context C, class... Arguments>
  auto operator()(C& context, const Arguments&... arguments) const {
    check<C>();
    return model_(context, arguments...);
  }

  /// The frozen model itself, for models whose stages are called one by one (a user tower once, an
  /// item tower often).
  const Model& model() const { return model_; }

 private:
  template <class C>
  static constexpr void check() {
    static_assert(!C::is_training,
                  "a frozen model has no gradients: train the model it was frozen from");
    static_assert(std::same_as<typename C::arch, Arch>,
                  "the model was frozen for another instruction set");
  }

  Model model_;
};

/// Turns a trained model into its serving form. Layers with a `freeze<Arch>()` member pack
/// themselves: `dense` its weights, `mmoe` its experts into one product. Scores are the same to the
/// bit.
///
/// Cost        a copy of the model.
template <class Arch = default_arch, HasParameters Model>
frozen<Model, Arch> freeze(const Model& model) {
  return frozen<Model, Arch>(model);
}

}  // namespace funnel
