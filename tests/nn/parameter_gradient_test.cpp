// SPDX-License-Identifier: MIT
#include <funnel/nn/parameter_gradient.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cstdint>
#include <span>
#include <vector>

using funnel::matrix;
using funnel::parameter;
using funnel::parameter_gradient;
using funnel::parameter_kind;

namespace {

using ids = std::vector<std::uint32_t>;

parameter<double> table_of(std::size_t rows, std::size_t cols) {
  return {rows, cols, funnel::initial_values::normal, parameter_kind::rows};
}

}  // namespace

TEST_CASE("parameter_gradient: rows in the order they were touched, each the sum of its terms") {
  parameter_gradient<double> gradient(table_of(10, 2));
  const matrix<double> values = random_matrix<double>(4, 2, 1);
  gradient.add_rows(funnel::default_arch{}, ids{7, 3, 7, 0}, values, 2.);
  CHECK(ids(gradient.touched().begin(), gradient.touched().end()) == ids{7, 3, 0});
  for (std::size_t j = 0; j < 2; ++j) {
    CHECK(gradient.values()(0, j) == 2 * values(0, j) + 2 * values(2, j));
    CHECK(gradient.values()(2, j) == 2 * values(3, j));
    CHECK(gradient.row(3)[j] == 2 * values(1, j));
    CHECK(gradient.row(9)[j] == 0);
  }
  CHECK(gradient.touched().size() == 4);
  gradient.clear();
  CHECK(gradient.touched().empty());
  CHECK(gradient.row(7)[0] == 0);
}

TEST_CASE("parameter_gradient: what does not fit is refused, and adds nothing") {
  parameter_gradient<double> gradient(table_of(10, 2));
  const funnel::default_arch arch;
  const matrix<double> values(2, 2, 1.);
  const matrix<double> wide(2, 3, 1.);
  const auto once = [](std::size_t) { return 1.; };
  const char* name = "funnel::parameter_gradient";
  CHECK(refuses([&] { gradient.add_rows(arch, ids{1, 10}, values); }, name, "ids[1] is 10"));
  CHECK(refuses([&] { gradient.add_rows(arch, ids{1}, values); }, name, "expected [1, 2]"));
  CHECK(refuses([&] { gradient.add_rows(arch, ids{1, 2}, wide); }, name, "expected [2, 2]"));
  CHECK(refuses(
      [&] {
        gradient.add_rows(arch, ids{1, 2}, ids{0, 1, 3}, values, once);
      },
      name, "ends at 3"));
  CHECK(refuses(
      [&] {
        gradient.add_rows(arch, ids{1, 2}, ids{}, values, once);
      },
      name, "ends at 0"));
  CHECK(refuses([&] { gradient.row(10); }, name, "ids[0] is 10, expected below 10"));
  CHECK(gradient.touched().empty());
  parameter_gradient<double> dense(parameter<double>(10, 2));
  CHECK(refuses([&] { dense.row(0); }, name, "expected below 0"));
}

TEST_CASE("parameter_gradient: fits the shape and kind it was made for") {
  parameter<double> p = table_of(10, 2);
  const parameter_gradient<double> gradient(p);
  CHECK(gradient.fits(p));
  p.kind = parameter_kind::dense;
  CHECK_FALSE(gradient.fits(p));
  CHECK_FALSE(gradient.fits(table_of(9, 2)));
  CHECK_FALSE(gradient.fits(table_of(10, 3)));
}

TEST_CASE("parameter_gradient: what was observed of a statistic moves it by the momentum") {
  parameter<double> p(1, 2, funnel::initial_values::zeros, parameter_kind::statistic);
  parameter_gradient<double> gradient(p);
  gradient.move_statistic(p);
  CHECK(p.value(0, 1) == 0);
  const std::vector<double> first{2, 4};
  const std::vector<double> second{8, 16};
  gradient.observe(0, second, 0.5);  // no rows, nothing seen
  gradient.observe(1, first, 0.5);
  gradient.observe(2, second, 0.5);
  gradient.move_statistic(p);
  CHECK(p.value(0, 0) == 3);  // half of (2 + 8 + 8) / 3
  CHECK(p.value(0, 1) == 6);
  // Of variances the parts' centers count: rows 0, 2 | 6 have mean 8/3 and variance 56/9.
  gradient.clear();
  p.value.assign(1, 2);
  gradient.observe(2, std::vector<double>{1, 1}, 1, std::vector<double>{1, 1});
  gradient.observe(1, std::vector<double>{0, 0}, 1, std::vector<double>{6, 1});
  gradient.move_statistic(p);
  CHECK(tolerance::within(p.value(0, 0), 56. / 9, tolerance::elementwise<double>(56. / 9)));
  CHECK(tolerance::within(p.value(0, 1), 2. / 3, tolerance::elementwise<double>(2. / 3)));
}
