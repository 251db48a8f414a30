// SPDX-License-Identifier: MIT
#include <funnel/core/executor.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/normalization.hpp>
#include <funnel/optim/adagrad.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/sgd.hpp>
#include <funnel/training/training_step.hpp>

#include "support/failing_allocator.hpp"
#include "support/matrices.hpp"

#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>
#include <vector>

using failing_allocator::check_every_failure;

namespace {

struct small_model {
  funnel::embedding<double> item{50, 3};
  funnel::batch_norm<double> norm{3};
  funnel::dense<double> head{3, 1};

  small_model() {
    item.table.value = random_matrix<double>(50, 3, 1);
    head.weight.value = random_matrix<double>(3, 1, 2);
  }
  void visit_parameters(auto&& visit) {
    visit("item", item);
    visit("norm", norm);
    visit("head", head);
  }
};

/// A model, and a step of training whose leaves share rows of the table.
template <class Optimizer>
struct training_run {
  std::unique_ptr<small_model> model = std::make_unique<small_model>();
  std::unique_ptr<funnel::training_step<double>> step =
      std::make_unique<funnel::training_step<double>>();
  std::vector<std::uint32_t> ids{3, 7, 3, 9, 7, 3, 11, 12};
  Optimizer optimizer;

  explicit training_run(Optimizer made) : optimizer(std::move(made)) {}

  void run(std::uint64_t number) {
    funnel::serial_executor executor;
    (*step)(executor, *model, optimizer,
            {.leaves = 3, .rows = 8, .step = number, .max_norm = number == 1 ? 0 : 0.01},
            [&](auto& context, std::size_t leaf) {
              // A leaf without new rows, and leaves of different sizes.
              const auto own = std::span<const std::uint32_t>(ids).subspan(2 * leaf, leaf + 2);
              const auto z = model->head(context, model->norm(context, model->item(context, own)));
              const auto loss = context.make(1, 1);
              loss.values(0, 0) = z.values(0, 0) * z.values(0, 0);
              context.record(
                  [z, loss] { z.gradient(0, 0) += 2 * z.values(0, 0) * loss.gradient(0, 0); });
              return loss;
            });
  }
};

std::vector<double> values_of(const small_model& m) {
  std::vector<double> all;
  funnel::for_each_parameter(m, [&](std::string_view, const auto& p) {
    all.insert(all.end(), p.value.flat().begin(), p.value.flat().end());
  });
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("training_step: a step that runs out of memory changes nothing", "",
                   funnel::sgd<double>, funnel::adagrad<double>, funnel::adam<double>) {
  auto options = TestType().options;
  if constexpr (std::is_same_v<TestType, funnel::sgd<double>>) options.momentum = 0.5;
  for (const std::uint64_t steps_before : {0u, 1u}) {
    check_every_failure(
        steps_before == 0 ? "the first step" : "a later step, which clips",
        [&] {
          training_run<TestType> made{TestType(options)};
          for (std::uint64_t step = 0; step < steps_before; ++step) made.run(step);
          return made;
        },
        [&](auto& made) { made.run(steps_before + 1); },
        [](const auto& made) { return values_of(*made.model); });
  }
}
