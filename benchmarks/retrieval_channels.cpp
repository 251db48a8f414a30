// SPDX-License-Identifier: MIT
// What each retrieval channel is worth on KuaiRand-Pure: retrieval_channels <folder> [--choose].
//
// --choose: trains on the days before 2022-04-30 and prints, for the clicks of that day, the recall of
// options of the channels, and the quotas that find most. Without it: trains on the days until 04-30
// and reports, for the clicks of 05-01 to 05-05, each channel alone, what it adds to the others, and the
// quotas that were chosen before, with intervals over users.
#include "short_video_feed/serving.hpp"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>

namespace {

using namespace feed;

constexpr std::size_t deepest = 2000;  // the longest list that a channel returns

/// The users who clicked in the test, what they clicked, and what all channels are made of.
struct world {
  const feed_log data;
  thread_pool pool{2};
  trained_feed feed;
  std::vector<user_id> users;
  std::vector<std::vector<item_id>> clicked;
  sparse_matrix liked;  ///< [users, videos]: clicks 1, likes 2, before the test
  matrix<float> item_vectors;

  world(const std::string& folder, const feed_days& days, std::uint64_t seed)
      : data(read_kuairand(folder, {.until = days.test_until}), days, 8 * 3600) {
    feed.features = schema(feed_features(data.log, data.utc_offset));
    feed.past = fit_schema(feed.features, data.rows(data.training), data.tables());
    feed.past.state.advance(feed.features, data.end_of_training);
    feed.videos = catalog(data);
    feed.models.towers = two_towers(feed.features);
    train_towers(data, feed, seed, pool);

    std::map<user_id, std::vector<item_id>> of_user;
    const std::size_t click_action = data.log.action("click"), like_action = data.log.action("like");
    for (const impression& e : data.test)
      if (e.did(click_action)) of_user[e.user].push_back(e.item);
    for (auto& [user, items] : of_user) {
      std::ranges::sort(items);
      items.erase(std::unique(items.begin(), items.end()), items.end());
      users.push_back(user);
      clicked.push_back(items);
    }
    std::vector<sparse_entry> done;
    for (user_id user = 0; user < data.log.histories.size(); ++user) {
      const user_history& h = data.log.histories[user];
      std::int64_t time = -static_cast<std::int64_t>(h.long_watched.size());
      for (const item_id item : h.long_watched) done.push_back({user, item, 1, time++});
      time = -static_cast<std::int64_t>(h.liked.size());
      for (const item_id item : h.liked) done.push_back({user, item, 2, time++});
    }
    for (const impression& e : data.training) {
      if (e.did(like_action)) done.push_back({e.user, e.item, 2, e.time_ms});
      else if (e.did(click_action)) done.push_back({e.user, e.item, 1, e.time_ms});
    }
    liked = sparse_matrix(done, {.rows = data.log.users.size(), .columns = data.log.videos.size()});
    inference_context<float> context;
    request_encoder encode(feed.features, feed.past.state);
    item_vectors = matrix<float>(feed.models.towers.item_vectors(
        context, encode(0, feed.videos.items, feed.past.state.time(), feed_request().context(), no_slot)));
  }
  bool has_seen(user_id user, item_id item) const {
    return std::ranges::binary_search(feed.videos.seen[user].columns, item);
  }
};

/// A channel finds the best items for a user among those that are admitted.
using admits = std::function<bool(item_id)>;
using finder = std::function<std::size_t(user_id, std::span<scored_item>, const admits&)>;

/// The lists of a channel for all users of the test, without what they have seen. `make` makes a finder
/// for each thread.
channel_results results(world& w, const std::function<finder()>& make) {
  channel_results lists(w.users.size());
  for_blocks(w.pool, w.users.size(), 256, [&](std::size_t begin, std::size_t end) {
    const finder find = make();
    std::vector<scored_item> found(deepest);
    for (std::size_t u = begin; u < end; ++u) {
      const user_id user = w.users[u];
      const std::size_t n =
          find(user, found, [&](item_id item) { return !w.has_seen(user, item); });
      lists[u].assign(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(n));
    }
  });
  return lists;
}

/// U2I2I: what resembles the latest items that the user liked.
channel_results from_seeds(world& w, const neighbor_table& table, std::size_t seeds = 200) {
  const sparse_matrix latest = w.liked.latest(seeds);
  return results(w, [&]() -> finder {
    return [&, expand = neighbor_expander(table)](user_id user, std::span<scored_item> out,
                                                  const admits& admit) mutable {
      return expand.search(latest[user].columns, latest[user].values, out, admit);
    };
  });
}

channel_results by_towers(world& w) {
  const flat_index<> index(w.item_vectors);
  return results(w, [&]() -> finder {
    auto encode = std::make_shared<request_encoder>(w.feed.features, w.feed.past.state);
    return [&, encode](user_id user, std::span<scored_item> out, const admits& admit) {
      inference_context<float> context;
      const auto query = w.feed.models.towers.user_vectors(
          context, encode->user(w.data.log.users[user].id, w.feed.past.state.time(),
                                feed_request().context()));
      return index.search(query.row(0), out, admit);
    };
  });
}

channel_results most_clicked(world& w) {
  std::vector<float> clicks(w.data.log.videos.size());
  const std::size_t action = w.data.log.action("click");
  for (const impression& e : w.data.training) clicks[e.item] += e.did(action) ? 1.f : 0.f;
  std::vector<item_id> order(clicks.size());
  top_k(clicks, order);
  return results(w, [&]() -> finder {
    return [&](user_id, std::span<scored_item> out, const admits& admit) {
      std::size_t n = 0;
      for (const item_id item : order)
        if (n < out.size() && admit(item)) out[n++] = {item, clicks[item]};
      return n;
    };
  });
}

std::vector<double> recalls(world& w, const channel_results& of, std::size_t k) {
  const std::vector<std::size_t> quota{k};
  return merged_recalls(w.pool, std::span(&of, 1), w.clicked, quota);
}
double mean(const std::vector<double>& of) {
  double sum = 0;
  for (const double x : of) sum += x;
  return sum / static_cast<double>(of.size());
}

void choose_item_to_item(world& w) {
  std::printf("item_cf: neighbors, shrinkage, recall@100, recall@500\n");
  for (const std::size_t neighbors : {20u, 50u, 100u, 200u, 500u, 2000u})
    for (const double shrinkage : {0., 5., 20., 100.}) {
      const auto lists = from_seeds(w, item_cf(w.pool, w.liked, {.neighbors = neighbors, .shrinkage = shrinkage}));
      std::printf("%5zu %5g  %.4f %.4f\n", neighbors, shrinkage, mean(recalls(w, lists, 100)),
                  mean(recalls(w, lists, 500)));
      std::fflush(stdout);
    }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) return std::puts("retrieval_channels <folder of KuaiRand-Pure> [--choose]"), 1;
  const bool choose = argc > 2 && std::strcmp(argv[2], "--choose") == 0;
  const feed_days days = choose ? feed_days{20220429, 20220430, 20220430} : feed_days{};
  world w(argv[1], days, 1);
  std::printf("%zu users with clicks, %zu videos, %zu interactions\n", w.users.size(),
              w.data.log.videos.size(), w.liked.entries());
  const auto print = [&](const char* name, const channel_results& of) {
    std::printf("%-24s %.4f %.4f %.4f\n", name, mean(recalls(w, of, 100)), mean(recalls(w, of, 500)),
                mean(recalls(w, of, 2000)));
    std::fflush(stdout);
  };
  print("towers", by_towers(w));
  print("popular", most_clicked(w));
  print("item_cf", from_seeds(w, item_cf(w.pool, w.liked)));
  print("swing", from_seeds(w, swing(w.pool, w.liked)));
  print("vector i2i", from_seeds(w, vector_neighbors(w.pool, w.item_vectors)));
  if (choose) choose_item_to_item(w);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
