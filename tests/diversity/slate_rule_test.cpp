// SPDX-License-Identifier: MIT
#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>
#include <funnel/diversity/slate_rule.hpp>

#include "diversity/picks.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <limits>

using funnel::category_id;
using funnel::slate_rule;

namespace {

using labels = std::vector<category_id>;

// Not asked for anything: relevance alone orders.
const auto alike = [](std::size_t, std::size_t) { return 0.; };

std::vector<float> falling_relevance(std::size_t n) {
  std::vector<float> relevance(n);
  for (std::size_t i = 0; i < n; ++i) relevance[i] = static_cast<float>(n - i);
  return relevance;
}

/// The page by falling relevance under the rules.
pick_list page(std::size_t n, std::size_t k, const std::vector<slate_rule>& rules) {
  pick_list picked(k, 77);
  picked.resize(
      funnel::mmr(falling_relevance(n), alike, picked, {.relevance_weight = 1, .rules = rules}));
  return picked;
}

/// True if the last item of `shown` is one too many in some window that ends with it.
bool breaks(const slate_rule& rule, const pick_list& shown) {
  if (rule.first_slots != 0 && shown.size() > rule.first_slots) return false;
  const category_id label = rule.labels[shown.back()];
  std::size_t count = 0;
  for (std::size_t t = 0; t < shown.size(); ++t)
    if (t + rule.window >= shown.size() && rule.labels[shown[t]] == label) ++count;
  return label != 0 && count > rule.max_count;
}

pick_list naive_page(std::size_t n, std::size_t k, const std::vector<slate_rule>& rules) {
  pick_list shown;
  while (shown.size() < k) {
    std::size_t best = n;
    for (std::size_t kept = rules.size() + 1; kept-- > 0 && best == n;) {
      if (kept < rules.size() && rules[kept].hard) break;
      for (std::size_t i = 0; i < n && best == n; ++i) {
        if (std::ranges::find(shown, i) != shown.end()) continue;
        shown.push_back(i);
        if (std::none_of(rules.begin(), rules.begin() + static_cast<std::ptrdiff_t>(kept),
                         [&](const slate_rule& rule) { return breaks(rule, shown); }))
          best = i;
        shown.pop_back();
      }
    }
    if (best == n) break;
    shown.push_back(best);
  }
  return shown;
}

}  // namespace

TEST_CASE("slate_rule: a category keeps its distance") {
  const labels categories{1, 1, 1, 2, 2, 3, 0, 0};
  CHECK(page(8, 8, {{.labels = categories, .window = 3}}) == pick_list{0, 3, 5, 1, 4, 6, 2, 7});
}

TEST_CASE("slate_rule: no more than so many in a row") {
  const labels types{1, 1, 1, 1, 1, 2, 2};
  CHECK(page(7, 7, {{.labels = types, .window = 3, .max_count = 2}}) ==
        pick_list{0, 1, 5, 2, 3, 6, 4});
}

TEST_CASE("slate_rule: caps on promoted items and on the top of the page") {
  const labels promoted{1, 1, 1, 0, 0, 0, 0};
  CHECK(page(7, 7, {{.labels = promoted, .window = 3, .hard = true}}) ==
        pick_list{0, 3, 4, 1, 5, 6, 2});
  const std::vector<slate_rule> cards{
      {.labels = promoted, .window = 1, .max_count = 0, .first_slots = 1, .hard = true},
      {.labels = promoted, .window = 4, .max_count = 1, .first_slots = 4, .hard = true}};
  CHECK(page(7, 7, cards) == pick_list{3, 0, 4, 5, 1, 2, 6});
}

TEST_CASE("slate_rule: the last of the list is dropped first, hard ones never") {
  // Every item has the category of the one before, or its cluster.
  const labels categories{1, 1, 2};
  const labels clusters{1, 2, 1};
  const slate_rule by_category{.labels = categories, .window = 2};
  const slate_rule by_cluster{.labels = clusters, .window = 2};
  CHECK(page(3, 3, {by_category, by_cluster}) == pick_list{0, 2, 1});
  CHECK(page(3, 3, {by_cluster, by_category}) == pick_list{0, 1, 2});
  slate_rule hard = by_category;
  hard.hard = true;
  CHECK(page(3, 3, {hard, by_cluster}) == pick_list{0, 2, 1});
  const labels ones{1, 1};
  CHECK(page(2, 2, {{.labels = ones, .window = 2, .hard = true}}) == pick_list{0});
}

TEST_CASE("slate_rule: a page ends where a hard rule forbids the rest") {
  const labels promoted{1, 0, 1, 1};
  const std::vector<slate_rule> rules{{.labels = promoted, .window = 2, .hard = true}};
  const std::vector<float> relevance = falling_relevance(4);
  funnel::matrix<float> vectors(4, 1, 1.f);
  for (const double weight : {0., .5, 1.}) {
    pick_list picked(4, 77);
    CHECK(funnel::mmr(relevance, vectors, picked, {.relevance_weight = weight, .rules = rules}) ==
          3);
    CHECK(picked == pick_list{0, 1, 2, 77});
    picked.assign(4, 77);
    CHECK(funnel::dpp(relevance, vectors, picked, {.relevance_weight = weight, .rules = rules}) ==
          3);
    CHECK(picked == pick_list{0, 1, 2, 77});
  }
}

TEST_CASE("slate_rule: agree with a check of every window; without hard ones no item is lost") {
  funnel::random_generator bits(1);
  for (int round = 0; round < 200; ++round) {
    const std::size_t n = 1 + funnel::uniform_below(bits, 25);
    std::vector<labels> columns(funnel::uniform_below(bits, 4), labels(n));
    std::vector<slate_rule> rules;
    for (labels& column : columns) {
      for (category_id& label : column)
        label = static_cast<category_id>(funnel::uniform_below(bits, 4));
      rules.push_back({.labels = column,
                       .window = 1 + funnel::uniform_below(bits, 6),
                       .max_count = funnel::uniform_below(bits, 3),
                       .first_slots = funnel::uniform_below(bits, 2) * 5,
                       .hard = round % 3 == 0 && rules.empty()});
    }
    const std::size_t k = 1 + funnel::uniform_below(bits, n);
    CAPTURE(round, n, k);
    const pick_list picked = page(n, k, rules);
    CHECK(picked == naive_page(n, k, rules));
    CHECK(distinct_positions(picked, n));
    if (rules.empty() || !rules[0].hard) CHECK(picked.size() == k);
  }
}

TEST_CASE("slate_rule: hold for what diversity picks, given picks included") {
  funnel::random_generator bits(2);
  for (int round = 0; round < 40; ++round) {
    const std::size_t n = 60;
    const auto relevance = random_relevance<float>(bits, n);
    const auto vectors = random_vectors<float>(bits, n, 8, n, 0);
    labels categories(n);
    for (std::size_t i = 0; i < n; ++i) categories[i] = static_cast<category_id>(1 + i % 12);
    const std::vector<slate_rule> rules{{.labels = categories, .window = 6}};
    pick_list by_mmr(20), by_dpp(20);
    by_mmr[0] = by_dpp[0] = 5;
    by_mmr[1] = by_dpp[1] = 6;
    const std::size_t window = round % 2 == 0 ? 0 : 4;
    funnel::mmr(relevance, vectors, by_mmr, {.window = window, .given = 2, .rules = rules});
    funnel::dpp(relevance, vectors, by_dpp, {.window = window, .given = 2, .rules = rules});
    for (const pick_list& picked : {by_mmr, by_dpp}) {
      CHECK(distinct_positions(picked, n));
      std::size_t broken = 0;
      for (std::size_t t = 3; t <= 20; ++t)
        broken +=
            breaks(rules[0], {picked.begin(), picked.begin() + static_cast<std::ptrdiff_t>(t)});
      CHECK(broken == 0);
    }
  }
}

TEST_CASE("slate_rule: relevance that is not finite is last, but before a rule is dropped") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const labels categories{1, 1, 2};
  const std::vector<slate_rule> rules{{.labels = categories, .window = 2}};
  for (const double weight : {.5, 1.}) {
    pick_list picked(3);
    funnel::mmr(std::vector<float>{3, 2, nan}, alike, picked,
                {.relevance_weight = weight, .rules = rules});
    CHECK(picked == pick_list{0, 2, 1});
  }
}

TEST_CASE("slate_rule: refused where they say nothing, and nothing is written then") {
  const labels two{1, 2};
  const labels three{1, 2, 3};
  const std::vector<float> relevance{1, 2};
  pick_list picked(2, 77);
  const auto refused = [&](const std::vector<slate_rule>& rules, std::string_view words) {
    return refuses([&] { funnel::mmr(relevance, alike, picked, {.rules = rules}); },
                   "funnel::mmr: ", words) &&
           refuses([&] { funnel::dpp(relevance, alike, picked, {.rules = rules}); },
                   "funnel::dpp: ", words);
  };
  CHECK(refused({{.labels = three}},
                "rules[0].labels has 3 values, expected 2, the number of items"));
  CHECK(refused({{.labels = two}, {.labels = two, .window = 0}}, "rules[1].window"));
  CHECK(refused({{.labels = two}, {.labels = two, .hard = true}}, "rules[1] is hard"));
  CHECK(picked == pick_list{77, 77});
}
