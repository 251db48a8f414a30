// SPDX-License-Identifier: MIT
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/sequence/din_attention.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/histories.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

using funnel::activation;
using funnel::din_attention;
using funnel::din_attention_options;
using funnel::matrix;

namespace {

using offsets = std::vector<std::uint32_t>;

template <class T>
din_attention<T> filled(std::size_t dim, const din_attention_options& options) {
  return with_random_parameters(din_attention<T>(dim, options));
}

}  // namespace

TEST_CASE("din_attention: worked by hand") {
  // One layer, so that a = 1 q + 10 x + 100 (q - x) + 1000 q x + 0.5.
  din_attention<double> layer(1, {.hidden = {}});
  const double weights[] = {1, 10, 100, 1000};
  std::ranges::copy(weights, layer.unit.layers[0].weight.value.flat().begin());
  layer.unit.layers[0].bias.value(0, 0) = 0.5;
  matrix<double> candidates(2, 1), events(2, 1);
  candidates(0, 0) = 2;
  candidates(1, 0) = 0;
  events(0, 0) = 3;
  events(1, 0) = 1;
  // a(2, 3) = 2 + 30 - 100 + 6000 + .5, a(2, 1) = 2 + 10 + 100 + 2000 + .5
  // a(0, 3) = 30 - 300 + .5, a(0, 1) = 10 - 100 + .5
  const double expected[] = {5932.5 * 3 + 2112.5, -269.5 * 3 - 89.5};
  funnel::inference_context<double> context;
  funnel::training_context<double> tape;
  const offsets shared{0, 2};
  const auto y = layer(context, candidates.view(), events.view(), shared);
  const auto z = layer(tape, tape.input(candidates), tape.input(events), shared);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(y(i, 0) == expected[i]);
    CHECK(z.values(i, 0) == expected[i]);
  }
  layer.normalize = true;
  CHECK(layer(context, candidates.view(), events.view(), shared)(0, 0) == 3);  // all weight on one
}

TEST_CASE("din_attention: serving, frozen or not, agrees with training to the bit") {
  for (const bool normalize : {false, true}) {
    for (const std::size_t d : size_list{1, 5, 16, 33}) {
      for (const activation f : {activation::sigmoid, activation::relu, activation::gelu}) {
        const auto layer =
            filled<float>(d, {.hidden = {20, 7}, .function = f, .normalize = normalize});
        const matrix<float> candidates = random_matrix<float>(6, d, 1);
        const matrix<float> events = random_matrix<float>(30, d, 2);
        for (const offsets& lists : {offsets{0, 30}, offsets{0, 3, 3, 4, 29, 30, 30}}) {
          funnel::training_context<float> tape;
          const auto trained = layer(tape, tape.input(candidates), tape.input(events), lists);
          funnel::inference_context<float> context;
          const auto served = layer(context, candidates.view(), events.view(), lists);
          CHECK(same_bits(served, trained.values));
          CHECK(same_bits(funnel::freeze(layer)(context, candidates.view(), events.view(), lists),
                          served));
        }
      }
    }
  }
}

TEST_CASE("din_attention: the unit on pairs side by side, as in the definition") {
  for (const std::size_t d : size_list{1, 5, 33}) {
    const auto layer = filled<double>(d, {.hidden = {20, 7}});
    const matrix<double> candidates = random_matrix<double>(6, d, 1);
    const matrix<double> events = random_matrix<double>(30, d, 2);
    funnel::inference_context<double> context;
    const auto y = layer(context, candidates.view(), events.view(), offsets{0, 30});
    for (std::size_t i = 0; i < 6; ++i) {
      matrix<double> pairs(30, 4 * d);
      for (std::size_t e = 0; e < 30; ++e)
        for (std::size_t k = 0; k < d; ++k) {
          pairs(e, k) = candidates(i, k);
          pairs(e, d + k) = events(e, k);
          pairs(e, 2 * d + k) = candidates(i, k) - events(e, k);
          pairs(e, 3 * d + k) = candidates(i, k) * events(e, k);
        }
      const auto weights = layer.unit(context, pairs.view());
      for (std::size_t k = 0; k < d; ++k) {
        double expected = 0, largest = 0;
        for (std::size_t e = 0; e < 30; ++e) {
          expected += weights(e, 0) * events(e, k);
          largest = std::max(largest, std::abs(expected));
        }
        CHECK(tolerance::within(y(i, k), expected,
                                tolerance::iterative<double>(4 * d + 57, largest)));
      }
    }
  }
}

TEST_CASE("din_attention: a candidate gives the same bits alone, among others, and with a copy") {
  constexpr std::size_t n = 40, length = 13, d = 11;
  const auto layer = filled<float>(d, {.hidden = {30}});
  const matrix<float> candidates = random_matrix<float>(n, d, 1);
  const matrix<float> events = random_matrix<float>(length, d, 2);
  const copied_history<float> copies(events, n);
  const offsets& ragged = copies.offsets;
  const offsets shared{0, length};
  funnel::inference_context<float> context;
  const auto whole = layer(context, candidates.view(), events.view(), shared);
  CHECK(same_bits(layer(context, candidates.view(), copies.events.view(), ragged), whole));
  for (const std::size_t i : size_list{0, 17, n - 1}) {
    CHECK(same_bits(layer(context, candidates.view().middle_rows(i, 1), events.view(), shared),
                    whole.middle_rows(i, 1)));
  }
}

TEST_CASE("din_attention: an empty history gives zeros, whatever the bias") {
  for (const bool normalize : {false, true}) {
    const auto layer = filled<float>(4, {.hidden = {3}, .normalize = normalize});
    const matrix<float> candidates = random_matrix<float>(3, 4, 1), none(0, 4);
    funnel::inference_context<float> context;
    funnel::training_context<float> tape;
    const auto y = layer(context, candidates.view(), none.view(), offsets{0, 0});
    const auto z = layer(tape, tape.input(candidates), tape.input(none), offsets{0, 0, 0, 0});
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t k = 0; k < 4; ++k) {
        CHECK(y(i, k) == 0);
        CHECK(z.values(i, k) == 0);
      }
    }
    CHECK(layer(context, none.view(), none.view(), offsets{0}).rows() == 0);
  }
}

TEST_CASE("din_attention: gradients") {
  const offsets ragged{0, 3, 3, 4, 9}, shared{0, 9}, four{0, 4};
  for (const bool normalize : {false, true}) {
    const din_attention<double> layer(
        5, {.hidden = {4, 3}, .function = activation::tanh, .normalize = normalize});
    const din_attention<double> other(
        5, {.hidden = {4}, .function = activation::gelu, .normalize = normalize});
    check_layer(other, {{4, 5}, {9, 5}},
                [&](auto& context, const auto& unit, const double_values& x) {
                  return unit(context, x[0], x[1], ragged);
                });
    for (const offsets& lists : {ragged, shared}) {
      check_layer(layer, {{4, 5}, {9, 5}},
                  [&](auto& context, const auto& unit, const double_values& x) {
                    return unit(context, x[0], x[1], lists);
                  });
    }
    // Candidates among their own history; sides that learn nothing.
    const matrix<double> fixed = random_matrix<double>(4, 5, 3);
    check_layer(layer, {{4, 5}}, [&](auto& context, const auto& unit, const double_values& x) {
      return unit(context, x[0], x[0], four);
    });
    check_layer(layer, {{4, 5}}, [&](auto& context, const auto& unit, const double_values& x) {
      return unit(context, context.input(fixed), x[0], four);
    });
    check_layer(layer, {{4, 5}}, [&](auto& context, const auto& unit, const double_values& x) {
      return unit(context, x[0], context.input(fixed), four);
    });
  }
}

TEST_CASE("din_attention: a frozen layer keeps only what serving reads") {
  const auto frozen = funnel::freeze(din_attention<float>(4, {.hidden = {6, 5}}));
  funnel::inference_context<float> context;
  CHECK(frozen.call(context, [](const din_attention<float>& layer, auto&) {
    return layer.unit.layers[0].weight.value.empty() && layer.unit.layers[1].weight.value.empty() &&
           layer.unit.layers[0].bias.value.size() == 6;
  }));
  // The first layer of the unit is part of the packed form, and cannot be run alone.
  const matrix<float> pair(1, 16);
  CHECK(refuses(
      [&] {
        frozen.call(context, [&](const din_attention<float>& layer, auto& c) {
          return layer.unit(c, pair.view());
        });
      },
      "funnel::dense", "weight is [0, 0], expected [16, 6]"));
}

TEST_CASE("din_attention: one history per request is that history given to each candidate") {
  constexpr std::size_t d = 9;
  for (const bool normalize : {false, true}) {
    const auto layer = filled<float>(d, {.hidden = {20, 7}, .normalize = normalize});
    for (const request_offsets& requests :
         {offsets_of({1}), offsets_of({5}), offsets_of({1, 1, 1}), offsets_of({3, 1, 40, 2, 10})}) {
      const matrix<float> candidates = random_matrix<float>(requests.back(), d, 1);
      const request_histories<float> lists(requests, {13, 0, 1, 30, 5}, d, 2);
      funnel::inference_context<float> plain, context;
      context.group_rows(requests);
      const auto expected = layer(plain, candidates.view(), lists.copies.view(), lists.of_rows);
      const auto served = [&](const auto& model) {
        return model(context, candidates.view(), lists.events.view(), lists.of_requests);
      };
      CHECK(same_bits(served(layer), expected));
      CHECK(same_bits(served(funnel::freeze(layer)), expected));
      funnel::training_context<float> whole, tape;
      tape.group_rows(requests);
      CHECK(same_bits(
          view(layer(tape, tape.input(candidates), tape.input(lists.events), lists.of_requests)),
          view(layer(whole, whole.input(candidates), whole.input(lists.copies), lists.of_rows))));
    }
  }
}

TEST_CASE("din_attention: gradients, one history per request") {
  const request_offsets requests = offsets_of({2, 1, 1, 4}), lists{0, 3, 3, 4, 9};
  const matrix<double> eight = random_matrix<double>(8, 5, 3),
                       nine = random_matrix<double>(9, 5, 4);
  for (const bool normalize : {false, true}) {
    const din_attention<double> layer(
        5, {.hidden = {4, 3}, .function = activation::tanh, .normalize = normalize});
    check_layer(layer, {{8, 5}, {9, 5}},
                [&](auto& context, const auto& unit, const double_values& x) {
                  context.group_rows(requests);
                  return unit(context, x[0], x[1], lists);
                });
    check_layer(layer, {{9, 5}}, [&](auto& context, const auto& unit, const double_values& x) {
      context.group_rows(requests);
      return unit(context, context.input(eight), x[0], lists);
    });
    check_layer(layer, {{8, 5}}, [&](auto& context, const auto& unit, const double_values& x) {
      context.group_rows(requests);
      return unit(context, x[0], context.input(nine), lists);
    });
  }
}

TEST_CASE("din_attention: what is refused") {
  const matrix<float> candidates(3, 4), events(6, 4), narrow(6, 3);
  const din_attention<float> layer(4);
  funnel::inference_context<float> context;
  const auto refused = [&](const matrix<float>& q, const matrix<float>& x, const offsets& lists,
                           std::string_view words) {
    return refuses([&] { layer(context, q.view(), x.view(), lists); }, "funnel::din_attention",
                   words);
  };
  CHECK(refused(narrow, events, {0, 6}, "candidates has 3 columns, expected 4"));
  CHECK(refused(candidates, narrow, {0, 6}, "events has 3 columns, expected 4"));
  CHECK(refused(candidates, events, {0, 3, 6},
                "offsets has 3 values, expected 2, or 4 for 3 candidates"));
  CHECK(refused(candidates, events, {0, 5}, "offsets[1] is 5, expected 6, the number of events"));
  CHECK(refuses([] { funnel::freeze(din_attention<float>()); }, "funnel::mlp", "layers is empty"));
}
