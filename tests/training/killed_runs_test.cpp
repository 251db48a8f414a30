// SPDX-License-Identifier: MIT
#include <funnel/training/train.hpp>

#include <funnel/core/thread_pool.hpp>
#include <funnel/features/feature_inputs.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/normalization.hpp>

#include "data/files.hpp"
#include "features/random_log.hpp"
#include "support/catch.hpp"
#include "support/saved_state.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

using namespace funnel;

namespace {

using seconds = std::chrono::duration<double>;

/// With what a checkpoint has to keep: random numbers, running statistics, gradients of some rows.
template <class T>
struct ranker {
  feature_inputs<T> inputs;
  batch_norm<T> norm;
  mlp<T> click, like;

  ranker(const schema& features, std::uint64_t seed)
      : inputs(features, {.dim = 24}), norm(inputs.width()),
        click(inputs.width(), {64, 1}, {.dropout = .1}), like(inputs.width(), {32, 1}) {
    random_generator bits(seed);
    initialize(*this, bits);
  }
  template <Context C>
  std::array<value_of<C>, 2> operator()(C& context, const row_batch& rows) const {
    const auto x = inputs(context, rows);
    const auto all = norm(context, materialize(context, concat(context, x.user, x.item)));
    const auto first = click(context, all);
    return {first, like(context, all)};
  }
  void visit_parameters(auto&& visit) {
    visit("inputs", inputs), visit("norm", norm), visit("click", click), visit("like", like);
  }
};

const auto loss = [](auto& context, const auto& model, const row_batch& leaf) {
  const auto z = model(context, leaf);
  const auto click = bce_with_logits(context, z[0], leaf.label(0));
  const auto like =
      bce_with_logits(context, z[1], leaf.label(1),
                      {.weights = leaf.label(0), .total_weight = std::max(1., leaf.label_sums[0])});
  return total_loss(context, {click, like});
};

/// A training, and what it ends with.
class training {
 public:
  explicit training(std::string path) : path_(std::move(path)) {
    const random_log_options options{
        .requests = 1500, .users = 400, .items = 300, .last_time = 40'000'000, .time_step = 1000};
    past_ = fit_schema(features_, table_of(random_log(1, options)));
  }

  /// Trains, or goes on from the checkpoint, to the end.
  void run(std::size_t threads) {
    // Other weights: all come from the checkpoint.
    ranker<float> model(features_, std::filesystem::exists(path_) ? 2 : 1);
    thread_pool pool(threads);
    adam<float> optimizer({.learning_rate = .01, .weight_decay = 1e-3});
    steps = 0;
    result = train(pool, model, optimizer, past_.rows, loss,
                   {.epochs = 4,
                    .batch_rows = 100,
                    .max_norm = 1,
                    .leaf_rows = 25,
                    .checkpoint = {.path = path_, .every_steps = 2}},
                   {.progress = [&](const train_progress&) { ++steps; },
                    .validate =
                        [](const ranker<float>& m) {
                          return std::sin(1e6 * double(m.norm.running_mean.value(0, 0)));
                        }});
    weights.clear();
    for_each_parameter(model, [&](std::string_view, const auto& p) {
      for (const float weight : p.value.flat())
        weights.push_back(std::bit_cast<std::uint32_t>(weight));
    });
    state = saved_state(optimizer);
  }

  std::vector<std::uint32_t> weights;
  saved_state state;
  train_result result;
  std::size_t steps = 0;  ///< of the last run

 private:
  std::string path_;
  schema features_{every_kind()};
  fitted past_;
};

void check_same(const training& a, const training& b) {
  CHECK(a.weights == b.weights);
  CHECK(a.state == b.state);
  CHECK(a.result.steps == b.result.steps);
  CHECK(a.result.losses == b.result.losses);
  CHECK(a.result.scores == b.result.scores);
  CHECK(a.result.best_epoch == b.result.best_epoch);
}

/// Files that are being written.
std::vector<std::filesystem::path> parts_of_files(const std::string& folder) {
  std::vector<std::filesystem::path> parts;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".tmp") parts.push_back(entry.path());
  return parts;
}

}  // namespace

TEST_CASE("a training that is killed at ten moments ends with the bits of one that is not") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/killed";
  training unbroken(folder.path() + "/unbroken"), killed(path);
  const auto begin = std::chrono::steady_clock::now();
  unbroken.run(1);
  const seconds whole = std::chrono::steady_clock::now() - begin;
  REQUIRE(unbroken.steps == unbroken.result.steps);
  REQUIRE(unbroken.steps > 100);

  constexpr std::array<std::size_t, 3> threads{1, 2, 4};
  random_generator bits(1);
  std::size_t kills = 0, resumed = 0, in_writing = 0;
  // Eight at random moments, then two or more as soon as a checkpoint is seen being written.
  while (kills < 10 || (in_writing < 2 && kills < 100)) {
    resumed += std::filesystem::exists(path) ? 1 : 0;
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      try {
        killed.run(threads[kills % 3]);
      } catch (...) {
        std::_Exit(1);
      }
      std::_Exit(0);
    }
    int status = 0;
    pid_t ended = 0;
    if (kills < 8) {
      std::this_thread::sleep_for(uniform01(bits) * .1 * whole);
    } else {
      while (ended == 0 && parts_of_files(folder.path()).empty())
        ended = waitpid(child, &status, WNOHANG);
    }
    kill(child, SIGKILL);
    if (ended == 0) ended = waitpid(child, &status, 0);
    REQUIRE(ended == child);
    if (WIFEXITED(status)) {
      // It was faster than the unbroken one: it is compared, and another is begun.
      REQUIRE(WEXITSTATUS(status) == 0);
      killed.run(1);
      CHECK(killed.steps == 0);
      check_same(killed, unbroken);
      std::filesystem::remove(path);
      continue;
    }
    ++kills;
    for (const auto& part : parts_of_files(folder.path())) {
      ++in_writing;
      std::filesystem::remove(part);
    }
  }
  INFO(resumed << " of " << kills << " runs went on, " << in_writing << " died while writing");
  CHECK(resumed >= 5);
  CHECK(in_writing >= 2);
  const bool goes_on = std::filesystem::exists(path);
  killed.run(2);
  if (goes_on) CHECK(killed.steps < unbroken.steps);
  check_same(killed, unbroken);
}

#endif
