// SPDX-License-Identifier: MIT
#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>
#include <funnel/diversity/similarity.hpp>
#include <funnel/fusion/rank_fusion.hpp>
#include <funnel/metrics/auc.hpp>

#include "support/failing_allocator.hpp"
#include "support/matrices.hpp"

#include <memory>
#include <vector>

using failing_allocator::check_every_failure;
using funnel::matrix;

namespace {

struct page {
  funnel::arena scratch;
  std::vector<std::size_t> picked = std::vector<std::size_t>(12, 77);
  std::vector<float> scores = std::vector<float>(60, -7);
  double value = -7;
};

auto new_page() {
  return std::make_unique<page>();
}

}  // namespace

TEST_CASE("out of memory: a page is picked whole or left as it is") {
  const matrix<float> vectors = random_matrix<float>(60, 5, 1);
  const std::vector<float> relevance = random_values<float>(60, 2, 0, 1);
  const funnel::cosine_similarity<float> alike(vectors.view());
  const auto observe = [](const auto& p) { return p->picked; };
  for (const std::size_t window : {0u, 3u}) {
    const funnel::mmr_options mmr{.relevance_weight = .6f, .window = window};
    const funnel::dpp_options dpp{.relevance_weight = .6f, .window = window};
    check_every_failure(
        "mmr of vectors", new_page,
        [&](auto& p) {
          p->scratch.reset();
          funnel::mmr(relevance, vectors.view(), p->picked, mmr, p->scratch);
        },
        observe);
    check_every_failure(
        "mmr", new_page, [&](auto& p) { funnel::mmr(relevance, alike, p->picked, mmr); }, observe);
    check_every_failure(
        "dpp of vectors", new_page,
        [&](auto& p) {
          p->scratch.reset();
          funnel::dpp(relevance, vectors.view(), p->picked, dpp, p->scratch);
        },
        observe);
    check_every_failure(
        "dpp", new_page, [&](auto& p) { funnel::dpp(relevance, alike, p->picked, dpp); }, observe);
  }
}

TEST_CASE("out of memory: cosine_similarity is copied whole or not at all") {
  const matrix<float> vectors = random_matrix<float>(60, 5, 1);
  using similarity = funnel::cosine_similarity<float>;
  const similarity other(vectors.view().middle_rows(7, 30));
  check_every_failure(
      "copy", [&] { return similarity(vectors.view().middle_rows(0, 3)); },
      [&](auto& s) { s = other; },
      [](const auto& s) {
        std::vector<double> all;
        for (std::size_t i = 0; i < s.size(); ++i)
          for (std::size_t j = 0; j < s.size(); ++j) all.push_back(double{s(i, j)});
        return all;
      });
}

TEST_CASE("out of memory: fusion and metrics write all or nothing") {
  const matrix<float> objectives = random_matrix<float>(60, 3, 3, .1, 1);
  const auto scores = [](const auto& p) { return p->scores; };
  check_every_failure(
      "rank_fusion", new_page,
      [&](auto& p) {
        const funnel::rank_fusion<3> formula{};
        p->scratch.reset();
        funnel::fuse(formula, objectives.view(), p->scores, p->scratch);
      },
      scores);
  const std::vector<float> predictions = random_values<float>(60, 4, 0, 1);
  std::vector<float> labels(60);
  for (std::size_t i = 0; i < 60; ++i) labels[i] = i % 3 == 0 ? 1.f : 0.f;
  const auto value = [](const auto& p) { return p->value; };
  check_every_failure(
      "auc", new_page, [&](auto& p) { p->value = funnel::auc(predictions, labels); }, value);
}
