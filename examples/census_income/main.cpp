// SPDX-License-Identifier: MIT
// A table that is no log: MMoE compared with a shared bottom on Census-Income (KDD), the data of Ma et
// al., KDD 2018. The tasks: income above 50,000 dollars, and never married.
#include <funnel/funnel.hpp>

#include <cstdio>
#include <iterator>
#include <numeric>
#include <sstream>
using namespace funnel;

std::vector<std::string> words(const char* text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}
const auto column_names = words(
    "age class industry_code occupation_code education wage_per_hour enrolled marital_status "
    "industry occupation race hispanic sex union_member unemployment_reason employment "
    "capital_gains capital_losses dividends tax_filer region state household_detail household "
    "weight msa_move region_move local_move same_house sunbelt employer_size parents "
    "father_country mother_country country citizenship business veterans_form "
    "veterans_benefits weeks_worked year income");
const auto amounts = words("age wage_per_hour capital_gains capital_losses dividends weeks_worked");

template <class T>
struct two_tasks {
  feature_inputs<T> inputs;
  mmoe<T, 2> experts;
  std::vector<mlp<T>> heads;
  two_tasks(const schema& features, const mmoe_options& options)
      : inputs(features), experts(inputs.width(), options), heads(2, mlp<T>(32, {16, 1})) {}
  auto operator()(auto& context, const row_batch& rows) const {
    const auto h = experts(context, inputs(context, rows).user);  // the context has all features
    return std::array{heads[0](context, h[0]), heads[1](context, h[1])};
  }
  void visit_parameters(auto&& v) { v("inputs", inputs), v("experts", experts), v("heads", heads); }
};

column_table read(const char* path) {
  column_table table = read_csv(path, {.names = column_names});
  const columns file = table;
  const auto add = [&](const char* name, const column& of, const char* yes) {
    table.add(name, of.rows(), [&](std::size_t i) { return of.text(i) == yes; });
  };
  add("high_income", file["income"], "50000+.");
  add("never_married", file["marital_status"], "Never married");
  return table;
}

std::array<double, 2> areas(const two_tasks<float>& model, const encoded_log& rows) {
  const auto scores = score_log(model, rows);
  return {auc(scores[0], rows.label(0)), auc(scores[1], rows.label(1))};
}

int main(int count, char** arguments) {
  if (count != 3 && count != 4)
    return std::puts("census_income <training file> <test file> [tune]"), 2;
  schema_options options{.user = "", .item = "", .time = "", .number_limit = 20};  // rare gains
  options.labels = {"high_income", "never_married"};
  for (const auto& name : column_names)
    if (name != "income" && name != "marital_status" && name != "weight")
      options.of_context.push_back(category{name, 5});
  for (const auto& name : amounts) options.of_context.push_back(number{name, number_as::log1p});
  schema features(options);
  // The settings below were chosen with `tune`: on a tenth of the training file, not on the test.
  const bool tune = count == 4;
  const column_table people = read(arguments[1]);
  std::vector<std::uint32_t> numbers(people.rows());  // a random split: each row is its own user
  std::iota(numbers.begin(), numbers.end(), 0u);
  const row_split parts = split_by_user(numbers, {.validation = tune ? .1 : 0, .test = 0});
  const fitted past = fit_schema(features, select_rows(people, parts.training));
  const encoded test = encode_log(
      features, past.state, tune ? select_rows(people, parts.validation) : read(arguments[2]));

  const auto loss = [](auto& context, const auto& model, const row_batch& rows) {
    const auto z = model(context, rows);
    return total_loss(context, {bce_with_logits(context, z[0], rows.label(0)),
                                bce_with_logits(context, z[1], rows.label(1))});
  };
  train_options how{.epochs = 8, .batch_rows = 256, .last_fraction = 0};
  how.optimizer = {.learning_rate = 2e-3, .weight_decay = 1e-2};
  thread_pool threads(2);
  for (const std::size_t experts : {8u, 1u}) {  // 1: all tasks share it, as wide as 8 together
    double mean[2] = {0, 0};
    for (const std::size_t seed : {1u, 2u, 3u}) {
      two_tasks<float> model(
          features, {.experts = experts, .expert_sizes = {256 / experts, 32}, .dropout = .2});
      initialize(model, seed);
      how.seed = seed;
      train(threads, model, past.rows, loss, how);
      const auto [income, married] = areas(model, test.rows);
      std::printf("%zu experts, seed %zu: %.4f %.4f\n", experts, seed, income, married);
      mean[0] += income / 3, mean[1] += married / 3;
    }
    std::printf("%zu experts, mean: %.4f %.4f\n", experts, mean[0], mean[1]);
  }
}
