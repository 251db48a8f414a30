// SPDX-License-Identifier: MIT
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/inference_context.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cstdint>
#include <vector>

using funnel::embedding;
using funnel::embedding_bag;
using funnel::id_lists;
using funnel::matrix;
using funnel::matrix_view;
using funnel::pooling;

namespace {

using ids = std::vector<std::uint32_t>;

matrix_view<const std::uint32_t> table_of(const ids& values, std::size_t cols) {
  return {values.data(), values.size() / cols, cols};
}

/// Row i holds 10 i, 10 i + 1, ...
matrix<double> counted(std::size_t rows, std::size_t dim) {
  matrix<double> values(rows, dim);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < dim; ++j) values(i, j) = static_cast<double>(10 * i + j);
  }
  return values;
}

}  // namespace

TEST_CASE("embedding: an id picks its row; fields lie side by side") {
  embedding<double> layer(4, 2);
  CHECK(layer.table.kind == funnel::parameter_kind::rows);
  CHECK(layer.dim() == 2);
  layer.table.value = counted(4, 2);
  funnel::inference_context<double> context;
  const auto y = layer(context, ids{3, 0, 3});
  REQUIRE(y.rows() == 3);
  REQUIRE(y.cols() == 2);
  CHECK(y(0, 0) == 30);
  CHECK(y(1, 1) == 1);
  CHECK(y(2, 1) == 31);

  const ids two_fields{1, 2, 0, 3};
  const auto wide = layer(context, table_of(two_fields, 2));
  REQUIRE(wide.rows() == 2);
  REQUIRE(wide.cols() == 4);
  const double expected[] = {10, 11, 20, 21, 0, 1, 30, 31};
  for (std::size_t k = 0; k < 8; ++k) CHECK(wide(k / 4, k % 4) == expected[k]);

  CHECK(layer(context, ids{}).rows() == 0);
  // Columns 1 and 2 of wider records.
  const ids records{9, 1, 2, 9, 9, 0, 3, 9};
  CHECK(same_bits(layer(context, table_of(records, 4).middle_cols(1, 2)), wide));
}

TEST_CASE("embedding: an id past the table is refused") {
  const embedding<double> layer(4, 2);
  funnel::inference_context<double> context;
  CHECK(refuses(
      [&] {
        layer(context, ids{0, 4});
      },
      "funnel::embedding", "ids[1] is 4, expected below 4"));
  const embedding<double> empty;
  CHECK(refuses([&] { empty(context, ids{0}); }, "funnel::embedding", "expected below 0"));
}

TEST_CASE("embedding: a width that wraps is refused, also of no rows") {
  const embedding<double> layer(4, 16);
  funnel::inference_context<double> context;
  const std::size_t many = std::size_t{1} << 60;
  CHECK(refuses([&] { layer(context, matrix_view<const std::uint32_t>(nullptr, 0, many)); },
                "funnel::embedding", "fields x dim is 1152921504606846976 x 16"));
}

TEST_CASE("embedding: the gradient holds the rows that were touched, once each") {
  embedding<double> layer(100, 2);
  double_training context;
  const ids batch{7, 3, 7};
  const auto y = layer(context, batch);
  context.backward(weighted_sum(context, y));
  const auto* gradient = context.find_gradient(layer.table);
  REQUIRE(gradient != nullptr);
  CHECK(gradient->by_rows());
  const ids touched(gradient->touched().begin(), gradient->touched().end());
  REQUIRE(touched.size() == 2);
  CHECK(((touched == ids{7, 3}) || (touched == ids{3, 7})));
  const std::size_t seven = touched[0] == 7 ? 0 : 1;
  for (std::size_t j = 0; j < 2; ++j) {
    CHECK(gradient->values()(seven, j) == y.gradient(0, j) + y.gradient(2, j));
    CHECK(gradient->values()(1 - seven, j) == y.gradient(1, j));
  }
}

TEST_CASE("embedding: gradients") {
  const ids batch{2, 0, 2, 1, 2, 2};
  check_layer(embedding<double>(3, 4), {},
              [&](auto& context, const embedding<double>& layer, const double_values&) {
                return layer(context, batch);
              });
  check_layer(embedding<double>(3, 4), {},
              [&](auto& context, const embedding<double>& layer, const double_values&) {
                return layer(context, table_of(batch, 3));
              });
}

TEST_CASE("embedding_bag: sums and means worked by hand, an empty list gives zeros") {
  const ids all{1, 3, 3, 0};
  const std::vector<std::uint32_t> offsets{0, 3, 3, 4, 4};
  for (const pooling pool : {pooling::sum, pooling::mean}) {
    embedding_bag<double> layer(4, 2, {.pool = pool});
    layer.table.value = counted(4, 2);
    funnel::inference_context<double> context;
    const auto y = layer(context, {all, offsets});
    REQUIRE(y.rows() == 4);
    REQUIRE(y.cols() == 2);
    const double share = pool == pooling::sum ? 1 : 1. / 3;
    CHECK(tolerance::within(y(0, 0), 70 * share, tolerance::reduction<double>(3, 70)));
    CHECK(tolerance::within(y(0, 1), 73 * share, tolerance::reduction<double>(3, 73)));
    CHECK(y(1, 0) == 0);
    CHECK(y(1, 1) == 0);
    CHECK(y(2, 0) == 0);
    CHECK(y(2, 1) == 1);
    CHECK(y(3, 1) == 0);
  }
  CHECK(embedding_bag<double>(4, 2).pool == pooling::mean);
}

TEST_CASE("embedding_bag: a list's vector does not depend on the other lists") {
  const embedding_bag<float> layer = [] {
    embedding_bag<float> bag(20, 7);
    bag.table.value = random_matrix<float>(20, 7, 1);
    return bag;
  }();
  const ids all{4, 9, 9, 1, 17, 0};
  const std::vector<std::uint32_t> offsets{0, 2, 6};
  const std::vector<std::uint32_t> alone{0, 4};
  funnel::inference_context<float> context;
  const auto both = layer(context, {all, offsets});
  const auto one = layer(context, {std::span(all).subspan(2), alone});
  CHECK(same_bits(both.middle_rows(1, 1), one));
}

TEST_CASE("embedding_bag: no lists at all") {
  const embedding_bag<float> layer(4, 3);
  funnel::inference_context<float> context;
  const std::vector<std::uint32_t> offsets{0};
  const auto y = layer(context, {{}, offsets});
  CHECK(y.rows() == 0);
  CHECK(y.cols() == 3);
}

TEST_CASE("embedding_bag: lists that don't fit are refused") {
  const embedding_bag<float> layer(4, 3);
  funnel::inference_context<float> context;
  const ids all{1, 2, 3};
  const auto run = [&](const std::vector<std::uint32_t>& offsets) {
    return [&layer, &context, &all, &offsets] { layer(context, {all, offsets}); };
  };
  CHECK(refuses(run({}), "funnel::embedding_bag", "offsets"));
  CHECK(refuses(run({0, 2}), "funnel::embedding_bag",
                "offsets[1] is 2, expected 3, the number of ids"));
  CHECK(refuses(run({1, 3}), "funnel::embedding_bag", "offsets[0] is 1, expected 0"));
  CHECK(refuses(run({0, 5, 3}), "funnel::embedding_bag", "offsets[2] is 3, expected 5 or more"));
  const ids unknown{1, 4, 3};
  const std::vector<std::uint32_t> offsets{0, 3};
  CHECK(refuses(
      [&] {
        layer(context, {unknown, offsets});
      },
      "funnel::embedding_bag", "ids[1] is 4"));
}

TEST_CASE("embedding_bag: gradients, also on a table that another layer owns") {
  const ids all{1, 2, 2, 0, 1};
  const std::vector<std::uint32_t> offsets{0, 3, 3, 5};
  const id_lists lists{all, offsets};
  for (const pooling pool : {pooling::sum, pooling::mean}) {
    check_layer(embedding_bag<double>(3, 4, {.pool = pool}), {},
                [&](auto& context, const embedding_bag<double>& layer, const double_values&) {
                  return layer(context, lists);
                });
    const ids candidates{2, 0, 1};
    check_layer(embedding<double>(3, 4), {},
                [&](auto& context, const embedding<double>& layer, const double_values&) {
                  return multiply(context, layer(context, candidates),
                                  embedding_bag<double>::pooled(context, layer.table, lists, pool));
                });
  }
}

TEST_CASE("embedding: a table that was replaced since the forward step is refused") {
  const ids batch{7, 3, 7};
  const ids offsets{0, 3};
  const auto replaced = [&](std::size_t rows, std::size_t dim, bool bag) {
    embedding<double> layer(100, 2);
    double_training context;
    const auto y = bag ? funnel::embedding_bag<double>::pooled(
                             context, layer.table, {batch, offsets}, funnel::pooling::sum)
                       : layer(context, batch);
    const auto loss = weighted_sum(context, y);
    layer.table.value.assign(rows, dim);
    context.backward(loss);
  };
  for (const bool bag : {false, true}) {
    CHECK(refuses([&] { replaced(5, 2, bag); }, "funnel::", "ids[0] is 7, expected below 5"));
    CHECK(refuses([&] { replaced(100, 3, bag); }, "funnel::", "expected"));
    CHECK(refuses([&] { replaced(100, 1, bag); }, "funnel::", "expected"));
    replaced(200, 2, bag);  // one that grew has the rows still
  }
}
