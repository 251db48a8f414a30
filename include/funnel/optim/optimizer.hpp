// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

namespace funnel {

/// Concept of an optimizer: `step(model, context)` updates the parameters of a model by the
/// gradients that a training context holds.
template <class O, class Model, class C>
concept Optimizer = requires(O& optimizer, Model& model, C& context) {
  optimizer.step(model, context);
};

}  // namespace funnel
