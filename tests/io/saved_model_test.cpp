// SPDX-License-Identifier: MIT
#include <funnel/io/saved_model.hpp>

#include <funnel/calibration/isotonic.hpp>
#include <funnel/calibration/platt.hpp>
#include <funnel/core/random.hpp>
#include <funnel/features/feature_inputs.hpp>
#include <funnel/features/request_encoder.hpp>
#include <funnel/fusion/weighted_sum.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>

#include "features/random_log.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/two_head_ranker.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

using namespace funnel;

namespace {

template <class T>
struct ranker : two_head_ranker<T> {
  explicit ranker(const schema& features, activation hidden = activation::relu, std::size_t dim = 4)
      : two_head_ranker<T>(features, 1, {.dim = dim}, {.hidden = hidden}, {.hidden = hidden}) {}
};

struct example {
  std::string path = std::filesystem::temp_directory_path() / "funnel_saved_model_test";
  schema features{every_kind()};
  fitted past = fit_schema(features, table_of(random_log(1)));
  ranker<float> model{features};

  example() { save_model(path, model, features, past); }
  ~example() { std::filesystem::remove(path); }
};

struct calibration {
  std::vector<double> a{1, 2};
  void visit_state(auto&& visit) { visit("a", a); }
};

bool refuses_file(const auto& call, std::string_view words) {
  try {
    call();
  } catch (const format_error& error) {
    return std::string(error.what()).find(words) != std::string::npos;
  }
  return false;
}

}  // namespace

TEST_CASE("a saved model serves as the one that was trained") {
  const example e;
  const saved_model file(e.path);
  CHECK(file.features().label() == e.features.label());
  CHECK(saved_state(file.state()) == saved_state(e.past.state));
  ranker<float> loaded(file.features());
  for_each_parameter(loaded, [](std::string_view, auto& p) { p.value.flat()[0] += 1; });
  file.load(loaded);
  request_encoder before(e.features, e.past.state), after(file.features(), file.state());
  const std::vector<double> positions{0, 1};
  const auto scores = [&](request_encoder& encode, const ranker<float>& model) {
    return detail::scores_of<float>(
        model, encode(101, std::array{3, 5}, 500'000, {{"device", "ios"}},
                      {{"position", column(std::span<const double>(positions))}}));
  };
  CHECK(scores(before, e.model).size() == 4);
  CHECK(scores(before, e.model) == scores(after, loaded));
}

TEST_CASE("a model with another option is found by the scores in the file") {
  const example e;
  const saved_model file(e.path);
  ranker<float> other(file.features(), activation::tanh);
  const float before = other.click.layers[0].weight.value(0, 0) += 1;
  CHECK(refuses_file([&] { file.load(other); }, "as the saved model gave"));
  CHECK(other.click.layers[0].weight.value(0, 0) == before);
  ranker<float> wide(file.features(), activation::relu, 5);
  CHECK(refuses_file([&] { file.load(wide); }, "inputs.user_id"));
}

TEST_CASE("parts of one's own, and files that are damaged") {
  const example e;
  calibration mine, loaded{{}};
  save_model(e.path, e.model, e.features, e.past,
             [&](model_writer& file) { file.state("calibration", mine); });
  saved_model(e.path).file().load_state("calibration", loaded);
  CHECK(loaded.a == mine.a);
  std::ifstream in(e.path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  bytes[bytes.size() / 2] ^= 1;
  std::ofstream(e.path, std::ios::binary) << bytes;
  CHECK(refuses_file([&] { saved_model{e.path}; }, "damaged"));
}

namespace {

/// What turns the logits of two heads into one score.
struct scoring {
  platt_scaling click;
  isotonic_calibrator<float> like;
  click_times_weighted_sum<1> value;
  void visit_state(auto&& visit) {
    visit("click", click), visit("like", like), visit("value", value);
  }
};

struct wide_scoring {
  platt_scaling click;
  isotonic_calibrator<float> like;
  click_times_weighted_sum<2> value;
  void visit_state(auto&& visit) {
    visit("click", click), visit("like", like), visit("value", value);
  }
};
struct damaged_scoring {
  platt_scaling click;
  std::vector<float> knots, values;
  click_times_weighted_sum<1> value;
  void visit_state(auto&& visit) {
    visit("click", click), visit("like.knots", knots), visit("like.values", values);
    int interpolation = 0;
    visit("like.interpolation", interpolation), visit("value", value);
  }
};

/// The probability of a click, that of a like after it, and the value, of each row of a batch.
std::vector<float> served(const ranker<float>& model, const scoring& after, const row_batch& rows) {
  inference_context<float> context;
  const auto z = model(context, rows);
  std::vector<float> scores;
  for (std::size_t i = 0; i < z[0].rows(); ++i) {
    const std::array<float, 2> p{after.click.probability(z[0](i, 0)), after.like(z[1](i, 0))};
    scores.insert(scores.end(), {p[0], p[1], after.value(p)});
  }
  return scores;
}

}  // namespace

TEST_CASE("a calibrated model is served with the probabilities of the one that was saved") {
  const example e;
  std::vector<std::uint32_t> all(e.past.rows.requests());
  std::iota(all.begin(), all.end(), 0u);
  row_batch rows;
  e.past.rows.gather(all, rows);
  std::vector<float> click, like, labels;
  {
    inference_context<float> context;
    const auto z = e.model(context, rows);
    random_generator bits(3);
    for (std::size_t i = 0; i < z[0].rows(); ++i) {
      click.push_back(z[0](i, 0)), like.push_back(z[1](i, 0));
      labels.push_back(bernoulli(bits, .3) ? 1.f : 0.f);
    }
  }
  const scoring fitted_before{.click = fit_platt(click, labels),
                              .like = fit_isotonic(like, labels),
                              .value = {.weights = {2.5f}}};
  REQUIRE(fitted_before.click.converged);
  REQUIRE(fitted_before.like.knots().size() > 2);
  save_model(e.path, e.model, e.features, e.past,
             [&](model_writer& file) { file.state("scoring", fitted_before); });

  const saved_model file(e.path);
  ranker<float> loaded(file.features());
  file.load(loaded);
  scoring after;
  CHECK(served(loaded, after, rows) != served(e.model, fitted_before, rows));
  file.file().load_state("scoring", after);
  CHECK(saved_state(after) == saved_state(fitted_before));
  CHECK(served(loaded, after, rows) == served(e.model, fitted_before, rows));

  // Formulas of another number of weights, and what is damaged, are refused; nothing is loaded.
  wide_scoring wide;
  CHECK(refuses_file([&] { file.file().load_state("scoring", wide); }, "scoring.value.weights.1"));
  const damaged_scoring damaged{.click = {}, .knots = {1, 2}, .values = {.5f}, .value = {}};
  model_writer().state("scoring", damaged).write(e.path);
  CHECK(refuses_file(
      [&] { model_file(e.path).load_state("scoring", after); },
      "part \"scoring\": funnel::isotonic_calibrator: values has 1 value, expected 2"));
  CHECK(saved_state(after) == saved_state(fitted_before));
}

TEST_CASE("a state of another schema is not saved") {
  const example e;
  schema other(every_kind(to_midnight));
  fit_schema(other, table_of(random_log(1)));
  CHECK(refuses([&] { save_model(e.path, e.model, other, e.past); }, "funnel::save_model",
                e.features.label()));
}

TEST_CASE("the state after a later log is saved, too") {
  example e;
  std::vector<log_row> later = random_log(2);
  for (log_row& row : later) row.time += 1'000'000;
  const encoded after = encode_log(e.features, e.past.state, table_of(later));
  save_model(e.path, e.model, e.features, after);
  const saved_model file(e.path);
  CHECK(file.state().time() == after.state.time());
  CHECK(file.state().time() > e.past.state.time());
  ranker<float> loaded(file.features());
  file.load(loaded);
}
