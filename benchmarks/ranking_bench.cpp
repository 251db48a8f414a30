// SPDX-License-Identifier: MIT
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/core/executor.hpp>
#include <funnel/core/thread_pool.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>

#ifdef FUNNEL_HAS_TBB
#include <funnel/adapters/tbb.hpp>
#endif
#include <funnel/optim/add_gradients.hpp>
#include <funnel/training/training_step.hpp>

#include <algorithm>
#include <deque>
#include <memory>
#include <type_traits>
#include <vector>

namespace {

using bench::add;
using bench::mmoe_model;

struct server {
  funnel::frozen<mmoe_model, funnel::default_arch> model = funnel::freeze(mmoe_model());
  funnel::inference_context<float> context;
  bench::mmoe_batch batch;

  explicit server(std::size_t n) : batch(n) {}
};

void add_mmoe(std::size_t n) {
  add("mmoe/n:" + std::to_string(n),
      {.flops = bench::mmoe_flops(double(n), double(n)), .cached_bytes = bench::mmoe_weight_bytes},
      [n]() -> bench::task {
        const auto s = std::make_shared<server>(n);
        return [s] {
          s->context.reset();
          benchmark::DoNotOptimize(s->model(s->context, s->batch.x.view()));
        };
      });
}

/// One user and n items: the user's 160 inputs are one row.
void add_request(std::size_t n) {
  add("mmoe_request/n:" + std::to_string(n),
      {.flops = bench::mmoe_flops(double(n), 1), .cached_bytes = bench::mmoe_weight_bytes},
      [n]() -> bench::task {
        const auto s = std::make_shared<server>(n);
        const auto x = s->batch.x.view();
        const auto user = x.middle_cols(0, mmoe_model::user_in).middle_rows(0, 1);
        const auto items = x.middle_cols(mmoe_model::user_in, mmoe_model::in - mmoe_model::user_in);
        return [=] {
          s->context.reset();
          benchmark::DoNotOptimize(s->model(s->context, concat(s->context, user, items)));
        };
      });
}

template <class Executor>
Executor make_executor(std::size_t threads) {
  if constexpr (std::is_constructible_v<Executor, std::size_t>)
    return Executor(threads);
  else
    return Executor();
}

/// A step on a batch: a shard a thread, each with a context of its own, in parts that stay in L2.
template <class Executor>
class trainer {
 public:
  trainer(std::size_t n, std::size_t threads)
      : batch_(n), executor_(make_executor<Executor>(threads)), contexts_(threads) {}

  void step() {
    const std::size_t n = batch_.x.rows();
    const std::size_t shards = contexts_.size();
    executor_.for_each(shards, [&](std::size_t shard) {
      contexts_[shard].clear();
      for (std::size_t begin = shard * n / shards; begin < (shard + 1) * n / shards;
           begin += micro_batch) {
        const std::size_t end = std::min(begin + micro_batch, (shard + 1) * n / shards);
        learn_from(contexts_[shard], begin, end);
      }
    });
    for (std::size_t shard = 1; shard < shards; ++shard)
      add_gradients(model_, contexts_[0], contexts_[shard], 1.0f);
    optimizer_.step(model_, contexts_[0]);
  }

 private:
  static constexpr std::size_t micro_batch = 256;  // rows whose values stay in L2

  /// Adds the gradient of rows [begin, end), as a part of the batch's mean.
  void learn_from(funnel::training_context<float>& context, std::size_t begin, std::size_t end) {
    const std::size_t n = end - begin;
    const auto logits =
        model_(context, context.input(std::as_const(batch_.x).view().middle_rows(begin, n)));
    context.backward(bench::loss_of_part(context, logits, batch_.labels, begin),
                     static_cast<float>(n) / static_cast<float>(batch_.x.rows()));
    context.next_micro_batch();
  }

  mmoe_model model_;
  bench::mmoe_batch batch_;
  Executor executor_;
  std::deque<funnel::training_context<float>> contexts_;
  funnel::adam<float> optimizer_{{.learning_rate = 1e-3}};
};

/// The same by a `training_step`: leaves of 256 rows, two at least, whose sums do not depend on the
/// threads.
template <class Executor>
class leaf_trainer {
 public:
  leaf_trainer(std::size_t n, std::size_t threads)
      : batch_(n), executor_(make_executor<Executor>(threads)) {}

  void step() {
    const std::size_t n = batch_.x.rows();
    const std::size_t leaves = std::max<std::size_t>(n / 256, 2);
    step_(executor_, model_, optimizer_, {.leaves = leaves, .rows = n, .step = steps_++},
          [&](auto& context, std::size_t leaf) {
            const std::size_t begin = leaf * n / leaves;
            const std::size_t rows = (leaf + 1) * n / leaves - begin;
            const auto logits = model_(
                context, context.input(std::as_const(batch_.x).view().middle_rows(begin, rows)));
            return bench::loss_of_part(context, logits, batch_.labels, begin);
          });
  }

 private:
  mmoe_model model_;
  bench::mmoe_batch batch_;
  Executor executor_;
  funnel::training_step<float> step_;
  funnel::adam<float> optimizer_{{.learning_rate = 1e-3}};
  std::uint64_t steps_ = 0;
};

template <template <class> class Trainer, class Executor>
void add_training(const std::string& kind, std::size_t n, std::size_t threads) {
  std::string name = kind + "/batch:" + std::to_string(n);
  if (threads > 1) name += "/threads:" + std::to_string(threads);
  add(name, {.flops = bench::mmoe_training_flops(double(n)), .threads = static_cast<int>(threads)},
      [=]() -> bench::task {
        const auto t = std::make_shared<Trainer<Executor>>(n, threads);
        return [t] { t->step(); };
      });
}

/// A step on 100 requests of 10 candidates, in parts of 25 requests.
template <class Model>
class request_trainer {
 public:
  explicit request_trainer(bool grouped) : data_(grouped) {}

  void step() {
    context_.clear();
    for (std::size_t r = 0; r < data::requests; r += part) learn_from(r);
    optimizer_.step(model_, context_);
  }

 private:
  using data = bench::request_data;
  static constexpr std::size_t part = 25;  // requests whose values stay in L2

  /// Adds the gradient of `part` requests from `first` on.
  void learn_from(std::size_t first) {
    const std::size_t n = part * data::size;
    std::array<std::uint32_t, part + 1> offsets;
    for (std::size_t r = 0; r <= part; ++r) offsets[r] = static_cast<std::uint32_t>(r * data::size);
    if (data_.copies == 1) context_.group_rows(offsets);
    const auto items =
        context_.input(std::as_const(data_.items).view().middle_rows(first * data::size, n));
    const auto logits = run(first * data_.copies, part * data_.copies, items);
    context_.backward(bench::loss_of_part(context_, logits, data_.labels, first * data::size),
                      static_cast<float>(n) / static_cast<float>(data::rows));
    context_.next_micro_batch();
  }

  /// The model on rows [begin, begin + count) of what belongs to the user.
  auto run(std::size_t begin, std::size_t count, const funnel::variable<float>& items) {
    if constexpr (std::is_same_v<Model, bench::mmoe_model>) {
      const auto user = std::as_const(data_.user).view().middle_rows(begin, count);
      return model_(context_, concat(context_, user, items));
    } else {
      offsets_.assign(data_.bag_offsets.data() + begin,
                      data_.bag_offsets.data() + begin + count + 1);
      for (std::uint32_t& at : offsets_) at -= data_.bag_offsets[begin];
      const funnel::id_lists bags{
          std::span(data_.bag_ids).subspan(data_.bag_offsets[begin], offsets_.back()), offsets_};
      return model_(context_, std::as_const(data_.field_ids).view().middle_rows(begin, count), bags,
                    items);
    }
  }

  Model model_;
  data data_;
  funnel::training_context<float> context_;
  funnel::adam<float> optimizer_{{.learning_rate = 1e-3}};
  std::vector<std::uint32_t> offsets_;
};

template <class Model>
void add_requests(const std::string& inputs, bool grouped) {
  add("train_requests/" + inputs + (grouped ? "/grouped" : "/repeated"),
      {.flops = bench::mmoe_training_flops(double(bench::request_data::rows),
                                           double(bench::request_data::user_rows(grouped)),
                                           !std::is_same_v<Model, bench::mmoe_model>)},
      [=]() -> bench::task {
        const auto t = std::make_shared<request_trainer<Model>>(grouped);
        return [t] { t->step(); };
      });
}

const bool added = [] {
  for (const std::size_t n : bench::mmoe_rows) add_mmoe(n);
  for (const std::size_t n : bench::mmoe_rows) add_request(n);
  for (const std::size_t n : bench::size_list{256, 1024}) {
    add_training<trainer, funnel::serial_executor>("train_step", n, 1);
#ifdef FUNNEL_HAS_TBB
    add_training<trainer, funnel::tbb_executor>("train_step", n, 2);
#endif
    add_training<leaf_trainer, funnel::serial_executor>("training_step", n, 1);
    add_training<leaf_trainer, funnel::thread_pool>("training_step", n, 2);
  }
  for (const bool grouped : {false, true}) {
    add_requests<bench::mmoe_model>("raw", grouped);
    add_requests<bench::embedded_model>("embedded", grouped);
  }
  return true;
}();

}  // namespace
