// SPDX-License-Identifier: MIT
#include <funnel/nn/dense.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/serving/score_rows.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

using funnel::matrix;
using funnel::matrix_view;

namespace {

/// Returns values in each of the forms that a model may have.
struct all_forms {
  funnel::dense<float> one{3, 1}, two{3, 2};

  auto operator()(auto& context, const matrix<float>& x) const {
    const auto in = context.input(x.view());
    const auto a = one(context, in), b = two(context, in);
    const auto first_row = one(context, context.input(x.view().middle_rows(0, 1)));
    return std::pair(std::array{a, a}, std::pair(b, std::vector{first_row}));
  }
  void visit_parameters(auto&& visit) { visit("one", one), visit("two", two); }
};

}  // namespace

TEST_CASE("score_rows: all outputs of a model, column by column, frozen or not") {
  all_forms model;
  funnel::initialize(model, std::uint64_t{3});
  const matrix<float> x = random_matrix<float>(5, 3, 7);
  funnel::inference_context<float> context;
  matrix<float> scores(5, 5), frozen(5, 5);
  funnel::score_rows(context, model, x, scores);
  funnel::score_rows(context, funnel::freeze(model), x, frozen);
  context.reset();
  const auto b = model.two(context, context.input(x.view()));
  const auto a = model.one(context, context.input(x.view()));
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(scores(i, 0) == a(i, 0));
    CHECK(scores(i, 1) == a(i, 0));
    CHECK(scores(i, 2) == b(i, 0));
    CHECK(scores(i, 3) == b(i, 1));
    CHECK(scores(i, 4) == a(0, 0));  // one row for all
    for (std::size_t j = 0; j < 5; ++j) CHECK(frozen(i, j) == scores(i, j));
  }
}

TEST_CASE("score_rows: scores of another shape are refused") {
  all_forms model;
  funnel::initialize(model, std::uint64_t{3});
  const matrix<float> x(4, 3, 1.f);
  funnel::inference_context<float> context;
  const auto refused = [&](std::size_t rows, std::size_t cols, const char* words) {
    matrix<float> scores(rows, cols);
    return refuses([&] { funnel::score_rows(context, model, x, scores); },
                   "funnel::score_rows: ", words);
  };
  CHECK(refused(3, 5, "an output of the model has 4 rows, expected 3 as in scores"));
  CHECK(refused(4, 3, "the number of columns of scores is 3, expected 4 or more"));
  CHECK(refused(4, 6, "the number of columns of scores is 6, expected 5"));
}
