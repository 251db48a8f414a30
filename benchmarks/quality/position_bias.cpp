// SPDX-License-Identifier: MIT
// Does a position model find the examination of a position that it assumes, and how wrong is it where
// the other one is true? On simulated feeds whose truth is known, with more relevant items further up.
//
// The model beside the position model sees the true relevance of an item: what is judged is the position
// model alone. With "learned" it is an MLP of what a service knows of users and items, which learns the
// relevance together with the position model.
//
//     position_bias [impressions, 1,000,000 by default] [exact] [learned]
//
// With "exact", the labels are the true click probabilities instead of clicks: what is left is the error of
// the method, without that of the sample.
#include <funnel/core/math.hpp>
#include <funnel/data/simulator.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/product_bce.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
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
#include <numbers>
#include <span>
#include <vector>

namespace {

using funnel::position_effect;

constexpr std::size_t positions = 8;
constexpr double bias = .4;
/// Numbers that are known of an impression: interest in the category, the hour, the tab.
constexpr std::size_t known_size = 3 + funnel::simulator::tabs;

/// A feed's impressions, and the truth about them.
struct impressions {
  std::vector<double> relevance;  ///< the true click logit at position 1
  std::vector<double> click;      ///< the true click probability
  std::vector<double> clicked;
  std::vector<std::uint32_t> position, user, item;
  funnel::matrix<double> known;    ///< [n, known_size]
  funnel::matrix<double> content;  ///< [items, content_size]

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
      position.push_back(e.position), user.push_back(e.user), item.push_back(e.item);
    }
    content.assign(log.content.rows(), log.content.cols());
    std::ranges::copy(log.content.flat(), content.flat().begin());
    known.assign(size(), known_size);
    for (std::size_t i = 0; i < size(); ++i) {
      const funnel::impression& e = log.impressions[i];
      const double interest = double{log.users[e.user].numeric[log.videos[e.item].category - 1]};
      const auto row = known.row(i);
      row[0] = interest, row[1] = std::sqrt(interest);
      row[2] = std::cos(2 * std::numbers::pi * (e.hour - 21) / 24);
      row[3 + e.tab] = 1;
    }
  }
  std::size_t size() const { return relevance.size(); }
};

/// A linear model of the true relevance. 300 steps of Adam, each on all rows.
struct true_relevance {
  static constexpr std::size_t step_rows = SIZE_MAX;
  static constexpr std::array<double, 1> rates{.05};  // by pass
  static constexpr std::size_t passes_per_rate = 300;
  funnel::dense<double> layer{1, 1};

  template <class Context>
  auto operator()(Context& context, const impressions& rows, std::size_t begin,
                  std::size_t n) const {
    return layer(context, context.input({rows.relevance.data() + begin, n, 1}));
  }
  void visit_parameters(auto&& visit) { visit("layer", layer); }
};

/// An MLP of embeddings of user and item, the item's content and what is known about the page, with products
/// of the user's embedding and the content. Six passes of Adam over the rows, in the order of time.
struct learned_relevance {
  static constexpr std::size_t step_rows = 1024;
  static constexpr std::array<double, 6> rates{.005, .005, .005, .002, .001, .0003};  // by pass
  static constexpr std::size_t passes_per_rate = 1;
  funnel::embedding<double> user{funnel::simulator_options().users, 16};
  funnel::embedding<double> item{funnel::simulator_options().videos, 8};
  funnel::mlp<double> layers{3 * 16 + 8 + known_size, {32, 1}};

  template <class Context>
  auto operator()(Context& context, const impressions& rows, std::size_t begin,
                  std::size_t n) const {
    const auto users = std::span(rows.user).subspan(begin, n);
    const auto items = std::span(rows.item).subspan(begin, n);
    const std::size_t size = rows.content.cols();
    const funnel::matrix_view<double> x(context.scratch().template allocate<double>(n, size), n,
                                        size);
    for (std::size_t i = 0; i < n; ++i)
      std::ranges::copy(rows.content.row(items[i]), x.row(i).begin());
    const auto content = context.input(x);
    const auto taste = user(context, users);
    return layers(context, concat(context, taste, content, multiply(context, taste, content),
                                  item(context, items),
                                  context.input(rows.known.view().middle_rows(begin, n))));
  }
  void visit_parameters(auto&& visit) {
    visit("user", user), visit("item", item), visit("layers", layers);
  }
};

/// A position model beside a model of the relevance.
template <class Main, class Bias>
struct click_model {
  Main main;
  Bias position{funnel::position_bias_options{.positions = positions}};

  void visit_parameters(auto&& visit) {
    visit("main", main);
    visit("position", position);
  }
};
template <class Main>
using additive = click_model<Main, funnel::additive_position_bias<double>>;
template <class Main>
using examination = click_model<Main, funnel::examination_position_bias<double>>;

/// The loss of the rows from `begin` on.
template <class Context, class Main>
auto loss_of(Context& context, const additive<Main>& model, const impressions& rows,
             std::size_t begin, std::span<const double> labels) {
  const auto shown = std::span(rows.position).subspan(begin, labels.size());
  const auto z = funnel::add(context, model.main(context, rows, begin, labels.size()),
                             model.position(context, shown));
  return funnel::bce_with_logits(context, z, labels);
}
template <class Context, class Main>
auto loss_of(Context& context, const examination<Main>& model, const impressions& rows,
             std::size_t begin, std::span<const double> labels) {
  const auto shown = std::span(rows.position).subspan(begin, labels.size());
  return funnel::product_bce_with_logits(context, model.position(context, shown),
                                         model.main(context, rows, begin, labels.size()), labels);
}

template <class Main, template <class> class Form>
Form<Main> fit(const impressions& rows) {
  Form<Main> model;
  funnel::initialize(model, 1);
  funnel::training_context<double> tape(1);
  funnel::adam<double> optimizer({.learning_rate = Main::rates[0]});
  for (const double rate : Main::rates) {
    optimizer.options.learning_rate = rate;
    for (std::size_t pass = 0; pass < Main::passes_per_rate; ++pass)
      for (std::size_t begin = 0; begin < rows.size();) {
        const std::size_t end = begin + std::min(Main::step_rows, rows.size() - begin);
        tape.set_step_rows(end - begin);
        while (begin < end) {
          const std::size_t n = std::min<std::size_t>(4096, end - begin);
          tape.backward(
              loss_of(tape, model, rows, begin, std::span(rows.clicked).subspan(begin, n)));
          tape.next_micro_batch();
          begin += n;
        }
        optimizer.step(model, tape);
        tape.clear();
      }
  }
  return model;
}

/// Examination relative to position 1: a factor of the odds in the additive model, of the probability
/// in the other.
template <class Main>
double factor(const additive<Main>& model, std::uint32_t position) {
  funnel::inference_context<double> context;
  const std::array<std::uint32_t, 2> shown{1, position};
  const auto term = model.position(context, shown);
  return std::exp(term(1, 0) - term(0, 0));
}
template <class Main>
double factor(const examination<Main>& model, std::uint32_t position) {
  funnel::inference_context<double> context;
  return funnel::sigmoid(model.position(context, std::span(&position, 1))(0, 0));
}

/// The click probability at position 1.
template <class Main>
double at_first(const additive<Main>& model, const impressions& rows, std::size_t i) {
  funnel::inference_context<double> context;
  const std::array<std::uint32_t, 1> first{1};
  const auto z = model.main(context, rows, i, 1);
  return funnel::sigmoid(z(0, 0) + model.position(context, first)(0, 0));
}
template <class Main>
double at_first(const examination<Main>& model, const impressions& rows, std::size_t i) {
  funnel::inference_context<double> context;
  return funnel::sigmoid(model.main(context, rows, i, 1)(0, 0));
}

/// Prints a row of the table; returns the largest relative error of a factor.
template <class Main, template <class> class Form>
double report(const char* truth, const char* name, const impressions& rows) {
  const Form<Main> model = fit<Main, Form>(rows);
  std::printf("| %s | %s |", truth, name);
  double largest = 0;
  for (std::uint32_t p = 2; p <= positions; ++p) {
    const double found = factor(model, p), expected = std::pow(static_cast<double>(p), -bias);
    largest = std::max(largest, std::abs(found / expected - 1));
    std::printf(" %.3f |", found);
  }
  double squares = 0, excess = 0;
  const double count = static_cast<double>(rows.size());
  for (std::size_t begin = 0; begin < rows.size(); begin += 4096) {
    const std::size_t n = std::min<std::size_t>(4096, rows.size() - begin);
    funnel::inference_context<double> context;
    const auto labels = std::span(rows.click).subspan(begin, n);
    excess += static_cast<double>(n) / count * loss_of(context, model, rows, begin, labels)(0, 0);
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double p = rows.click[i], q = 1 - p;
    excess += (p * std::log(p) + q * std::log(q)) / count;
    if (i % 100 == 0) {
      const double error = at_first(model, rows, i) - funnel::sigmoid(rows.relevance[i]);
      squares += error * error;
    }
  }
  std::printf(" %.1f %% | %.2f | %.4f |\n", 100 * largest, 1e3 * excess,
              std::sqrt(squares / std::ceil(count / 100)));
  return largest;
}

/// Prints the table; returns whether each model finds its own truth.
template <class Main>
bool compare(const impressions& in_logit, const impressions& in_probability) {
  std::puts("| truth | model | 2 | 3 | 4 | 5 | 6 | 7 | 8 | largest error | excess log loss, 1e-3 | "
            "error of P(click) at position 1 |");
  std::puts("|---|---|---|---|---|---|---|---|---|---|---|---|");
  std::printf("| | the truth of both |");
  for (std::size_t p = 2; p <= positions; ++p)
    std::printf(" %.3f |", std::pow(static_cast<double>(p), -bias));
  std::puts(" | | |");
  const double own[] = {
      report<Main, additive>("additive", "`additive_position_bias`", in_logit),
      report<Main, examination>("examination", "`examination_position_bias`", in_probability)};
  report<Main, examination>("additive", "`examination_position_bias`", in_logit);
  report<Main, additive>("examination", "`additive_position_bias`", in_probability);
  return own[0] <= .03 && own[1] <= .03;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::size_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const auto has = [&](const char* word) {
    return std::any_of(argv + 1, argv + argc, [&](const char* a) { return !std::strcmp(a, word); });
  };
  const bool exact = has("exact"), learned = has("learned");
  const impressions in_logit(position_effect::additive, count, exact);
  const impressions in_probability(position_effect::examination, count, exact);
  std::printf("%zu and %zu impressions\n\n", in_logit.size(), in_probability.size());
  if (learned) {
    compare<learned_relevance>(in_logit, in_probability);
    return 0;
  }
  if (compare<true_relevance>(in_logit, in_probability)) return 0;
  std::fprintf(stderr, "a model misses its own truth by more than 3 %%\n");
  return 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
