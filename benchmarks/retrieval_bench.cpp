// SPDX-License-Identifier: MIT
#include "harness.hpp"

#include <funnel/core/random.hpp>
#include <funnel/retrieval/online_item_cf.hpp>
#include <funnel/retrieval/online_swing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace {

constexpr std::size_t users = 5000, items = 100'000, items_of_user = 50, batch = 1000;

/// Events with items by Zipf's law: item i as often as 1 / (i + 1).
class event_stream {
 public:
  event_stream() {
    double sum = 0;
    for (std::size_t i = 0; i < items; ++i)
      sums_.push_back(sum += 1 / (1. + static_cast<double>(i)));
  }
  funnel::sparse_entry next() {
    const double x = funnel::uniform01(bits_) * sums_.back();
    const auto place = std::ranges::upper_bound(sums_, x) - sums_.begin();
    return {.row = static_cast<funnel::user_id>(funnel::uniform_below(bits_, users)),
            .column = static_cast<funnel::item_id>(place),
            .time = time_++};
  }

 private:
  funnel::random_generator bits_{1};
  std::vector<double> sums_;
  std::int64_t time_ = 0;
};

/// A batch of events, in the steady state after `before` events of each user.
template <class Online, class Options>
void add_events(const std::string& name, const Options& options, std::size_t before) {
  bench::add(name + "/events:" + std::to_string(batch), [=]() -> bench::task {
    const auto online = std::make_shared<Online>(options);
    const auto stream = std::make_shared<event_stream>();
    for (std::size_t e = 0; e < before * users; ++e) online->add(stream->next());
    const auto events = std::make_shared<std::vector<funnel::sparse_entry>>(batch);
    return [=] {
      for (funnel::sparse_entry& e : *events) e = stream->next();
      for (const funnel::sparse_entry& e : *events) online->add(e);
    };
  });
}

const bool added = [] {
  // Users with about 50 different items, and with 50 of which one leaves for each new one.
  add_events<funnel::online_item_cf>("online_item_cf/growing", funnel::online_item_cf_options{},
                                     items_of_user);
  add_events<funnel::online_item_cf>(
      "online_item_cf/full", funnel::online_item_cf_options{.most_items_of_user = items_of_user},
      2 * items_of_user);
  for (const auto updates : {funnel::swing_updates::exact, funnel::swing_updates::additions})
    add_events<funnel::online_swing>(
        updates == funnel::swing_updates::exact ? "online_swing/exact" : "online_swing/additions",
        funnel::online_swing_options{.updates = updates, .most_items_of_user = items_of_user},
        2 * items_of_user);
  return true;
}();

}  // namespace
