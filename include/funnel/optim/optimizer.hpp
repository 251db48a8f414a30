// SPDX-License-Identifier: MIT
#pragma once

namespace funnel {

/// Something that moves the parameters of a model against the gradients a training context holds.
template <class O, class Model, class C>
concept Optimizer = requires(O& optimizer, Model& model, C& context) {
  optimizer.step(model, context);
};

}  // namespace funnel
