// SPDX-License-Identifier: MIT
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/similarity.hpp>
#include <funnel/sequence/last_n_mean.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

using funnel::last_n_mean;
using funnel::matrix;

TEST_CASE("last_n_mean: one history per request meets the candidates of the requests") {
  funnel::embedding<float> items(9, 3);
  items.table.value = random_matrix<float>(9, 3, 1);
  const request_offsets requests = offsets_of({3, 1, 2});
  const std::vector<std::uint32_t> ids{0, 2, 3, 3, 8, 7}, lists{0, 4, 4, 6};
  const matrix<float> candidates = random_matrix<float>(6, 3, 2);
  funnel::inference_context<float> plain, context;
  context.group_rows(requests);
  const auto of_requests = last_n_mean(context, items, {ids, lists}, 2);
  REQUIRE(of_requests.rows() == 3);
  CHECK(same_bits(
      row_dot(context, of_requests, candidates.view()),
      row_dot(plain, repeated(matrix<float>(of_requests), requests).view(), candidates.view())));
}

TEST_CASE("last_n_mean: the last n of each list, means of rows, zeros for an empty history") {
  funnel::embedding<double> items(4, 2);
  const double values[] = {1, 2, 3, 4, 5, 6, 7, 9};
  std::ranges::copy(values, items.table.value.flat().begin());
  const std::vector<std::uint32_t> ids{0, 2, 3, 3}, lists{0, 2, 2, 4};
  funnel::inference_context<double> context;
  const auto mean = [&](std::size_t n) { return last_n_mean(context, items, {ids, lists}, n); };
  for (const std::size_t n : {2u, 3u, 100u}) {
    const auto y = mean(n);
    REQUIRE(y.rows() == 3);
    REQUIRE(y.cols() == 2);
    const double expected[] = {3, 4, 0, 0, 7, 9};
    CHECK(same_bits(y.data(), expected, 6));
  }
  const double last[] = {5, 6, 0, 0, 7, 9};
  CHECK(same_bits(mean(1).data(), last, 6));
  CHECK(refuses([&] { mean(0); }, "funnel::last_n_mean", "n is 0, expected 1 or more"));
  const std::vector<std::uint32_t> wrong{0, 4, 3, 3}, open{0, 2, 3};
  CHECK(refuses(
      [&] {
        last_n_mean(context, items, {wrong, lists}, 5);
      },
      "funnel::embedding_bag", "ids[1] is 4"));
  CHECK(refuses(
      [&] {
        last_n_mean(context, items, {ids, open}, 5);
      },
      "funnel::last_n_mean", "offsets"));
}

TEST_CASE("last_n_mean: gradients reach the last n alone") {
  const std::vector<std::uint32_t> ids{0, 2, 3, 3, 1}, lists{0, 3, 3, 5};
  for (const std::size_t n : {1u, 2u, 9u})
    check_layer(funnel::embedding<double>(4, 3), {},
                [&](auto& context, const auto& items, const double_values&) {
                  return last_n_mean(context, items, {ids, lists}, n);
                });
}
