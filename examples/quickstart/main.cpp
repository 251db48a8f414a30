// SPDX-License-Identifier: MIT
// From a log of impressions to a ranker that is trained, saved, loaded and served.
#include <funnel/funnel.hpp>

#include <cstdio>
using namespace funnel;

template <class T>
struct ranker {
  feature_inputs<T> inputs;
  mmoe<T, 2> experts;
  std::vector<mlp<T>> heads;
  explicit ranker(const schema& features)
      : inputs(features), experts(inputs.width(), {.experts = 3}), heads(2, mlp<T>(64, {32, 1})) {}
  auto operator()(auto& context, const row_batch& rows) const {
    const auto x = inputs(context, rows);
    const auto h = experts(context, concat(context, x.user, x.item));
    return std::array{heads[0](context, h[0]), heads[1](context, h[1])};
  }
  void visit_parameters(auto&& v) { v("inputs", inputs), v("experts", experts), v("heads", heads); }
};

int main(int count, char** arguments) {
  if (count != 3) return std::puts("quickstart <log.csv> <file for the model>"), 2;
  schema features(
      {.of_user = {category{"user_id"}, rate{"user_rate", "user_id", "click"}},
       .of_item = {category{"item_id"}, number{"price"}, rate{"ctr", "item_id", "click"}},
       .of_context = {category{"device"}, time_of{}},
       .labels = {"click", "like"}});
  const fitted past = fit_schema(features, read_csv(arguments[1]));
  ranker<float> model(features);
  initialize(model, 1);
  const auto loss = [](auto& context, const auto& m, const row_batch& rows) {
    const auto z = m(context, rows);  // likes are learned from clicked rows alone
    const auto click = bce_with_logits(context, z[0], rows.label(0));
    const auto like = bce_with_logits(context, z[1], rows.label(1), {.weights = rows.label(0)});
    return total_loss(context, {click, like});
  };
  train(model, past.rows, loss, {.epochs = 5, .optimizer = {.learning_rate = 2e-3}});
  save_model(arguments[2], model, features, past);
  const saved_model file(arguments[2]);  // from here on, this may be another program
  ranker<float> loaded(file.features());
  file.load(loaded);
  const auto serving = freeze(loaded);
  request_encoder encode(file.features(), file.state());
  inference_context<float> context;
  const auto z =
      serving(context, encode("u42", std::array{17, 4}, 1'701'400'000, {{"device", "ios"}}));
  std::printf("click: %.3f and %.3f\n", sigmoid(z[0](0, 0)), sigmoid(z[0](1, 0)));
}
