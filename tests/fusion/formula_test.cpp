// SPDX-License-Identifier: MIT
#include <funnel/fusion/formula.hpp>
#include <funnel/fusion/power_product.hpp>
#include <funnel/fusion/rank_fusion.hpp>
#include <funnel/fusion/weighted_sum.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <vector>

namespace {

using funnel::Formula;
using funnel::PointwiseFormula;
using funnel::SetFormula;

// The smallest models.
struct first_objective {
  float operator()(std::span<const float> estimates) const { return estimates[0]; }
};
struct number_of_candidates {
  template <class T>
  void operator()(funnel::matrix_view<const T> estimates, std::span<T> scores,
                  funnel::arena&) const {
    for (T& score : scores) score = static_cast<T>(estimates.rows());
  }
};
static_assert(PointwiseFormula<first_objective> && !SetFormula<first_objective>);
static_assert(SetFormula<number_of_candidates> && !PointwiseFormula<number_of_candidates>);
static_assert(Formula<first_objective> && Formula<number_of_candidates>);
static_assert(SetFormula<number_of_candidates, double>);

// Not a formula: no score comes back; the estimates are asked for as if they could be changed.
struct returns_nothing {
  void operator()(std::span<const float>) const {}
};
struct changes_estimates {
  float operator()(std::span<float> estimates) const { return estimates[0] = 0; }
};
static_assert(!Formula<returns_nothing>);
static_assert(!Formula<changes_estimates>);
static_assert(!Formula<first_objective, double>);

// What the library has.
static_assert(PointwiseFormula<funnel::weighted_sum<2>>);
static_assert(PointwiseFormula<funnel::click_times_weighted_sum<2, double>, double>);
static_assert(PointwiseFormula<funnel::power_product<2>>);
static_assert(PointwiseFormula<funnel::product_of_shifted_powers<2>>);
static_assert(SetFormula<funnel::rank_fusion<2>>);
static_assert(SetFormula<funnel::rank_fusion<2, double>, double>);

}  // namespace

TEST_CASE("fuse: takes a lambda for a formula, with and without scratch") {
  funnel::matrix<float> objectives(3, 2);
  for (std::size_t i = 0; i < 3; ++i) objectives(i, 1) = static_cast<float>(i);
  std::vector<float> scores(3, -1.f);
  const auto last = [](std::span<const float> estimates) { return 10 * estimates.back(); };
  funnel::fuse(last, objectives, scores);
  CHECK(scores == std::vector<float>{0, 10, 20});
  funnel::arena scratch;
  funnel::fuse(first_objective(), objectives, scores, scratch);
  CHECK(scores == std::vector<float>{0, 0, 0});
  CHECK(scratch.capacity() == 0);
  funnel::fuse(number_of_candidates(), objectives, scores, scratch);
  CHECK(scores == std::vector<float>{3, 3, 3});
}

TEST_CASE("fuse: rows further apart, and no rows") {
  funnel::matrix<float> wide(2, 5, 9.f);
  wide(0, 1) = 1;
  wide(1, 1) = 2;
  std::vector<float> scores(2);
  const auto view = funnel::matrix_view<const float>(wide).middle_cols(1, 2);
  funnel::fuse(first_objective(), view, scores);
  CHECK(scores == std::vector<float>{1, 2});
  scores.clear();
  funnel::arena scratch;
  funnel::fuse(first_objective(), view.middle_rows(0, 0), scores);
  funnel::fuse(funnel::rank_fusion<2>(), view.middle_rows(0, 0), scores, scratch);
}

TEST_CASE("fuse: checks sizes and options before it writes") {
  funnel::matrix<float> objectives(2, 2, .5f);
  std::vector<float> scores(2, 7.f), three(3, 7.f);
  funnel::arena scratch;
  const auto fuse = [&](const auto& formula, std::vector<float>& into) {
    return [&] { funnel::fuse(formula, objectives, into, scratch); };
  };
  CHECK(refuses(fuse(first_objective(), three), "funnel::fuse", "scores has 3 values, expected 2"));
  CHECK(refuses(fuse(funnel::rank_fusion<2>(), three), "funnel::fuse", "scores has 3"));
  CHECK(refuses(fuse(funnel::weighted_sum<3>(), scores), "funnel::weighted_sum",
                "objectives has 2 columns, expected 3"));
  CHECK(refuses(fuse(funnel::click_times_weighted_sum<2>(), scores),
                "funnel::click_times_weighted_sum", "expected 3"));
  CHECK(refuses(fuse(funnel::power_product<1>(), scores), "funnel::power_product", "expected 1"));
  CHECK(refuses(fuse(funnel::product_of_shifted_powers<1>(), scores),
                "funnel::product_of_shifted_powers", "expected 1"));
  CHECK(refuses(fuse(funnel::rank_fusion<1>(), scores), "funnel::rank_fusion", "expected 1"));
  CHECK(scores == std::vector<float>{7, 7});
  CHECK(three == std::vector<float>{7, 7, 7});
}
