// SPDX-License-Identifier: MIT
#include <funnel/core/executor.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#ifdef FUNNEL_HAS_TBB
#include <funnel/adapters/tbb.hpp>
#endif

#include "support/catch.hpp"
#include "support/feed_ranker.hpp"
#include "support/matrices.hpp"
#include "support/threads.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using funnel::matrix;

namespace {

constexpr std::size_t candidates = 500;

const feed_ranker<float> model{
    ranker_sizes{.items = 2000, .width = 12, .experts = 4, .expert_sizes = {48, 24}}};
const ranker_rows<float> request(1, candidates, 2000, 40, 5);

/// The logits of all candidates, [candidates, tasks], in pieces of `size` on the executor's threads,
/// each piece with a context of its own.
template <class Model, class Executor>
matrix<float> scores_of(const Model& served, std::size_t size, Executor& executor,
                        const ranker_rows<float>& of = request) {
  matrix<float> scores(candidates, ranker_tasks);
  funnel::for_blocks(executor, candidates, size, [&](std::size_t begin, std::size_t end) {
    funnel::inference_context<float> context;
    const auto z = served(context, of.candidates(begin, end - begin));
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t t = 0; t < ranker_tasks; ++t) scores(i, t) = z[t](i - begin, 0);
    }
  });
  return scores;
}

}  // namespace

TEST_CASE("serving: a candidate's scores don't depend on the batch it came in") {
  const auto frozen = funnel::freeze(model);
  funnel::serial_executor executor;
  const matrix<float> scores = scores_of(frozen, candidates, executor);
  for (const std::size_t size : size_list{1, 7, 64}) {
    CHECK(same_bits(scores_of(frozen, size, executor), scores));
    CHECK(same_bits(scores_of(model, size, executor), scores));  // not frozen
  }
  CHECK(same_bits(scores_of(model, candidates, executor), scores));
  // They are scores of something.
  for (std::size_t t = 0; t < ranker_tasks; ++t) {
    float least = scores(0, t), most = scores(0, t);
    for (std::size_t i = 0; i < candidates; ++i) {
      REQUIRE(std::isfinite(scores(i, t)));
      least = std::min(least, scores(i, t));
      most = std::max(most, scores(i, t));
    }
    CHECK(least < most);
  }
}

TEST_CASE("serving: nor on the number of threads") {
  const auto frozen = funnel::freeze(model);
  funnel::serial_executor serial;
  const matrix<float> scores = scores_of(frozen, candidates, serial);
  for (const std::size_t threads : size_list{1, 2}) {
    thread_executor executor{threads};
    for (const std::size_t size : size_list{7, 64}) {
      CHECK(same_bits(scores_of(frozen, size, executor), scores));
      CHECK(same_bits(scores_of(model, size, executor), scores));
    }
#ifdef FUNNEL_HAS_TBB
    funnel::tbb_executor tbb(threads);
    for (const std::size_t size : size_list{7, 64})
      CHECK(same_bits(scores_of(frozen, size, tbb), scores));
#endif
  }
}

TEST_CASE("serving: nor on the other candidates, of which one may be NaN") {
  const auto frozen = funnel::freeze(model);
  funnel::serial_executor executor;
  const matrix<float> scores = scores_of(frozen, candidates, executor);
  ranker_rows<float> other = request;
  for (std::size_t i = 1; i < candidates; i += 2) {
    other.items[i] = 3;
    other.numbers(i, 0) = i % 3 == 0 ? std::numeric_limits<float>::quiet_NaN() : 1e30f;
  }
  const matrix<float> found = scores_of(frozen, candidates, executor, other);
  for (std::size_t i = 0; i < candidates; i += 2)
    CHECK(same_bits(found.row(i).data(), scores.row(i).data(), ranker_tasks));
  CHECK(std::isnan(found(3, click)));
}

TEST_CASE("serving: nor on what the context served before") {
  const auto frozen = funnel::freeze(model);
  funnel::serial_executor executor;
  const matrix<float> scores = scores_of(frozen, candidates, executor);
  const ranker_rows<float> other(1, 333, 2000, 90, 6);
  funnel::inference_context<float> context;
  for (int i = 0; i < 3; ++i) {
    frozen(context, other.all());
    context.reset();
    const auto z = frozen(context, request.all());
    for (std::size_t c = 0; c < candidates; ++c) {
      for (std::size_t t = 0; t < ranker_tasks; ++t) REQUIRE(z[t](c, 0) == scores(c, t));
    }
    context.reset();
  }
}
