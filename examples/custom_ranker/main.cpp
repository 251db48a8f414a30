// SPDX-License-Identifier: MIT
// How to write a layer of your own: a ranker with it is trained on a simulated feed and served
// frozen.
#include <funnel/funnel.hpp>

#include <cstdio>

using namespace funnel;

/// Factorization machine layer: the sum over all pairs of fields of <v_f, v_g>, computed as (|sum_f
/// v_f|^2 - sum_f |v_f|^2) / 2 (Rendle, "Factorization Machines", ICDM 2010). The operations
/// `row_sum`, `multiply` and `subtract` give the same without a backward step of one's own; this one
/// reads the vectors once.
struct pair_products {
  std::size_t dim;  // fields [n, f dim] -> [n, 1]

  template <Context C>
  value_of<C> operator()(C& context, const value_of<C>& fields) const {
    const auto y = context.make(fields.rows(), 1);
    const auto sums = context.make(fields.rows(), dim);  // over the fields; backward needs them
    for (std::size_t i = 0; i < fields.rows(); ++i) {
      const auto v = fields.row(i);
      const auto sum = writable(sums).row(i);
      std::ranges::fill(sum, 0.f);
      for (std::size_t j = 0; j < v.size(); ++j) sum[j % dim] += v[j];
      float total = 0;
      for (const float s : sum) total += s * s / 2;
      for (const float x : v) total -= x * x / 2;
      writable(y)(i, 0) = total;
    }
    if constexpr (C::is_training) {
      context.record([fields, y, sums, d = dim] {  // d y / d v_j = sum_j - v_j
        for (std::size_t i = 0; i < fields.rows(); ++i)
          for (std::size_t j = 0; j < fields.cols(); ++j)
            fields.gradient(i, j) += y.gradient(i, 0) * (sums(i, j % d) - fields(i, j));
      });
    }
    return y;
  }
};

struct ranker {
  embedding<float> table{300 + 400 + 21, 8};  // users, videos, categories
  pair_products pairs{8};
  mlp<float> network{3 * 8, {32, 1}};

  template <Context C>
  value_of<C> operator()(C& context, matrix_view<const std::uint32_t> ids) const {
    const auto fields = table(context, ids);
    return add(context, pairs(context, fields), network(context, fields));
  }
  void visit_parameters(auto&& visit) { visit("table", table), visit("network", network); }
};

int main() {
  const interaction_log log =
      simulator({.users = 300, .videos = 400, .impressions_per_user_day = 20}).log();
  matrix<std::uint32_t> ids(log.impressions.size(), 3);
  std::vector<float> clicks;
  const std::size_t click = log.action("click");
  for (const impression& e : log.impressions) {
    const std::array row{e.user, 300 + e.item, 700 + log.videos[e.item].category};
    std::ranges::copy(row, ids.row(clicks.size()).begin());
    clicks.push_back(e.did(click) ? 1.f : 0.f);
  }
  ranker model;
  random_generator bits(1);
  initialize(model, bits);
  adam<float> optimizer({.learning_rate = 3e-3});
  training_context<float> context;
  const std::size_t size = 256,
                    learned = ids.rows() / 10 * 8 / size * size;  // the first 80 % by time
  for (std::size_t i = 0; i < learned; i += size, context.clear()) {
    const auto logits = model(context, ids.view().middle_rows(i, size));
    context.backward(bce_with_logits(context, logits, std::span(clicks).subspan(i, size)));
    optimizer.step(model, context);
  }
  inference_context<float> serving;
  const auto later = freeze(model)(serving, ids.view().middle_rows(learned, ids.rows() - learned));
  const std::span<const float> scores(later.data(), later.rows());
  std::printf("AUC on what came later: %.3f\n", auc(scores, std::span(clicks).subspan(learned)));
}
