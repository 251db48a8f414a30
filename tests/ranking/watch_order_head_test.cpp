// SPDX-License-Identifier: MIT
#include <funnel/calibration/isotonic.hpp>
#include <funnel/core/random.hpp>
#include <funnel/metrics/xauc.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/ranking/watch_order_head.hpp>
#include <funnel/ranking/watch_time_head.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using funnel::matrix;
using funnel::watch_order_head;

namespace {

/// Watch times of 3000 rows. Features 0 to 2 tell the median; feature 3 tells how far a time may be
/// from it, so that it moves the mean, but not the order of most pairs.
struct watched {
  matrix<float> x = matrix<float>(3000, 6);
  std::vector<float> seconds;

  explicit watched(std::uint64_t seed) {
    funnel::random_generator bits(seed);
    for (float& value : x.flat()) value = static_cast<float>(funnel::standard_normal(bits));
    for (std::size_t i = 0; i < x.rows(); ++i) {
      const auto row = x.row(i);
      const double center = 2 + .5 * double{row[0]} - .5 * double{row[1]} + .3 * double{row[2]};
      const double t =
          std::exp(center + std::exp(.5 * double{row[3]}) * funnel::standard_normal(bits));
      seconds.push_back(funnel::bernoulli(bits, .8) ? static_cast<float>(std::min(t, 600.)) : 0.f);
    }
  }
};

/// The outputs, for some rows, of a head that was trained on others.
template <class Head, class Loss>
std::vector<float> trained_outputs(Head head, const watched& rows, const watched& held_out,
                                   Loss loss) {
  funnel::adam<float> optimizer({.learning_rate = .03});
  funnel::training_context<float> tape;
  for (int step = 0; step < 200; ++step) {
    tape.backward(loss(tape, head(tape, tape.input(rows.x)), rows.seconds, head.loss_options()));
    optimizer.step(head, tape);
    tape.clear();
  }
  funnel::inference_context<float> context;
  const auto z = head(context, held_out.x.view());
  std::vector<float> outputs(z.rows());
  for (std::size_t i = 0; i < z.rows(); ++i) outputs[i] = z(i, 0);
  return outputs;
}

}  // namespace

TEST_CASE("watch_order_head: orders better than the head of seconds; a map keeps the means") {
  const watched training(1), held_out(2);
  const auto order = trained_outputs(watch_order_head<float>(6), training, held_out,
                                     [](auto& c, const auto& z, const auto& t, const auto& o) {
                                       return funnel::log_watch_time_loss(c, z, t, o);
                                     });
  const auto time =
      trained_outputs(funnel::watch_time_head<float>(6, {.time_scale = 10}), training, held_out,
                      [](auto& c, const auto& z, const auto& t, const auto& o) {
                        return funnel::watch_time_loss(c, z, t, o);
                      });
  CHECK(funnel::xauc(order, held_out.seconds) > funnel::xauc(time, held_out.seconds));

  // Naive seconds are far below the truth; the map's mean is that of the times.
  const auto to_seconds = funnel::fit_isotonic(order, held_out.seconds);
  double naive = 0, mapped = 0, truth = 0;
  float last = -1;
  std::vector<float> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (const float x : sorted) {
    CHECK(to_seconds(x) >= last);
    last = to_seconds(x);
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    naive += std::expm1(double{order[i]});
    mapped += double{to_seconds(order[i])};
    truth += double{held_out.seconds[i]};
  }
  CHECK(naive < .6 * truth);
  CHECK(tolerance::within(mapped, truth, tolerance::reduction<float>(order.size(), truth)));
}

TEST_CASE("start_at_mean: an order head predicts the mean logarithm before it is trained") {
  watch_order_head<double> head(2, {.time_scale = 20});
  funnel::start_at_mean(head, 1.5);
  funnel::inference_context<double> context;
  const matrix<double> zeros(3, 2);
  CHECK(head(context, zeros.view())(2, 0) == 1.5);
  for (const double mean : {-1., std::numeric_limits<double>::infinity(), std::nan("")})
    CHECK(refuses([&] { funnel::start_at_mean(head, mean); }, "funnel::start_at_mean", "mean is"));
  head.log_time.freeze<funnel::default_arch>();
  CHECK(refuses([&] { funnel::start_at_mean(head, 1); }, "funnel::start_at_mean",
                "the layer is frozen"));
}

TEST_CASE("watch_order_head: shapes, options, and frozen the same bits") {
  watch_order_head<float> head(5, {.time_scale = 10, .max_time = 300});
  CHECK(head.loss_options().time_scale == 10);
  CHECK(head.loss_options().max_time == 300);
  head.log_time.weight.value = random_matrix<float>(5, 1, 1);
  CHECK(funnel::count_parameters(head) == 6);
  const auto frozen = funnel::freeze(head);
  funnel::inference_context<float> context;
  for (const std::size_t n : size_list{0, 1, 7}) {
    const matrix<float> x = random_matrix<float>(n, 5, 2);
    const auto z = head(context, x.view());
    CHECK(z.rows() == n);
    CHECK(z.cols() == 1);
    CHECK(same_bits(frozen(context, x.view()), z));
  }
}

TEST_CASE("watch_order_head: gradients through the loss") {
  watch_order_head<double> head(3, {.time_scale = 20, .max_time = 100});
  head.log_time.weight.value = random_matrix<double>(3, 1, 3);
  const matrix<double> x = random_matrix<double>(4, 3, 4);
  const std::vector<double> times{0, 5, 80, 500};
  const auto result = funnel::check_gradients<double>(head, [&](double_training& context) {
    return funnel::log_watch_time_loss(context, head(context, context.input(x)), times,
                                       head.loss_options());
  });
  CHECK(result.largest_error <= tolerance::finite_difference(0));
  CHECK(result.nonzero == 4);
}

TEST_CASE("watch_order_head: what is refused") {
  for (const double bad : {0., -1., std::nan(""), std::numeric_limits<double>::infinity()}) {
    CHECK(refuses([&] { watch_order_head<double>(2, {.time_scale = bad}); },
                  "funnel::watch_order_head", "time_scale is"));
    CHECK(refuses([&] { watch_order_head<double>(2, {.max_time = bad}); },
                  "funnel::watch_order_head", "max_time is"));
  }
}
