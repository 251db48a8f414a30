// SPDX-License-Identifier: MIT
// A program of somebody who uses funnel: trains a ranker for two steps, scores a request and picks
// from it. It must build the same through find_package, through add_subdirectory and with nothing but
// include paths.
#include <funnel/core/executor.hpp>
#include <funnel/core/top_k.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#ifdef FUNNEL_HAS_FAISS
#include <funnel/adapters/faiss.hpp>
#endif
#ifdef FUNNEL_HAS_HNSWLIB
#include <funnel/adapters/hnswlib.hpp>
#endif
#ifdef FUNNEL_HAS_TBB
#include <funnel/adapters/tbb.hpp>
#endif
#ifdef FUNNEL_HAS_XGBOOST
#include <funnel/adapters/xgboost.hpp>
#endif

#include <array>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

/// Users and items by id; gives the logit of a click.
struct ranker {
  funnel::embedding<float> user{10, 4};
  funnel::embedding<float> item{20, 4};
  funnel::mlp<float> tower{8, {8, 1}};

  template <funnel::Context C>
  funnel::value_of<C> operator()(C& context, std::span<const std::uint32_t> users,
                                 std::span<const std::uint32_t> items) const {
    return tower(context, funnel::concat(context, user(context, users), item(context, items)));
  }

  void visit_parameters(auto&& visit) {
    visit("user", user);
    visit("item", item);
    visit("tower", tower);
  }
};

}  // namespace

int main() {
  ranker model;
  funnel::random_generator bits(1);
  funnel::initialize(model, bits);

  const std::vector<std::uint32_t> users = {1, 1, 2, 3};
  const std::vector<std::uint32_t> items = {5, 6, 5, 7};
  const std::vector<float> clicks = {1, 0, 1, 0};
  funnel::adam<float> optimizer({.learning_rate = 0.01});
  funnel::training_context<float> context;
  std::array<float, 2> losses{};
  for (float& loss : losses) {
    const auto value = funnel::bce_with_logits(context, model(context, users, items), clicks);
    loss = value.values(0, 0);
    context.backward(value);
    optimizer.step(model, context);
    context.clear();
  }

  const auto serving = funnel::freeze(model);
  funnel::inference_context<float> request;
  const std::vector<std::uint32_t> user = {1};  // one row for all candidates
  const std::vector<std::uint32_t> candidates = {5, 6, 7, 8, 9};
  const auto logits = serving(request, user, candidates);
  std::vector<float> scores(candidates.size());
  const auto score = [&](std::size_t i) { scores[i] = logits(i, 0); };
#ifdef FUNNEL_HAS_TBB
  funnel::tbb_executor(2).for_each(scores.size(), score);
#else
  funnel::serial_executor().for_each(scores.size(), score);
#endif

  bool found = true;
  [[maybe_unused]] const auto finds = [&](const auto& index) {
    std::array<funnel::scored_item, 2> nearest{};
    const std::array<float, 2> query = {0, 1};
    return index.search(query, nearest) == 2 && nearest[0].item == 1;
  };
  [[maybe_unused]] const std::array<float, 4> vectors = {1, 0, 0, 1};
#ifdef FUNNEL_HAS_FAISS
  found &= finds(funnel::faiss_index({vectors.data(), 2, 2}));
#endif
#ifdef FUNNEL_HAS_HNSWLIB
  found &= finds(funnel::hnsw_index<>({vectors.data(), 2, 2}));
#endif

#ifdef FUNNEL_HAS_XGBOOST
  const std::array<float, 4> rates = {.25f, .5f, .25f, .75f};
  found &=
      funnel::xgboost_calibration({}, {nullptr, 4, 0}, rates, clicks, {.min_rows = 4}).has_trees();
#endif

  std::array<std::uint32_t, 3> picked{};
  funnel::top_k(scores, picked);
  std::printf("loss %f, then %f; best candidate %u\n", static_cast<double>(losses[0]),
              static_cast<double>(losses[1]), candidates[picked[0]]);
  return found && losses[1] < losses[0] && scores[picked[0]] >= scores[picked[1]] ? 0 : 1;
}
