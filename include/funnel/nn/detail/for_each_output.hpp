// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>

namespace funnel::detail {

/// Calls `visit` with each value that a model returned: a value, or an array, vector, pair or tuple of
/// them, in their order.
template <class Outputs, class Visit>
void for_each_output(const Outputs& outputs, Visit&& visit) {
  if constexpr (requires { outputs.rows(), outputs(0, 0); }) {
    visit(outputs);
  } else if constexpr (requires { outputs.begin(); }) {
    for (const auto& part : outputs) for_each_output(part, visit);
  } else {
    std::apply([&](const auto&... parts) { (for_each_output(parts, visit), ...); }, outputs);
  }
}

}  // namespace funnel::detail
