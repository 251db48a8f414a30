// SPDX-License-Identifier: MIT
// What longer histories are worth, and what they cost: AUC of clicks, and milliseconds of a request of 500
// candidates, for users with a million events each: long_histories [users, 100 by default].
//
// The truth. An item has one of 100 categories, one of two styles, and a quality. A user has 18 interests, each a
// category and a style of it, three for each of six periods of their life: the last 20 events, those before them
// until 100 events ago, and so on until 1,000, 10,000, 100,000 and 1,000,000. Of the events of a period, 96 % are
// items of one of its interests, the others any items. Every second candidate is of the category of an interest,
// all 18 equally likely; the others are of any category. So old interests return, and only old events tell of them.
//
//     logit P(click) = -1.5 + quality + 2.5 [the user has an interest in the item's category and style]
//
// Printed beside each model is the most that its part of the history can tell: the AUC of the click probability
// given the interests of the periods that it reads, and the qualities.
//
// All models have the same embeddings, DIN and network, apart from the mean, which has no attention. They learn
// from 500 other users.
#include <funnel/core/math.hpp>
#include <funnel/core/random.hpp>
#include <funnel/evaluation/bootstrap.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/metrics/auc.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/sequence/din_attention.hpp>
#include <funnel/sequence/history_store.hpp>
#include <funnel/sequence/last_n_mean.hpp>
#include <funnel/sequence/sim_attention.hpp>
#include <funnel/sequence/time_bucket.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace funnel;

constexpr std::uint32_t categories = 100, items_of_category = 6,
                        items = categories * items_of_category;
constexpr std::array<std::size_t, 6> periods{20, 100, 1000, 10'000, 100'000, 1'000'000};
constexpr std::size_t longest = periods.back(), interests_of_period = 3;
constexpr std::size_t interest_count = periods.size() * interests_of_period;
constexpr std::size_t found = 100;  // events that SIM keeps for a candidate
constexpr std::size_t train_users = 500;
constexpr std::int64_t now = 60 * std::int64_t{longest};  // one event a minute

/// Categories count from 1: 0 is "no category".
std::uint32_t category_of(std::uint32_t item) {
  return 1 + item / items_of_category;
}
std::uint32_t style_of(std::uint32_t item) {
  return item % 2;
}
history_event event_of(std::uint32_t item, std::size_t age) {
  return {.item = item,
          .category = category_of(item),
          .time = now - 60 * static_cast<std::int64_t>(1 + age)};
}

/// P(click) if the user likes an item with that probability.
double click_probability(double quality, double likes) {
  return likes * sigmoid(quality + 1) + (1 - likes) * sigmoid(quality - 1.5);
}

struct user_world {
  random_generator bits;
  std::array<std::uint32_t, interest_count> category, style;  ///< by interest, the newest first
  std::array<std::size_t, categories> interest;  ///< that has the category, or interest_count

  explicit user_world(std::uint64_t number) : bits(1000 + number) {
    interest.fill(interest_count);
    std::array<std::uint32_t, categories> all;
    std::iota(all.begin(), all.end(), 0u);
    for (std::size_t k = 0; k < interest_count; ++k) {
      std::swap(all[k], all[k + uniform_below(bits, categories - k)]);
      category[k] = all[k];
      style[k] = static_cast<std::uint32_t>(uniform_below(bits, 2));
      interest[all[k]] = k;
    }
  }
  /// The probability that the user likes an item, as far as the interests of the newest periods tell.
  double likes(std::uint32_t item, std::size_t known_periods) const {
    const std::size_t known = interests_of_period * known_periods;
    const std::size_t k = interest[item / items_of_category];
    if (k < known) return style[k] == style_of(item) ? 1 : 0;
    // How likely a candidate is of another interest, and of no interest.
    const double each = .5 / categories;
    const double other = static_cast<double>(interest_count - known) * (.5 / interest_count + each);
    return .5 * other / (other + static_cast<double>(categories - interest_count) * each);
  }
  /// The items of the whole history, the newest first.
  std::vector<std::uint32_t> history() {
    std::vector<std::uint32_t> all;
    for (std::size_t p = 0; p < periods.size(); ++p)
      while (all.size() < periods[p]) {
        if (bernoulli(bits, .04)) {
          all.push_back(static_cast<std::uint32_t>(uniform_below(bits, items)));
          continue;
        }
        const std::size_t k = interests_of_period * p + uniform_below(bits, interests_of_period);
        const auto pick = static_cast<std::uint32_t>(uniform_below(bits, items_of_category / 2));
        all.push_back(category[k] * items_of_category + 2 * pick + style[k]);
      }
    return all;
  }
};

/// Candidates of some users, request by request, and what came of them.
struct rows {
  std::vector<user_id> users;
  std::vector<std::int64_t> times;
  std::vector<std::uint32_t> offsets{0}, items, categories;
  std::vector<float> clicked;
  /// P(click) if no interest is known, if those of the newest period are, of the newest two, and so on; the
  /// last is the truth.
  std::vector<std::array<double, periods.size() + 1>> known;

  void add(user_id number, user_world& user, std::span<const double> quality, std::size_t count) {
    users.push_back(number), times.push_back(now);
    for (std::size_t i = 0; i < count; ++i) {
      const auto c = bernoulli(user.bits, .5)
                         ? user.category[uniform_below(user.bits, interest_count)]
                         : static_cast<std::uint32_t>(uniform_below(user.bits, ::categories));
      const auto item = c * items_of_category +
                        static_cast<std::uint32_t>(uniform_below(user.bits, items_of_category));
      items.push_back(item), categories.push_back(category_of(item));
      auto& p = known.emplace_back();
      for (std::size_t k = 0; k < p.size(); ++k)
        p[k] = click_probability(quality[item], user.likes(item, k));
      clicked.push_back(bernoulli(user.bits, p.back()) ? 1.f : 0.f);
    }
    offsets.push_back(static_cast<std::uint32_t>(items.size()));
  }
  void add(const rows& all, std::size_t request) {
    users.push_back(all.users[request]), times.push_back(now);
    const auto append = [&](auto& to, const auto& from) {
      to.insert(to.end(), from.begin() + all.offsets[request],
                from.begin() + all.offsets[request + 1]);
    };
    append(items, all.items), append(categories, all.categories);
    append(clicked, all.clicked), append(known, all.known);
    offsets.push_back(static_cast<std::uint32_t>(items.size()));
  }
  sim_query query() const { return {users, times, items, categories}; }
};

enum class reader { mean, din, hard, soft };

struct click_model {
  reader kind;
  std::size_t length;  ///< of the history that is read
  sim_attention<float, din_attention<float>> sim;
  mlp<float> head, search_head;

  click_model(reader by, std::size_t n)
      : kind(by), length(n),
        sim({.items = ::items,
             .categories = ::categories + 1,
             .time_buckets = by == reader::mean ? 0u : 32u,
             .events = found,
             .by_category = by != reader::soft,
             .by_cluster = false,
             .similar = by == reader::soft ? found : 0,
             .searched = n,
             .initial_scale = .3},
            din_attention_options{.hidden = {16}, .function = activation::relu, .normalize = true}),
        head(3 * sim.events.width(), {32, 1}), search_head(2 * sim.events.width(), {16, 1}) {}

  void visit_parameters(auto&& visit) {
    visit("sim", sim), visit("head", head);
    if (kind == reader::soft) visit("search_head", search_head);
  }

  template <Context C>
  auto candidates(C& context, const rows& of) const {
    const std::array<std::span<const std::uint32_t>, 2> fields{of.items, of.categories};
    return sim.events.candidates(context, {.fields = fields});
  }
  /// What the model reads of the history.
  template <Context C>
  value_of<C> interest(C& context, const history_store& store, const rows& of) const {
    if (kind == reader::hard || kind == reader::soft) return sim(context, store, of.query());
    const std::size_t requests = of.users.size();
    const auto column = [&](std::size_t n) {
      return std::span(context.scratch().template allocate<std::uint32_t>(n), n);
    };
    const auto offsets = column(requests + 1);
    offsets[0] = 0;
    for (std::size_t r = 0; r < requests; ++r)
      offsets[r + 1] =
          offsets[r] + static_cast<std::uint32_t>(std::min(length, store[of.users[r]].size()));
    const std::size_t total = offsets[requests];
    const auto item = column(total), category = column(total), bucket = column(total);
    for (std::size_t r = 0; r < requests; ++r) {
      const stored_history history = store[of.users[r]];
      for (std::size_t j = offsets[r]; j < offsets[r + 1]; ++j) {
        const history_event e = history[history.size() - (offsets[r + 1] - j)];
        item[j] = e.item, category[j] = e.category;
        bucket[j] = time_bucket(now, e.time, 32);
      }
    }
    if (kind == reader::mean)
      return materialize(
          context,
          concat(context, last_n_mean(context, sim.events.fields[0], {item, offsets}, length),
                 last_n_mean(context, sim.events.fields[1], {category, offsets}, length)));
    const std::array<std::span<const std::uint32_t>, 2> fields{item, category};
    const auto x = sim.events(context, {.fields = fields, .time_buckets = bucket});
    return sim.attention(context, candidates(context, of), x, offsets);
  }
  template <Context C>
  value_of<C> operator()(C& context, const history_store& store, const rows& of) const {
    context.group_rows(of.offsets);
    const auto q = candidates(context, of);
    const auto o = interest(context, store, of);
    return head(context, concat(context, q, o, multiply(context, q, o)));
  }
  /// The loss of a batch; soft search has one of its own.
  template <Context C>
  auto loss(C& tape, const history_store& store, const rows& of) const {
    const auto own = bce_with_logits(tape, (*this)(tape, store, of), of.clicked);
    if (kind != reader::soft) return own;
    const auto u =
        affine(tape, sim.soft_interest(tape, store, of.query()), 1 / static_cast<float>(length));
    const auto z = search_head(tape, concat(tape, candidates(tape, of), u));
    return add(tape, own, bce_with_logits(tape, z, of.clicked));
  }
};

/// One epoch for each element of `epochs`, which have the same users.
void train_on(click_model& model, const history_store& store, std::span<const rows> epochs,
              std::size_t users) {
  constexpr std::size_t batch = 4;
  random_generator bits(7);
  adam<float> optimizer({.learning_rate = .005});
  training_context<float> tape(7);
  std::vector<std::size_t> order(users);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (const rows& all : epochs) {
    for (std::size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[uniform_below(bits, i)]);
    for (std::size_t begin = 0; begin < users; begin += batch) {
      rows part;
      for (std::size_t k = begin; k < std::min(users, begin + batch); ++k) part.add(all, order[k]);
      tape.backward(model.loss(tape, store, part));
      optimizer.step(model, tape);
      tape.clear();
    }
  }
}

/// The histories of training users, as far as a model can read them: the newest 10,000 events, and of each
/// category the newest that SIM keeps. So what is found is what would be found in the whole history.
struct short_histories {
  std::vector<std::vector<history_event>> of_user;  ///< oldest first

  void add(std::span<const std::uint32_t> newest_first) {
    std::vector<history_event> kept;
    std::array<std::size_t, categories + 1> count{};
    for (std::size_t age = 0; age < newest_first.size(); ++age)
      if (++count[category_of(newest_first[age])] <= found || age < 10'000)
        kept.push_back(event_of(newest_first[age], age));
    std::ranges::reverse(kept);
    of_user.push_back(std::move(kept));
  }
  history_store newest(std::size_t length) const {
    history_store store;
    const std::int64_t first = now - 60 * static_cast<std::int64_t>(length);
    for (std::size_t u = 0; u < of_user.size(); ++u)
      for (const history_event& e : of_user[u])
        if (e.time >= first) store.append(static_cast<user_id>(u), e);
    return store;
  }
};

/// A model that serves, and what it said about the candidates of the test.
struct judged {
  std::string name;
  std::size_t length;
  std::function<void(inference_context<float>&, const history_store&, const rows&,
                     std::vector<double>&)>
      serve;
  std::vector<double> scores = {}, milliseconds = {};
};

judged served(const std::string& name, std::size_t length, const click_model& model) {
  return {name, length,
          [frozen = freeze(model)](auto& context, const history_store& store, const rows& of,
                                   std::vector<double>& scores) {
            const auto z = frozen(context, store, of);
            for (std::size_t i = 0; i < of.items.size(); ++i) scores.push_back(z(i, 0));
          }};
}

std::vector<judged> train_models(const short_histories& known, std::span<const rows> epochs) {
  std::vector<judged> models;
  const auto learn = [&](click_model& model, std::span<const rows> from,
                         std::size_t users = train_users) {
    train_on(model, known.newest(model.length), from, users);
  };
  const auto fresh = [&](reader kind, std::size_t length) {
    click_model model(kind, length);
    initialize(model, 1);
    // Soft search starts from the similarity of the embeddings.
    if (kind == reader::soft) model.sim.event_search = model.sim.candidate_search;
    return model;
  };
  for (const std::size_t length : std::span(periods).first(4)) {
    click_model model = fresh(reader::mean, length);
    learn(model, epochs);
    models.push_back(served("mean of the last", length, model));
  }
  // Each DIN starts from the one before; that of 10,000 events learns from fewer users, to save time.
  click_model din = fresh(reader::din, 20);
  for (const std::size_t length : std::span(periods).first(4)) {
    din.length = length;
    if (length == 10'000)
      learn(din, epochs.first(1), 150);
    else
      learn(din, length == 20 ? epochs : epochs.first(2));
    models.push_back(served("DIN over the last", length, din));
  }
  for (const std::size_t length : std::span(periods).last(3)) {
    click_model model = fresh(reader::hard, length);
    learn(model, epochs);
    models.push_back(served("SIM, hard search in", length, model));
  }
  // Soft search learns among 1,000 events, then among 10,000.
  click_model soft = fresh(reader::soft, 1000);
  learn(soft, epochs);
  for (const std::size_t length : std::span(periods).subspan(3, 2)) {
    click_model longer(reader::soft, length);
    longer.sim.events = soft.sim.events, longer.sim.attention = soft.sim.attention;
    longer.sim.candidate_search = soft.sim.candidate_search;
    longer.sim.event_search = soft.sim.event_search;
    longer.head = soft.head, longer.search_head = soft.search_head;
    if (length == 10'000) learn(longer, epochs.first(1));
    models.push_back(served("SIM, soft search in", length, longer));
    if (length == 100'000) {
      // The older events have ages that it never learned: they get the vector of the oldest that it did.
      matrix<float>& ages = longer.sim.events.time_buckets[0].table.value;
      const std::size_t oldest = time_bucket(now, event_of(0, 10'000 - 1).time, 32);
      for (std::size_t b = oldest + 1; b < ages.rows(); ++b)
        std::ranges::copy(ages.row(oldest), ages.row(b).begin());
      models.push_back(served("the same, old ages as one", length, longer));
    }
    soft = std::move(longer);
  }
  return models;
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t test_users = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100;
  std::vector<double> quality(items);
  random_generator bits(1);
  for (double& q : quality) q = .5 * standard_normal(bits);

  std::array<rows, 4> train;
  short_histories known;
  for (std::size_t u = 0; u < train_users; ++u) {
    user_world user(u);
    known.add(user.history());
    for (rows& epoch : train) epoch.add(static_cast<user_id>(u), user, quality, 128);
  }
  std::vector<judged> models = train_models(known, train);

  std::vector<user_id> users;  // by row
  std::vector<double> clicked;
  std::array<std::vector<double>, periods.size() + 1> best;  // by known periods
  for (std::size_t u = 0; u < test_users; ++u) {
    user_world user(train_users + u);
    const std::vector<std::uint32_t> history = user.history();
    rows request;
    request.add(0, user, quality, 500);
    users.insert(users.end(), request.items.size(), static_cast<user_id>(u));
    clicked.insert(clicked.end(), request.clicked.begin(), request.clicked.end());
    for (std::size_t k = 0; k < best.size(); ++k)
      for (const auto& p : request.known) best[k].push_back(p[k]);
    for (const std::size_t length : periods) {
      history_store store;
      for (std::size_t age = length; age-- > 0;) store.append(0, event_of(history[age], age));
      inference_context<float> context;
      for (judged& m : models) {
        if (m.length != length) continue;
        const std::clock_t start = std::clock();
        context.reset();
        m.serve(context, store, request, m.scores);
        m.milliseconds.push_back(1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
      }
    }
  }

  const auto print = [&](const std::string& name, std::size_t length, const auto& scores) {
    const auto value = bootstrap(users, scores, clicked, auc_metric());
    std::printf("| %s | %zu | %.4f (%.4f to %.4f) |", name.c_str(), length, value.value, value.low,
                value.high);
  };
  std::printf("%zu users, %zu candidates, %zu clicks\n\n", test_users, clicked.size(),
              static_cast<std::size_t>(std::ranges::count(clicked, 1.)));
  std::puts("| what is read | events | AUC | best possible | gain over DIN of 100 | p50 ms |");
  std::puts("|---|---|---|---|---|---|");
  const auto& base = *std::ranges::find_if(
      models, [](const judged& m) { return m.name.starts_with("DIN") && m.length == 100; });
  print("nothing but the qualities", 0, best.front());
  std::puts(" | | |");
  for (judged& m : models) {
    print(m.name, m.length, m.scores);
    const auto k = static_cast<std::size_t>(std::ranges::find(periods, m.length) - periods.begin());
    std::printf(" %.4f |", auc(best[k + 1], clicked));
    const auto gain = paired_bootstrap(users, m.scores, base.scores, clicked, auc_metric());
    std::ranges::sort(m.milliseconds);
    std::printf(" %+.4f (%+.4f to %+.4f) | %.2f |\n", gain.value, gain.low, gain.high,
                m.milliseconds[m.milliseconds.size() / 2]);
  }
  print("the truth", longest, best.back());
  std::puts(" | | |");
}
