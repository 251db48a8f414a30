// SPDX-License-Identifier: MIT
// What special users gain from models of their own, in a simulated feed: special_users [seeds].
//
// The users of the simulator have one taste in common: they click on what they have an affinity to. Here
// those of the lowest class of activity, some 6 % of the impressions, get another: affinity counts less, and
// short videos are preferred. A big model learns from days 1 to 8, small ones correct it on days 9 and 10,
// and day 11 is predicted. Prints AUC and log loss for special users and for others, as the mean of all seeds, and
// the difference of AUC to the big model, within seeds, with its 99 % interval over users.
#include <funnel/calibration/platt.hpp>
#include <funnel/data/simulator.hpp>
#include <funnel/evaluation/bootstrap.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/mse.hpp>
#include <funnel/metrics/auc.hpp>
#include <funnel/metrics/logloss.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/ranking/gated_experts.hpp>
#include <funnel/ranking/special_group.hpp>
#ifdef FUNNEL_HAS_XGBOOST
#include <funnel/adapters/xgboost.hpp>
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace funnel;

constexpr std::size_t user_count = 20000, user_size = 27, item_size = 38;

/// Rows of some days, as the models see them.
struct feed_rows {
  matrix<float> user, item;  ///< [n, user_size], [n, item_size]
  std::vector<std::uint32_t> users, items;
  std::vector<std::uint8_t> special;
  std::vector<float> clicked, truth;

  explicit feed_rows(std::size_t n)
      : user(n, user_size), item(n, item_size), users(n), items(n), special(n), clicked(n),
        truth(n) {}
  std::size_t size() const { return clicked.size(); }
};

/// The rows that `keep(row)` is true for.
template <class Keep>
feed_rows rows_of(const feed_rows& all, const Keep& keep) {
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (keep(i)) kept.push_back(i);
  feed_rows part(kept.size());
  for (std::size_t k = 0; k < kept.size(); ++k) {
    const std::size_t i = kept[k];
    std::ranges::copy(all.user.row(i), part.user.row(k).begin());
    std::ranges::copy(all.item.row(i), part.item.row(k).begin());
    part.users[k] = all.users[i], part.items[k] = all.items[i];
    part.special[k] = all.special[i], part.clicked[k] = all.clicked[i],
    part.truth[k] = all.truth[i];
  }
  return part;
}

struct feed {
  feed_rows early{0}, late{0}, test{0};

  explicit feed(std::uint64_t seed) {
    const simulator simulated({.users = user_count, .impressions_per_user_day = 8, .seed = seed});
    const interaction_log log = simulated.log();
    random_generator bits(seed + 1000);
    feed_rows all(log.impressions.size());
    std::vector<std::int32_t> dates;
    for (const impression& e : log.impressions) dates.push_back(e.date);
    std::ranges::sort(dates);
    dates.erase(std::unique(dates.begin(), dates.end()), dates.end());
    for (std::size_t i = 0; i < all.size(); ++i) {
      const impression& e = log.impressions[i];
      const user_profile& u = log.users[e.user];
      const video& v = log.videos[e.item];
      all.users[i] = e.user, all.items[i] = e.item;
      all.special[i] = u.categorical[0] == 1;
      const auto of_user = all.user.row(i), of_item = all.item.row(i);
      of_user[u.categorical[0] - 1] = 1;
      of_user[4 + u.categorical[2] - 1] = 1;
      std::ranges::copy(u.numeric, of_user.begin() + 7);
      const double duration = std::log(std::max(1.f, v.duration_s) / 25.);
      of_item[0] = static_cast<float>(duration);
      of_item[1] = static_cast<float>(std::log(static_cast<double>(e.position)));
      of_item[2 + v.category - 1] = 1;
      std::ranges::copy(log.content.row(e.item), of_item.begin() + 22);
      double z = logit(simulated.truth(e).click);
      if (all.special[i] != 0) z = .6 * z - .2 - .9 * std::clamp(duration, -1., 1.);
      all.truth[i] = static_cast<float>(sigmoid(z));
      all.clicked[i] = bernoulli(bits, sigmoid(z)) ? 1.f : 0.f;
    }
    const auto between = [&](std::size_t first, std::size_t last) {
      return rows_of(all, [&](std::size_t i) {
        const std::int32_t date = log.impressions[i].date;
        return date >= dates[first] && date <= dates[last];
      });
    };
    early = between(0, 7), late = between(8, 9), test = between(10, 10);
  }
};

/// Embeddings of user and item beside their features.
template <class Body>
struct ranker {
  embedding<float> user{user_count, 8}, item{3000, 8};
  Body body;

  template <Context C>
  value_of<C> operator()(C& context, const feed_rows& x) const {
    const auto as_input = [&](const matrix<float>& m) { return context.input(m.view()); };
    const auto u = as_input(x.user);
    return body(
        context,
        concat(context, u, as_input(x.item), user(context, x.users), item(context, x.items)), u);
  }
  void visit_parameters(auto&& visit) {
    visit("user", user), visit("item", item), visit("body", body);
  }
};

constexpr std::size_t input_size = user_size + item_size + 16;

struct plain_body {
  mlp<float> layers{input_size, {32, 16, 1}};
  template <Context C>
  value_of<C> operator()(C& context, const auto& x, const auto&) const {
    return layers(context, x);
  }
  void visit_parameters(auto&& visit) { visit("layers", layers); }
};
struct gated_body {
  gated_experts<float> experts{input_size, user_size, {.experts = 3, .expert_sizes = {32, 16}}};
  dense<float> click{16, 1};
  template <Context C>
  value_of<C> operator()(C& context, const auto& x, const auto& user) const {
    return click(context, experts(context, x, user));
  }
  void visit_parameters(auto&& visit) { visit("experts", experts), visit("click", click); }
};

/// Trains on batches of 256 rows in random order; `loss(context, rows, first)` is that of a batch, the rows from
/// position `first` of the order on.
template <class Model, class Loss>
void train_on(Model& model, const feed_rows& rows, std::size_t epochs, double rate,
              std::uint64_t seed, const Loss& loss) {
  initialize(model, seed);
  random_generator bits(seed);
  adam<float> optimizer({.learning_rate = rate});
  training_context<float> tape(seed);
  std::vector<std::size_t> order(rows.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
    for (std::size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[uniform_below(bits, i)]);
    for (std::size_t begin = 0; begin < order.size(); begin += 256) {
      const std::span<const std::size_t> batch(order.data() + begin,
                                               std::min<std::size_t>(256, order.size() - begin));
      feed_rows part(batch.size());
      for (std::size_t k = 0; k < batch.size(); ++k) {
        const std::size_t i = batch[k];
        std::ranges::copy(rows.user.row(i), part.user.row(k).begin());
        std::ranges::copy(rows.item.row(i), part.item.row(k).begin());
        part.users[k] = rows.users[i], part.items[k] = rows.items[i],
        part.clicked[k] = rows.clicked[i];
      }
      tape.backward(loss(tape, part, batch));
      optimizer.step(model, tape);
      tape.clear();
    }
  }
}

template <class Model>
std::vector<float> logits_of(const Model& model, const feed_rows& rows) {
  inference_context<float> context;
  const auto z = model(context, rows);
  std::vector<float> all(rows.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = z(i, 0);
  return all;
}

template <class Body>
ranker<Body> trained(const feed_rows& rows, std::uint64_t seed) {
  ranker<Body> model;
  train_on(model, rows, 2, .002, seed, [&](auto& tape, const feed_rows& part, auto) {
    return bce_with_logits(tape, model(tape, part), part.clicked);
  });
  return model;
}

/// What a small model of the group sees: all features but the ids, and the big model's logit.
matrix<float> small_inputs(const feed_rows& rows, const std::vector<float>& big) {
  matrix<float> x(rows.size(), user_size + item_size + 1);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::ranges::copy(rows.user.row(i), x.row(i).begin());
    std::ranges::copy(rows.item.row(i), x.row(i).begin() + user_size);
    x(i, user_size + item_size) = big[i];
  }
  return x;
}

std::vector<float> sigmoids(std::vector<float> z) {
  for (float& v : z) v = sigmoid(v);
  return z;
}

/// Probabilities of the test's rows by a small model that learned from `fit`, where the big model says `big`.
std::vector<float> corrected(const feed_rows& fit, const std::vector<float>& big,
                             const feed_rows& test, const std::vector<float>& big_of_test,
                             special_sum sum, std::uint64_t seed) {
  special_group<float> group(user_size + item_size + 1, {.sizes = {16}, .sum = sum, .dropout = .1});
  const bool residual = sum == special_sum::residual;
  const std::vector<float> scores = residual ? sigmoids(big) : big;
  const std::vector<float> of_test = residual ? sigmoids(big_of_test) : big_of_test;
  const matrix<float> x = small_inputs(fit, big);
  const std::vector<std::uint8_t> all{1};
  train_on(
      group, fit, 4, .002, seed,
      [&](auto& tape, const feed_rows& part, std::span<const std::size_t> batch) {
        auto& memory = tape.scratch();
        const matrix_view<float> inputs(memory.template allocate<float>(batch.size(), x.cols()),
                                        batch.size(), x.cols());
        const matrix_view<float> z(memory.template allocate<float>(batch.size()), batch.size(), 1);
        for (std::size_t k = 0; k < batch.size(); ++k) {
          std::ranges::copy(x.row(batch[k]), inputs.row(k).begin());
          z(k, 0) = scores[batch[k]];
        }
        const auto y = group(tape, tape.input(inputs), tape.input(z), all);
        return residual ? mse_loss(tape, y, part.clicked) : bce_with_logits(tape, y, part.clicked);
      });
  inference_context<float> context;
  const matrix<float> of_rows = small_inputs(test, big_of_test);
  const matrix_view<const float> base(of_test.data(), test.size(), 1);
  const auto y = group(context, of_rows.view(), base, test.special);
  std::vector<float> p(test.size());
  for (std::size_t i = 0; i < p.size(); ++i) {
    p[i] = y(i, 0);
    if (test.special[i] == 0 && p[i] != of_test[i]) std::abort();  // others keep their bits
  }
  return residual ? p : sigmoids(p);
}

/// The rows and scores of all seeds, of one group.
struct pooled {
  std::vector<user_id> users;
  std::vector<float> clicked;
  std::map<std::string, std::vector<double>> p;
  double pairs = 0;  // of a positive and a negative of one seed
};

}  // namespace

int main(int count, char** arguments) {
  const std::uint64_t seeds = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 5;
  std::vector<std::string> names;
  std::map<std::string, std::array<double, 4>>
      sums;  // AUC and log loss of special users and of others
  std::array<pooled, 2> all;
  std::size_t special_rows = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const feed data(seed);
    const auto is_special = [](const feed_rows& rows) {
      return [&rows](std::size_t i) { return rows.special[i] != 0; };
    };
    const feed_rows early = rows_of(data.early, is_special(data.early));
    const feed_rows late = rows_of(data.late, is_special(data.late));
    special_rows += late.size();
    const ranker<plain_body> big = trained<plain_body>(data.early, seed);
    const std::vector<float> z = logits_of(big, data.test);
    const std::vector<float> z_late = logits_of(big, late), z_early = logits_of(big, early);

    std::vector<std::pair<std::string, std::vector<float>>> results;
    results.emplace_back("big model", sigmoids(z));
    results.emplace_back("small model, sum of logits",
                         corrected(late, z_late, data.test, z, special_sum::logit, seed));
    results.emplace_back("small model, residual",
                         corrected(late, z_late, data.test, z, special_sum::residual, seed));
    results.emplace_back("the same sum, in-sample scores",
                         corrected(early, z_early, data.test, z, special_sum::logit, seed));
    results.emplace_back("gated experts",
                         sigmoids(logits_of(trained<gated_body>(data.early, seed), data.test)));
    const auto special_only = [&](const auto& replace) {
      std::vector<float> p = sigmoids(z);
      for (std::size_t i = 0; i < p.size(); ++i)
        if (data.test.special[i] != 0) p[i] = replace(i);
      return p;
    };
    const std::vector<float> own = sigmoids(logits_of(trained<plain_body>(early, seed), data.test));
    results.emplace_back("a full model of their own",
                         special_only([&](std::size_t i) { return own[i]; }));
    const auto line = fit_platt(z_late, late.clicked);
    results.emplace_back("Platt scaling",
                         special_only([&](std::size_t i) { return line.probability(z[i]); }));
#ifdef FUNNEL_HAS_XGBOOST
    const auto tree_inputs = [](const feed_rows& rows) {
      matrix<float> x(rows.size(), user_size + 1);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        std::ranges::copy(rows.user.row(i), x.row(i).begin());
        x(i, user_size) = rows.item(i, 0);
      }
      return x;
    };
    std::vector<std::string> columns;
    for (std::size_t j = 0; j < user_size; ++j) columns.push_back("user" + std::to_string(j));
    columns.push_back("duration");
    xgboost_calibration trees(columns, tree_inputs(late), sigmoids(z_late), late.clicked);
    std::vector<float> calibrated = sigmoids(z);
    trees(tree_inputs(data.test), calibrated, calibrated);
    results.emplace_back("calibrating trees",
                         special_only([&](std::size_t i) { return calibrated[i]; }));
#endif

    results.emplace_back("the truth", data.test.truth);

    for (const bool special : {true, false}) {
      pooled& to = all[special ? 0 : 1];
      std::vector<float> clicked;
      for (std::size_t i = 0; i < data.test.size(); ++i) {
        if ((data.test.special[i] != 0) != special) continue;
        to.users.push_back(static_cast<user_id>(user_count * seed + data.test.users[i]));
        clicked.push_back(data.test.clicked[i]);
      }
      to.clicked.insert(to.clicked.end(), clicked.begin(), clicked.end());
      const double positives = static_cast<double>(std::ranges::count(clicked, 1.f));
      to.pairs += positives * (static_cast<double>(clicked.size()) - positives);
      for (const auto& [name, p] : results) {
        std::vector<float> part;
        for (std::size_t i = 0; i < p.size(); ++i)
          if ((data.test.special[i] != 0) == special) part.push_back(p[i]);
        sums[name][special ? 0 : 2] += auc(part, clicked) / static_cast<double>(seeds);
        sums[name][special ? 1 : 3] += logloss(part, clicked) / static_cast<double>(seeds);
        // Rows of different seeds are not to be compared: all of a seed rank above those of the one before.
        for (const float score : part) to.p[name].push_back(static_cast<double>(seed) + .5 * score);
        if (special && seed == 1) names.push_back(name);
      }
    }
  }
  std::printf("%llu seeds; %zu rows of special users on days 9 and 10, %zu on day 11 (others: "
              "%zu), a seed\n\n",
              static_cast<unsigned long long>(seeds), special_rows / seeds,
              all[0].clicked.size() / seeds, all[1].clicked.size() / seeds);
  std::printf("| | AUC, special | difference | log loss | AUC, others | difference | log loss |\n");
  for (const std::string& name : names) {
    std::printf("| %s ", name.c_str());
    for (std::size_t g = 0; g < 2; ++g) {
      const auto& [users, clicked, p, pairs] = all[g];
      std::printf("| %.4f ", sums.at(name)[2 * g]);
      if (p.at(name) == p.at("big model")) {
        std::printf("| 0 ");
      } else {
        // AUC counts all pairs, and those of different seeds are the same for both models.
        const double positives = static_cast<double>(std::ranges::count(clicked, 1.f));
        const double all_pairs = positives * (static_cast<double>(clicked.size()) - positives);
        const auto gain =
            paired_bootstrap(users, p.at(name), p.at("big model"), clicked, auc_metric());
        std::printf("| %+.4f (%+.4f to %+.4f) ", gain.value * all_pairs / pairs,
                    gain.low * all_pairs / pairs, gain.high * all_pairs / pairs);
      }
      std::printf("| %.4f ", sums.at(name)[2 * g + 1]);
    }
    std::printf("|\n");
  }
}
