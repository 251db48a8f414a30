// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/parameter.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace funnel {

/// Parameters of a model that an optimizer treats in a way of their own. The paths are those of
/// `for_each_parameter`.
struct parameter_group {
  /// The parameter of this path, and all parameters below it: "towers" selects
  /// "towers.0.layers.1.weight". Empty selects all parameters.
  std::string path = {};
  /// A further condition on the path of a parameter. Empty accepts all.
  std::function<bool(std::string_view)> where = {};
  /// Factor of the optimizer's learning rate, 0 or more.
  double rate_factor = 1;
  /// Weight decay of all parameters of the group, 0 or more. Not set: that of the optimizer, for
  /// the parameters that `decays_by_default`.
  std::optional<double> weight_decay = {};
  /// True: the parameters stay as they are, running statistics too.
  bool frozen = false;

  /// Whether the group selects the parameter of a path.
  bool selects(std::string_view parameter_path) const {
    const bool below = path.empty() || parameter_path == path ||
                       (parameter_path.starts_with(path) && parameter_path[path.size()] == '.');
    return below && (!where || where(parameter_path));
  }
};

/// Whether an optimizer's weight decay applies to a parameter that is in no group: yes, except for
/// dense parameters of one row. Those are the biases of layers and the scales and shifts of
/// normalizations.
///
/// Source      He et al., CVPR 2019, section 3.1; docs/formulas.md#parameter-groups.
template <class T>
bool decays_by_default(const parameter<T>& p) {
  return p.kind != parameter_kind::dense || p.rows() != 1;
}

}  // namespace funnel
