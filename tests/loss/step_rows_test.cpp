// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/bce.hpp>
#include <funnel/loss/completion.hpp>
#include <funnel/loss/huber.hpp>
#include <funnel/loss/in_batch_softmax.hpp>
#include <funnel/loss/listwise.hpp>
#include <funnel/loss/mean_loss.hpp>
#include <funnel/loss/mse.hpp>
#include <funnel/loss/pairwise.hpp>
#include <funnel/loss/sampled_softmax.hpp>
#include <funnel/loss/triplet.hpp>
#include <funnel/loss/watch_time.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/similarity.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

// What a loss divides by: on the parts of a batch, losses and gradients add up to those of the whole.
using namespace loss_test;

namespace {

constexpr std::size_t rows = 12;
// The parts of the batch; no list is cut.
const std::vector<std::size_t> cuts = {0, 3, 4, 10, 12};
const std::vector<std::uint32_t> lists = {0, 2, 3, 4, 8, 10, 12};

struct batch {
  std::vector<double> labels, weights, times, lengths;
  std::vector<std::uint8_t> same_part = std::vector<std::uint8_t>(rows * rows);

  batch() {
    funnel::random_generator random(7);
    for (std::size_t i = 0; i < rows; ++i) {
      labels.push_back(funnel::uniform01(random));
      // A part without any weight, and rows that are left out.
      weights.push_back(i == 3 || i % 4 == 1 ? 0 : 0.5 + static_cast<double>(i));
      times.push_back(100 * funnel::uniform01(random));
      lengths.push_back(i == 8 ? 0 : 80);
    }
  }
};
const batch data;

/// One part of the batch: its rows and its lists.
struct part {
  std::size_t begin, end;

  template <class T>
  std::span<const T> of(const std::vector<T>& values) const {
    return std::span(values).subspan(begin, end - begin);
  }
  std::vector<std::uint32_t> offsets() const {
    std::vector<std::uint32_t> found;
    for (const std::uint32_t offset : lists) {
      if (offset >= begin && offset <= end)
        found.push_back(offset - static_cast<std::uint32_t>(begin));
    }
    return found;
  }
};

/// Sum of the weights of rows [begin, end) that count.
double weights_of(const auto& counts) {
  double sum = 0;
  for (std::size_t i = 0; i < rows; ++i) sum += counts(i) ? data.weights[i] : 0;
  return sum;
}

/// A loss without `total_weight` and step on the whole batch, on parts of a step, and on parts that
/// pass the total. `loss(context, x, part, total_weight)`; `total` is what it divides by by itself.
template <class Loss>
void check_parts(const std::string& name, const funnel::matrix<double>& x, double total,
                 Loss loss) {
  INFO(name);
  const auto parted = [&](std::size_t step_rows, double total_weight) {
    evaluation<double> sum{0, funnel::matrix<double>(x.rows(), x.cols())};
    for (std::size_t k = 0; k + 1 < cuts.size(); ++k) {
      const part here{cuts[k], cuts[k + 1]};
      funnel::training_context<double> context;
      context.set_step_rows(step_rows);
      const auto value = context.make(here.end - here.begin, x.cols());
      std::ranges::copy(x.flat().subspan(here.begin * x.cols(), value.rows() * x.cols()),
                        value.values.data());
      const auto result = loss(context, value, here, total_weight);
      context.backward(result);
      sum.loss += view(result)(0, 0);
      std::copy_n(value.gradient.data(), value.rows() * x.cols(),
                  sum.gradient.row(here.begin).data());
    }
    return sum;
  };
  const auto check_same = [&](const evaluation<double>& found, const evaluation<double>& whole,
                              double factor) {
    const double bound = tolerance::reduction<double>(rows * rows, std::abs(whole.loss * factor));
    CHECK(tolerance::within(found.loss, whole.loss * factor, bound));
    double largest = 0;
    for (const double slope : whole.gradient.flat()) largest = std::max(largest, std::abs(slope));
    for (std::size_t i = 0; i < x.size(); ++i) {
      CHECK(tolerance::within(found.gradient.flat()[i], whole.gradient.flat()[i] * factor,
                              tolerance::reduction<double>(rows * rows, largest * factor)));
    }
  };
  const part all{0, rows};
  const auto whole =
      evaluate(x, [&](auto& context, const auto& z) { return loss(context, z, all, 0.); });
  REQUIRE(whole.loss > 0);
  check_same(parted(rows, 0), whole, total / static_cast<double>(rows));
  check_same(parted(0, total), whole, 1);
  check_same(parted(1000, total), whole, 1);  // the option counts more than the step
  const auto stepped = evaluate(x, [&](auto& context, const auto& z) {
    context.set_step_rows(rows);
    return loss(context, z, all, 0.);
  });
  check_same(stepped, whole, total / static_cast<double>(rows));
  // Serving knows no step; the option is for both contexts.
  funnel::inference_context<double> serving;
  CHECK(view(loss(serving, serving.input(x), all, 0.))(0, 0) == whole.loss);
  CHECK(tolerance::within(view(loss(serving, serving.input(x), all, 2 * total))(0, 0),
                          whole.loss / 2, tolerance::elementwise<double>(whole.loss)));
  CHECK(contains(
      error_of(x, [&](auto& context, const auto& z) { return loss(context, z, all, -1.); }),
      "total_weight is -1, expected a finite number of 0 or more"));
}

}  // namespace

TEST_CASE("losses: the parts of a step add up to the loss of the whole", "[loss]") {
  funnel::random_generator random(3);
  const auto z = random_matrix<double>(random, rows, 1, 3);
  const auto scores = random_matrix<double>(random, rows, 4, 0.3);
  const double total = weights_of([](std::size_t) { return true; });
  check_parts("bce", z, total, [](auto& context, const auto& x, part here, double total_weight) {
    return funnel::bce_with_logits(
        context, x, here.of(data.labels),
        {.weights = here.of(data.weights), .total_weight = total_weight});
  });
  check_parts("completion", z, weights_of([](std::size_t i) { return data.lengths[i] > 0; }),
              [](auto& context, const auto& x, part here, double total_weight) {
                return funnel::completion_loss(
                    context, x, here.of(data.times), here.of(data.lengths),
                    {.weights = here.of(data.weights), .total_weight = total_weight});
              });
  check_parts("watch time", z, total,
              [](auto& context, const auto& x, part here, double total_weight) {
                return funnel::watch_time_loss(
                    context, x, here.of(data.times),
                    {.weights = here.of(data.weights), .total_weight = total_weight});
              });
  funnel::matrix<double> positive(rows, 1);
  for (std::size_t i = 0; i < rows; ++i) positive(i, 0) = std::abs(z(i, 0));
  check_parts("mean", positive, total,
              [](auto& context, const auto& x, part here, double total_weight) {
                return funnel::mean_loss(
                    context, x, {.weights = here.of(data.weights), .total_weight = total_weight});
              });
  check_parts("mse", z, total, [](auto& context, const auto& x, part here, double total_weight) {
    return funnel::mse_loss(context, x, here.of(data.labels),
                            {.weights = here.of(data.weights), .total_weight = total_weight});
  });
  check_parts("huber", z, total, [](auto& context, const auto& x, part here, double total_weight) {
    return funnel::huber_loss(context, x, here.of(data.labels),
                              {.weights = here.of(data.weights), .total_weight = total_weight});
  });
  check_parts("sampled softmax", scores, total,
              [](auto& context, const auto& x, part here, double total_weight) {
                return funnel::sampled_softmax(
                    context, x, {.weights = here.of(data.weights), .total_weight = total_weight});
              });
  check_parts("triplet", scores, total,
              [](auto& context, const auto& x, part here, double total_weight) {
                const funnel::matrix<double> positives(x.rows(), 1, 0.1);
                return funnel::triplet_loss(
                    context, context.input(positives), x,
                    {.weights = here.of(data.weights), .total_weight = total_weight});
              });
  check_parts("listwise", z, 4, [](auto& context, const auto& x, part here, double total_weight) {
    return funnel::listwise_distillation(context, x, here.of(data.labels), here.offsets(),
                                         {.total_weight = total_weight});
  });
  double pairs = 0;
  for (std::size_t g = 0; g + 1 < lists.size(); ++g) {
    for (std::size_t i = lists[g]; i < lists[g + 1]; ++i) {
      for (std::size_t j = lists[g]; j < i; ++j) pairs += std::abs(data.labels[i] - data.labels[j]);
    }
  }
  check_parts(
      "pairwise", z, pairs, [](auto& context, const auto& x, part here, double total_weight) {
        return funnel::pairwise_distillation(context, x, here.of(data.labels), here.offsets(),
                                             {.total_weight = total_weight});
      });
}

TEST_CASE("in_batch_softmax: a part of a step has only its own negatives", "[loss]") {
  funnel::random_generator random(4);
  const auto users = random_matrix<double>(random, rows, 3, 1);
  const auto items = random_matrix<double>(random, rows, 3, 1);
  funnel::matrix<std::uint8_t> other_part(rows, rows, 1);
  for (std::size_t k = 0; k + 1 < cuts.size(); ++k) {
    for (std::size_t i = cuts[k]; i < cuts[k + 1]; ++i) {
      for (std::size_t j = cuts[k]; j < cuts[k + 1]; ++j) other_part(i, j) = 0;
    }
  }
  const auto run = [&](part here, std::size_t step_rows, double total_weight,
                       funnel::matrix_view<const std::uint8_t> excluded) {
    funnel::training_context<double> context;
    context.set_step_rows(step_rows);
    const std::size_t n = here.end - here.begin;
    const auto scores =
        funnel::pairwise_dot(context, context.input(users.view().middle_rows(here.begin, n)),
                             context.input(items.view().middle_rows(here.begin, n)));
    return view(funnel::in_batch_softmax(context, scores,
                                         {.temperature = 0.5,
                                          .excluded = excluded,
                                          .weights = here.of(data.weights),
                                          .total_weight = total_weight}))(0, 0);
  };
  const double total = weights_of([](std::size_t) { return true; });
  const double own_negatives = run({0, rows}, 0, 0, other_part);
  double step = 0, given = 0;
  for (std::size_t k = 0; k + 1 < cuts.size(); ++k) {
    step += run({cuts[k], cuts[k + 1]}, rows, 0, {});
    given += run({cuts[k], cuts[k + 1]}, 0, total, {});
  }
  const double bound = tolerance::reduction<double>(rows * rows, own_negatives * total);
  CHECK(tolerance::within(step * static_cast<double>(rows), own_negatives * total, bound));
  CHECK(tolerance::within(given * total, own_negatives * total, bound));
  CHECK(run({0, rows}, 0, 0, {}) > own_negatives);  // more negatives in the whole batch
}

TEMPLATE_TEST_CASE("losses: finite whatever they are divided by", "[loss]", float, double) {
  using t = TestType;
  constexpr t most = std::numeric_limits<t>::max();
  for (const t weight : {std::numeric_limits<t>::denorm_min(), t(1), most}) {
    for (const double total : {std::numeric_limits<double>::denorm_min(), 1e-30, 1e300}) {
      const std::vector<t> labels = {0, t(.5)}, weights = {weight, weight}, times = {most, 0};
      const std::vector<std::uint32_t> one_list = {0, 2};
      const auto check_finite = [&](const std::string& name, const auto& x, auto loss) {
        const auto found = evaluate(x, loss);
        bool finite = std::isfinite(found.loss);
        for (const t slope : found.gradient.flat()) finite &= std::isfinite(slope);
        INFO(name << ' ' << weight << ' ' << total << ": " << found.loss);
        CHECK(finite);
      };
      const auto x = column<t>({most, t(-3)});
      const auto square = filled<t>(2, 2, {t(1), t(-1), most, t(0)});
      check_finite("bce", x, [&](auto& context, const auto& z) {
        return funnel::bce_with_logits(context, z, labels,
                                       {.weights = weights, .total_weight = total});
      });
      check_finite("watch time", x, [&](auto& context, const auto& z) {
        return funnel::watch_time_loss(context, z, times,
                                       {.weights = weights, .total_weight = total});
      });
      check_finite("mse", x, [&](auto& context, const auto& z) {
        return funnel::mse_loss(context, z, labels, {.weights = weights, .total_weight = total});
      });
      check_finite("huber", x, [&](auto& context, const auto& z) {
        return funnel::huber_loss(context, z, labels,
                                  {.delta = weight, .weights = weights, .total_weight = total});
      });
      check_finite("in batch", square, [&](auto& context, const auto& z) {
        return funnel::in_batch_softmax(context, z, {.weights = weights, .total_weight = total});
      });
      check_finite("triplet", square, [&](auto& context, const auto& z) {
        return funnel::triplet_loss(context, context.input({labels.data(), 2, 1}), z,
                                    {.weights = weights, .total_weight = total});
      });
      check_finite("listwise", x, [&](auto& context, const auto& z) {
        return funnel::listwise_distillation(context, z, labels, one_list, {.total_weight = total});
      });
      check_finite("pairwise", x, [&](auto& context, const auto& z) {
        return funnel::pairwise_distillation(context, z, labels, one_list,
                                             {.sharpness = weight, .total_weight = total});
      });
    }
  }
}
