// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/context.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/simd/arch.hpp>

#include <concepts>
#include <functional>
#include <string_view>
#include <type_traits>
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

/// The serving form of a model: the same call on an `inference_context` context, on weights packed for
/// `Arch`.
///
/// It cannot be trained, saved or changed; keep the model it came from for that. Calling it is
/// const and safe from any number of threads with one context each.
///
/// A training context, or a context of another instruction set, does not compile. Code that `call`
/// runs is given the model itself, and could run it elsewhere or copy a layer: layers that pack
/// themselves (`dense` and all that is made of it) then throw std::invalid_argument. A parameter that
/// is not packed, such as the table of an `embedding`, is a copy like any other.
template <HasParameters Model, class Arch>
class frozen {
 public:
  explicit frozen(Model model) : model_(std::move(model)) { detail::freeze_field<Arch>(model_); }

  template <Context C, class... Arguments>
  auto operator()(C& context, const Arguments&... arguments) const {
    check<C>();
    return model_(context, arguments...);
  }

  /// Runs one stage of the model, for models whose stages are called one by one: a user tower once,
  /// an item tower often.
  ///
  /// `stage` is a member of the model that can be called (`&my_model::tower`), a const member
  /// function, or a callable, which is run as stage(model, context, arguments...).
  template <Context C, class Stage, class... Arguments>
  auto call(C& context, Stage&& stage, Arguments&&... arguments) const {
    check<C>();
    if constexpr (std::is_member_object_pointer_v<std::remove_cvref_t<Stage>>) {
      return (model_.*stage)(context, std::forward<Arguments>(arguments)...);
    } else {
      using result = std::invoke_result_t<Stage, const Model&, C&, Arguments...>;
      static_assert(!HasParameters<std::remove_cvref_t<std::remove_pointer_t<result>>>,
                    "a stage gives values; the model and its layers stay inside the frozen model");
      return std::invoke(std::forward<Stage>(stage), model_, context,
                         std::forward<Arguments>(arguments)...);
    }
  }

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

/// A frozen model has let go of what another freezing would pack.
template <class Arch = default_arch, class Model, class Of>
void freeze(const frozen<Model, Of>&) {
  static_assert(!std::same_as<Model, Model>,
                "the model is frozen already: freeze the model it came from");
}

}  // namespace funnel
