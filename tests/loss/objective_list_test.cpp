// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include "support/errors.hpp"
#include "support/gradients.hpp"

#include <funnel/core/math.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/loss/objective_list.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/slice.hpp>
#include <funnel/optim/adam.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

using namespace loss_test;
using funnel::objective;
using funnel::objective_kind;
using objectives = funnel::objective_list<double>;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// Labels by column.
struct label_rows {
  std::vector<std::vector<double>> columns;
  std::span<const double> label(std::size_t k) const { return columns.at(k); }
};

const std::vector<objective<double>> shop{
    {.name = "click"}, {.name = "cart", .given = "click"}, {.name = "pay", .given = "cart"}};

/// Click, cart and pay of six impressions. Row 4 has a cart without a click, which does not count.
const label_rows shop_rows{{{1, 1, 1, 0, 0, 1}, {1, 1, 0, 0, 1, 0}, {1, 0, 0, 0, 1, 0}}};

/// The loss where x holds the outputs of the heads as columns.
auto loss_of(const objectives& list, const label_rows& rows) {
  return [&list, &rows](auto& context, const auto& x) {
    using value = std::remove_cvref_t<decltype(x)>;
    std::vector<value> outputs;
    for (std::size_t k = 0; k < x.cols(); ++k) outputs.push_back(funnel::slice(context, x, k, 1));
    return list.loss(context, std::span<const value>(outputs), rows);
  };
}

double bce(double z, double y) {
  return funnel::softplus(z) - y * z;
}

/// A model of outputs that are parameters, and the list.
struct free_outputs {
  funnel::parameter<double> x;
  objectives list;
  void visit_parameters(auto&& visit) { visit("x", x), visit("list", list); }
};

/// A model that makes its list itself, with options that skip others.
struct list_inside {
  objectives goals{{{.name = "click", .learn_weight = true},
                    {.name = "watch", .given = "click", .mask = 5, .time_scale = 10},
                    {.name = "rating", .label = 3, .max_time = 7}}};
  funnel::dense<double> head{1, 1};
  template <funnel::Context C>
  funnel::value_of<C> operator()(C& context, const funnel::value_of<C>& x) const {
    return head(context, x);
  }
  void visit_parameters(auto&& visit) { visit("goals", goals), visit("head", head); }
};

/// Three heads that know nothing but their bias.
struct funnel_heads {
  std::vector<funnel::dense<float>> of{3, funnel::dense<float>(1, 1)};
  funnel::objective_list<float> list;
  void visit_parameters(auto&& visit) { visit("of", of), visit("list", list); }
};

/// One objective of each kind, some conditional, with a mask and missing labels.
const std::vector<objective<double>> every_kind{
    {.name = "click"},
    {.name = "like", .given = "click", .weight = 2, .learn_weight = true},
    {.name = "watch",
     .kind = objective_kind::watch_time,
     .given = "click",
     .mask = 5,
     .learn_weight = true,
     .time_scale = 10},
    {.name = "order",
     .kind = objective_kind::log_watch_time,
     .given = "click",
     .label = 2,
     .weight = .5,
     .learn_weight = true,
     .time_scale = 5,
     .max_time = 60},
    {.name = "rating", .kind = objective_kind::number, .label = 4, .learn_weight = true}};

const label_rows kind_rows{{{1, 0, 1, 1, 0, 1},
                            {1, not_a_number, 0, not_a_number, 1, 0},
                            {30, -5, 100, 8, not_a_number, 0},
                            {},
                            {3, -1, not_a_number, 4, 2.5, not_a_number},
                            {1, 0, 0, 1, 1, 1}}};

}  // namespace

TEST_CASE("objective_list: a chain of conditions, worked by hand", "[loss]") {
  const objectives list(shop);
  const funnel::matrix<double> x =
      filled<double>(6, 3,
                     {.1, .2, .3, -1, .5, 2, 0, 1, not_a_number, 2, not_a_number, 0, 1, 9,
                      not_a_number, -.5, -2, not_a_number});
  const auto [loss, gradient] = evaluate(x, loss_of(list, shop_rows));
  const double click =
      (bce(.1, 1) + bce(-1, 1) + bce(0, 1) + bce(2, 0) + bce(1, 0) + bce(-.5, 1)) / 6;
  const double cart = (bce(.2, 1) + bce(.5, 1) + bce(1, 0) + bce(-2, 0)) / 4;  // rows 0, 1, 2, 5
  const double pay = (bce(.3, 1) + bce(2, 0)) / 2;                             // rows 0 and 1
  CHECK(tolerance::within(loss, click + cart + pay, tolerance::reduction<double>(12, loss)));
  for (const std::size_t i : size_list{3, 4}) CHECK(gradient(i, 1) == 0);
  for (const std::size_t i : size_list{2, 3, 4, 5}) CHECK(gradient(i, 2) == 0);
  CHECK(tolerance::within(gradient(0, 2), (funnel::sigmoid(.3) - 1) / 2,
                          tolerance::elementwise<double>(1)));
}

TEST_CASE("objective_list: is total_loss of the losses with masks as weights", "[loss]") {
  auto weighted = shop;
  weighted[0].weight = .5, weighted[2].weight = 3;
  const objectives list(weighted);
  funnel::random_generator random(1);
  const auto x = random_matrix<double>(random, 6, 3, 2);
  const std::vector<double> carts{1, 1, 1, 0, 0, 1}, pays{1, 1, 0, 0, 0, 0};
  const auto expected = evaluate(x, [&](auto& context, const auto& value) {
    const auto z = [&](std::size_t k) { return funnel::slice(context, value, k, 1); };
    const auto& y = shop_rows.columns;
    return funnel::total_loss(context,
                              {funnel::bce_with_logits(context, z(0), y[0]),
                               funnel::bce_with_logits(context, z(1), y[1], {.weights = carts}),
                               funnel::bce_with_logits(context, z(2), y[2], {.weights = pays})},
                              {.5, 1, 3});
  });
  const auto found = evaluate(x, loss_of(list, shop_rows));
  CHECK(found.loss == expected.loss);
  CHECK(std::ranges::equal(found.gradient.flat(), expected.gradient.flat()));
  CHECK(list.weight(0) == .5);
  CHECK(funnel::count_parameters(list) == 0);
}

TEST_CASE("objective_list: gradients of all kinds and of learned weights", "[loss]") {
  funnel::random_generator random(2);
  free_outputs model;
  model.x = funnel::parameter<double>(6, 5);
  model.x.value = random_matrix<double>(random, 6, 5, 1);
  model.list = objectives(every_kind);
  model.list.log_variance.value = filled<double>(1, 5, {7, .3, -.5, 1, -1});
  for (const std::size_t step_rows : {std::size_t{0}, std::size_t{16}}) {
    const auto result = funnel::check_gradients<double>(model, [&](double_training& context) {
      context.set_step_rows(step_rows);
      const auto x = value_of_parameter(context, model.x);
      return loss_of(model.list, kind_rows)(context, x);
    });
    CHECK(result.largest_error <= tolerance::finite_difference(5));
    // 6 clicks, likes of rows 0, 2 and 5, watches of 0, 3 and 5, orders of 0, 2, 3 and 5, ratings of
    // 0, 1, 3 and 4; four of five logarithms.
    CHECK(result.nonzero == 6 + 3 + 3 + 4 + 4 + 4);
  }
  // Serving gives the number of training.
  funnel::inference_context<double> serving;
  const auto value = loss_of(model.list, kind_rows)(serving, serving.input(model.x.value));
  CHECK(view(value)(0, 0) == evaluate(model.x.value, loss_of(model.list, kind_rows)).loss);
}

TEST_CASE("objective_list: the formula of learned weights", "[loss]") {
  auto list = objectives(
      {{.name = "click", .learn_weight = true},
       {.name = "rating", .kind = objective_kind::number, .weight = 3, .learn_weight = true}});
  list.log_variance.value = filled<double>(1, 2, {std::log(4.), std::log(2.)});
  CHECK(tolerance::within(list.weight(0), .25, tolerance::elementwise<double>(.25)));
  CHECK(tolerance::within(list.weight(1), .75, tolerance::elementwise<double>(.75)));
  const label_rows rows{{{1, 0}, {5, not_a_number}}};
  const auto x = filled<double>(2, 2, {1, 7, 2, 0});
  const double click = (bce(1, 1) + bce(2, 0)) / 2;
  const double expected = click / 4 + std::log(4.) / 2 + 3 * (.5 * 4 / 2 + std::log(2.) / 2);
  CHECK(tolerance::within(evaluate(x, loss_of(list, rows)).loss, expected,
                          tolerance::reduction<double>(6, expected)));
  // The least loss is where the variance is the mean square, 4, whatever share of the rows counts.
  list.log_variance.value(0, 1) = std::log(4.);
  for (const std::size_t step_rows : {std::size_t{0}, std::size_t{64}}) {
    double_training context;
    context.set_step_rows(step_rows);
    context.backward(loss_of(list, rows)(context, context.input(x)));
    CHECK(tolerance::within(context.find_gradient(list.log_variance)->values()(0, 1), 0,
                            tolerance::elementwise<double>(3)));
  }
}

TEST_CASE("objective_list: the parts of a batch add up to the batch", "[loss]") {
  free_outputs model;
  model.list = objectives(every_kind);
  model.list.log_variance.value = filled<double>(1, 5, {0, .3, -.5, 1, -1});
  funnel::random_generator random(5);
  const auto x = random_matrix<double>(random, 6, 5, 1);
  const auto run = [&](std::size_t begin, std::size_t end) {
    label_rows rows = kind_rows;
    for (auto& column : rows.columns)
      if (!column.empty())
        column = {column.begin() + static_cast<std::ptrdiff_t>(begin),
                  column.begin() + static_cast<std::ptrdiff_t>(end)};
    double_training context;
    context.set_step_rows(6);
    const funnel::matrix<double> part(x.view().middle_rows(begin, end - begin));
    const auto loss = loss_of(model.list, rows)(context, context.input(part));
    context.backward(loss);
    double slope = 0;
    if (const auto* g = context.find_gradient(model.list.log_variance)) slope = g->values()(0, 3);
    return std::pair(loss.values(0, 0), slope);
  };
  const auto whole = run(0, 6), first = run(0, 2), second = run(2, 6);
  CHECK(tolerance::within(first.first + second.first, whole.first,
                          tolerance::reduction<double>(40, std::abs(whole.first) + 10)));
  CHECK(tolerance::within(first.second + second.second, whole.second,
                          tolerance::reduction<double>(40, 10)));
}

TEST_CASE("objective_list: an objective without rows adds 0 and no gradient", "[loss]") {
  const objectives list({{.name = "click"},
                         {.name = "cart", .given = "click", .learn_weight = true},
                         {.name = "off", .weight = 0, .learn_weight = true}});
  const label_rows none{{{0, 0}, {1, 7}, {0, 1}}};
  const auto x = filled<double>(2, 3, {1, not_a_number, not_a_number, 2, infinity, 0});
  double_training context;
  const auto value = context.make(2, 3);
  std::ranges::copy(x.flat(), value.values.data());
  const auto loss = loss_of(list, none)(context, value);
  context.backward(loss);
  CHECK(tolerance::within(loss.values(0, 0), (bce(1, 0) + bce(2, 0)) / 2,
                          tolerance::reduction<double>(4, 4)));
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t k = 1; k < 3; ++k) CHECK(value.gradient(i, k) == 0);
  CHECK(context.find_gradient(list.log_variance) == nullptr);
  const label_rows empty{{{}, {}, {}}};
  CHECK(evaluate(funnel::matrix<double>(0, 3), loss_of(list, empty)).loss == 0);
}

TEST_CASE("objective_list: join multiplies along the chain", "[loss]") {
  const objectives list({{.name = "click"},
                         {.name = "cart", .given = "click"},
                         {.name = "share"},
                         {.name = "pay", .given = "cart"},
                         {.name = "watch", .kind = objective_kind::watch_time, .given = "click"}});
  funnel::matrix<double> estimates = filled<double>(2, 5, {.5, .5, .25, .5, 40, 1, .25, 0, 1, 8});
  list.join(estimates.view());
  CHECK(std::ranges::equal(estimates.row(0), std::vector{.5, .25, .25, .125, 20.}));
  CHECK(std::ranges::equal(estimates.row(1), std::vector{1., .25, 0., .25, 8.}));
  CHECK(list.position("pay") == 3);
  CHECK(refuses([&] { list.join(std::span(estimates.flat()).first(4)); },
                "funnel::objective_list::join", "estimates has 4 values, expected 5"));
  funnel::matrix<double> wrong(2, 4);
  CHECK(refuses([&] { list.join(wrong.view()); }, "funnel::objective_list::join",
                "estimates has 4 columns, expected 5"));
}

TEST_CASE("objective_list: trains heads of row_batch whose product is the rate of payments",
          "[loss]") {
  // Of 1000 impressions .4 are clicked, .5 of these put into the cart, .3 of these paid.
  using list_type = funnel::objective_list<float>;
  const list_type list({{.name = "click"},
                        {.name = "cart", .given = "click"},
                        {.name = "pay", .given = "cart", .learn_weight = true}});
  funnel_heads model{.list = list};
  funnel::row_batch rows;
  rows.labels.resize(3), rows.label_present.assign(3, std::vector<float>(1000, 1));
  for (std::size_t i = 0; i < 1000; ++i) {
    rows.labels[0].push_back(i < 400);
    rows.labels[1].push_back(i < 200);
    rows.labels[2].push_back(i < 60);
  }
  rows.labels[2][999] = 9, rows.label_present[2][999] = 0;  // missing
  list.check_log(rows);
  funnel::adam<float> optimizer({.learning_rate = .1});
  funnel::training_context<float> tape;
  const funnel::matrix<float> ones(1000, 1, 1.f);
  for (int step = 0; step < 300; ++step) {
    const auto x = tape.input(ones);
    std::vector<funnel::variable<float>> z;
    for (const auto& head : model.of) z.push_back(head(tape, x));
    tape.backward(model.list.loss(tape, z, rows));
    optimizer.step(model, tape);
    tape.clear();
  }
  funnel::inference_context<float> serving;
  std::array<float, 3> p{};
  for (std::size_t k = 0; k < 3; ++k)
    p[k] = funnel::sigmoid(model.of[k](serving, ones.view())(0, 0));
  CHECK(tolerance::within(double{p[1]}, .5, tolerance::promised(.01, .5)));
  model.list.join(p);
  CHECK(tolerance::within(double{p[2]}, .06, tolerance::promised(.01, .06)));
  CHECK(model.list.weight(2) < 1);  // twice the entropy of .3 is above 1
}

TEST_CASE("objective_list: a model that holds a list is frozen with it", "[loss]") {
  const auto frozen = funnel::freeze(list_inside());
  funnel::inference_context<double> context;
  const funnel::matrix<double> x(2, 1, 1.);
  CHECK(frozen(context, x.view())(1, 0) == 0);
  CHECK(frozen.call(context, [](const list_inside& m, auto&) { return m.goals.size(); }) == 3);
  CHECK(funnel::count_parameters(list_inside()) == 3 + 2);
}

TEST_CASE("objective_list: check_log names the objective that cannot learn", "[loss]") {
  constexpr const char* name = "funnel::objective_list::check_log";
  const objectives list(shop);
  list.check_log(shop_rows);
  objectives().check_log(shop_rows);
  const auto refused = [&](const label_rows& rows, const char* words) {
    return refuses([&] { list.check_log(rows); }, name, words);
  };
  CHECK(refused({{{0, 0}, {0, 0}, {0, 0}}}, "click has no label above 0 (rows: 2)"));
  CHECK(refused({{{1, 1}, {0, 0}, {0, 0}}}, "click has no label below 1 (rows: 2)"));
  CHECK(refused({{{1, 0}, {0, 1}, {0, 1}}}, "cart has no label above 0 (rows: 1)"));
  CHECK(refused({{{1, 1, 0}, {1, 0, 0}, {0, 1, 1}}}, "pay has no label above 0 (rows: 1)"));
  CHECK(refused({{{}, {}, {}}}, "click has no row, expected 1 or more"));
  const objectives late({{.name = "click"}, {.name = "cart", .given = "click", .label = 2}});
  CHECK(refuses(
      [&] {
        late.check_log(label_rows{{{1, 0}, {}, {not_a_number, 1}}});
      },
      name, "cart has no row where click happened, expected 1 or more"));
  const objectives off({{.name = "click"}, {.name = "none", .weight = 0}});
  off.check_log(label_rows{{{1, 0}, {0, 0}}});
  const objectives number({{.name = "rating", .kind = objective_kind::number}});
  number.check_log(label_rows{{{0, 0}}});
}

TEST_CASE("objective_list: errors name the objective", "[loss]") {
  const objectives list(shop);
  const funnel::matrix<double> zeros(2, 1);
  const auto error = [&](const objectives& of, const label_rows& rows) {
    counting context;
    std::vector<counting::value> z(of.size(), context.input(zeros));
    const int made = context.touched;
    try {
      of.loss(context, std::span<const counting::value>(z), rows);
    } catch (const std::invalid_argument& e) {
      CHECK(context.touched == made);
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(
      contains(error(list, {{{2, 0}, {0, 0}, {0, 0}}}),
               "funnel::objective_list::loss: the label of click in row 0 is 2, expected a number "
               "in [0, 1]"));
  CHECK(contains(error(list, {{{.5, 0}, {0, 0}, {0, 0}}}), "the label of click in row 0 is 0.5"));
  CHECK(contains(error(list, {{{1, 0}, {-1, 0}, {0, 0}}}), "the label of cart in row 0 is -1"));
  CHECK(error(list, {{{1, 0}, {1, 0}, {0, -1}}}).empty());  // does not count
  CHECK(contains(error(list, {{{1, 0}, {1}, {0, 0}}}), "the labels of cart has 1 value"));
  const objectives times({{.name = "watch", .kind = objective_kind::watch_time, .mask = 1},
                          {.name = "rating", .kind = objective_kind::number, .label = 2}});
  CHECK(contains(error(times, {{{1, -1}, {1, 1}, {1, 1}}}), "the label of watch in row 1 is -1"));
  CHECK(contains(error(times, {{{1, infinity}, {1, 1}, {1, 1}}}), "the label of watch in row 1"));
  CHECK(contains(error(times, {{{1, 1}, {1, .5}, {1, 1}}}), "the mask of watch in row 1 is 0.5"));
  CHECK(contains(error(times, {{{1, 1}, {1, 1}, {1, infinity}}}), "the label of rating in row 1"));

  funnel::inference_context<double> context;
  const funnel::matrix<double> one(2, 1), wide(2, 2);
  using view_type = funnel::matrix_view<const double>;
  const auto outputs = [&](std::vector<view_type> z) {
    return [&, z] { list.loss(context, std::span<const view_type>(z), shop_rows); };
  };
  CHECK(refuses(outputs({one.view()}), "funnel::objective_list::loss", "outputs has 1 value"));
  CHECK(refuses(outputs({one.view(), wide.view(), one.view()}), "funnel::objective_list::loss",
                "the output of cart is [2, 2], expected [2, 1]"));

  CHECK(refuses([&] { objectives().loss(context, std::span<const view_type>(), shop_rows); },
                "funnel::objective_list::loss", "outputs is empty"));

  const auto make = [](std::vector<objective<double>> of) { return [of] { objectives{of}; }; };
  constexpr const char* name = "funnel::objective_list";
  CHECK(refuses(make({}), name, "list is empty"));
  CHECK(refuses(make({{.name = ""}}), name, "list[0].name is empty"));
  CHECK(refuses(make({{.name = "a"}, {.name = "a"}}), name, "list[1].name is a"));
  CHECK(refuses(make({{.name = "a", .given = "b"}, {.name = "b"}}), name, "list[0].given is b"));
  CHECK(refuses(make({{.name = "a", .given = "a"}}), name, "list[0].given is a"));
  CHECK(refuses(make({{.name = "a", .kind = objective_kind::number}, {.name = "b", .given = "a"}}),
                name, "list[1].given is a"));
  CHECK(refuses(make({{.name = "a", .kind = static_cast<objective_kind>(9)}}), name,
                "list[0].kind is 9"));
  for (const double bad : {-1., not_a_number, infinity}) {
    CHECK(refuses(make({{.name = "a", .weight = bad}}), name, "list[0].weight is"));
    CHECK(refuses(make({{.name = "a", .time_scale = bad}}), name, "list[0].time_scale is"));
    CHECK(refuses(make({{.name = "a", .max_time = bad}}), name, "list[0].max_time is"));
  }
  CHECK(refuses([&] { list.position("none"); }, "funnel::objective_list::position", "none"));
  CHECK(refuses([&] { list.weight(3); }, "funnel::objective_list::weight", "k is 3"));
}
