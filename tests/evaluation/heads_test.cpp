// SPDX-License-Identifier: MIT
#include <funnel/evaluation/heads.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace {

using floats = std::vector<float>;
using doubles = std::vector<double>;
using ids = std::vector<funnel::user_id>;

constexpr float missing = std::numeric_limits<float>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// The names in the report, joined.
std::string names_of(const funnel::report& numbers) {
  std::string names;
  for (const auto& e : numbers.entries()) names += e.name + ' ';
  return names;
}

bool equal(const funnel::report& a, const funnel::report& b) {
  return a.json() == b.json();
}

struct some_rows {
  doubles scores, labels, baseline;
  ids users;
};

some_rows random_rows(std::size_t n, std::uint64_t seed) {
  funnel::random_generator bits(seed);
  some_rows rows;
  for (std::size_t i = 0; i < n; ++i) {
    rows.scores.push_back(funnel::uniform01(bits));
    rows.labels.push_back(funnel::bernoulli(bits, rows.scores.back()) ? 1 : 0);
    rows.baseline.push_back(funnel::standard_normal(bits));
    rows.users.push_back(static_cast<funnel::user_id>(funnel::uniform_below(bits, 1 + n / 8)));
  }
  return rows;
}

/// What `encoded_log` has of labels.
struct log_of_labels {
  std::vector<floats> columns;
  std::span<const float> label(std::size_t k) const { return columns[k]; }
  std::size_t labels() const { return columns.size(); }
};

}  // namespace

TEST_CASE("evaluate_head: a probability, worked by hand") {
  // User 7: one of one pairs in order. User 3: none of one. All: 3 of 4 pairs.
  const floats p{.75f, .5f, .25f, .5f}, y{1, 1, 0, 0}, baseline{-1, -2, -3, -.5f};
  const ids users{7, 3, 7, 3};
  funnel::report numbers;
  funnel::evaluate_head(numbers, "rank.click",
                        {.scores = p, .labels = y, .users = users, .baseline = baseline});
  CHECK(names_of(numbers) ==
        "rank.click.auc rank.click.gauc rank.click.gauc_users rank.click.logloss rank.click.pcoc "
        "rank.click.ece rank.click.baseline_auc rank.click.rows rank.click.positives ");
  CHECK(numbers["rank.click.auc"] == 3.5 / 4);
  CHECK(numbers["rank.click.gauc"] == .75);  // (1 + 1/2) / 2: a tie
  CHECK(numbers["rank.click.gauc_users"] == 2);
  const double loss = -(std::log(.75) + std::log(.5) + std::log(.75) + std::log(.5)) / 4;
  CHECK(tolerance::within(numbers["rank.click.logloss"], loss,
                          tolerance::reduction<double>(4, loss)));
  CHECK(numbers["rank.click.pcoc"] == 1);
  CHECK(numbers["rank.click.ece"] == .125);  // 1/4 each at .25 and .75, 0 at .5
  CHECK(numbers["rank.click.baseline_auc"] == .5);
  CHECK(numbers["rank.click.rows"] == 4);
  CHECK(numbers["rank.click.positives"] == 2);
}

TEST_CASE("evaluate_head: an amount, worked by hand") {
  const floats p{10, 20, 30, 7}, t{12, 20, 24, 10}, mean(4, 16);
  funnel::report numbers;
  funnel::evaluate_head(
      numbers, "watch",
      {.scores = p, .labels = t, .baseline = mean, .kind = funnel::score_kind::amount});
  CHECK(names_of(numbers) == "watch.xauc watch.mae watch.rmse watch.pcoc watch.baseline_xauc "
                             "watch.baseline_mae watch.rows ");
  CHECK(numbers["watch.xauc"] == 1);
  CHECK(numbers["watch.mae"] == 11. / 4);
  CHECK(numbers["watch.rmse"] == 3.5);
  CHECK(numbers["watch.pcoc"] == 67. / 66);
  CHECK(numbers["watch.baseline_xauc"] == .5);
  CHECK(numbers["watch.baseline_mae"] == 22. / 4);
  CHECK(numbers["watch.rows"] == 4);
}

TEST_CASE("evaluate_head: each number is that of its metric, for any number type") {
  const some_rows rows = random_rows(300, 5);
  const std::vector<std::uint8_t> bytes(rows.labels.begin(), rows.labels.end());
  const floats single(rows.scores.begin(), rows.scores.end());
  funnel::report numbers, of_floats, expected;
  const funnel::calibration_error_options bins{.bins = 7, .binning = funnel::binning::equal_mass};
  funnel::evaluate_head(
      numbers, "",
      {.scores = rows.scores, .labels = bytes, .users = rows.users, .calibration = bins});
  CHECK(numbers["auc"] == funnel::auc(rows.scores, rows.labels));
  CHECK(numbers["gauc"] == funnel::gauc(rows.users, rows.scores, rows.labels).value);
  CHECK(numbers["logloss"] == funnel::logloss(rows.scores, rows.labels));
  CHECK(numbers["pcoc"] == funnel::pcoc(rows.scores, rows.labels));
  CHECK(numbers["ece"] == funnel::expected_calibration_error(rows.scores, rows.labels, bins));
  CHECK(!numbers.contains("baseline_auc"));
  funnel::evaluate_head(of_floats, "", {.scores = single, .labels = rows.labels});
  CHECK(of_floats["auc"] == funnel::auc(single, rows.labels));
  CHECK(!of_floats.contains("gauc"));
}

TEST_CASE("evaluate_head: rows without a label are left out, whatever their score") {
  const some_rows rows = random_rows(200, 6);
  for (const auto kind : {funnel::score_kind::probability, funnel::score_kind::amount}) {
    doubles scores, labels, baseline, masked;
    ids users;
    std::vector<std::uint8_t> present;
    for (std::size_t i = 0; i < 200; ++i) {
      for (const bool there : {true, false}) {
        if (!there && i % 3 != 0) continue;
        scores.push_back(there ? rows.scores[i] : infinity);
        labels.push_back(there ? rows.labels[i] : std::nan(""));
        masked.push_back(there ? rows.labels[i] : 7);
        baseline.push_back(there ? rows.baseline[i] : -infinity);
        users.push_back(rows.users[i]);
        present.push_back(there ? 1 : 0);
      }
    }
    funnel::report expected, by_label, by_mask;
    funnel::evaluate_head(expected, "h",
                          {.scores = rows.scores,
                           .labels = rows.labels,
                           .users = rows.users,
                           .baseline = rows.baseline,
                           .kind = kind});
    funnel::evaluate_head(
        by_label, "h",
        {.scores = scores, .labels = labels, .users = users, .baseline = baseline, .kind = kind});
    funnel::evaluate_head(by_mask, "h",
                          {.scores = scores,
                           .labels = masked,
                           .users = users,
                           .baseline = baseline,
                           .present = present,
                           .kind = kind});
    CHECK(equal(by_label, expected));
    CHECK(equal(by_mask, expected));
    CHECK(expected["h.rows"] == 200);
  }
}

TEST_CASE("evaluate_head: what does not exist is NaN") {
  const floats p{.25f, .5f}, none{missing, missing}, ones{1, 1}, zeros{0, 0};
  const ids users{1, 1};
  funnel::report numbers;
  funnel::evaluate_head(numbers, "ones", {.scores = p, .labels = ones, .users = users});
  CHECK(std::isnan(numbers["ones.auc"]));
  CHECK(std::isnan(numbers["ones.gauc"]));
  CHECK(numbers["ones.gauc_users"] == 0);
  CHECK(numbers["ones.pcoc"] == .375);
  CHECK(numbers["ones.ece"] == .625);
  CHECK(numbers["ones.positives"] == 2);
  funnel::evaluate_head(numbers, "zeros", {.scores = p, .labels = zeros});
  CHECK(std::isnan(numbers["zeros.auc"]));
  CHECK(std::isnan(numbers["zeros.pcoc"]));
  CHECK(std::isfinite(numbers["zeros.logloss"]));
  CHECK(numbers["zeros.positives"] == 0);
  for (const auto kind :
       {funnel::score_kind::probability, funnel::score_kind::logit, funnel::score_kind::amount}) {
    funnel::report empty;
    funnel::evaluate_head(
        empty, "", {.scores = p, .labels = none, .users = users, .baseline = p, .kind = kind});
    for (const auto& [name, value] : empty.entries())
      CHECK((name == "rows" || name == "positives" || name == "gauc_users" ? value == 0
                                                                           : std::isnan(value)));
  }
  CHECK(numbers.json().find("\"auc\": null") != std::string::npos);
}

TEST_CASE("evaluate_head: logits are not rounded to probabilities first") {
  // As probabilities of double, the scores from 40 on are all 1.
  const doubles z{50, 40, 45, -3}, y{1, 0, 1, 0};
  const ids users{1, 1, 2, 2};
  funnel::report numbers;
  funnel::evaluate_head(
      numbers, "", {.scores = z, .labels = y, .users = users, .kind = funnel::score_kind::logit});
  CHECK(numbers["auc"] == 1);
  CHECK(numbers["gauc"] == 1);
  CHECK(numbers["logloss"] == funnel::logloss_from_logits(z, y));
  CHECK(numbers["logloss"] > 10);
  doubles p;
  for (const double v : z) p.push_back(funnel::sigmoid(v));
  CHECK(numbers["pcoc"] == funnel::pcoc(p, y));
  CHECK(numbers["ece"] == funnel::expected_calibration_error(p, y));
}

TEST_CASE("evaluate_heads: a list of columns, a matrix and a log give the same numbers") {
  const some_rows a = random_rows(60, 1), b = random_rows(60, 2);
  const std::vector<floats> scores{floats(a.scores.begin(), a.scores.end()),
                                   floats(b.scores.begin(), b.scores.end())};
  floats seconds(b.baseline.begin(), b.baseline.end());
  seconds[7] = missing;
  const log_of_labels log{{floats(60, missing), seconds, floats(a.labels.begin(), a.labels.end())}};
  funnel::matrix<float> score_matrix(60, 2), label_matrix(60, 3);
  for (std::size_t i = 0; i < 60; ++i) {
    for (std::size_t j = 0; j < 2; ++j) score_matrix(i, j) = scores[j][i];
    for (std::size_t j = 0; j < 3; ++j) label_matrix(i, j) = log.columns[j][i];
  }
  const std::vector<funnel::model_head> heads{
      {.name = "click", .baseline = a.baseline, .label = 2},
      {.name = "watch_s", .kind = funnel::score_kind::amount, .label = 1}};
  funnel::report expected, of_columns, of_matrix;
  funnel::evaluate_head(
      expected, "rank.click",
      {.scores = scores[0], .labels = log.columns[2], .users = a.users, .baseline = a.baseline});
  funnel::evaluate_head(
      expected, "rank.watch_s",
      {.scores = scores[1], .labels = seconds, .kind = funnel::score_kind::amount});
  CHECK(expected["rank.watch_s.rows"] == 59);
  funnel::evaluate_heads(of_columns, "rank", heads, scores, log, a.users);
  funnel::evaluate_heads(of_matrix, "rank", heads, score_matrix, label_matrix.view(), a.users);
  CHECK(equal(of_columns, expected));
  CHECK(equal(of_matrix, expected));

  funnel::report by_position, plain;
  funnel::evaluate_heads(by_position, "", {{"a"}, {"b"}}, scores,
                         std::vector<doubles>{a.labels, b.labels});
  CHECK(by_position["a.auc"] == funnel::auc(scores[0], a.labels));
  CHECK(by_position["b.auc"] == funnel::auc(scores[1], b.labels));
}

TEST_CASE("evaluate_head, evaluate_heads: refuse what they cannot read, and change nothing") {
  const floats p{.25f, .5f}, y{1, 0}, three{0, 0, 0}, logits{-1, 3}, odd{1, .5f}, far{0, missing};
  const ids users{1};
  funnel::report numbers;
  numbers.set("h.auc", -1);
  const auto refused = [&](const funnel::head_rows& rows, std::string_view words) {
    const bool thrown = refuses([&] { funnel::evaluate_head(numbers, "h", rows); },
                                "funnel::evaluate_head: ", words);
    return thrown && numbers.entries().size() == 1 && numbers["h.auc"] == -1;
  };
  const auto amount = funnel::score_kind::amount;
  CHECK(refused({.scores = floats{}, .labels = floats{}}, "scores is empty"));
  CHECK(refused({.scores = p, .labels = three}, "labels has 3 values, expected 2 as in scores"));
  CHECK(refused({.scores = p, .labels = y, .users = users}, "users has 1 value, expected 2"));
  CHECK(refused({.scores = p, .labels = y, .baseline = three}, "baseline has 3 values"));
  CHECK(refused({.scores = p, .labels = y, .present = three}, "present has 3 values"));
  CHECK(refused({.scores = p, .labels = y, .present = odd}, "present[1] is 0.5, expected 0 or 1"));
  CHECK(refused({.scores = p, .labels = odd}, "labels[1] is 0.5, expected 0 or 1, or NaN"));
  CHECK(refused({.scores = logits, .labels = y}, "scores[0] is -1, expected a probability"));
  CHECK(refused({.scores = logits, .labels = y}, "of logits, kind is score_kind::logit"));
  CHECK(refused({.scores = far, .labels = y}, "scores[1] is nan, expected a probability"));
  CHECK(refused({.scores = far, .labels = y, .kind = funnel::score_kind::logit},
                "scores[1] is nan, expected a finite number"));
  CHECK(refused({.scores = far, .labels = y, .kind = amount}, "scores[1] is nan"));
  CHECK(refused({.scores = p, .labels = doubles{1, infinity}, .kind = amount},
                "labels[1] is inf, expected a finite number, or NaN if it is missing"));
  CHECK(refused({.scores = p, .labels = y, .baseline = far, .kind = amount},
                "baseline[1] is nan, expected a finite number"));
  CHECK(refused({.scores = p, .labels = y, .calibration = {.bins = 0}},
                "calibration.bins is 0, expected 1 or more"));
  CHECK(refuses([&] { funnel::evaluate_head(numbers, "h.auc", {.scores = p, .labels = y}); },
                "funnel::report::set", "h.auc, which is a number"));

  const std::vector<floats> two{p, p}, labels{y, y}, one{y}, bad{p, logits};
  const auto heads_refused = [&](const std::vector<funnel::model_head>& heads, const auto& scores,
                                 const auto& targets, std::string_view words) {
    const bool thrown = refuses(
        [&] { funnel::evaluate_heads(numbers, "m", heads, scores, targets); }, "funnel::", words);
    return thrown && numbers.entries().size() == 1;
  };
  CHECK(heads_refused({}, two, labels, "evaluate_heads: heads is empty"));
  CHECK(heads_refused({{"a"}}, two, labels, "scores has 2 columns, expected 1 as in heads"));
  CHECK(heads_refused({{"a"}, {"a"}}, two, labels, "heads[1].name is a, expected another name"));
  CHECK(heads_refused({{"a"}, {"b"}}, two, one, "the label of heads[1] is 1, expected below 1"));
  CHECK(heads_refused({{"a"}, {"b"}}, bad, labels, "scores[0] is -1"));
}
