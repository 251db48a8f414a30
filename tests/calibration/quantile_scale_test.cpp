// SPDX-License-Identifier: MIT
#include <funnel/calibration/quantile_scale.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using funnel::quantile_scale;

namespace {

using doubles = std::vector<double>;
using type_list = std::vector<std::uint32_t>;
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// Two heads and two types: head 1 does not exist for type 1.
quantile_scale<double> fitted() {
  quantile_scale<double> scale(2, 2, {.levels = 4});
  const type_list types{0, 0, 0, 0, 0, 1, 1, 1};
  scale.fit(0, doubles{0, 1, 2, 3, 4, 10, 30, 20}, types);
  scale.fit(1, doubles{5, not_a_number, 6, 7, 8, not_a_number, not_a_number, not_a_number}, types);
  return scale;
}

}  // namespace

TEST_CASE("quantile_scale: worked by hand") {
  const auto scale = fitted();
  CHECK(scale.heads() == 2);
  CHECK(scale.types() == 2);
  CHECK(scale.scale(0, 0, 3) == .75);
  CHECK(scale.scale(0, 1, 20) == .5);
  CHECK(scale.scale(0, 1, 15) == .25);
  CHECK(scale.scale(1, 0, 5) == 0);
  CHECK(scale.scale(1, 0, 6.5) == .5);
  CHECK(scale.fitted(0, 1));
  CHECK_FALSE(scale.fitted(1, 1));
  CHECK(std::isnan(scale.scale(1, 1, 1)));
  CHECK(std::isnan(scale.scale(0, 0, not_a_number)));
  funnel::matrix<double> estimates(2, 2);
  estimates(0, 0) = 1, estimates(0, 1) = 8, estimates(1, 0) = 30, estimates(1, 1) = 5;
  scale.apply(estimates.view(), type_list{0, 1});
  CHECK(estimates(0, 0) == .25);
  CHECK(estimates(0, 1) == 1);
  CHECK(estimates(1, 0) == 1);
  CHECK(std::isnan(estimates(1, 1)));
}

TEST_CASE("quantile_scale: keeps the order within a type, whatever the scale of its scores") {
  const type_list types(200, 0);
  doubles scores, odds;
  for (int i = 0; i < 200; ++i) {
    scores.push_back(std::fmod(i * .618, 1.));
    odds.push_back(std::exp(7 * scores.back()));
  }
  quantile_scale<double> one(1, 1, {.levels = 199}), other = one;
  one.fit(0, scores, types), other.fit(0, odds, types);
  double last = -1;
  doubles sorted = scores;
  std::ranges::sort(sorted);
  for (const double s : sorted) {
    CHECK(one.scale(0, 0, s) > last);
    last = one.scale(0, 0, s);
    CHECK(other.scale(0, 0, std::exp(7 * s)) == last);
  }
}

TEST_CASE("quantile_scale: what is refused changes nothing") {
  auto scale = fitted();
  const saved_state before(scale);
  const auto fit = [&](std::size_t head, doubles scores, type_list types) {
    return [&scale, head, scores, types] { scale.fit(head, scores, types); };
  };
  constexpr const char* name = "funnel::quantile_scale::fit";
  CHECK(refuses(fit(2, {1}, {0}), name, "head is 2, expected below 2"));
  CHECK(refuses(fit(0, {1}, {0, 1}), name, "types has 2 values, expected 1"));
  CHECK(refuses(fit(0, {1, 2}, {0, 2}), name, "types[1] is 2, expected below 2"));
  CHECK(refuses(fit(0, {1, infinity}, {0, 1}), name, "scores[1] is inf"));
  scale.fit(0, doubles{}, type_list{});
  CHECK(saved_state(scale) == before);
  CHECK(refuses([&] { scale.scale(2, 0, 1); }, "funnel::quantile_scale::scale", "head is 2"));
  CHECK(refuses([&] { scale.scale(0, 2, 1); }, "funnel::quantile_scale::scale", "type is 2"));
  CHECK(refuses([&] { scale.fitted(0, 2); }, "funnel::quantile_scale::fitted", "type is 2"));
  funnel::matrix<double> estimates(1, 2, 9), wide(1, 3);
  CHECK(refuses([&] { scale.apply(wide.view(), type_list{0}); }, "funnel::quantile_scale::apply",
                "estimates has 3 columns"));
  CHECK(refuses([&] { scale.apply(estimates.view(), type_list{2}); },
                "funnel::quantile_scale::apply", "types[0] is 2"));
  CHECK(estimates(0, 0) == 9);
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  const auto make = [](std::size_t heads, std::size_t types) {
    return [=] { quantile_scale<double>(heads, types); };
  };
  CHECK(refuses(make(0, 1), "funnel::quantile_scale", "heads is 0"));
  CHECK(refuses(make(1, 0), "funnel::quantile_scale", "types is 0"));
  CHECK(refuses(make(most, 1), "funnel::quantile_scale", "2^32"));
  CHECK(refuses(make(1, most), "funnel::quantile_scale", "2^32"));
  CHECK(refuses(make(std::size_t{1} << 63, 2), "funnel::quantile_scale", "2^32"));
}

TEST_CASE("quantile_scale: its state is loaded whole, or refused") {
  const auto scale = fitted();
  const saved_state file(scale);
  quantile_scale<double> loaded;
  CHECK(loaded.heads() == 0);
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  CHECK(loaded.scale(0, 1, 15) == .25);
  CHECK(refuses_state(loaded, file.with("types", type_list{0}), "types is 0"));
  CHECK(refuses_state(loaded, file.with("types", type_list{3}), "a multiple of 3"));
  CHECK(refuses_state(loaded, file.with("tables.levels", type_list{0}), "levels is 0"));
}
