// SPDX-License-Identifier: MIT
#include <funnel/evaluation/retrieval.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/id_lists.hpp>
#include <funnel/core/random.hpp>

#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace {

using lists = std::vector<std::vector<funnel::item_id>>;

static_assert(funnel::ItemLists<lists>);
static_assert(funnel::ItemLists<funnel::id_lists>);
static_assert(!funnel::ItemLists<std::vector<funnel::item_id>>);
static_assert(!funnel::ItemLists<std::vector<std::vector<std::string>>>);

}  // namespace

TEST_CASE("evaluate_retrieval: worked by hand, users without relevant items are left out") {
  const lists found{{5, 2, 9}, {1, 2}, {7, 8, 5}, {}};
  const lists relevant{{9, 5, 4, 4}, {3}, {}, {1}};
  funnel::report numbers;
  funnel::evaluate_retrieval(numbers, "found", found, relevant, {.k = {3, 1}, .catalog = 10});
  std::string names;
  for (const auto& e : numbers.entries()) names += e.name.substr(6) + ' ';
  CHECK(names == "recall_at_3 hit_rate_at_3 ndcg_at_3 coverage_at_3 recall_at_1 hit_rate_at_1 "
                 "ndcg_at_1 coverage_at_1 mrr users users_without_relevant ");
  CHECK(numbers["found.recall_at_3"] == 2. / 3 / 3);
  CHECK(numbers["found.recall_at_1"] == 1. / 3 / 3);
  CHECK(numbers["found.hit_rate_at_3"] == 1. / 3);
  const double ndcg = (1 + .5) / (1 + 1 / std::log2(3.) + .5) / 3;
  CHECK(tolerance::within(numbers["found.ndcg_at_3"], ndcg, tolerance::reduction<double>(3, 1)));
  CHECK(numbers["found.ndcg_at_1"] == 1. / 3);
  CHECK(numbers["found.coverage_at_3"] == .6);  // 5, 2, 9, 1, 7, 8, of all four lists
  CHECK(numbers["found.coverage_at_1"] == .3);
  CHECK(numbers["found.mrr"] == 1. / 3);
  CHECK(numbers["found.users"] == 3);
  CHECK(numbers["found.users_without_relevant"] == 1);
}

TEST_CASE("evaluate_retrieval: the reciprocal rank ends at the largest k") {
  const lists found{{1, 2, 3, 4}}, relevant{{4}};
  funnel::report numbers;
  funnel::evaluate_retrieval(numbers, "three", found, relevant, {.k = {3, 2}});
  funnel::evaluate_retrieval(numbers, "four", found, relevant, {.k = {1, 4}});
  CHECK(numbers["three.mrr"] == 0);
  CHECK(numbers["four.mrr"] == .25);
  CHECK(!numbers.contains("four.coverage_at_4"));
}

TEST_CASE("evaluate_retrieval: means of the metrics of each user, for vectors and id_lists") {
  funnel::random_generator bits(4);
  constexpr std::size_t users = 40, catalog = 30;
  lists found(users), relevant(users);
  std::vector<std::uint32_t> found_ids, relevant_ids, found_offsets{0}, relevant_offsets{0};
  for (std::size_t u = 0; u < users; ++u) {
    std::vector<funnel::item_id> all(catalog);
    for (std::size_t i = 0; i < catalog; ++i) all[i] = static_cast<funnel::item_id>(i);
    funnel::shuffle(bits, all);
    found[u].assign(all.begin(), all.begin() + static_cast<int>(funnel::uniform_below(bits, 9)));
    funnel::shuffle(bits, all);
    relevant[u].assign(all.begin(), all.begin() + static_cast<int>(funnel::uniform_below(bits, 6)));
    found_ids.insert(found_ids.end(), found[u].begin(), found[u].end());
    relevant_ids.insert(relevant_ids.end(), relevant[u].begin(), relevant[u].end());
    found_offsets.push_back(static_cast<std::uint32_t>(found_ids.size()));
    relevant_offsets.push_back(static_cast<std::uint32_t>(relevant_ids.size()));
  }
  for (const auto denominator :
       {funnel::recall_denominator::relevant, funnel::recall_denominator::attainable}) {
    const funnel::retrieval_options options{
        .k = {1, 3, 20}, .catalog = catalog, .denominator = denominator};
    funnel::report numbers, same;
    funnel::evaluate_retrieval(numbers, "r", found, relevant, options);
    funnel::evaluate_retrieval(same, "r", funnel::id_lists{found_ids, found_offsets},
                               funnel::id_lists{relevant_ids, relevant_offsets}, options);
    CHECK(same.json() == numbers.json());
    for (const std::size_t k : options.k) {
      double recall = 0, hits = 0, ndcg = 0, counted = 0;
      std::set<funnel::item_id> shown;
      for (std::size_t u = 0; u < users; ++u) {
        for (std::size_t i = 0; i < std::min(k, found[u].size()); ++i) shown.insert(found[u][i]);
        if (relevant[u].empty()) continue;
        ++counted;
        recall += funnel::recall_at_k(found[u], relevant[u], {.k = k, .denominator = denominator});
        hits += funnel::hit_at_k(found[u], relevant[u], k);
        ndcg += funnel::ndcg_at_k(found[u], relevant[u], std::vector<float>(relevant[u].size(), 1),
                                  {.k = k});
      }
      const auto near = [&](const std::string& metric, double sum) {
        return tolerance::within(numbers["r." + metric + "_at_" + std::to_string(k)], sum / counted,
                                 tolerance::reduction<double>(users, 1));
      };
      CHECK(near("recall", recall));
      CHECK(near("hit_rate", hits));
      CHECK(near("ndcg", ndcg));
      CHECK(numbers["r.coverage_at_" + std::to_string(k)] ==
            static_cast<double>(shown.size()) / catalog);
      CHECK(numbers["r.users"] == counted);
    }
  }
}

TEST_CASE("evaluate_retrieval: nobody has relevant items") {
  funnel::report numbers;
  funnel::evaluate_retrieval(numbers, "r", lists{{1}, {0}}, lists{{}, {}},
                             {.k = {5}, .catalog = 4});
  CHECK(std::isnan(numbers["r.recall_at_5"]));
  CHECK(std::isnan(numbers["r.ndcg_at_5"]));
  CHECK(std::isnan(numbers["r.mrr"]));
  CHECK(numbers["r.coverage_at_5"] == .5);
  CHECK(numbers["r.users"] == 0);
  CHECK(numbers["r.users_without_relevant"] == 2);
}

TEST_CASE("evaluate_retrieval: refuses what it cannot read, and changes nothing") {
  funnel::report numbers;
  const auto refused = [&](const lists& found, const lists& relevant,
                           const funnel::retrieval_options& options, std::string_view words) {
    const bool thrown =
        refuses([&] { funnel::evaluate_retrieval(numbers, "r", found, relevant, options); },
                "funnel::evaluate_retrieval: ", words);
    return thrown && numbers.entries().empty();
  };
  CHECK(refused({}, {}, {}, "found is empty"));
  CHECK(refused({{1}, {2}}, {{1}}, {}, "relevant has 1 value, expected 2 as in found"));
  CHECK(refused({{1}}, {{1}}, {.k = {}}, "k is empty"));
  CHECK(refused({{1}}, {{1}}, {.k = {5, 0}}, "k is 0, expected 1 or more"));
  CHECK(refused({{1}}, {{1}}, {.k = {5, 3, 5}}, "k has 5 twice"));
  CHECK(refused({{0}, {1, 9, 3}}, {{1}, {}}, {.catalog = 9},
                "found[1][1] is 9, expected below 9, the catalog"));
  CHECK(refused({{0}}, {{1}}, {.catalog = std::size_t(-1)}, "catalog is 18446744073709551615"));
  // Beyond the largest k nothing is read.
  funnel::evaluate_retrieval(numbers, "r", lists{{1, 9}}, lists{{1}}, {.k = {1}, .catalog = 9});
}
