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

/// Frozen model, the serving form of a model: the same call as the model's, on an
/// `inference_context`, with weights packed for `Arch`.
///
/// It cannot be trained, saved or changed; keep the model it came from for that. Its calls are
/// const, and safe from any number of threads if each thread has its own context.
///
/// Calling it with a training context, or with a context of another instruction set, does not
/// compile. A callable that is passed to `call` gets the model itself and could run it on another
/// context or copy a layer. Layers that pack their weights (`dense` and all layers made of it) then
/// throw std::invalid_argument. A parameter that is not packed, such as the table of an
/// `embedding`, can be copied and used like any other.
template <HasParameters Model, class Arch>
class frozen {
 public:
  explicit frozen(Model model) : model_(std::move(model)) { detail::freeze_field<Arch>(model_); }

  template <Context C, class... Arguments>
  auto operator()(C& context, const Arguments&... arguments) const {
    check<C>();
    return model_(context, arguments...);
  }

  /// Runs one stage of the model, for example the user tower (the network of the user's side) once,
  /// and the item tower for many items.
  ///
  /// `stage` is a callable member of the model (`&my_model::tower`), a const member function, or a
  /// function object, which is called as stage(model, context, arguments...).
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

/// Returns the frozen (serving) form of a trained model. Layers with a `freeze<Arch>()` member pack
/// themselves: `dense` packs its weights, `mmoe` joins the first layers of its experts into one
/// product. Scores keep their bits.
///
/// Cost        a copy of the model. A model that is moved in is not copied: its tables stay where
///             they are, and a layer's weights are released as soon as they are packed.
template <class Arch = default_arch, HasParameters Model>
frozen<Model, Arch> freeze(const Model& model) {
  return frozen<Model, Arch>(model);
}
template <class Arch = default_arch, class Model>
requires(!std::is_reference_v<Model> && !std::is_const_v<Model> &&
         HasParameters<Model>) frozen<Model, Arch> freeze(Model&& model) {
  return frozen<Model, Arch>(std::forward<Model>(model));
}

/// A frozen model cannot be frozen again: it no longer has its unpacked weights.
template <class Arch = default_arch, class Model, class Of>
void freeze(const frozen<Model, Of>&) {
  static_assert(!std::same_as<Model, Model>,
                "the model is frozen already: freeze the model it came from");
}

}  // namespace funnel
