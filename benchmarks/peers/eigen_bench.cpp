// SPDX-License-Identifier: MIT
#include "dense_peer.hpp"
#include "elementwise.hpp"

#include <funnel/index/score_items.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

// dense: Eigen's product into the result, then bias and relu in one more pass over it.

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using map = Eigen::Map<row_major>;

map as_map(const bench::matrix<float>& m) {
  return map(const_cast<float*>(m.data()), static_cast<Eigen::Index>(m.rows()),
             static_cast<Eigen::Index>(m.cols()));
}

/// A dot product per score, or the rows copied into a matrix and one product: the faster of both in
/// the median of 15 runs.
bench::task make_scores(const bench::score_case& s) {
  const auto data = std::make_shared<bench::score_data>(s);
  const auto batch = std::make_shared<std::size_t>(0);
  const auto loop = [=] {
    const map rows = as_map(data->rows), query = as_map(data->query);
    const std::span<const std::uint32_t> ids = data->batch((*batch)++);
    for (Eigen::Index i = 0; i < as_map(data->scores).rows(); ++i)
      for (Eigen::Index t = 0; t < query.rows(); ++t)
        as_map(data->scores)(i, t) = rows.row(ids[static_cast<std::size_t>(i)]).dot(query.row(t));
    benchmark::ClobberMemory();
  };
  const auto gathered =
      std::make_shared<row_major>(static_cast<Eigen::Index>(s.n), static_cast<Eigen::Index>(s.dim));
  const auto product = [=] {
    const map rows = as_map(data->rows);
    const std::span<const std::uint32_t> ids = data->batch((*batch)++);
    for (Eigen::Index i = 0; i < gathered->rows(); ++i)
      gathered->row(i) = rows.row(ids[static_cast<std::size_t>(i)]);
    as_map(data->scores).noalias() = *gathered * as_map(data->query).transpose();
    benchmark::ClobberMemory();
  };
  bench::matrix<float> ours(s.n, s.queries);
  funnel::score_items(data->query, data->rows, data->batch(0), ours);
  const auto seconds_of = [&](const bench::task& way) {
    *batch = 0;
    way();
    bench::compare(ours.flat(), data->scores.flat());
    std::vector<double> seconds(15);
    for (double& taken : seconds) {
      const double begin = bench::now();
      way();
      taken = bench::now() - begin;
    }
    std::ranges::sort(seconds);
    return seconds[7];
  };
  if (seconds_of(loop) < seconds_of(product)) return loop;
  return product;
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
  for (const bench::score_case& s : bench::score_cases())
    bench::add("score_items/" + s.name(), [s] { return make_scores(s); });
  return true;
}();

}  // namespace
