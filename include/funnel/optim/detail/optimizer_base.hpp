// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/executor.hpp>
#include <funnel/nn/model_gradients.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/detail/optimizer_state.hpp>
#include <funnel/optim/detail/update_step.hpp>
#include <funnel/optim/parameter_group.hpp>

#include <cmath>
#include <span>
#include <utility>
#include <vector>

namespace funnel::detail {

/// What the optimizers share. `Optimizer` has `options`, a `name`, `check(rates)` for the options
/// with the factor and decay of a group, and `template rule<Arch>`, see `update_step`.
template <class Optimizer, class T>
class optimizer_base {
 public:
  /// Updates the parameters of a model by the gradients in `context`, and its running statistics by
  /// their observations.
  ///
  /// Errors      std::invalid_argument if an option is outside its range, if a group selects no
  ///             parameter, if the model has other parameters than in the last step, or if the
  ///             shape or kind of one changed since the backward step. Nothing has changed then,
  ///             nor if memory runs out.
  template <HasParameters Model, class Arch>
  void step(Model& model, const training_context<T, Arch>& context) {
    // With one part and without clipping, gradients are only read.
    auto* gradients = const_cast<model_gradients<T>*>(&context.gradients());
    serial_executor executor;
    step_parts(Arch{}, model, std::span(&gradients, 1), executor);
  }

  /// The same for the gradients of a batch in parts, at most 64: adds them along one fixed binary
  /// tree, and lets the executor's threads update ranges of the parameters. The result has the same
  /// bits for every executor. With a `max_norm` above 0, the sums are clipped first, as by
  /// `clip_gradients`.
  ///
  /// Returns the norm of the sums before clipping, or 0 if there is no `max_norm`. If the norm is
  /// not finite, nothing is updated. The gradients are used up: clear them.
  ///
  /// Errors      as above; and if max_norm is negative or not finite.
  template <class Arch, HasParameters Model, Executor E>
  double step_parts(Arch, Model& model, std::span<model_gradients<T>* const> parts, E& executor,
                    double max_norm = 0) {
    const Optimizer& self = static_cast<const Optimizer&>(*this);
    self.check({});
    check_not_negative(Optimizer::name, "max_norm", max_norm);
    const typename Optimizer::template rule<Arch> rule{self};
    update_step<Arch, T, typename Optimizer::template rule<Arch>> update(
        model, parts, memory_, rule, self.options.weight_decay);
    update.link(executor);
    const double norm = max_norm > 0 ? update.sum(executor) : 0;
    if (std::isfinite(norm)) update.update(executor, norm, max_norm);
    return norm;
  }

  /// The groups of parameters that are treated in a way of their own. Of several that select a
  /// parameter the first counts.
  const std::vector<parameter_group>& groups() const { return memory_.groups(); }
  /// Replaces the groups, also between steps.
  /// Errors      std::invalid_argument if a number of a group is outside its range.
  void set_groups(std::vector<parameter_group> groups) {
    memory_.set_groups(Optimizer::name, std::move(groups));
  }

  /// The state: what the optimizer keeps from step to step, but neither options nor groups.
  void visit_state(auto&& visit) { memory_.visit_state(Optimizer::name, visit); }

 private:
  optimizer_memory<T> memory_;
};

}  // namespace funnel::detail
