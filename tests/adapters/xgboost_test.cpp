// SPDX-License-Identifier: MIT
#include <funnel/adapters/xgboost.hpp>
#include <funnel/core/random.hpp>
#include <funnel/metrics/calibration_error.hpp>
#include <funnel/metrics/logloss.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using funnel::matrix;
using funnel::xgboost_calibration;

namespace {

constexpr float missing = std::numeric_limits<float>::quiet_NaN();
constexpr float infinite = std::numeric_limits<float>::infinity();
const std::vector<std::string> names{"age of the account", "like"};

/// Special users, whom the big model underrates if their account is young.
struct group {
  matrix<float> inputs;
  std::vector<float> p, labels, truth;

  explicit group(std::size_t n, std::uint64_t seed = 1) : inputs(n, 2), p(n), labels(n), truth(n) {
    funnel::random_generator bits(seed);
    for (std::size_t i = 0; i < n; ++i) {
      inputs(i, 0) = static_cast<float>(funnel::uniform01(bits));
      inputs(i, 1) = static_cast<float>(funnel::uniform01(bits));
      const double z = 2 * funnel::standard_normal(bits) - 1;
      p[i] = static_cast<float>(funnel::sigmoid(z));
      const double t = funnel::sigmoid(inputs(i, 0) < .3f ? z + 1.5 : z);
      truth[i] = static_cast<float>(t);
      labels[i] = funnel::bernoulli(bits, t) ? 1.f : 0.f;
    }
  }
};

std::vector<float> calibrated(xgboost_calibration& trees, funnel::matrix_view<const float> inputs,
                              const std::vector<float>& p) {
  std::vector<float> result(p.size());
  trees(inputs, p, result);
  return result;
}

/// A file that is gone at the end.
struct file {
  std::string path;
  explicit file(std::string_view ending)
      : path("/tmp/funnel_xgboost_" + std::to_string(getpid()) + std::string(ending)) {}
  ~file() { std::remove(path.c_str()); }
  void write(std::string_view bytes) const { std::ofstream(path, std::ios::binary) << bytes; }
  void write(std::span<const std::byte> bytes) const {
    write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
};

/// A model that XGBoost trains by itself, as another program would.
std::string foreign_model(std::size_t columns, const char* objective,
                          const std::vector<const char*>& feature_names, int trees = 5) {
  const group rows(200, 9);
  std::vector<float> data(200 * columns);
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = rows.p[i % 200] * static_cast<float>(i % 7);
  DMatrixHandle matrix_handle = nullptr;
  REQUIRE(XGDMatrixCreateFromMat(data.data(), 200, columns, missing, &matrix_handle) == 0);
  REQUIRE(XGDMatrixSetFloatInfo(matrix_handle, "label", rows.labels.data(), 200) == 0);
  BoosterHandle handle = nullptr;
  REQUIRE(XGBoosterCreate(&matrix_handle, 1, &handle) == 0);
  for (const auto& [key, value] : {std::pair{"verbosity", "0"},
                                   std::pair{"nthread", "1"},
                                   std::pair{"objective", objective},
                                   {"base_score", "0.3"}})
    REQUIRE(XGBoosterSetParam(handle, key, value) == 0);
  for (int t = 0; t < trees; ++t) REQUIRE(XGBoosterUpdateOneIter(handle, t, matrix_handle) == 0);
  if (!feature_names.empty()) {
    auto copy = feature_names;
    REQUIRE(XGBoosterSetStrFeatureInfo(handle, "feature_name", copy.data(), copy.size()) == 0);
  }
  bst_ulong size = 0;
  const char* bytes = nullptr;
  REQUIRE(XGBoosterSaveModelToBuffer(handle, R"({"format":"json"})", &size, &bytes) == 0);
  const std::string model(bytes, size);
  XGBoosterFree(handle);
  XGDMatrixFree(matrix_handle);
  return model;
}

/// True if reading throws a format_error that says `words`.
bool refuses_file(const file& from, const std::vector<std::string>& inputs,
                  std::string_view words) {
  try {
    xgboost_calibration::read(from.path, inputs);
  } catch (const funnel::format_error& error) {
    const std::string_view text = error.what();
    return text.find(from.path) != std::string_view::npos &&
           text.find(words) != std::string_view::npos && text.find('\n') == std::string_view::npos;
  }
  return false;
}

}  // namespace

TEST_CASE("xgboost_calibration: trees bring special users nearer to the truth") {
  const group fitted(6000, 1), later(6000, 2);
  xgboost_calibration trees(names, fitted.inputs, fitted.p, fitted.labels);
  REQUIRE(trees.has_trees());
  CHECK(trees.names() == names);
  const std::vector<float> after = calibrated(trees, later.inputs, later.p);
  const double best = funnel::logloss(later.truth, later.labels);
  const double before = funnel::logloss(later.p, later.labels);
  CHECK(funnel::logloss(after, later.labels) - best < .2 * (before - best));
  CHECK(funnel::expected_calibration_error(after, later.labels) <
        .5 * funnel::expected_calibration_error(later.p, later.labels));
  for (const float p : after) CHECK((p > 0 && p < 1));
}

TEST_CASE("xgboost_calibration: with too few rows p keeps its bits") {
  const group rows(300);
  for (const std::size_t least : {301u, 300u}) {
    xgboost_calibration trees(names, rows.inputs, rows.p, rows.labels,
                              {.min_rows = least, .trees = 3});
    CHECK(trees.has_trees() == (least == 300));
    CHECK((calibrated(trees, rows.inputs, rows.p) == rows.p) == (least == 301));
    CHECK(trees.model().empty() == (least == 301));
  }
  xgboost_calibration none;
  const matrix<float> no_inputs(3, 0);
  const std::vector<float> p{0, .25f, 1};
  CHECK(calibrated(none, no_inputs, p) == p);
}

TEST_CASE("xgboost_calibration: never falls as p rises; p of 0 and 1, missing inputs, no inputs") {
  group rows(3000);
  for (std::size_t i = 0; i < 3000; i += 3) rows.inputs(i, 1) = missing;
  rows.p[5] = 0, rows.p[6] = 1;
  xgboost_calibration trees(names, rows.inputs, rows.p, rows.labels, {.trees = 20});
  std::vector<float> rising(101);
  for (std::size_t i = 0; i <= 100; ++i) rising[i] = static_cast<float>(i) / 100;
  for (const float like : {.5f, missing}) {
    matrix<float> inputs(101, 2, .2f);
    for (std::size_t i = 0; i <= 100; ++i) inputs(i, 1) = like;
    const std::vector<float> found = calibrated(trees, inputs, rising);
    for (std::size_t i = 0; i < 100; ++i) CHECK(found[i] <= found[i + 1]);
    CHECK((found[0] > 0 && found[100] < 1));
  }
  xgboost_calibration by_p({}, matrix<float>(3000, 0), rows.p, rows.labels, {.trees = 3});
  CHECK(by_p.has_trees());
  CHECK(calibrated(by_p, matrix<float>(1, 0), {.5f}).size() == 1);
}

TEST_CASE("xgboost_calibration: a row has the same bits alone, in any batch and in place") {
  const group rows(2000);
  xgboost_calibration trees(names, rows.inputs, rows.p, rows.labels, {.trees = 20});
  const std::vector<float> all = calibrated(trees, rows.inputs, rows.p);
  for (const std::size_t i : size_list{0, 77, 1999}) {
    const auto row = rows.inputs.view().middle_rows(i, 1);
    CHECK(calibrated(trees, row, {rows.p[i]})[0] == all[i]);
  }
  std::vector<float> in_place = rows.p;
  trees(rows.inputs, in_place, in_place);
  CHECK(in_place == all);
  CHECK(calibrated(trees, rows.inputs.view().middle_rows(0, 0), {}).empty());
  // Rows that are not next to each other in memory.
  matrix<float> wide(2000, 5, missing);
  for (std::size_t i = 0; i < 2000; ++i)
    for (std::size_t j = 0; j < 2; ++j) wide(i, j + 2) = rows.inputs(i, j);
  CHECK(calibrated(trees, wide.view().middle_cols(2, 2), rows.p) == all);
  // The same fit again.
  xgboost_calibration again(names, wide.view().middle_cols(2, 2), rows.p, rows.labels,
                            {.trees = 20});
  CHECK(saved_state(again) == saved_state(trees));
}

TEST_CASE("xgboost_calibration: each thread serves with a copy of its own") {
  const group rows(2000);
  xgboost_calibration trees(names, rows.inputs, rows.p, rows.labels, {.trees = 20});
  const std::vector<float> expected = calibrated(trees, rows.inputs, rows.p);
  std::vector<std::vector<float>> found(4);
  std::vector<xgboost_calibration> copies(4, trees);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) found[t] = calibrated(copies[t], rows.inputs, rows.p);
    });
  for (std::thread& t : threads) t.join();
  for (const auto& f : found) CHECK(f == expected);
  xgboost_calibration assigned;
  assigned = trees;
  CHECK(calibrated(assigned, rows.inputs, rows.p) == expected);
  const xgboost_calibration moved = std::move(assigned);
  CHECK(moved.has_trees());
}

TEST_CASE("xgboost_calibration: the trees' margin is added to logit p, whatever the base score") {
  // Five trees of a base score of .3, which a base margin replaces. Against XGBoost's own prediction
  // from a DMatrix.
  const file saved(".json");
  saved.write(foreign_model(3, "binary:logistic", {"age of the account", "like", "logit"}));
  xgboost_calibration trees = xgboost_calibration::read(saved.path, names);
  const group rows(50, 4);
  std::vector<float> data, margins;
  for (std::size_t i = 0; i < 50; ++i) {
    margins.push_back(funnel::logit(rows.p[i]));
    data.insert(data.end(), {rows.inputs(i, 0), rows.inputs(i, 1), margins[i]});
  }
  DMatrixHandle matrix_handle = nullptr;
  BoosterHandle handle = nullptr;
  REQUIRE(XGDMatrixCreateFromMat(data.data(), 50, 3, missing, &matrix_handle) == 0);
  REQUIRE(XGDMatrixSetFloatInfo(matrix_handle, "base_margin", margins.data(), 50) == 0);
  REQUIRE(XGBoosterCreate(nullptr, 0, &handle) == 0);
  REQUIRE(XGBoosterLoadModelFromBuffer(handle, trees.model().data(), trees.model().size()) == 0);
  bst_ulong size = 0;
  const float* expected = nullptr;
  REQUIRE(XGBoosterPredict(handle, matrix_handle, 0, 0, 0, &size, &expected) == 0);
  const std::vector<float> found = calibrated(trees, rows.inputs, rows.p);
  REQUIRE(size == 50);
  bool changed = false;
  for (std::size_t i = 0; i < 50; ++i) {
    CHECK(tolerance::within(static_cast<double>(found[i]), static_cast<double>(expected[i]),
                            tolerance::iterative<float>(2, 1)));
    changed |= std::abs(found[i] - rows.p[i]) > .01f;
  }
  CHECK(changed);
  XGBoosterFree(handle);
  XGDMatrixFree(matrix_handle);
}

TEST_CASE("xgboost_calibration: a model of other features or another objective is refused") {
  const file saved(".json");
  saved.write(foreign_model(3, "binary:logistic", {}));  // without names, three columns will do
  CHECK(xgboost_calibration::read(saved.path, names).has_trees());
  saved.write(foreign_model(4, "binary:logistic", {}));
  CHECK(refuses_file(saved, names, "has 4 features, expected 3: 2 inputs and \"logit\""));
  saved.write(foreign_model(3, "binary:logistic", {"like", "age of the account", "logit"}));
  CHECK(refuses_file(saved, names, "feature 0 is \"like\", expected \"age of the account\""));
  saved.write(foreign_model(3, "reg:squarederror", {}));
  CHECK(refuses_file(saved, names, "objective is another one, expected binary:logistic"));
  saved.write(foreign_model(3, "binary:logistic", {}).substr(0, 1000));
  CHECK(refuses_file(saved, names, "XGBoost fails"));
  saved.write(std::string_view("no model"));
  CHECK(refuses_file(saved, names, "XGBoost fails"));
  CHECK(refuses_file(file("_absent.json"), names, "XGBoost fails"));
}

TEST_CASE("xgboost_calibration: saved and loaded, it gives the same bits") {
  const group rows(2000);
  for (const std::size_t least : {1000u, 5000u}) {
    xgboost_calibration trees(names, rows.inputs, rows.p, rows.labels,
                              {.min_rows = least, .trees = 5});
    const saved_state saved(trees);
    xgboost_calibration loaded;
    saved.load(loaded);
    CHECK(loaded.names() == names);
    CHECK(calibrated(loaded, rows.inputs, rows.p) == calibrated(trees, rows.inputs, rows.p));
    CHECK(saved_state(loaded) == saved);
    const auto text = [](std::string_view t) { return std::vector<char>(t.begin(), t.end()); };
    CHECK(refuses_state(loaded, saved.with("names", text("a\na\n")), "names[0] is \"a\""));
    CHECK(refuses_state(loaded, saved.with("names", text("a\n\n")), "names[1] is \"\""));
    CHECK(refuses_state(loaded, saved.with("model", text("no model")), "XGBoost fails"));
    if (least == 1000)
      CHECK(refuses_state(loaded, saved.with("names", text("a\nlike\n")), "feature 0 is"));
  }
  const file written(".ubj");
  xgboost_calibration trees(names, rows.inputs, rows.p, rows.labels, {.trees = 5});
  written.write(trees.model());
  xgboost_calibration read = xgboost_calibration::read(written.path, names);
  CHECK(calibrated(read, rows.inputs, rows.p) == calibrated(trees, rows.inputs, rows.p));
}

TEST_CASE("xgboost_calibration: what is refused") {
  constexpr std::string_view name = "funnel::xgboost_calibration";
  const group rows(40);
  const auto fit = [&](const funnel::xgboost_calibration_options& options) {
    xgboost_calibration(names, rows.inputs, rows.p, rows.labels, options);
  };
  const double not_a_number = std::nan("");
  CHECK(refuses([&] { fit({.min_rows = 0}); }, name, "min_rows is 0"));
  CHECK(refuses([&] { fit({.trees = 0}); }, name, "trees is 0"));
  CHECK(refuses([&] { fit({.trees = SIZE_MAX}); }, name, "expected 1 to 10,000"));
  CHECK(refuses([&] { fit({.leaves = 1}); }, name, "leaves is 1"));
  CHECK(refuses([&] { fit({.leaves = SIZE_MAX}); }, name, "expected 2 to 1024"));
  CHECK(refuses([&] { fit({.learning_rate = 0}); }, name, "learning_rate is 0"));
  CHECK(refuses([&] { fit({.learning_rate = not_a_number}); }, name, "learning_rate is nan"));
  CHECK(refuses([&] { fit({.min_leaf_weight = -1}); }, name, "min_leaf_weight is -1"));
  CHECK(refuses([&] { fit({.l2 = INFINITY}); }, name, "l2 is inf"));
  fit({.min_rows = SIZE_MAX});

  for (const std::vector<std::string>& wrong : {std::vector<std::string>{"a", "a"},
                                                {"", "a"},
                                                {"logit", "a"},
                                                {"a[0]", "a"},
                                                {"<a", "a"},
                                                {"a\nb", "c"}})
    CHECK(refuses([&] { xgboost_calibration(wrong, rows.inputs, rows.p, rows.labels); }, name,
                  "names[0] is"));
  const auto fit_rows = [&](const group& g) {
    xgboost_calibration(names, g.inputs, g.p, g.labels, {.min_rows = 10});
  };
  group g = rows;
  g.labels[3] = .5f;
  CHECK(refuses([&] { fit_rows(g); }, name, "labels[3] is 0.5"));
  g = rows, g.labels.pop_back();
  CHECK(refuses([&] { fit_rows(g); }, name, "labels has 39 values, expected 40 as in p"));
  g = rows, g.p[2] = missing;
  CHECK(refuses([&] { fit_rows(g); }, name, "p[2] is nan"));
  g = rows, g.inputs(7, 1) = infinite;
  CHECK(refuses([&] { fit_rows(g); }, name, "inputs(7, 1) is inf"));

  xgboost_calibration trees(names, rows.inputs, rows.p, rows.labels, {.min_rows = 10, .trees = 2});
  std::vector<float> found(40, 7.f);
  const std::vector<float> untouched = found;
  g = rows, g.inputs(7, 1) = -infinite;
  CHECK(refuses([&] { trees(g.inputs, g.p, found); }, name, "inputs(7, 1) is -inf"));
  g = rows, g.p[9] = 1.5f;
  CHECK(refuses([&] { trees(g.inputs, g.p, found); }, name, "p[9] is 1.5"));
  CHECK(refuses([&] { trees(matrix<float>(40, 3), rows.p, found); }, name,
                "inputs has 3 columns, expected 2 as in names"));
  CHECK(refuses([&] { trees(matrix<float>(39, 2), rows.p, found); }, name, "inputs has 39 rows"));
  CHECK(refuses([&] { trees(rows.inputs, rows.p, std::span(found).first(39)); }, name,
                "calibrated has 39 values"));
  CHECK(found == untouched);
}
