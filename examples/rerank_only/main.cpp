// SPDX-License-Identifier: MIT
// Re-ranking alone: takes scores and item vectors from any other system, as plain arrays, and needs
// only two headers of funnel.
#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>

#include <cstdio>
#include <vector>

int main() {
  constexpr std::size_t n = 8;
  constexpr std::size_t d = 4;
  constexpr std::size_t slots = 5;
  const char* titles[n] = {"cup final, goals", "cup final, fans",      "cup final, interview",
                           "transfer rumors",  "ramen at home",        "ramen in Tokyo",
                           "keyboards",        "night train to Lisbon"};
  // Scores of a ranker, in [0, 1], and vectors of a text encoder, one row of d values per item.
  const float scores[n] = {.97f, .95f, .94f, .90f, .86f, .85f, .74f, .80f};
  const float contents[n * d] = {.9f, .1f, .0f, .1f, .9f, .2f, .0f, .1f, .8f, .1f, .1f,
                                 .1f, .8f, .0f, .0f, .4f, .0f, .9f, .1f, .0f, .0f, .9f,
                                 .4f, .0f, .1f, .0f, .0f, .9f, .0f, .2f, .9f, .0f};

  const funnel::matrix_view<const float> vectors(contents, n, d);
  std::vector<std::size_t> by_score(slots), by_mmr(slots), by_dpp(slots);
  funnel::mmr(scores, vectors, by_score, {.relevance_weight = 1});
  funnel::mmr(scores, vectors, by_mmr, {.relevance_weight = .7, .window = 2});
  funnel::dpp(scores, vectors, by_dpp, {.relevance_weight = .95, .window = 2});

  std::printf("   %-22s %-22s %s\n", "by score", "MMR", "DPP");
  for (std::size_t t = 0; t < slots; ++t)
    std::printf("%zu  %-22s %-22s %s\n", t + 1, titles[by_score[t]], titles[by_mmr[t]],
                titles[by_dpp[t]]);
}
