// SPDX-License-Identifier: MIT
#include "dense_peer.hpp"
#include "elementwise.hpp"

#include <Eigen/Core>

// Eigen's product into the result, then bias and relu in one more pass over it.

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using map = Eigen::Map<row_major>;

map as_map(const bench::matrix<float>& m) {
  return map(const_cast<float*>(m.data()), static_cast<Eigen::Index>(m.rows()),
             static_cast<Eigen::Index>(m.cols()));
}

const bool added = [] {
  Eigen::setNbThreads(1);
  benchmark::AddCustomContext("peer", "Eigen " + std::to_string(EIGEN_WORLD_VERSION) + '.' +
                                          std::to_string(EIGEN_MAJOR_VERSION) + '.' +
                                          std::to_string(EIGEN_MINOR_VERSION));
  bench::add_dense_peer([](const bench::dense_data& data, bench::matrix<float>& y) -> bench::task {
    map x = as_map(data.x), weight = as_map(data.weight), result = as_map(y);
    const auto bias = as_map(data.bias).row(0).eval();
    return [=]() mutable {
      if (x.rows() == 1)
        result.row(0).noalias() = x.row(0) * weight;
      else
        result.noalias() = x * weight;
      result = (result.rowwise() + bias).cwiseMax(0.0f);
      benchmark::ClobberMemory();
    };
  });
  const auto add_function = [](const std::string& name, auto function) {
    bench::add_elementwise(name, [=](const float* x, float* y) {
      const auto size = static_cast<Eigen::Index>(bench::elementwise_size);
      Eigen::Map<Eigen::ArrayXf>(y, size) = function(Eigen::Map<const Eigen::ArrayXf>(x, size));
    });
  };
  add_function("exp", [](const auto& x) { return x.exp(); });
  add_function("log", [](const auto& x) { return x.log(); });
  add_function("log1p", [](const auto& x) { return x.log1p(); });
  add_function("sigmoid", [](const auto& x) { return x.logistic(); });
  add_function("tanh", [](const auto& x) { return x.tanh(); });
  return true;
}();

}  // namespace
