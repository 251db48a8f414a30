// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/bce.hpp>
#include <funnel/loss/huber.hpp>
#include <funnel/loss/in_batch_softmax.hpp>
#include <funnel/loss/listwise.hpp>
#include <funnel/loss/mse.hpp>
#include <funnel/loss/pairwise.hpp>
#include <funnel/loss/sampled_softmax.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/loss/triplet.hpp>
#include <funnel/loss/watch_time.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

// Losses of finite numbers however large they are: all of them are finite, and right where the loss
// is a number of the scalar.
using namespace loss_test;

namespace {

template <class T>
constexpr T most = std::numeric_limits<T>::max();
template <class T>
constexpr T least = std::numeric_limits<T>::denorm_min();

const std::vector<std::uint32_t> one_list = {0, 2};

template <class T>
bool is_finite(const evaluation<T>& found) {
  bool finite = std::isfinite(found.loss);
  for (const T slope : found.gradient.flat()) finite &= std::isfinite(slope);
  return finite;
}

template <class T>
auto in_batch(T temperature = T(.05), std::span<const T> log_q = {}) {
  return [=](auto& context, const auto& s) {
    return funnel::in_batch_softmax(context, s, {.temperature = temperature, .log_q = log_q});
  };
}

}  // namespace

TEMPLATE_TEST_CASE("losses: finite for all finite inputs", "[loss]", float, double) {
  using t = TestType;
  const t far = most<t>;
  const std::array<t, 11> ends = {-far,
                                  far,
                                  -far / 2,
                                  far / 3,
                                  t(-1e30),
                                  t(100),
                                  t(-2),
                                  t(0),
                                  least<t>,
                                  -least<t>,
                                  std::numeric_limits<t>::min()};
  const std::array<t, 6> sizes = {least<t>, std::numeric_limits<t>::min(), t(.05), t(1), t(1e30),
                                  far};
  for (const t a : ends)
    for (const t b : ends) {
      const auto x = column<t>({a, b});
      const auto square = filled<t>(2, 2, {a, b, b, a});
      for (const t size : sizes) {
        INFO(a << ' ' << b << ' ' << size);
        const std::vector<t> weights = {size, t(1)}, heavy = {size, size};
        for (const auto target :
             {funnel::watch_time_target::expected_time, funnel::watch_time_target::odds_of_fraction,
              funnel::watch_time_target::weighted_clicks})
          for (const t unit : {least<t>, t(60), far}) {
            const std::vector<t> times = {size, t(1000)};
            CHECK(is_finite(evaluate(x, [&](auto& context, const auto& z) {
              return funnel::watch_time_loss(
                  context, z, times, {.target = target, .time_scale = unit, .weights = weights});
            })));
          }
        const std::vector<t> labels = {0, t(.5)};
        CHECK(is_finite(evaluate(x, [&](auto& context, const auto& z) {
          return funnel::bce_with_logits(context, z, labels, {.weights = heavy});
        })));
        CHECK(is_finite(evaluate(square, in_batch<t>(size))));
        const std::vector<t> log_q = {a, b};
        CHECK(is_finite(evaluate(square, in_batch<t>(size, log_q))));
        const auto q = filled<t>(2, 2, {b, a, a, b});
        CHECK(is_finite(evaluate(square, [&](auto& context, const auto& s) {
          return funnel::sampled_softmax(
              context, s,
              {.temperature = size, .log_q = q, .weights = std::span<const t>(weights)});
        })));
        const std::vector<t> targets = {b, size};
        for (const double total_weight : {0., 5e-324, 1e308}) {
          CHECK(is_finite(evaluate(x, [&](auto& context, const auto& p) {
            return funnel::mse_loss(context, p, targets,
                                    {.weights = weights, .total_weight = total_weight});
          })));
          CHECK(is_finite(evaluate(x, [&](auto& context, const auto& p) {
            return funnel::huber_loss(
                context, p, targets,
                {.delta = size, .weights = heavy, .total_weight = total_weight});
          })));
        }
        const std::vector<t> teacher = {a, b};
        for (const auto weight : {funnel::pair_weight::difference, funnel::pair_weight::equal})
          CHECK(is_finite(evaluate(column<t>({b, a}), [&](auto& context, const auto& z) {
            return funnel::pairwise_distillation(context, z, teacher, one_list,
                                                 {.weight = weight, .sharpness = size});
          })));
        for (const auto form : {funnel::triplet_form::hinge, funnel::triplet_form::logistic}) {
          const auto options = funnel::triplet_options<t>{
              .form = form, .margin = size, .sharpness = size, .weights = heavy};
          CHECK(is_finite(evaluate(x, [&](auto& context, const auto& p) {
            return funnel::triplet_loss(context, p, context.input(square), options);
          })));
          CHECK(is_finite(evaluate(square, [&](auto& context, const auto& n) {
            return funnel::triplet_loss(context, context.input(x), n, options);
          })));
        }
        CHECK(is_finite(evaluate(column<t>({b, a}), [&](auto& context, const auto& z) {
          return funnel::listwise_distillation(
              context, z, teacher, one_list,
              {.temperature = size, .scale = funnel::teacher_scale::logit});
        })));
        if (size < t(.5)) {
          const std::vector<t> sure = {0, 1};
          CHECK(is_finite(evaluate(x, [&](auto& context, const auto& z) {
            return funnel::listwise_distillation(context, z, sure, one_list,
                                                 {.smallest_probability = size});
          })));
        }
      }
    }
}

TEMPLATE_TEST_CASE("losses: the values of far logits", "[loss]", float, double) {
  using t = TestType;
  const double bound = tolerance::elementwise<t>(1);
  const t far =
      static_cast<t>(1e38 / 3.4028234e38 * static_cast<double>(most<t>));  // 1e38 as float
  // Equal scores are equal, however far out: ln 2, and slopes of a half over temperature and rows.
  for (const t sign : {t(1), t(-1)}) {
    const auto equal = evaluate(funnel::matrix<t>(2, 2, sign * far), in_batch<t>());
    CHECK(tolerance::within(equal.loss, std::log(2.), bound));
    CHECK(tolerance::within(static_cast<double>(equal.gradient(0, 0)), -5, 5 * bound));
    CHECK(tolerance::within(static_cast<double>(equal.gradient(0, 1)), 5, 5 * bound));
    const std::vector<t> log_q = {0, std::log(t(3))};  // then the second column counts 1/3
    const auto rare =
        evaluate(filled<t>(1, 2, {sign * far, sign * far}), in_batch<t>(t(.05), log_q));
    CHECK(tolerance::within(rare.loss, std::log(4. / 3), bound));
  }
  const auto sure = evaluate(filled<t>(2, 2, {far, -far, -far, far}), in_batch<t>());
  CHECK(sure.loss == 0);
  const auto wrong = evaluate(filled<t>(2, 2, {-far, far, far, -far}), in_batch<t>());
  CHECK(wrong.loss == static_cast<double>(most<t>));
  CHECK(tolerance::within(static_cast<double>(wrong.gradient(0, 0)), -10, 10 * bound));
  // A wide temperature brings the loss back to a number.
  const auto cool = evaluate(filled<t>(1, 2, {-far, far}), in_batch<t>(t(1e10)));
  CHECK(tolerance::within(cool.loss, 2e-10 * static_cast<double>(far),
                          tolerance::elementwise<t>(2e-10 * static_cast<double>(far))));
  // An excluded column stays out.
  const auto alone = evaluate(filled<t>(2, 2, {far, far, far, far}), [](auto& context, auto& s) {
    const std::vector<funnel::item_id> items = {7, 7};
    return funnel::in_batch_softmax(context, s, {.items = items});
  });
  CHECK(alone.loss == 0);
  CHECK(alone.gradient(0, 1) == 0);

  // One row costs more than the largest number, and the mean does not. In double the row itself is
  // cut to the largest number.
  const bool narrow = std::is_same_v<t, float>;
  const std::vector<t> teacher = {0, 1, 0, 1};
  const std::vector<std::uint32_t> lists = {0, 2, 4};
  const t half = most<t> / 2;
  const auto pairs = evaluate(column<t>({half, -half, -half, half}), [&](auto& context, auto& z) {
    return funnel::pairwise_distillation(context, z, teacher, lists, {.sharpness = t(1.5)});
  });
  CHECK(tolerance::within(pairs.loss, (narrow ? .75 : .5) * static_cast<double>(most<t>),
                          tolerance::elementwise<t>(static_cast<double>(most<t>))));
  CHECK(pairs.gradient(0, 0) == t(.75));
  const std::vector<t> apart = {-most<t>, most<t>};
  const auto gap = evaluate(column<t>({0, 0}), [&](auto& context, const auto& z) {
    return funnel::pairwise_distillation(context, z, apart, one_list);
  });
  CHECK(tolerance::within(gap.loss, std::log(2.), bound));
  CHECK(gap.gradient(1, 0) == t(-.5));

  // A large score alone in its list does not make the gaps of another vanish.
  const std::vector<t> lone = {most<t>, 0, std::numeric_limits<t>::min()};
  const std::vector<std::uint32_t> two_lists = {0, 1, 3};
  const auto small = evaluate(column<t>({0, 0, 0}), [&](auto& context, const auto& z) {
    return funnel::pairwise_distillation(context, z, lone, two_lists);
  });
  CHECK(tolerance::within(small.loss, std::log(2.), bound));
  CHECK(small.gradient(2, 0) == t(-.5));

  const auto list = evaluate(column<t>({most<t>, most<t>}), [&](auto& context, const auto& z) {
    return funnel::listwise_distillation(context, z, apart, one_list,
                                         {.scale = funnel::teacher_scale::logit});
  });
  CHECK(tolerance::within(list.loss, std::log(2.), bound));
  CHECK(list.gradient(0, 0) == t(.5));
  CHECK(list.gradient(1, 0) == t(-.5));

  const auto triplet = evaluate(column<t>({0, -half, half}), [&](auto& context, const auto& p) {
    const auto negatives = column<t>({0, half, -half});
    return funnel::triplet_loss(context, p, context.input(negatives),
                                {.form = funnel::triplet_form::logistic, .sharpness = t(2)});
  });
  CHECK(tolerance::within(triplet.loss, (narrow ? 2. : 1.) / 3 * static_cast<double>(most<t>),
                          tolerance::elementwise<t>(static_cast<double>(most<t>))));
}

TEMPLATE_TEST_CASE("losses: the mean is a number where the sum is not", "[loss]", float, double) {
  using t = TestType;
  const t far = most<t> / 4;
  const std::vector<t> labels(100, 0), weights(100, far);
  const funnel::matrix<t> x(100, 1, far);
  const auto mean = [&](std::span<const t> of) {
    return evaluate(x,
                    [&](auto& context, const auto& z) {
                      return funnel::bce_with_logits(context, z, labels, {.weights = of});
                    })
        .loss;
  };
  const double exact = static_cast<double>(far);
  CHECK(tolerance::within(mean({}), exact, tolerance::elementwise<t>(exact)));
  CHECK(tolerance::within(mean(weights), exact, tolerance::elementwise<t>(exact)));
  const std::vector<t> small(100, least<t>);
  CHECK(tolerance::within(mean(small), exact, tolerance::elementwise<t>(exact)));
  // A row whose loss is beyond the largest number, in a mean that is not.
  std::vector<t> times(1000, 0);
  times[3] = t(1000);
  funnel::matrix<t> z(1000, 1);
  z(3, 0) = -most<t> / 4;
  const auto watched = evaluate(z, [&](auto& context, const auto& logits) {
    return funnel::watch_time_loss(context, logits, times, {.time_scale = t(1)});
  });
  const double expected = std::is_same_v<t, float> ? static_cast<double>(most<t>) / 4
                                                   : static_cast<double>(most<t>) / 1000;
  CHECK(tolerance::within(watched.loss, expected, tolerance::elementwise<t>(expected)));
}

TEMPLATE_TEST_CASE("losses: infinite logits", "[loss]", float, double) {
  using t = TestType;
  const t infinity = std::numeric_limits<t>::infinity();
  const auto loss = [](t logit, t label) {
    const std::vector<t> labels = {label};
    return evaluate(column<t>({logit}), [&](auto& context, const auto& z) {
      return funnel::bce_with_logits(context, z, labels);
    });
  };
  for (const auto& [logit, label] : {std::pair(-infinity, t(0)), std::pair(infinity, t(1))}) {
    CHECK(loss(logit, label).loss == 0);
    CHECK(loss(logit, label).gradient(0, 0) == 0);
  }
  CHECK(loss(infinity, 0).loss == std::numeric_limits<double>::infinity());
  CHECK(loss(infinity, 0).gradient(0, 0) == 1);
}

TEST_CASE("listwise_distillation: a smallest probability that 1 less it rounds away", "[loss]") {
  const std::vector<float> sure = {1, 0};
  for (const float smallest : {1e-20f, 1e-40f}) {
    const auto found = evaluate(column({0.f, 0.f}), [&](auto& context, const auto& z) {
      return funnel::listwise_distillation(context, z, sure, one_list,
                                           {.smallest_probability = smallest});
    });
    CHECK(tolerance::within(found.loss, std::log(2.), tolerance::elementwise<float>(1)));
    CHECK(found.gradient(0, 0) == -.5f);
  }
}

TEST_CASE("pairwise_distillation: a gap equal to the margin is no pair", "[loss]") {
  const std::vector<double> teacher = {.25, .75};
  const auto loss = [&](double margin) {
    return evaluate(column({1.0, 0.0}), [&](auto& context, const auto& z) {
      return funnel::pairwise_distillation(context, z, teacher, one_list, {.margin = margin});
    });
  };
  CHECK(loss(.5).loss == 0);
  CHECK(loss(.5).gradient(0, 0) == 0);
  CHECK(loss(std::nextafter(.5, 0.)).loss > 1);
}

TEST_CASE("predicted_watch_time: a small unit of a large exponential", "[loss]") {
  const double exact = 1e-30 * std::exp(100.);
  CHECK(tolerance::within(
      static_cast<double>(funnel::predicted_watch_time(100.f, {.time_scale = 1e-30f})), exact,
      tolerance::elementwise<float>(exact)));
  CHECK(funnel::predicted_watch_time(-110.f, {.time_scale = 1e30f}) > 0);
}

TEST_CASE("predicted_watch_time: a large unit of a subnormal exponential", "[loss]") {
  const double exact = 1e38 * std::exp(-100.);
  CHECK(tolerance::within(
      static_cast<double>(funnel::predicted_watch_time(-100.f, {.time_scale = 1e38f})), exact,
      tolerance::elementwise<float>(exact)));
}

TEMPLATE_TEST_CASE("in_batch_softmax: scores that are close and far from 0", "[loss]", float,
                   double) {
  using t = TestType;
  const t far = 1 / std::numeric_limits<t>::epsilon();  // where t's numbers are 1 apart
  for (const t temperature : {t(.05), t(1), t(3)}) {
    const auto near = evaluate(filled<t>(1, 3, {2, 1, 0}), in_batch(temperature));
    const auto moved = evaluate(filled<t>(1, 3, {far + 2, far + 1, far}), in_batch(temperature));
    CHECK(moved.loss == near.loss);
    CHECK(std::ranges::equal(moved.gradient.flat(), near.gradient.flat()));
  }
}

TEMPLATE_TEST_CASE("losses of a difference that has no number, times a small factor", "[loss]",
                   float, double) {
  using t = TestType;
  const t far = most<t>, sharpness = 1 / far;
  for (const t sign : {t(1), t(-1)}) {
    const double x = 2 * static_cast<double>(sharpness * far) * static_cast<double>(sign);
    const double loss = std::log1p(std::exp(x));
    const double slope = static_cast<double>(sharpness) / (1 + std::exp(-x));
    funnel::training_context<t> context;
    const auto positive = context.make(1, 1), negative = context.make(1, 1);
    positive.values(0, 0) = -sign * far;
    negative.values(0, 0) = sign * far;
    const auto found =
        funnel::triplet_loss(context, positive, negative,
                             {.form = funnel::triplet_form::logistic, .sharpness = sharpness});
    context.backward(found);
    CHECK(tolerance::within(static_cast<double>(found.values(0, 0)), loss,
                            tolerance::elementwise<t>(loss)));
    CHECK(tolerance::within(static_cast<double>(negative.gradient(0, 0)), slope,
                            tolerance::elementwise<t>(slope)));
    const std::vector<t> teacher = {1, 0};
    const auto pair = evaluate(column<t>({-sign * far, sign * far}), [&](auto& c, const auto& z) {
      return funnel::pairwise_distillation(c, z, std::span<const t>(teacher),
                                           std::span<const std::uint32_t>(one_list),
                                           {.sharpness = sharpness});
    });
    CHECK(tolerance::within(static_cast<double>(pair.loss), loss, tolerance::elementwise<t>(loss)));
    CHECK(tolerance::within(static_cast<double>(pair.gradient(1, 0)), slope,
                            tolerance::elementwise<t>(slope)));
  }
}

TEST_CASE("total_loss: a sum beyond the largest number", "[loss]") {
  funnel::inference_context<float> context;
  const auto large = funnel::matrix<float>(1, 1, most<float>);
  const auto loss = context.input(large);
  CHECK(funnel::total_loss(context, {loss, loss}, {2, 2})(0, 0) == most<float>);
  CHECK(funnel::total_loss(context, {loss, loss}, {2, -1})(0, 0) == most<float>);
}
