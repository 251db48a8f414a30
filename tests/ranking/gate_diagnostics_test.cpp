// SPDX-License-Identifier: MIT
#include <funnel/ranking/gate_diagnostics.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using funnel::gate_diagnostics;
using funnel::gate_report;
using funnel::matrix;
using funnel::matrix_view;

namespace {

using experts = std::vector<std::size_t>;

template <class T>
matrix<T> rows_of(std::initializer_list<std::initializer_list<T>> rows) {
  matrix<T> values(rows.size(), rows.begin()->size());
  std::size_t i = 0;
  for (const auto& row : rows) std::ranges::copy(row, values.row(i++).begin());
  return values;
}

template <class T>
std::array<matrix_view<const T>, 2> both(const matrix<T>& a, const matrix<T>& b) {
  return {a.view(), b.view()};
}

}  // namespace

TEST_CASE("gate_diagnostics: worked by hand") {
  gate_diagnostics<2> gates(2);
  gates.add(both(rows_of<double>({{1, 0}, {1, 0}}), rows_of<double>({{.5, .5}, {.25, .75}})));
  CHECK(gates.rows() == 2);
  const gate_report one = gates.report(0);
  CHECK(one.entropy == 0);  // 0 ln 0 is 0
  CHECK(one.utilization == std::vector<double>{1, 0});
  CHECK(one.largest_utilization == 1);
  const gate_report two = gates.report(1);
  const double second = -.25 * std::log(.25) - .75 * std::log(.75);
  CHECK(tolerance::within(two.entropy, (std::log(2.) + second) / 2,
                          tolerance::reduction<double>(4, 1)));
  CHECK(two.utilization == std::vector<double>{.375, .625});
  CHECK(two.largest_utilization == .625);
  CHECK(gates.polarized());             // task 0 is
  CHECK(gates.dead_experts().empty());  // expert 1 is dead for task 0 only
}

TEST_CASE("gate_diagnostics: polarized above a share, dead below one for every task") {
  gate_diagnostics<2> gates(3);
  gates.add(both(rows_of<double>({{.5, .495, .005}}), rows_of<double>({{.25, .734375, .015625}})));
  CHECK_FALSE(gates.polarized());
  CHECK(gates.polarized(.7));
  CHECK_FALSE(gates.polarized(.734375));  // above, not at
  CHECK(gates.dead_experts() == experts{});
  CHECK(gates.dead_experts(.015625) == experts{});  // below, not at
  CHECK(gates.dead_experts(.02) == experts{2});
  CHECK(gates.dead_experts(.6) == experts{0, 2});
}

TEST_CASE("gate_diagnostics: batches add up, in double") {
  constexpr std::size_t n = 500, k = 4;
  matrix<float> weights = random_matrix<float>(n, k, 1, .1, 1);
  for (std::size_t i = 0; i < n; ++i) {
    float sum = 0;
    for (const float g : weights.row(i)) sum += g;
    for (float& g : weights.row(i)) g /= sum;
  }
  const auto part = [&](std::size_t begin, std::size_t count) {
    return std::array<matrix_view<const float>, 1>{weights.view().middle_rows(begin, count)};
  };
  gate_diagnostics<1> whole(k), parts(k);
  whole.add(part(0, n));
  parts.add(part(0, 1));
  parts.add(part(1, 0));
  parts.add(part(1, n - 1));
  CHECK(parts.rows() == n);
  const gate_report a = whole.report(0), b = parts.report(0);
  CHECK(a.entropy == b.entropy);
  CHECK(a.utilization == b.utilization);
  double sum = 0;
  for (std::size_t j = 0; j < k; ++j) {
    double mean = 0;
    for (std::size_t i = 0; i < n; ++i) mean += static_cast<double>(weights(i, j)) / n;
    CHECK(tolerance::within(a.utilization[j], mean, tolerance::reduction<double>(n, 1)));
    sum += a.utilization[j];
  }
  CHECK(tolerance::within(sum, 1, tolerance::reduction<float>(k, 1)));
  CHECK(a.entropy > 0);
  CHECK(a.entropy < std::log(static_cast<double>(k)));
}

TEST_CASE("gate_diagnostics: one expert; no rows yet") {
  gate_diagnostics<1> gates(1);
  CHECK(gates.rows() == 0);
  CHECK(gates.report(0).entropy == 0);
  CHECK(gates.report(0).utilization == std::vector<double>{0});
  CHECK_FALSE(gates.polarized());
  CHECK(gates.dead_experts().empty());  // nobody knows
  const matrix<float> ones(3, 1, 1.f);
  gates.add(std::array<matrix_view<const float>, 1>{ones.view()});
  CHECK(gates.report(0).entropy == 0);
  CHECK(gates.polarized());
  CHECK(gates.dead_experts().empty());
}

TEST_CASE("gate_diagnostics: what is refused leaves it as it was") {
  CHECK(refuses([] { gate_diagnostics<1>(0); }, "funnel::gate_diagnostics", "experts is 0"));
  for (const std::size_t size : {std::numeric_limits<std::size_t>::max(), std::size_t{1} << 63})
    CHECK(refuses([&] { gate_diagnostics<1> huge(size); }, "funnel::gate_diagnostics: experts is",
                  "expected at most"));
  gate_diagnostics<2> gates(3);
  const matrix<double> three(4, 3, .25), two(4, 2, .5), longer(5, 3, .25);
  CHECK(refuses([&] { gates.add(both(two, three)); }, "funnel::gate_diagnostics",
                "[4, 2], expected [4, 3]"));
  CHECK(refuses([&] { gates.add(both(three, two)); }, "funnel::gate_diagnostics", "[4, 2]"));
  CHECK(refuses([&] { gates.add(both(three, longer)); }, "funnel::gate_diagnostics", "[5, 3]"));
  CHECK(gates.rows() == 0);
  CHECK(gates.report(0).largest_utilization == 0);
  CHECK(refuses([&] { gates.report(2); }, "funnel::gate_diagnostics::report", "task is 2"));
}

TEST_CASE("gate_diagnostics: without experts when moved from") {
  gate_diagnostics<2> gates(2);
  const auto taken = std::move(gates);
  CHECK(taken.report(0).utilization.size() == 2);
  // NOLINTNEXTLINE(bugprone-use-after-move): what this is about
  CHECK(gates.report(0).utilization.empty());
  CHECK(gates.report(0).largest_utilization == 0);
  CHECK(gates.dead_experts().empty());
}
