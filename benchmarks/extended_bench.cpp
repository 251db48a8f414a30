// SPDX-License-Identifier: MIT
#include "extended_ranker.hpp"
#include "harness.hpp"

#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>

#include <array>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace {

using bench::add;
using bench::extended_ranker;

void add_request(std::size_t n) {
  add("ranker_request/n:" + std::to_string(n), {.flops = extended_ranker::flops(double(n))},
      [n]() -> bench::task {
        const auto model =
            std::make_shared<const funnel::frozen<extended_ranker, funnel::default_arch>>(
                funnel::freeze(extended_ranker()));
        const auto data = std::make_shared<const bench::extended_data>(1, n);
        const auto context = std::make_shared<funnel::inference_context<float>>();
        return [=] {
          context->reset();
          benchmark::DoNotOptimize((*model)(*context, data->user.view(), data->items.view(),
                                            data->vectors(), data->events.view(), data->offsets));
        };
      });
}

/// A step on 100 requests of 10 candidates, in parts of 25 requests whose values stay in L2.
class trainer {
 public:
  void step() {
    context_.clear();
    for (std::size_t r = 0; r < data_.requests; r += part) learn_from(r);
    optimizer_.step(model_, context_);
  }

 private:
  static constexpr std::size_t part = 25, events = extended_ranker::history;

  /// Adds the gradient of `part` requests from `first` on.
  void learn_from(std::size_t first) {
    const std::size_t n = part * data_.size, begin = first * data_.size;
    std::array<std::uint32_t, part + 1> offsets;
    for (std::size_t r = 0; r <= part; ++r) offsets[r] = static_cast<std::uint32_t>(r * data_.size);
    context_.group_rows(offsets);
    const auto rows = [&](const bench::matrix<float>& m, std::size_t from, std::size_t count) {
      return m.view().middle_rows(from, count);
    };
    const auto logits = model_(context_, rows(data_.user, first, part), rows(data_.items, begin, n),
                               context_.input(data_.vectors().middle_rows(begin, n)),
                               context_.input(rows(data_.events, first * events, part * events)),
                               {data_.offsets.data(), part + 1});
    context_.backward(bench::loss_of_part(context_, logits, labels_, begin),
                      static_cast<float>(n) / static_cast<float>(data_.requests * data_.size));
    context_.next_micro_batch();
  }

  extended_ranker model_;
  bench::extended_data data_{bench::request_data::requests, bench::request_data::size};
  std::array<bench::matrix<float>, 4> labels_ = bench::mmoe_batch(bench::request_data::rows).labels;
  funnel::training_context<float> context_;
  funnel::adam<float> optimizer_{{.learning_rate = 1e-3}};
};

const bool added = [] {
  for (const std::size_t n : extended_ranker::candidates) add_request(n);
  add("train_ranker/requests:100", []() -> bench::task {
    const auto t = std::make_shared<trainer>();
    return [t] { t->step(); };
  });
  return true;
}();

}  // namespace
