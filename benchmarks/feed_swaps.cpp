// SPDX-License-Identifier: MIT
// Serves 10,000 requests of examples/short_video_feed on two threads, first with one version of its
// models, then while a new version is published every 100 ms. Prints the times of the requests in
// milliseconds, how often the serving threads asked for memory, and how many pages were not those of
// their version.
#include "short_video_feed/serving.hpp"
#include "support/allocation.hpp"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

namespace {

using namespace feed;
using pages = std::vector<std::vector<std::int64_t>>;

constexpr std::size_t threads = 2, requests_of_thread = 5000, versions = 4, users = 64;

struct thread_result {
  std::vector<double> milliseconds = {};
  std::size_t allocations = 0, wrong = 0, swaps = 0;
};

/// Serves requests with what is in the slot; `expected`: the pages of each version.
thread_result serve(const model_slot<served_feed>& slot, const std::vector<std::uint64_t>& ids,
                    const std::vector<pages>& expected) {
  feed_server server(slot);
  for (std::size_t r = 0; r < 2 * ids.size(); ++r) server({.user = ids[r % ids.size()]});
  thread_result result;
  result.milliseconds.reserve(requests_of_thread);
  std::uint32_t last = server.version();
  for (std::size_t r = 0; r < requests_of_thread; ++r) {
    const std::size_t before = allocations_of_thread;
    const auto begin = std::chrono::steady_clock::now();
    const auto page = server({.user = ids[r % ids.size()]});
    const auto time = std::chrono::steady_clock::now() - begin;
    result.allocations += allocations_of_thread - before;
    result.milliseconds.push_back(std::chrono::duration<double, std::milli>(time).count());
    const std::uint32_t version = server.version();
    result.swaps += version != last ? 1 : 0;
    last = version;
    result.wrong += std::ranges::equal(page, expected[version % versions][r % ids.size()]) ? 0 : 1;
  }
  return result;
}

void run(const char* name, const std::vector<std::shared_ptr<const served_feed>>& made,
         const std::vector<std::uint64_t>& ids, const std::vector<pages>& expected, bool swaps) {
  model_slot<served_feed> slot;
  std::size_t published = 0;
  const auto publish = [&] { slot.publish(made[++published % versions]); };
  publish();
  std::vector<thread_result> results(threads);
  std::atomic<std::size_t> done{0};
  std::vector<std::thread> running;
  for (thread_result& of : results)
    running.emplace_back([&] {
      of = serve(slot, ids, expected);
      ++done;
    });
  while (swaps && done < threads) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    publish();
  }
  for (std::thread& thread : running) thread.join();
  served_requests served;
  thread_result sum;
  for (const thread_result& r : results) {
    for (const double ms : r.milliseconds) served.add_time("ms", ms);
    sum.allocations += r.allocations;
    sum.wrong += r.wrong;
    sum.swaps += r.swaps;
  }
  report numbers;
  served.write(numbers, name);
  std::printf("%s%s: %zu versions published, %zu changes seen by the threads, %zu allocations, %zu "
              "wrong pages\n\n",
              numbers.text().c_str(), name, published, sum.swaps, sum.allocations, sum.wrong);
}

}  // namespace

int main() {
  const feed_log data(
      simulator({.users = 300, .videos = 2500, .impressions_per_user_day = 12}).log(), {}, 0);
  thread_pool pool(threads);
  const trained_feed trained = train_feed(data, 1, pool);
  std::vector<std::uint64_t> ids;
  for (std::size_t i = 0; i < users; ++i) ids.push_back(data.log.users[i].id);
  std::vector<std::shared_ptr<const served_feed>> made;
  std::vector<pages> expected(versions);
  for (std::size_t v = 0; v < versions; ++v) {
    trained_feed changed = trained;
    random_generator bits(v);
    for_each_parameter(changed.models, [&](std::string_view, auto& p) {
      for (float& x : p.value.flat()) x *= 1 + .2f * static_cast<float>(uniform01(bits) - .5);
    });
    made.push_back(std::make_shared<const served_feed>(std::move(changed)));
    model_slot<served_feed> slot;
    slot.publish(made.back());
    feed_server server(slot);
    for (const std::uint64_t user : ids) {
      const auto page = server({.user = user});
      expected[v].emplace_back(page.begin(), page.end());
    }
  }
  if (expected[0] == expected[1]) return 1;  // then no page would be wrong
  run("one_version", made, ids, expected, false);
  run("versions_each_100_ms", made, ids, expected, true);
}
