// SPDX-License-Identifier: MIT
// What each retrieval channel is worth on KuaiRand-Pure: retrieval_channels <folder> [--options or
// --quotas].
//
// With one of them: trains on the days before 2022-04-30 and prints, for the clicks of that day, the
// recall with various options of the channels, or the quotas that find most. Without: trains on the days until 04-30
// and reports, for the clicks of 05-01 to 05-05, each channel alone, what it adds to the others, and the
// quotas that were chosen before, with intervals over users.
#include "short_video_feed/serving.hpp"

#include <cstdio>
#include <cstring>
#include <functional>
#include <map>

namespace {

using namespace feed;

constexpr std::size_t deepest = 2000;  // the longest list that a channel returns
constexpr std::int64_t day = 86'400'000;
constexpr std::array<std::size_t, 3> totals{200, 500, 2000};

/// The users who clicked in the test, what they clicked, and what all channels are made of.
struct world {
  const feed_log data;
  thread_pool pool{2};
  std::vector<user_id> users;
  std::vector<std::vector<item_id>> clicked;
  sparse_matrix liked;  ///< [users, videos]: clicks and long views 1, likes 2, before the test
  model_slot<served_feed> models;
  matrix<float> vectors;  ///< of the videos, by the towers

  world(const std::string& folder, const feed_days& days, std::uint64_t seed)
      : data(read_kuairand(folder, {.until = days.test_until}), days, 8 * 3600) {
    std::map<user_id, std::vector<item_id>> of_user;
    const std::size_t click_action = data.log.action("click");
    for (const impression& e : data.test)
      if (e.did(click_action)) of_user[e.user].push_back(e.item);
    for (auto& [user, items] : of_user) {
      std::ranges::sort(items);
      items.erase(std::unique(items.begin(), items.end()), items.end());
      users.push_back(user);
      clicked.push_back(items);
    }
    trained_feed feed = train_feed(data, seed, pool);
    liked = feed.videos.liked;
    models.publish(std::make_shared<const served_feed>(std::move(feed)));
    const auto served = models.get();
    vectors = matrix<float>(data.log.videos.size(), served->index.dim());
    for (item_id i = 0; i < vectors.rows(); ++i) served->index.copy_vector(i, vectors.row(i));
  }
  std::size_t videos() const { return data.log.videos.size(); }
  std::int64_t now() const { return data.end_of_training; }
};

/// A channel finds the best items for a user, among those that the user has not seen.
struct unseen {
  std::span<const std::uint32_t> seen;
  bool operator()(item_id item) const { return !std::ranges::binary_search(seen, item); }
};
using finder = std::function<std::size_t(user_id, std::span<scored_item>, const unseen&)>;

/// The lists of a channel for all users of the test. `make` makes a finder for a thread.
channel_results results(world& w, const std::function<finder()>& make) {
  channel_results lists(w.users.size());
  const auto served = w.models.get();
  for_blocks(w.pool, w.users.size(), 512, [&](std::size_t begin, std::size_t end) {
    const finder find = make();
    std::vector<scored_item> found(deepest);
    for (std::size_t u = begin; u < end; ++u) {
      const std::size_t n =
          find(w.users[u], found, unseen{served->videos.seen[w.users[u]].columns});
      lists[u].assign(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(n));
    }
  });
  return lists;
}

/// U2I2I: what resembles the latest items that the user liked.
channel_results from_seeds(world& w, const neighbor_table& table) {
  return results(w, [&]() -> finder {
    return [&, expand = neighbor_expander(table)](user_id user, std::span<scored_item> out,
                                                  const unseen& admits) mutable {
      return expand.search(w.liked[user].columns, w.liked[user].values, out, admits);
    };
  });
}

/// All interactions in the order of their times.
std::vector<sparse_entry> events(const world& w) {
  std::vector<sparse_entry> all;
  for (user_id u = 0; u < w.liked.rows(); ++u)
    for (std::size_t i = 0; i < w.liked[u].size(); ++i)
      all.push_back({u, w.liked[u].columns[i], w.liked[u].values[i], w.liked[u].times[i]});
  std::ranges::stable_sort(all, {}, &sparse_entry::time);
  return all;
}

channel_results by_towers(world& w) {
  return results(w, [&]() -> finder {
    const auto server = std::make_shared<feed_server>(w.models);
    return [&, server](user_id user, std::span<scored_item> out, const unseen& admits) {
      std::size_t n = 0;
      for (const scored_item& s : server->find({.user = w.data.log.users[user].id}, w.videos()))
        if (n < out.size() && admits(s.item)) out[n++] = s;
      return n;
    };
  });
}

channel_results by_similar_users(world& w, const user_cf_options& options) {
  const neighbor_table similar = user_cf(w.pool, w.liked, options);
  return results(w, [&]() -> finder {
    return [expand = user_expander(similar, w.liked)](user_id user, std::span<scored_item> out,
                                                      const unseen& admits) mutable {
      return expand.search(user, out, admits);
    };
  });
}

/// U2A2A2I: the newest videos of authors that resemble those whose videos the user liked. Most authors
/// have one video here, so the authors themselves (U2A2I) lead nowhere.
channel_results by_similar_authors(world& w) {
  const interaction_log& log = w.data.log;
  author_affinity affinity;
  std::vector<sparse_entry> acted;
  for (const impression& e : w.data.training)
    affinity.add_exposure(e.user, log.videos[e.item].author, e.time_ms);
  for (const sparse_entry& e : events(w)) {
    const author_id author = log.videos[e.column].author;
    affinity.add_action(e.row, author, e.time, e.value);
    acted.push_back({e.row, author, e.value, e.time});
  }
  author_items items;
  for (item_id i = 0; i < w.videos(); ++i)
    items.add(log.videos[i].author, i, day_number(log.videos[i].upload_date) * day);
  const neighbor_table table =
      item_cf(w.pool, sparse_matrix(acted, {.rows = log.users.size()}), {.neighbors = 200});
  return results(w, [&]() -> finder {
    return [&, newest = author_expander(items, {.half_life = 365 * day}),
            expand = neighbor_expander(table), authors = std::vector<scored_item>(100),
            others = std::vector<scored_item>(2000)](user_id user, std::span<scored_item> out,
                                                     const unseen& admits) mutable {
      const std::span<const scored_item> found = std::span(authors).first(
          affinity.search(user, w.now(), authors, [](author_id) { return true; }));
      const std::size_t n = expand.search(found, others, [](author_id) { return true; });
      return newest.search(std::span<const scored_item>(others).first(n), w.now(), out, admits);
    };
  });
}

/// The most clicked videos, with clicks that lose half of their weight with each half-life.
channel_results by_clicks(world& w, double half_life) {
  popular_items popular({.half_life = half_life});
  const std::size_t action = w.data.log.action("click");
  for (const impression& e : w.data.training)
    if (e.did(action)) popular.add(0, e.item, e.time_ms, 1);
  return results(w, [&]() -> finder {
    return [&](user_id, std::span<scored_item> out, const unseen& admits) {
      return popular.search(0, w.now(), out, admits);
    };
  });
}

channel_results newest_of_clusters(world& w) {
  cluster_channel<> channel(cosine_kmeans(w.pool, w.vectors, {.clusters = 200}).clusters);
  for (item_id i = 0; i < w.videos(); ++i)
    channel.add(i, w.vectors.row(i), day_number(w.data.log.videos[i].upload_date) * day);
  return results(w, [&]() -> finder {
    return [&](user_id user, std::span<scored_item> out, const unseen& admits) {
      const auto liked = w.liked[user].columns;
      const std::size_t n = std::min<std::size_t>(liked.size(), 50);
      matrix<float> seeds(n, w.vectors.cols());
      for (std::size_t i = 0; i < n; ++i)
        std::ranges::copy(w.vectors.row(liked[liked.size() - 1 - i]), seeds.row(i).begin());
      arena scratch;
      return channel.search(matrix_view<const float>(seeds), w.now(), out, admits, scratch);
    };
  });
}

double mean(std::span<const double> of) {
  double sum = 0;
  for (const double x : of) sum += x;
  return sum / static_cast<double>(of.size());
}
/// The mean over users, or of the difference to `before`, with its interval of 99 %.
std::string interval(world& w, const std::vector<double>& recalls,
                     const std::vector<double>* before = nullptr) {
  const auto of = [](std::span<const double> scores, std::span<const double>) {
    return mean(scores);
  };
  const std::vector<double> labels(recalls.size(), 1.);
  std::vector<user_id> users(w.users);
  const bootstrap_interval i = before != nullptr
                                   ? paired_bootstrap(w.pool, users, recalls, *before, labels, of)
                                   : bootstrap(w.pool, users, recalls, labels, of);
  char text[64];
  std::snprintf(text, sizeof text,
                before != nullptr ? "%+.4f (%+.4f to %+.4f)" : "%.4f (%.4f to %.4f)", i.value,
                i.low, i.high);
  return text;
}
std::vector<double> recalls(world& w, std::span<const channel_results> channels,
                            const std::vector<double>& shares, std::size_t total) {
  std::vector<std::size_t> quotas(shares.size());
  split_quota(total, shares, quotas);
  return merged_recalls(w.pool, channels, w.clicked, quotas);
}

/// The options that were chosen on 04-30.
channel_results item_to_item(world& w) {
  return from_seeds(w, item_cf(w.pool, w.liked, {.neighbors = 2000}));
}
channel_results swings(world& w, const swing_options& options) {
  return from_seeds(w, swing(w.pool, w.liked, options));
}
channel_results online_item_to_item(world& w, double half_life) {
  online_item_cf online({.neighbors = 2000,
                         .most_items_of_user = 200,
                         .most_pairs_of_item = 8000,
                         .half_life = half_life});
  for (const sparse_entry& e : events(w)) online.add(e);
  return from_seeds(w, online.table(w.pool, w.videos()));
}
channel_results online_swings(world& w, double half_life) {
  online_swing online({.updates = half_life > 0 ? swing_updates::additions : swing_updates::exact,
                       .neighbors = 2000,
                       .most_pairs_of_item = 8000,
                       .half_life = half_life});
  for (const sparse_entry& e : events(w)) online.add(e);
  return from_seeds(w, online.table(w.pool, w.videos()));
}
struct channel {
  const char* name;
  channel_results found;
};
std::vector<channel> all_channels(world& w) {
  std::vector<channel> made;
  const auto add = [&](const char* name, channel_results found) {
    made.push_back({name, std::move(found)});
  };
  add("two towers", by_towers(w));
  add("ItemCF", item_to_item(w));
  add("Swing", swings(w, {.neighbors = 2000}));
  add("online ItemCF", online_item_to_item(w, 7. * day));
  add("online Swing", online_swings(w, 1. * day));
  add("similar vectors", from_seeds(w, vector_neighbors(w.pool, w.vectors)));
  add("similar users", by_similar_users(w, {.neighbors = 500}));
  add("similar authors", by_similar_authors(w));
  add("clusters, newest", newest_of_clusters(w));
  add("popular", by_clicks(w, 1. * day));
  return made;
}

void print_row(world& w, const char* name, const channel_results& found) {
  std::printf("| %s |", name);
  for (const std::size_t k : {100u, 500u, 2000u})
    std::printf(" %.4f |", mean(recalls(w, std::span(&found, 1), {1}, k)));
  std::puts("");
  std::fflush(stdout);
}

void choose_options(world& w) {
  const auto row = [&](const std::string& name, const channel_results& found) {
    print_row(w, name.c_str(), found);
  };
  const auto days_of = [](double days) { return std::to_string(days).substr(0, 4); };
  for (const std::size_t neighbors : {100u, 500u, 2000u})
    for (const double shrinkage : {0., 5., 20.})
      row("ItemCF, " + std::to_string(neighbors) + " neighbors, shrinkage " + days_of(shrinkage),
          from_seeds(w,
                     item_cf(w.pool, w.liked, {.neighbors = neighbors, .shrinkage = shrinkage})));
  for (const double beta : {0., .5})
    for (const double alpha : {1., 10.})
      row("Swing, beta " + days_of(beta) + ", alpha " + days_of(alpha),
          swings(w, {.alpha = alpha, .user_beta = beta, .neighbors = 2000}));
  for (const double days : {0., 1., 3., 7.})
    row("online ItemCF, half-life " + days_of(days), online_item_to_item(w, days * day));
  for (const double days : {0., 1., 3., 7.})
    row("online Swing, half-life " + days_of(days), online_swings(w, days * day));
  for (const std::size_t neighbors : {50u, 200u, 500u, 2000u})
    row("UserCF, " + std::to_string(neighbors) + " neighbors",
        by_similar_users(w, {.neighbors = neighbors}));
  row("UserCF without damping", by_similar_users(w, {.damp_popular = false, .neighbors = 500}));
  for (const double days : {.25, 1., 3., 100.})
    row("popular, half-life " + days_of(days), by_clicks(w, days * day));
}

/// Segments of users: with fewer than `some` interactions, and the others.
constexpr std::size_t some = 30;
bool has_few(const world& w, std::size_t u) {
  return w.liked[w.users[u]].size() < some;
}

/// Searches the quotas for every third user that `counts` is true for: enough to choose, in a third of the
/// time.
template <class Counts>
void choose_quotas(world& w, std::span<const channel_results> channels, const char* of,
                   std::span<const std::size_t> totals_of, const Counts& counts) {
  std::vector<channel_results> some_users(channels.size());
  std::vector<std::vector<item_id>> clicked;
  for (std::size_t u = 0; u < w.users.size(); u += 3) {
    if (!counts(u)) continue;
    clicked.push_back(w.clicked[u]);
    for (std::size_t c = 0; c < channels.size(); ++c) some_users[c].push_back(channels[c][u]);
  }
  for (const std::size_t total : totals_of) {
    const found_quotas best = search_quotas(w.pool, std::span<const channel_results>(some_users),
                                            clicked, {.total = total, .smallest_step = .02});
    std::printf("%s, %zu users, total %zu: recall %.4f, equal quotas %.4f, %zu evaluations: ", of,
                clicked.size(), total, best.recall, best.equal_recall, best.evaluations);
    for (const std::size_t quota : best.quotas) std::printf("%zu, ", quota);
    std::puts("");
    std::fflush(stdout);
  }
}

/// Quotas that --quotas found, by total: of all users, and by segment at 500.
const std::array<std::vector<double>, 3> chosen{{{140, 0, 5, 5, 30, 5, 15, 0, 0, 0},
                                                 {250, 100, 0, 150, 0, 0, 0, 0, 0, 0},
                                                 {250, 140, 40, 20, 0, 150, 200, 183, 807, 210}}};
const std::vector<double> chosen_of_few{225, 0, 0, 75, 63, 100, 0, 12, 0, 25};
const std::vector<double> chosen_of_others{175, 25, 0, 100, 0, 50, 100, 0, 0, 50};

/// Pre-ranking of all candidates: the median of some requests, in milliseconds.
double prerank_ms(world& w, std::size_t total) {
  feed_server serve(w.models, {.retrieved = total});
  std::vector<double> times;
  for (std::size_t r = 0; r < 300; ++r) {
    serve({.user = w.data.log.users[w.users[r * 7 % w.users.size()]].id});
    const cascade<feed_request>& stages = serve.stages();
    if (r >= 50) times.push_back(stages.milliseconds(stages.stage_of("prerank")));
  }
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

void report_all(world& w, const std::vector<const char*>& names,
                std::span<const channel_results> channels) {
  const std::size_t n = channels.size();
  const std::vector<double> equal(n, 1.);
  const auto only = [&](std::size_t c) {
    std::vector<double> shares(n);
    shares[c] = 1;
    return shares;
  };
  std::puts("\n| channel | recall@100 | recall@500 |");
  for (std::size_t c = 0; c < n; ++c)
    std::printf("| %s | %s | %s |\n", names[c],
                interval(w, recalls(w, channels, only(c), 100)).c_str(),
                interval(w, recalls(w, channels, only(c), 500)).c_str());

  std::puts(
      "\nWithout one channel, equal quotas: change of the recall at totals of 200, 500, 2000");
  std::vector<std::vector<double>> with;
  for (const std::size_t total : totals) with.push_back(recalls(w, channels, equal, total));
  for (std::size_t c = 0; c < n; ++c) {
    std::vector<double> shares = equal;
    shares[c] = 0;
    std::printf("| %s |", names[c]);
    for (std::size_t t = 0; t < totals.size(); ++t)
      std::printf(" %s |", interval(w, recalls(w, channels, shares, totals[t]), &with[t]).c_str());
    std::puts("");
  }

  std::puts("\n| total | equal quotas | chosen quotas | two towers alone | chosen - equal | chosen "
            "- towers |");
  for (std::size_t t = 0; t < totals.size(); ++t) {
    const auto best = recalls(w, channels, chosen[t], totals[t]);
    const auto alone = recalls(w, channels, only(0), totals[t]);
    std::printf("| %zu | %.4f | %.4f | %.4f | %s | %s |\n", totals[t], mean(with[t]), mean(best),
                mean(alone), interval(w, best, &with[t]).c_str(),
                interval(w, best, &alone).c_str());
  }
  std::vector<double> of_feed(n);
  of_feed[0] = 8, of_feed[1] = of_feed[n - 1] = 1;
  const auto feed = recalls(w, channels, of_feed, 2000);
  const auto by_first = recalls(w, channels, only(0), 2000);
  std::printf("short_video_feed, 2000: %.4f, against the two towers alone: %s\n", mean(feed),
              interval(w, feed, &by_first).c_str());
  const auto for_all = recalls(w, channels, chosen[1], 500);
  const auto few = recalls(w, channels, chosen_of_few, 500);
  auto by_segment = recalls(w, channels, chosen_of_others, 500);
  for (std::size_t u = 0; u < w.users.size(); ++u)
    if (has_few(w, u)) by_segment[u] = few[u];
  std::printf("quotas by segment at 500, against the same for all: %s\n",
              interval(w, by_segment, &for_all).c_str());

  std::puts("\nFour item-to-item channels together (equal quotas) against each alone with all");
  std::vector<double> four(n);
  for (std::size_t c = 1; c < 5; ++c) four[c] = 1;
  for (const std::size_t total : {200u, 500u, 1000u}) {
    const auto together = recalls(w, channels, four, total);
    std::printf("| %zu | together %s |", total, interval(w, together).c_str());
    for (std::size_t c = 1; c < 5; ++c) {
      const auto alone = recalls(w, channels, only(c), total);
      std::printf(" against %s %s |", names[c], interval(w, together, &alone).c_str());
    }
    std::puts("");
  }

  std::puts("\n| total | recall, chosen quotas | pre-ranking, 200 = 1 |");
  const double first = prerank_ms(w, 200);
  for (const std::size_t total : {100u, 200u, 500u, 1000u, 2000u}) {
    const std::vector<double>& shares = total <= 200   ? chosen[0]
                                        : total <= 500 ? chosen[1]
                                                       : chosen[2];
    std::printf("| %zu | %s | %.2f |\n", total,
                interval(w, recalls(w, channels, shares, total)).c_str(),
                prerank_ms(w, total) / first);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2)
    return std::puts("retrieval_channels <folder of KuaiRand-Pure> [--options or --quotas]"), 1;
  const bool options = argc > 2 && std::strcmp(argv[2], "--options") == 0;
  const bool choose = argc > 2 && (options || std::strcmp(argv[2], "--quotas") == 0);
  world w(argv[1], choose ? feed_days{20220429, 20220430, 20220430} : feed_days{}, 1);
  std::printf("%zu users with clicks, %zu videos, %zu interactions\n", w.users.size(), w.videos(),
              w.liked.entries());
  if (options) return choose_options(w), 0;
  std::vector<const char*> names;
  std::vector<channel_results> channels;
  std::puts("| channel | recall@100 | recall@500 | recall@2000 |");
  for (channel& made : all_channels(w)) {
    print_row(w, made.name, made.found);
    names.push_back(made.name);
    channels.push_back(std::move(made.found));
  }
  const std::array five_hundred{totals[1]};
  if (choose) {
    choose_quotas(w, channels, "all", totals, [](std::size_t) { return true; });
    choose_quotas(w, channels, "few", five_hundred, [&](std::size_t u) { return has_few(w, u); });
    choose_quotas(w, channels, "others", five_hundred,
                  [&](std::size_t u) { return !has_few(w, u); });
  } else {
    report_all(w, names, channels);
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
