// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

namespace funnel::detail {

/// The number type of a model: `Model::scalar` if there is one, T of a template `Model<T>`, otherwise
/// float.
template <class Model>
struct model_scalar {
  using type = float;
};
template <template <class, auto...> class Model, class T, auto... Rest>
requires std::is_floating_point_v<T>
struct model_scalar<Model<T, Rest...>> {
  using type = T;
};
template <class Model>
requires std::is_floating_point_v<typename Model::scalar>
struct model_scalar<Model> {
  using type = typename Model::scalar;
};
template <class Model>
using scalar_of_model = typename model_scalar<Model>::type;

}  // namespace funnel::detail
