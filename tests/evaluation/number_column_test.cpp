// SPDX-License-Identifier: MIT
#include <funnel/evaluation/number_column.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <array>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

static_assert(std::convertible_to<const std::vector<float>&, funnel::number_column>);
static_assert(std::convertible_to<std::span<const double>, funnel::number_column>);
static_assert(!std::convertible_to<const std::vector<std::string>&, funnel::number_column>);
static_assert(!std::convertible_to<const std::vector<bool>&, funnel::number_column>);
static_assert(!std::convertible_to<const funnel::matrix<float>&, funnel::number_column>);

TEST_CASE("number_column: vectors, arrays and spans of any number type") {
  const std::vector<float> floats{.1f, -2};
  const std::array<double, 1> doubles{.1};
  std::vector<std::uint8_t> bytes{0, 255, 3};
  const int whole[] = {-7, 5};
  const funnel::number_column of_floats = floats;
  CHECK(of_floats.size() == 2);
  CHECK(of_floats[0] == static_cast<double>(.1f));
  CHECK(of_floats[1] == -2);
  CHECK(funnel::number_column(doubles)[0] == .1);
  CHECK(funnel::number_column(std::span(bytes).subspan(1))[0] == 255);
  CHECK(funnel::number_column(whole)[0] == -7);
  CHECK(funnel::number_column().empty());
  CHECK(funnel::number_column(std::vector<float>()).empty());
}

TEST_CASE("number_column: a column of a matrix, and of a part of one") {
  funnel::matrix<float> values(4, 3);
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 3; ++j) values(i, j) = static_cast<float>(10 * i + j);
  const funnel::number_column last(values, 2);
  CHECK(last.size() == 4);
  CHECK(last[0] == 2);
  CHECK(last[3] == 32);
  const funnel::number_column inner(values.view().middle_cols(1, 2).middle_rows(1, 2), 0);
  CHECK(inner.size() == 2);
  CHECK(inner[1] == 21);
  CHECK(refuses([&] { funnel::number_column(values, 3); }, "funnel::number_column",
                "j is 3, expected below 3"));
}
