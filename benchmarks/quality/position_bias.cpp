// SPDX-License-Identifier: MIT
// Does a position model find the examination of a position that it assumes, and how wrong is it where
// the other one is true? On simulated feeds whose truth is known, with more relevant items further up.
//
// The model beside the position model sees the true relevance of an item: what is judged is the position
// model alone.
//
//     position_bias [impressions, 1,000,000 by default] [exact]
//
// With "exact", the labels are the true click probabilities instead of clicks: what is left is the error of
// the method, without that of the sample.
#include <funnel/core/math.hpp>
#include <funnel/data/simulator.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/product_bce.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/ranking/position_bias.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <span>
#include <vector>

namespace {

using funnel::position_effect;

constexpr std::size_t positions = 8;
constexpr double bias = .4;

/// A feed's impressions, and the truth about them.
struct impressions {
  std::vector<double> relevance;  ///< the true click logit at position 1
  std::vector<double> click;      ///< the true click probability
  std::vector<double> clicked;
  std::vector<std::uint32_t> position;

  impressions(position_effect form, std::size_t count, bool exact) {
    funnel::simulator_options options;
    options.position_bias = bias;
    options.position_form = form;
    options.slots = positions;
    options.history_days = 0;
    options.impressions_per_user_day =
        1.05 * static_cast<double>(count) / static_cast<double>(options.users * options.days);
    const funnel::simulator feed(options);
    const funnel::interaction_log log = feed.log();
    const auto action = log.action("click");
    for (const funnel::impression& e : log.impressions) {
      if (relevance.size() == count) break;
      relevance.push_back(funnel::logit(feed.truth(e.user, e.item, 1, {e.hour, e.tab}).click));
      click.push_back(feed.truth(e).click);
      clicked.push_back(exact ? click.back() : e.did(action) ? 1 : 0);
      position.push_back(e.position);
    }
  }
  std::size_t size() const { return relevance.size(); }
};

/// A position model beside a linear model of the relevance.
template <class Bias>
struct click_model {
  funnel::dense<double> main{1, 1};
  Bias position{funnel::position_bias_options{.positions = positions}};

  void visit_parameters(auto&& visit) {
    visit("main", main);
    visit("position", position);
  }
};
using additive = click_model<funnel::additive_position_bias<double>>;
using examination = click_model<funnel::examination_position_bias<double>>;

template <class Context>
auto loss_of(Context& context, const additive& model, const auto& x,
             std::span<const std::uint32_t> shown, std::span<const double> labels) {
  const auto z = funnel::add(context, model.main(context, x), model.position(context, shown));
  return funnel::bce_with_logits(context, z, labels);
}
template <class Context>
auto loss_of(Context& context, const examination& model, const auto& x,
             std::span<const std::uint32_t> shown, std::span<const double> labels) {
  return funnel::product_bce_with_logits(context, model.position(context, shown),
                                         model.main(context, x), labels);
}

/// 300 steps of Adam, each on all rows.
template <class Model>
Model fit(const impressions& rows) {
  Model model;
  funnel::initialize(model, 1);
  funnel::adam<double> optimizer({.learning_rate = .05});
  funnel::training_context<double> tape(1);
  tape.set_step_rows(rows.size());
  for (int step = 0; step < 300; ++step) {
    for (std::size_t begin = 0; begin < rows.size(); begin += 4096) {
      const std::size_t n = std::min<std::size_t>(4096, rows.size() - begin);
      const auto x = tape.input({rows.relevance.data() + begin, n, 1});
      tape.backward(loss_of(tape, model, x, std::span(rows.position).subspan(begin, n),
                            std::span(rows.clicked).subspan(begin, n)));
      tape.next_micro_batch();
    }
    optimizer.step(model, tape);
    tape.clear();
  }
  return model;
}

/// Examination relative to position 1: a factor of the odds in the additive model, of the probability
/// in the other.
double factor(const additive& model, std::uint32_t position) {
  funnel::inference_context<double> context;
  const std::array<std::uint32_t, 2> shown{1, position};
  const auto term = model.position(context, shown);
  return std::exp(term(1, 0) - term(0, 0));
}
double factor(const examination& model, std::uint32_t position) {
  funnel::inference_context<double> context;
  return funnel::sigmoid(model.position(context, std::span(&position, 1))(0, 0));
}

/// The click probability at position 1.
double at_first(const additive& model, double relevance) {
  funnel::inference_context<double> context;
  const std::array<std::uint32_t, 1> first{1};
  const auto z = model.main(context, funnel::matrix_view<const double>(&relevance, 1, 1));
  return funnel::sigmoid(z(0, 0) + model.position(context, first)(0, 0));
}
double at_first(const examination& model, double relevance) {
  funnel::inference_context<double> context;
  return funnel::sigmoid(
      model.main(context, funnel::matrix_view<const double>(&relevance, 1, 1))(0, 0));
}

/// Prints a row of the table; returns the largest relative error of a factor.
template <class Model>
double report(const char* truth, const char* name, const impressions& rows) {
  const Model model = fit<Model>(rows);
  std::printf("| %s | %s |", truth, name);
  double largest = 0;
  for (std::uint32_t p = 2; p <= positions; ++p) {
    const double found = factor(model, p), expected = std::pow(static_cast<double>(p), -bias);
    largest = std::max(largest, std::abs(found / expected - 1));
    std::printf(" %.3f |", found);
  }
  double squares = 0;
  const auto x = funnel::matrix_view<const double>(rows.relevance.data(), rows.size(), 1);
  funnel::inference_context<double> context;
  double excess = loss_of(context, model, x, rows.position, rows.click)(0, 0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double p = rows.click[i], q = 1 - p;
    excess += (p * std::log(p) + q * std::log(q)) / static_cast<double>(rows.size());
    if (i % 100 == 0) {
      const double error = at_first(model, rows.relevance[i]) - funnel::sigmoid(rows.relevance[i]);
      squares += error * error;
    }
  }
  std::printf(" %.1f %% | %.2f | %.4f |\n", 100 * largest, 1e3 * excess,
              std::sqrt(squares / std::ceil(static_cast<double>(rows.size()) / 100)));
  return largest;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::size_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const bool exact = argc > 2 && std::strcmp(argv[2], "exact") == 0;
  const impressions in_logit(position_effect::additive, count, exact);
  const impressions in_probability(position_effect::examination, count, exact);
  std::printf("%zu and %zu impressions\n\n", in_logit.size(), in_probability.size());
  std::puts("| truth | model | 2 | 3 | 4 | 5 | 6 | 7 | 8 | largest error | excess log loss, 1e-3 | "
            "error of P(click) at position 1 |");
  std::puts("|---|---|---|---|---|---|---|---|---|---|---|---|");
  std::printf("| | the truth of both |");
  for (std::size_t p = 2; p <= positions; ++p)
    std::printf(" %.3f |", std::pow(static_cast<double>(p), -bias));
  std::puts(" | | |");
  const double own[] = {
      report<additive>("additive", "`additive_position_bias`", in_logit),
      report<examination>("examination", "`examination_position_bias`", in_probability)};
  report<examination>("additive", "`examination_position_bias`", in_logit);
  report<additive>("examination", "`additive_position_bias`", in_probability);
  if (own[0] <= .03 && own[1] <= .03) return 0;
  std::fprintf(stderr, "a model misses its own truth by more than 3 %%\n");
  return 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
