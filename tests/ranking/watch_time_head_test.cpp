// SPDX-License-Identifier: MIT
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/sgd.hpp>
#include <funnel/ranking/watch_time_head.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <vector>

using funnel::matrix;
using funnel::watch_time_head;

namespace {

/// What a head learns of times that its features tell nothing of.
template <class T>
double learned_seconds(const std::vector<T>& times, T unit) {
  watch_time_head<T> head(1, {.time_scale = unit, .max_time = T(600)});
  const matrix<T> ones(times.size(), 1, T(1));
  funnel::sgd<T> optimizer({.learning_rate = 1});
  funnel::training_context<T> tape;
  for (int step = 0; step < 400; ++step) {
    const auto z = head(tape, tape.input(ones));
    tape.backward(
        funnel::watch_time_loss(tape, z, std::span<const T>(times),
                                {.time_scale = head.time_scale, .max_time = head.max_time}));
    optimizer.step(head, tape);
    tape.clear();
  }
  funnel::inference_context<T> context;
  return static_cast<double>(head.seconds(head(context, ones.view())(0, 0)));
}

}  // namespace

TEST_CASE("watch_time_head: seconds are the odds in units, clipped") {
  const watch_time_head<double> head(1, {.time_scale = 10, .max_time = 600});
  CHECK(head.seconds(0) == 10);
  CHECK(tolerance::within(head.seconds(std::log(6.)), 60, tolerance::elementwise<double>(60)));
  CHECK(head.seconds(5) == 600);
  CHECK(head.seconds(1e300) == 600);
  CHECK(head.seconds(-1e300) == 0);
  CHECK(std::isnan(head.seconds(std::numeric_limits<double>::quiet_NaN())));
  CHECK(watch_time_head<float>(1, {.time_scale = 10, .max_time = 600}).seconds(1e30f) == 600);
}

TEST_CASE("start_at_mean: the head predicts the mean before it is trained") {
  watch_time_head<double> head(2, {.time_scale = 20, .max_time = 600});
  funnel::start_at_mean(head, 35);
  funnel::inference_context<double> context;
  const matrix<double> x = random_matrix<double>(3, 2, 1);
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(tolerance::within(head.seconds(head(context, x.view())(i, 0)), 35,
                            tolerance::elementwise<double>(35)));
  const std::vector<double> times{0, 90, 15};  // of mean 35: there is nothing to learn
  funnel::training_context<double> tape;
  tape.backward(
      funnel::watch_time_loss(tape, head(tape, tape.input(x)), times, head.loss_options()));
  CHECK(tolerance::within(tape.find_gradient(head.logit.bias)->values()(0, 0), 0,
                          tolerance::reduction<double>(3, 2)));

  for (const double mean : {0., -1., std::numeric_limits<double>::infinity(), std::nan("")})
    CHECK(refuses([&] { funnel::start_at_mean(head, mean); }, "funnel::start_at_mean",
                  "expected a finite number above 0"));
  head.logit.freeze<funnel::default_arch>();
  CHECK(refuses([&] { funnel::start_at_mean(head, 5); }, "funnel::start_at_mean",
                "the layer is frozen"));
}

TEST_CASE("watch_time_head: learns the mean, not the odds of the fraction") {
  // 10 % watch 60 s, the others nothing: 6 s. Half 10 s and half 110 s: 60 s.
  const std::vector<double> few{60, 0, 0, 0, 0, 0, 0, 0, 0, 0}, halves{10, 110};
  for (const double unit : {5., 20.}) {
    CHECK(tolerance::within(learned_seconds(few, unit), 6, tolerance::iterative<double>(400, 6)));
    CHECK(tolerance::within(learned_seconds(halves, unit), 60,
                            tolerance::iterative<double>(400, 60)));
  }
  CHECK(tolerance::within(learned_seconds<float>({10, 110}, 20), 60,
                          tolerance::iterative<float>(400, 60)));
}

TEST_CASE("watch_time_head: shapes, names, and frozen the same bits") {
  watch_time_head<float> head(5, {.time_scale = 10, .max_time = 600});
  head.logit.weight.value = random_matrix<float>(5, 1, 1);
  CHECK(funnel::count_parameters(head) == 6);
  const auto frozen = funnel::freeze(head);
  funnel::inference_context<float> context;
  const auto seconds = [](const auto& m, auto&, float z) { return m.seconds(z); };
  CHECK(frozen.call(context, seconds, 0.f) == 10);
  CHECK(frozen.call(context, seconds, 50.f) == 600);
  for (const std::size_t n : size_list{0, 1, 7}) {
    const matrix<float> x = random_matrix<float>(n, 5, 2);
    const auto z = head(context, x.view());
    CHECK(z.rows() == n);
    CHECK(z.cols() == 1);
    CHECK(same_bits(z, head.logit(context, x.view())));
    CHECK(same_bits(frozen(context, x.view()), z));
  }
}

TEST_CASE("watch_time_head: gradients through the loss") {
  watch_time_head<double> head(3, {.time_scale = 20, .max_time = 100});
  head.logit.weight.value = random_matrix<double>(3, 1, 3);
  const matrix<double> x = random_matrix<double>(4, 3, 4);
  const std::vector<double> times{0, 5, 80, 500};
  const auto result = funnel::check_gradients<double>(head, [&](double_training& context) {
    return funnel::watch_time_loss(context, head(context, context.input(x)), times,
                                   {.time_scale = head.time_scale, .max_time = head.max_time});
  });
  CHECK(result.largest_error <= tolerance::finite_difference(0));
  CHECK(result.nonzero == 4);
}

TEST_CASE("watch_time_head: what is refused") {
  const auto refused = [](double unit, double longest) {
    return refuses([&] { watch_time_head<double>(2, {.time_scale = unit, .max_time = longest}); },
                   "funnel::watch_time_head", "expected a number above 0");
  };
  CHECK(refused(0, 600));
  CHECK(refused(-1, 600));
  CHECK(refused(10, 0));
  CHECK(refused(std::nan(""), 600));
  CHECK(refused(10, std::nan("")));
}
