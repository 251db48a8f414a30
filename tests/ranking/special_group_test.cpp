// SPDX-License-Identifier: MIT
#include <funnel/loss/bce.hpp>
#include <funnel/loss/mse.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/sgd.hpp>
#include <funnel/ranking/special_group.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

using funnel::concat;
using funnel::matrix;
using funnel::special_group;
using funnel::special_group_options;
using funnel::special_sum;

namespace {

using flags = std::vector<std::uint8_t>;

template <class T>
special_group<T> random_group(std::size_t in, const special_group_options& options) {
  return with_random_parameters(special_group<T>(in, options));
}

/// y = x w, by hand: a small model of one layer.
special_group<double> linear(double w, special_sum sum) {
  special_group<double> group(1, {.sizes = {}, .sum = sum});
  group.small.layers[0].weight.value(0, 0) = w;
  return group;
}

/// The flag of each row.
flags of_rows(const flags& special, const request_offsets& requests) {
  flags all;
  for (std::size_t r = 0; r + 1 < requests.size(); ++r)
    all.insert(all.end(), requests[r + 1] - requests[r], special[r]);
  return all;
}

}  // namespace

TEST_CASE("special_group: worked by hand") {
  matrix<double> x(3, 1, 1.), big(3, 1);
  big(0, 0) = .25, big(1, 0) = .5, big(2, 0) = .75;
  x(2, 0) = 3;
  const flags special{1, 0, 1};
  funnel::inference_context<double> context;
  const auto z = linear(.5, special_sum::logit)(context, x.view(), big.view(), special);
  CHECK(z(0, 0) == .75);
  CHECK(z(1, 0) == .5);
  CHECK(z(2, 0) == 2.25);
  // tanh(.5) = .46212, tanh(1.5) = .90515: .71212, and 1.65515, which is clipped.
  const auto p = linear(.5, special_sum::residual)(context, x.view(), big.view(), special);
  CHECK(tolerance::within(p(0, 0), .7121171573, tolerance::printed(10)));
  CHECK(p(1, 0) == .5);
  CHECK(p(2, 0) == 1 - 1e-6);
  const auto low = linear(-2, special_sum::residual)(context, x.view(), big.view(), special);
  CHECK(low(0, 0) == 1e-6);
}

TEST_CASE("special_group: others keep the bits of the big model, whatever the small one says") {
  const request_offsets requests = offsets_of({3, 1, 300, 2, 4});
  const flags special{0, 1, 1, 0, 1};
  for (const special_sum sum : {special_sum::logit, special_sum::residual}) {
    special_group<float> group = random_group<float>(5, {.sizes = {7}, .heads = 2, .sum = sum});
    matrix<float> big = random_matrix<float>(310, 2, 3, 0, 1);
    big(0, 0) = -0.f;
    big(1, 1) = 1.f;  // is not clipped either
    big(304, 1) = std::numeric_limits<float>::quiet_NaN();
    const matrix<float> user = random_matrix<float>(5, 2, 4);
    matrix<float> items = random_matrix<float>(310, 3, 5);
    items(2, 0) = std::numeric_limits<float>::infinity();  // of an ordinary user
    funnel::inference_context<float> context;
    context.group_rows(requests);
    funnel::training_context<float> tape;
    tape.group_rows(requests);
    const auto served =
        group(context, concat(context, user.view(), items.view()), big.view(), special);
    const auto trained = group(tape, concat(tape, user.view(), items.view()), big.view(), special);
    const flags rows = of_rows(special, requests);
    std::size_t changed = 0;
    for (std::size_t i = 0; i < 310; ++i) {
      if (rows[i] == 0) {
        CHECK(same_bits(served.row(i).data(), big.row(i).data(), 2));
        CHECK(same_bits(view(trained).row(i).data(), big.row(i).data(), 2));
      } else {
        changed += served(i, 0) != big(i, 0);
      }
    }
    CHECK(changed > 200);
  }
  // Nobody is special: the scores themselves, without a copy.
  const special_group<float> group = random_group<float>(2, {});
  const matrix<float> x = random_matrix<float>(4, 2, 1), big = random_matrix<float>(4, 1, 2);
  funnel::inference_context<float> context;
  CHECK(group(context, x.view(), big.view(), flags{0}).data() == big.view().data());
}

TEST_CASE("special_group: a row has the same bits alone, in any batch, frozen and trained") {
  for (const request_offsets& requests :
       {offsets_of({4}), offsets_of({1, 1, 1, 1}), offsets_of({2, 1, 255, 256, 257, 600})}) {
    const std::size_t count = requests.size() - 1, n = requests.back();
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
      flags special(count);
      funnel::random_generator bits(seed);
      for (auto& flag : special) flag = funnel::bernoulli(bits, .6);
      if (seed == 3) special.assign(count, 1);
      const flags rows = of_rows(special, requests);
      const auto group = random_group<float>(7, {.sizes = {6, 5}, .heads = 3});
      const auto frozen = funnel::freeze(group);
      const matrix<float> user = random_matrix<float>(count, 3, 4);
      const matrix<float> users = repeated(user, requests);
      const matrix<float> items = random_matrix<float>(n, 4, 5);
      const matrix<float> big = random_matrix<float>(n, 3, 6);
      funnel::inference_context<float> context, plain;
      context.group_rows(requests);
      funnel::training_context<float> tape;
      tape.group_rows(requests);
      const auto expected =
          group(plain, concat(plain, users.view(), items.view()), big.view(), rows);
      const auto x = concat(context, user.view(), items.view());
      CHECK(same_bits(group(context, x, big.view(), special), expected));
      CHECK(same_bits(frozen(context, x, big.view(), special), expected));
      CHECK(same_bits(frozen(context, x, big.view(), rows), expected));
      const auto of_tape = concat(tape, user.view(), items.view());
      CHECK(same_bits(view(group(tape, of_tape, tape.input(big.view()), special)), expected));
      for (std::size_t r = 0; r < count; ++r) {
        const std::size_t begin = requests[r], size = requests[r + 1] - begin;
        funnel::inference_context<float> alone;
        const auto z = frozen(
            alone,
            concat(alone, user.view().middle_rows(r, 1), items.view().middle_rows(begin, size)),
            big.view().middle_rows(begin, size), flags{special[r]});
        CHECK(same_bits(z, expected.middle_rows(begin, size)));
      }
    }
  }
}

TEST_CASE("special_group: the small model may see the user alone") {
  const request_offsets requests = offsets_of({2, 3, 1});
  const auto group = random_group<float>(3, {.sizes = {4}, .sum = special_sum::residual});
  const matrix<float> user = random_matrix<float>(3, 3, 4);
  const matrix<float> big = random_matrix<float>(6, 1, 6, 0, 1);
  funnel::inference_context<float> context, plain;
  context.group_rows(requests);
  const flags special{1, 0, 1};
  const auto found = group(context, user.view(), big.view(), special);
  const auto expected =
      group(plain, repeated(user, requests).view(), big.view(), of_rows(special, requests));
  CHECK(same_bits(found, expected));
  const auto one =
      group(plain, user.view().middle_rows(0, 1), big.view().middle_rows(0, 2), flags{1});
  CHECK(same_bits(one, expected.middle_rows(0, 2)));
}

TEST_CASE("special_group: serving runs the small model for special requests alone") {
  // A NaN in what belongs to others would spread, if it were computed with.
  auto group = random_group<double>(1, {.sizes = {2}});
  const matrix<double> x(2, 1, 1.), big(2, 1, 0.);
  funnel::inference_context<double> context;
  group.small.layers[0].weight = {};  // cannot run any more
  const auto z = group(context, x.view(), big.view(), flags{0, 0});
  CHECK(z(0, 0) == 0);
  CHECK(refuses([&] { group(context, x.view(), big.view(), flags{0, 1}); }, "funnel::dense", ""));
}

TEST_CASE("special_group: gradients, of special rows alone") {
  const request_offsets requests = offsets_of({2, 1, 3});
  for (const flags& special : {flags{1, 0, 1}, flags{0, 1, 1, 1, 0, 1}, flags{1}}) {
    for (const special_sum sum : {special_sum::logit, special_sum::residual}) {
      const special_group<double> group(7, {.sizes = {5}, .heads = 2, .sum = sum});
      const matrix<double> big = random_matrix<double>(6, 2, 9, 0, 1);
      check_layer(group, {{3, 4}, {6, 2}, {1, 1}},
                  [&](auto& context, const auto& g, const double_values& x) {
                    context.group_rows(requests);
                    return g(context, concat(context, x[0], x[1], x[2]), big.view(), special);
                  });
    }
  }
  check_layer(special_group<double>(4, {.sizes = {3}}), {{1, 4}},
              [&](auto& context, const auto& g, const double_values& x) {
                const matrix<double> big(1, 1, .3);
                return g(context, x[0], big.view(), flags{1});
              });
}

TEST_CASE("special_group: the big model gets no gradient") {
  const auto group = random_group<double>(2, {.sizes = {3}});
  const matrix<double> x = random_matrix<double>(4, 2, 1);
  for (const flags& special : {flags{0}, flags{1, 0, 1, 0}}) {
    funnel::training_context<double> tape;
    const auto big = tape.make(4, 1);
    for (std::size_t i = 0; i < 4; ++i) big.values(i, 0) = .1 * static_cast<double>(i);
    const auto z = group(tape, x.view(), big, special);
    const std::vector<double> clicked{1, 0, 1, 0};
    tape.backward(funnel::bce_with_logits(tape, z, clicked));
    for (std::size_t i = 0; i < 4; ++i) CHECK(big.gradient(i, 0) == 0);
    // Without a special user nothing is learned.
    CHECK((tape.find_gradient(group.small.layers[0].weight) != nullptr) == (special.size() == 4));
  }
}

TEST_CASE("special_group: untrained it changes nothing; trained it learns what is left") {
  for (const special_sum sum : {special_sum::logit, special_sum::residual}) {
    special_group<double> group(1, {.sizes = {}, .sum = sum});
    funnel::initialize(group, 7);
    const matrix<double> x(4, 1, 1.);
    const bool logits = sum == special_sum::logit;
    const matrix<double> big(4, 1, logits ? 0. : .5);  // the big model says one half
    const std::vector<double> clicked{1, 1, 1, 0};
    funnel::inference_context<double> context;
    CHECK(same_bits(group(context, x.view(), big.view(), flags{1}), big.view()));
    funnel::sgd<double> optimizer({.learning_rate = .3});
    funnel::training_context<double> tape;
    for (int step = 0; step < 400; ++step) {
      const auto z = group(tape, x.view(), big.view(), flags{1});
      tape.backward(logits ? funnel::bce_with_logits(tape, z, clicked)
                           : funnel::mse_loss(tape, z, clicked));
      optimizer.step(group, tape);
      tape.clear();
    }
    // The rate is 3/4: z = ln 3, or p + q = .75.
    const double learned = group(context, x.view(), big.view(), flags{1})(0, 0);
    CHECK(tolerance::within(learned, logits ? std::log(3.) : .75, tolerance::printed(5)));
  }
}

TEST_CASE("special_group: no rows, and what is refused") {
  const auto group = random_group<float>(3, {.sizes = {4}, .heads = 2});
  funnel::inference_context<float> context;
  const matrix<float> none(0, 3), no_scores(0, 2);
  CHECK(group(context, none.view(), no_scores.view(), flags{}).rows() == 0);
  CHECK(group(context, none.view(), no_scores.view(), flags{1}).rows() == 0);

  CHECK(refuses([] { special_group<float>(3, {.heads = 0}); }, "funnel::special_group",
                "heads is 0"));
  CHECK(refuses([] { special_group<float>(3, {.dropout = 1}); }, "funnel::special_group",
                "dropout is 1"));
  CHECK(refuses([] { special_group<float>(3, {.dropout = std::nan("")}); }, "funnel::special_group",
                "dropout is nan"));
  CHECK(refuses([] { special_group<float>(3, {.sum = special_sum(2)}); }, "funnel::special_group",
                "sum is 2"));
  const matrix<float> x(5, 3), big(5, 2), narrow(5, 1), few(4, 3);
  CHECK(refuses([&] { group(context, x.view(), narrow.view(), flags{1}); }, "funnel::special_group",
                "big has 1 column, expected 2 as in the small model"));
  CHECK(refuses([&] { group(context, few.view(), big.view(), flags{1}); }, "funnel::special_group",
                "x.rows() is 4, expected 1, one per request, or 5"));
  CHECK(refuses(
      [&] {
        group(context, x.view(), big.view(), flags{1, 0});
      },
      "funnel::special_group", "special.size() is 2"));
  CHECK(refuses([&] { group(context, x.view(), big.view(), flags{}); }, "funnel::special_group",
                "special.size() is 0"));
  CHECK(refuses(
      [&] {
        group(context, x.view(), big.view(), flags{0, 1, 2, 0, 0});
      },
      "funnel::special_group", "special[2] is 2, expected 0 or 1"));
  CHECK(refuses([&] { special_group<float>()(context, x.view(), big.view(), flags{1}); },
                "funnel::mlp", "layers is empty"));
  auto twice = group;
  funnel::detail::freeze_field<funnel::default_arch>(twice);
  CHECK(refuses([&] { funnel::detail::freeze_field<funnel::default_arch>(twice); }, "funnel::dense",
                "is frozen"));
}
