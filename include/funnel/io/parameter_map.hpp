// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace funnel {

/// Some neighboring rows or columns of a tensor.
struct tensor_range {
  /// Means all from `begin` on.
  static constexpr std::size_t to_end = static_cast<std::size_t>(-1);

  std::size_t begin = 0;
  std::size_t count = to_end;
};

/// Where a parameter of a model comes from in a file: a tensor, or a part of one.
///
/// The tensor is taken as a matrix: its last dimension is the columns, all others together are the
/// rows. Matrices that are stacked in one tensor [k, rows, cols] are rows [i * rows, (i + 1) *
/// rows) of it. If the parameter is put together from several parts, each says where it goes.
struct parameter_source {
  std::string parameter = {};  ///< path in the model, "head.layers.0.weight"
  std::string tensor = {};     ///< name in the file, "head.0.weight"
  bool transposed = false;     ///< whether the part is transposed: PyTorch's Linear is [out, in]
  tensor_range rows = {};      ///< part of the tensor, before it is transposed
  tensor_range cols = {};
  std::size_t to_row = 0;  ///< where the part begins in the parameter
  std::size_t to_col = 0;
};

/// The names under which a file of another program has the parameters of a model. The path of a
/// whole model is "".
struct parameter_map {
  std::vector<parameter_source> sources;
  std::vector<std::string> ignored;  ///< tensors of the file that the model does not need

  parameter_map& add(parameter_source source) {
    sources.push_back(std::move(source));
    return *this;
  }
  /// The tensor as it is, such as an embedding table.
  parameter_map& same(std::string parameter, std::string tensor) {
    return add({.parameter = std::move(parameter), .tensor = std::move(tensor)});
  }
  /// A `dense` from PyTorch's Linear: `<tensor>.weight`, transposed, and `<tensor>.bias`.
  parameter_map& linear(const std::string& parameter, const std::string& tensor) {
    return linear_weight(parameter, tensor).same(below(parameter, "bias"), tensor + ".bias");
  }
  /// A `dense` without a bias.
  parameter_map& linear_weight(const std::string& parameter, const std::string& tensor) {
    return add({.parameter = below(parameter, "weight"),
                .tensor = tensor + ".weight",
                .transposed = true});
  }
  /// A `layer_norm` from PyTorch's LayerNorm: `<tensor>.weight` and `<tensor>.bias`.
  parameter_map& layer_norm(const std::string& parameter, const std::string& tensor) {
    return same(below(parameter, "scale"), tensor + ".weight")
        .same(below(parameter, "shift"), tensor + ".bias");
  }
  /// A `batch_norm` from PyTorch's BatchNorm1d, with its running statistics.
  parameter_map& batch_norm(const std::string& parameter, const std::string& tensor) {
    ignored.push_back(tensor + ".num_batches_tracked");
    return layer_norm(parameter, tensor)
        .same(below(parameter, "running_mean"), tensor + ".running_mean")
        .same(below(parameter, "running_variance"), tensor + ".running_var");
  }
  /// An `mlp` from PyTorch's Sequential: `layers` are the positions of its Linear modules, {0, 2,
  /// 4} if there is an activation after each.
  parameter_map& mlp(const std::string& parameter, const std::string& tensor,
                     const std::vector<std::size_t>& layers) {
    for (std::size_t i = 0; i < layers.size(); ++i)
      linear(below(parameter, "layers." + std::to_string(i)),
             tensor + '.' + std::to_string(layers[i]));
    return *this;
  }

 private:
  /// The path of a parameter inside a layer, or inside the whole model if `path` is empty.
  static std::string below(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + '.' + name;
  }
};

}  // namespace funnel
