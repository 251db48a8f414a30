// SPDX-License-Identifier: MIT
#include <funnel/nn/concat.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"

#include <vector>

using funnel::concat;
using funnel::materialize;
using funnel::matrix;
using funnel::matrix_view;

namespace {

/// The definition: column by column, one row standing for all.
matrix<float> side_by_side(const std::vector<matrix<float>>& parts) {
  std::size_t rows = 1;
  std::size_t cols = 0;
  for (const matrix<float>& part : parts) {
    if (part.rows() != 1) rows = part.rows();
    cols += part.cols();
  }
  matrix<float> all(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    std::size_t j = 0;
    for (const matrix<float>& part : parts) {
      for (const float value : part.row(part.rows() == 1 ? 0 : i)) all(i, j++) = value;
    }
  }
  return all;
}

}  // namespace

TEST_CASE("concat: a user of one row beside three items") {
  funnel::inference_context<float> context;
  matrix<float> user(1, 2);
  user(0, 0) = 1;
  user(0, 1) = 2;
  matrix<float> items(3, 1);
  for (std::size_t i = 0; i < 3; ++i) items(i, 0) = 10.f * static_cast<float>(i + 1);

  const auto joined = concat(context, user, items);
  CHECK(joined.rows() == 3);
  CHECK(joined.cols() == 3);
  CHECK(joined.parts[0].rows() == 1);            // still one row
  CHECK(joined.parts[0].data() == user.data());  // and nothing copied
  const matrix_view<const float> values = materialize(context, joined);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(values(i, 0) == 1);
    CHECK(values(i, 1) == 2);
    CHECK(values(i, 2) == 10.f * static_cast<float>(i + 1));
  }
  const matrix_view<const float> turned = materialize(context, concat(context, items, user));
  CHECK(turned(2, 0) == 30);
  CHECK(turned(2, 1) == 1);
  CHECK(turned(2, 2) == 2);
}

TEST_CASE(
    "concat: any number of rows, one-row parts in any place, concatenations of concatenations") {
  for (const std::size_t n : size_list{0, 1, 2, 9}) {
    const matrix<float> user = random_matrix<float>(1, 3, 1);
    const matrix<float> a = random_matrix<float>(n, 4, 2);
    const matrix<float> b = random_matrix<float>(n, 1, 3);
    const matrix<float> none(n, 0);
    funnel::inference_context<float> context;
    CHECK(same_bits(materialize(context, concat(context, user, a, b)), side_by_side({user, a, b})));
    CHECK(same_bits(materialize(context, concat(context, a, user, b)), side_by_side({a, user, b})));
    CHECK(same_bits(materialize(context, concat(context, a, none, user)), side_by_side({a, user})));
    CHECK(same_bits(materialize(context, concat(context, user, user)), side_by_side({user, user})));
    const auto pair = concat(context, user, a);
    CHECK(same_bits(materialize(context, concat(context, b, pair, user)),
                    side_by_side({b, user, a, user})));
  }
}

TEST_CASE("concat: parts may be pieces of wider matrices") {
  const matrix<float> wide = random_matrix<float>(5, 9, 4);
  funnel::inference_context<float> context;
  const auto joined = concat(context, wide.view().middle_cols(1, 3), wide.view().middle_cols(6, 2));
  CHECK(same_bits(materialize(context, joined),
                  side_by_side({matrix<float>(wide.view().middle_cols(1, 3)),
                                matrix<float>(wide.view().middle_cols(6, 2))})));
}

TEST_CASE("concat: one value is itself") {
  const matrix<float> x = random_matrix<float>(3, 2, 5);
  funnel::inference_context<float> context;
  CHECK(materialize(context, concat(context, x)).data() == x.data());
  CHECK(materialize(context, x.view()).data() == x.data());
}

TEST_CASE("concat: rows that don't meet are refused") {
  funnel::inference_context<float> context;
  const matrix<float> two(2, 1);
  const matrix<float> three(3, 1);
  const matrix<float> none(0, 1);
  CHECK(refuses([&] { concat(context, two, three); }, "funnel::concat",
                "a value has 2 rows, expected 1, or 3"));
  CHECK(refuses([&] { concat(context, three, none); }, "funnel::concat", "rows"));
  funnel::training_context<float> tape;
  CHECK(refuses([&] { concat(tape, two, three); }, "funnel::concat", "rows"));
}

TEST_CASE("materialize: gradients, of one-row parts the sum over the rows") {
  check_operation({{1, 2}, {4, 3}, {1, 1}}, [](auto& context, const double_values& x) {
    return materialize(context, concat(context, x[0], x[1], x[2]));
  });
  check_operation({{3, 2}, {1, 2}}, [](auto& context, const double_values& x) {
    return materialize(context, concat(context, x[0], x[1], x[0]));
  });
  // The caller's numbers have no gradient and take none.
  const matrix<double> numbers = random_matrix<double>(4, 2, 6);
  check_operation({{1, 2}}, [&](auto& context, const double_values& x) {
    return materialize(context, concat(context, numbers, x[0]));
  });
}
