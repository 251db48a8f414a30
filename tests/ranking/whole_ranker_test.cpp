// SPDX-License-Identifier: MIT
#include <funnel/loss/bce.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/loss/watch_time.hpp>
#include <funnel/nn/inference_context.hpp>

#include "support/catch.hpp"
#include "support/feed_ranker.hpp"
#include "support/gradients.hpp"
#include "support/tolerance.hpp"

#include <set>
#include <string>
#include <vector>

namespace {

struct labels {
  std::vector<double> clicks{1, 0, 1, 1, 0, 0}, long_views{1, 0, .5, 0, 0, 0},
      likes{0, 1, 1, 0, 0, 1};  // where nobody clicked they don't count
  std::vector<double> times{40, 0, 12, 500, 0, 0};
};

/// All four heads: likes given a click, watch times clipped.
double_value loss_of(double_training& context, const feed_ranker<double>& model,
                     const ranker_input<double>& x, const labels& y) {
  const auto z = model(context, x);
  return funnel::total_loss(
      context,
      {funnel::bce_with_logits(context, z[click], y.clicks),
       funnel::bce_with_logits(context, z[long_view], y.long_views),
       funnel::bce_with_logits(context, z[like], y.likes, {.weights = y.clicks}),
       funnel::watch_time_loss(
           context, z[watch], y.times,
           {.time_scale = model.watch_head.time_scale, .max_time = model.watch_head.max_time})},
      {1, .5, 2, .2});
}

/// The parameters whose gradient is not zero somewhere.
std::set<std::string> reached(const feed_ranker<double>& model, const double_training& context) {
  std::set<std::string> names;
  funnel::for_each_parameter(model, [&](std::string_view path, const auto& p) {
    const auto* gradient = context.find_gradient(p);
    if (gradient == nullptr) return;
    for (std::size_t i = 0; i < gradient->values().rows(); ++i) {
      for (const double g : gradient->values().row(i)) {
        if (g != 0) names.insert(std::string(path));
      }
    }
  });
  return names;
}

}  // namespace

TEST_CASE("whole ranker: the gradient of every parameter, for a request and for a batch") {
  const labels y;
  for (const std::size_t users : size_list{1, 6}) {
    const ranker_rows<double> rows(users, 6, 7, 4, 3);
    feed_ranker<double> model{ranker_sizes{}};
    const auto result = funnel::check_gradients<double>(
        model, [&](double_training& context) { return loss_of(context, model, rows.all(), y); });
    INFO("users " << users << ", worst: " << result.worst_parameter << "[" << result.worst_position
                  << "]");
    CHECK(result.largest_error <= tolerance::finite_difference(0));
    CHECK(result.checked == funnel::count_parameters(model));
    CHECK(2 * result.nonzero >= result.checked);

    double_training context(1);
    context.backward(loss_of(context, model, rows.all(), y));
    std::size_t parameters = 0;
    funnel::for_each_parameter(model, [&](std::string_view, const auto&) { ++parameters; });
    CHECK(reached(model, context).size() == parameters);
  }
}

TEST_CASE("whole ranker: a request is a batch whose users are all the same") {
  const labels y;
  const ranker_rows<double> request(1, 6, 7, 4, 3);
  ranker_rows<double> batch = request;
  batch.user = funnel::matrix<double>(6, ranker_user_numbers);
  batch.place.assign(6, request.place[0]);
  batch.recent.clear();
  batch.history.clear();
  batch.recent_offsets = batch.history_offsets = {0};
  for (std::size_t i = 0; i < 6; ++i) {
    std::ranges::copy(request.user.row(0), batch.user.row(i).begin());
    batch.recent.insert(batch.recent.end(), request.recent.begin(), request.recent.end());
    batch.history.insert(batch.history.end(), request.history.begin(), request.history.end());
    batch.recent_offsets.push_back(static_cast<std::uint32_t>(batch.recent.size()));
    batch.history_offsets.push_back(static_cast<std::uint32_t>(batch.history.size()));
  }
  const feed_ranker<double> model{ranker_sizes{}};
  funnel::inference_context<double> serving;
  const auto one = model(serving, request.all());
  const auto many = model(serving, batch.all());
  for (std::size_t t = 0; t < ranker_tasks; ++t) CHECK(same_bits(one[t], many[t]));

  // The same masks, the same loss, and in the end the same gradients.
  double_training a(1), b(1);
  const auto loss_a = loss_of(a, model, request.all(), y);
  const auto loss_b = loss_of(b, model, batch.all(), y);
  CHECK(loss_a.values(0, 0) == loss_b.values(0, 0));
  a.backward(loss_a);
  b.backward(loss_b);
  for (std::uint32_t row = 0; row < 7; ++row) {
    const auto x = a.gradient(model.item.table).row(row);
    const auto z = b.gradient(model.item.table).row(row);
    for (std::size_t j = 0; j < x.size(); ++j)
      CHECK(tolerance::within(x[j], z[j], tolerance::iterative<double>(30, 1)));
  }
}
