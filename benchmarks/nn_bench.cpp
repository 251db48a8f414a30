// SPDX-License-Identifier: MIT
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/core/thread_pool.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/quantized_embedding.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adagrad.hpp>
#include <funnel/training/training_step.hpp>

#include <memory>
#include <string>

namespace {

using bench::add;

/// A layer as it serves: frozen, on a context that is reset for every request.
void add_dense(const bench::dense_shape& s) {
  const double n = static_cast<double>(s.n), in = static_cast<double>(s.in),
               out = static_cast<double>(s.out);
  add(s.name(), {.flops = 2 * n * in * out, .cached_bytes = 4 * (n * in + in * out + n * out)},
      [s]() -> bench::task {
        const auto data = std::make_shared<bench::dense_data>(s);
        const auto layer = std::make_shared<decltype(freeze(data->layer()))>(freeze(data->layer()));
        const auto context = std::make_shared<funnel::inference_context<float>>();
        return [=] {
          context->reset();
          benchmark::DoNotOptimize((*layer)(*context, data->x.view()).data());
        };
      });
}

/// Pools rows of `row_bytes`; what comes out stays in the cache.
template <class Bag>
void add_bags(const std::string& storage, std::size_t row_bytes) {
  using bags = bench::bag_data;
  add("embedding_bag/1000000x64/bags:512/len:50" + storage,
      {.memory_bytes = static_cast<double>(bags::bags * bags::length * (row_bytes + 4)) *
                       bench::uncached_share(static_cast<double>(bags::rows * row_bytes))},
      []() -> bench::task {
        const auto data = std::make_shared<bags>();
        funnel::embedding_bag<float> trained(bags::rows, bags::dim);
        trained.table.value = std::move(data->table);
        const auto layer = std::make_shared<Bag>(std::move(trained));
        const auto context = std::make_shared<funnel::inference_context<float>>();
        return [=, batch = std::size_t{0}]() mutable {
          context->reset();
          const funnel::id_lists lists{data->batch(batch++), data->offsets};
          benchmark::DoNotOptimize((*layer)(*context, lists).data());
        };
      });
}

bench::task make_sparse_step() {
  struct state {
    bench::sparse_data data;
    bench::sparse_model model{data};
    funnel::training_context<float> context;
    funnel::adagrad<float> optimizer;
    std::size_t batch = 0;
  };
  const auto s = std::make_shared<state>();
  return [s] {
    const auto logits = s->model(s->context, s->data.batch_ids(s->batch));
    const auto labels = std::as_const(s->data.labels).row(s->batch % bench::sparse_data::batches);
    s->context.backward(bce_with_logits(s->context, logits, labels));
    s->optimizer.step(s->model, s->context);
    s->context.clear();
    ++s->batch;
  };
}

/// The same by a `training_step`: 8 leaves of 128 rows.
template <class Executor>
bench::task make_sparse_leaves(const std::shared_ptr<Executor>& executor) {
  struct state {
    bench::sparse_data data;
    bench::sparse_model model{data};
    funnel::training_step<float> step;
    funnel::adagrad<float> optimizer;
    std::size_t batch = 0;
  };
  const auto s = std::make_shared<state>();
  return [s, executor] {
    constexpr std::size_t leaves = 8, rows = bench::sparse_data::batch / leaves;
    const auto ids = s->data.batch_ids(s->batch);
    const auto labels = std::as_const(s->data.labels).row(s->batch % bench::sparse_data::batches);
    s->step(*executor, s->model, s->optimizer,
            {.leaves = leaves, .rows = bench::sparse_data::batch},
            [&](auto& context, std::size_t leaf) {
              const auto logits = s->model(context, ids.middle_rows(leaf * rows, rows));
              return bce_with_logits(context, logits, labels.subspan(leaf * rows, rows));
            });
    ++s->batch;
  };
}

const bool added = [] {
  for (const bench::dense_shape& s : bench::dense_shapes()) add_dense(s);

  add_bags<funnel::embedding_bag<float>>("", 4 * bench::bag_data::dim);
  add_bags<funnel::quantized_embedding_bag<funnel::float16>>("/float16", 2 * bench::bag_data::dim);
  add_bags<funnel::quantized_embedding_bag<funnel::bfloat16>>("/bfloat16",
                                                              2 * bench::bag_data::dim);
  add_bags<funnel::quantized_embedding_bag<std::int8_t>>("/int8", bench::bag_data::dim + 8);

  // Each id's row and its sum of squares are read and written.
  using sparse = bench::sparse_data;
  add("train_step_embeddings/batch:1024",
      {.memory_bytes = double{sparse::batch * sparse::fields} * (2 * (4 * sparse::dim + 4) + 4) *
                       bench::uncached_share(double{sparse::rows * 4 * (sparse::dim + 1)})},
      make_sparse_step);
  for (const std::size_t threads : bench::size_list{1, 2}) {
    add("training_step_embeddings/batch:1024" +
            (threads > 1 ? "/threads:" + std::to_string(threads) : ""),
        {.threads = static_cast<int>(threads)},
        [threads] { return make_sparse_leaves(std::make_shared<funnel::thread_pool>(threads)); });
  }
  return true;
}();

}  // namespace
