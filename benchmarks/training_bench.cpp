// SPDX-License-Identifier: MIT
#include "harness.hpp"

#include "short_video_feed/models.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

// The ranker of examples/short_video_feed, trained on its rows.
namespace {

/// The rows of the days of training, as the example makes them.
struct feed_rows {
  funnel::schema features;
  funnel::encoded_log rows;

  feed_rows() {
    const feed::feed_log data(
        funnel::simulator({.users = 1000, .impressions_per_user_day = 12}).log(), {}, 0);
    features = funnel::schema(feed::feed_features(data.log, 0));
    rows = funnel::fit_schema(features, data.rows(data.training), data.tables()).rows;
  }
  static const feed_rows& shared() {
    static const feed_rows made;
    return made;
  }
};

/// What both ways of training share: the model, and batches of 512 rows in random order.
class feed_trainer {
 protected:
  static constexpr std::size_t batch_rows = 512;

  const feed_rows& data_ = feed_rows::shared();
  feed::ranker model_{data_.features};
  funnel::adam<float> optimizer_{{.learning_rate = 2e-3, .weight_decay = 1e-4}};
  std::vector<std::uint32_t> order_;  // of requests, which have one row each
  std::size_t begin_ = 0;

  feed_trainer() : order_(data_.rows.requests()) {
    funnel::random_generator bits(1);
    funnel::initialize(model_, bits);
    std::iota(order_.begin(), order_.end(), 0u);
    funnel::shuffle(bits, std::span(order_));
  }

  std::span<const std::uint32_t> next_batch() {
    if (begin_ + batch_rows > order_.size()) begin_ = 0;
    const auto picked = std::span(order_).subspan(begin_, batch_rows);
    begin_ += batch_rows;
    return picked;
  }
  static auto loss(auto& context, const feed::ranker& model, const funnel::row_batch& rows) {
    return model.loss(context, rows);
  }
};

/// A loop without leaves: one context, the whole batch at once.
class loop_trainer : feed_trainer {
 public:
  void step() {
    data_.rows.gather(next_batch(), batch_, &bits_);
    context_.backward(loss(context_, model_, batch_));
    optimizer_.step(model_, context_);
    context_.clear();
  }

 private:
  funnel::training_context<float> context_;
  funnel::random_generator bits_{1};
  funnel::row_batch batch_;
};

/// The same by a `training_step` in leaves of 256 rows.
template <class Executor>
class leaf_trainer : feed_trainer {
 public:
  explicit leaf_trainer(std::size_t threads) : executor_(make(threads)) {}

  void step() {
    const auto picked = next_batch();
    step_(executor_, model_, optimizer_,
          {.leaves = leaves, .rows = batch_rows, .seed = 1, .step = steps_++},
          [&](auto& context, std::size_t leaf) {
            constexpr std::size_t rows = batch_rows / leaves;
            data_.rows.gather(picked.subspan(leaf * rows, rows), batches_[leaf], &context.random());
            return loss(context, model_, batches_[leaf]);
          });
  }

 private:
  static constexpr std::size_t leaves = 2;

  static Executor make(std::size_t threads) {
    if constexpr (std::is_constructible_v<Executor, std::size_t>)
      return Executor(threads);
    else
      return Executor();
  }

  Executor executor_;
  funnel::training_step<float> step_;
  std::array<funnel::row_batch, leaves> batches_;
  std::uint64_t steps_ = 0;
};

template <class Trainer>
void add_training(const std::string& name, int threads, auto... arguments) {
  bench::add("train_feed/" + name, {.threads = threads}, [=]() -> bench::task {
    const auto t = std::make_shared<Trainer>(arguments...);
    return [t] { t->step(); };
  });
}

const bool added = [] {
  add_training<loop_trainer>("loop", 1);
  add_training<leaf_trainer<funnel::serial_executor>>("leaves", 1, std::size_t{1});
  add_training<leaf_trainer<funnel::thread_pool>>("leaves/threads:2", 2, std::size_t{2});
  return true;
}();

}  // namespace
