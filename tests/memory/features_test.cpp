// SPDX-License-Identifier: MIT
#include <funnel/calibration/duration_curve.hpp>
#include <funnel/calibration/isotonic.hpp>
#include <funnel/features/bucketize.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/features/rate_counters.hpp>
#include <funnel/features/request_encoder.hpp>
#include <funnel/features/standardize.hpp>
#include <funnel/features/vocabulary.hpp>
#include <funnel/features/window_counters.hpp>

#include "features/random_log.hpp"
#include "support/failing_allocator.hpp"
#include "support/matrices.hpp"

#include <optional>
#include <vector>

using failing_allocator::check_every_failure;
using funnel::matrix;
using numbers = std::vector<double>;

namespace {

constexpr std::uint64_t key_count = 60;

numbers counts_of(const funnel::rate_counters& counters) {
  numbers all{static_cast<double>(counters.actions())};
  for (std::size_t a = 0; a < counters.actions(); ++a) {
    all.push_back(counters.mean_rate(a));
    for (std::uint64_t key = 0; key < key_count; ++key)
      all.insert(all.end(),
                 {counters.impressions(key), counters.amount(key, a), counters.rate(key, a)});
  }
  return all;
}

funnel::rate_counters counted(std::size_t actions, std::uint64_t keys) {
  funnel::rate_counters counters(actions);
  for (std::uint64_t key = 0; key < keys; ++key)
    counters.add(key * 7, std::vector<float>(actions, static_cast<float>(key)));
  return counters;
}

numbers sums_of(const funnel::window_counters& counters) {
  numbers all, out(counters.actions() + 1);
  for (std::uint64_t key = 0; key < key_count; ++key)
    for (std::int64_t day = 90; day < 120; ++day) {
      counters.sums(key, day, counters.periods(), out);
      all.insert(all.end(), out.begin(), out.end());
    }
  return all;
}

funnel::window_counters windows(std::size_t actions, std::size_t periods, std::uint64_t keys) {
  funnel::window_counters counters(actions, {.periods = periods});
  for (std::uint64_t key = 0; key < keys; ++key)
    for (std::int64_t day = 100; day < 110; ++day)
      counters.add(key * 7, day, std::vector<float>(actions, static_cast<float>(key)));
  return counters;
}

std::vector<std::uint64_t> ids_of(const funnel::vocabulary& words) {
  std::vector<std::uint64_t> all(words.ids().begin(), words.ids().end());
  for (std::uint64_t id = 0; id < key_count; ++id) all.push_back(words.find(id));
  return all;
}

template <class T>
auto none() {
  return [] { return std::optional<T>(); };
}

}  // namespace

TEST_CASE("out of memory: rate_counters") {
  const std::vector<float> amounts{1, 2};
  // Before and behind each growth of the arrays.
  for (const std::uint64_t keys : {0u, 1u, 3u, 7u, 8u, 15u, 16u, 31u, 32u}) {
    const auto make = [=] { return counted(2, keys); };
    bool grows = false;
    {
      auto counters = make();
      grows = failing_allocator::runs_out(0, false, [&] { counters.add(5, amounts); });
    }
    if (grows)
      check_every_failure(
          "add", make, [&](auto& c) { c.add(5, amounts); }, counts_of);
  }
  const auto fill = [&](auto& c) {
    for (std::uint64_t key = 0; key < key_count; ++key) c.add(key, amounts);
  };
  auto filled = counted(2, 0);
  fill(filled);
  const auto make = [] { return counted(1, 5); };
  check_every_failure(
      "copy", make, [&](auto& c) { c = filled; }, counts_of);
  check_every_failure(
      "replace", make, [](auto& c) { c = funnel::rate_counters(3); }, counts_of);
}

TEST_CASE("out of memory: rate_features counts all rows or none") {
  matrix<std::uint64_t> keys(40, 3);
  matrix<float> amounts(40, 2);
  std::vector<std::int32_t> days(40);
  for (std::size_t i = 0; i < 40; ++i) {
    days[i] = static_cast<std::int32_t>(i * 7 % 5);
    for (std::size_t f = 0; f < 3; ++f) keys(i, f) = (i * (f + 3)) % 40;
    for (std::size_t a = 0; a < 2; ++a) amounts(i, a) = static_cast<float>(i % (a + 2));
  }
  struct counted_rows {
    funnel::rate_features features{3, 2};
    matrix<float> out{40, 9, -1.f};
  };
  const auto observe = [](const counted_rows& rows) {
    numbers all(rows.out.flat().begin(), rows.out.flat().end());
    for (std::size_t f = 0; f < 3; ++f) {
      const numbers family = counts_of(rows.features.family(f));
      all.insert(all.end(), family.begin(), family.end());
    }
    return all;
  };
  const auto make = [] { return counted_rows(); };
  check_every_failure(
      "add", make, [&](auto& r) { r.features.add(keys, amounts); }, observe);
  check_every_failure(
      "write_by_day", make, [&](auto& r) { r.features.write_by_day(keys, days, amounts, r.out); },
      observe);
  counted_rows other;
  other.features.add(keys, amounts);
  check_every_failure(
      "copy", make, [&](auto& r) { r.features = other.features; }, observe);
}

TEST_CASE("out of memory: window_counters") {
  const std::vector<float> amounts{1, 2};
  for (const std::uint64_t keys : {0u, 1u, 3u, 7u, 8u, 15u, 16u, 31u, 32u}) {
    const auto make = [=] { return windows(2, 7, keys); };
    bool grows = false;
    {
      auto counters = make();
      grows = failing_allocator::runs_out(0, false, [&] { counters.add(5, 109, amounts); });
    }
    if (grows)
      check_every_failure(
          "add", make, [&](auto& c) { c.add(5, 109, amounts); }, sums_of);
  }
  const auto make = [] { return windows(1, 3, 5); };
  const auto other = windows(2, 9, 9);
  check_every_failure(
      "copy", make, [&](auto& c) { c = other; }, sums_of);
}

TEST_CASE("out of memory: vocabulary") {
  for (const std::uint64_t many : {0u, 7u, 8u, 16u, 31u, 32u}) {
    const auto make = [=] {
      funnel::vocabulary words;
      for (std::uint64_t id = 0; id < many; ++id) words.add(id * 3);
      return words;
    };
    auto words = make();
    if (failing_allocator::runs_out(0, false, [&] { words.add(1); }))
      check_every_failure(
          "add", make, [](auto& w) { w.add(1); }, ids_of);
  }
  std::vector<std::uint64_t> ids(100);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = i * i % 50;
  const auto make = [] {
    funnel::vocabulary words;
    words.add(9);
    return words;
  };
  const funnel::vocabulary other(ids);
  check_every_failure(
      "copy", make, [&](auto& w) { w = other; }, ids_of);
  check_every_failure(
      "replace", make, [&](auto& w) { w = funnel::vocabulary(ids, {.min_count = 2}); }, ids_of);
}

TEST_CASE("out of memory: standardizer") {
  const matrix<float> narrow = random_matrix<float>(9, 2, 1), wide = random_matrix<float>(9, 30, 2);
  const funnel::standardizer<float> other(wide.view());
  const auto observe = [](const funnel::standardizer<float>& s) {
    numbers all(s.means().begin(), s.means().end());
    all.insert(all.end(), s.deviations().begin(), s.deviations().end());
    return all;
  };
  const auto make = [&] { return funnel::standardizer<float>(narrow.view()); };
  check_every_failure(
      "copy", make, [&](auto& s) { s = other; }, observe);
  check_every_failure(
      "fit", make, [&](auto& s) { s = funnel::standardizer<float>(wide.view()); }, observe);
}

TEST_CASE("out of memory: fits give all or nothing") {
  const matrix<float> random = random_matrix<float>(1, 200, 3, 0, 1);
  const std::span<const float> scores = random.row(0);
  std::vector<float> labels(200), lengths(200);
  for (std::size_t i = 0; i < 200; ++i) {
    labels[i] = scores[i] > .3f + .4f * float(i % 3 == 0) ? 1.f : 0.f;
    lengths[i] = 1 + 10 * scores[i];
  }
  const auto observe = [](const auto& fitted) {
    numbers all;
    if (fitted)
      for (float x = -1; x < 12; x += .25f) all.push_back(double{(*fitted)(x)});
    return all;
  };
  using isotonic = funnel::isotonic_calibrator<float>;
  check_every_failure(
      "fit_isotonic", none<isotonic>(),
      [&](auto& f) { f.emplace(funnel::fit_isotonic(scores, labels)); }, observe);
  const isotonic other = funnel::fit_isotonic(scores, labels);
  check_every_failure(
      "copy", [] { return std::optional(isotonic({1}, {2})); }, [&](auto& f) { *f = other; },
      observe);
  check_every_failure(
      "fit_duration_curve", none<funnel::duration_curve<float>>(),
      [&](auto& f) { f.emplace(funnel::fit_duration_curve(lengths, labels)); },
      [](const auto& f) {
        numbers all;
        if (f)
          for (float x = 1; x < 12; ++x) all.push_back(double{f->expected(x)});
        return all;
      });
  check_every_failure(
      "quantile_boundaries", [] { return std::vector<float>(); },
      [&](auto& f) { f = funnel::quantile_boundaries(scores, 10); },
      [](const auto& f) { return f; });
}

namespace {

/// A state, and what requests see of it.
struct told_state {
  const funnel::schema* features;
  funnel::feature_state state;

  std::vector<float> answers() const {
    funnel::request_encoder encode(*features, state);
    std::vector<float> all;
    for (const int user : {100, 103, 999}) {
      const std::vector<double> positions{0, 1, 2};
      const funnel::row_batch& batch =
          encode(user, std::vector<int>{1, 5, 77}, 900'000, {{"device", "ios"}},
                 {{"position", funnel::column(std::span<const double>(positions))}});
      for (std::size_t side = 0; side < 4; ++side) {
        all.insert(all.end(), batch.side(side).numbers.begin(), batch.side(side).numbers.end());
        for (const auto& column : batch.side(side).categories)
          for (const std::uint32_t id : column) all.push_back(static_cast<float>(id));
      }
      for (const std::uint32_t id : batch.histories[0].fields[0])
        all.push_back(static_cast<float>(id));
    }
    return all;
  }
};

}  // namespace

TEST_CASE(
    "a feature state that runs out of memory keeps what it was told, and nothing of the rest") {
  const auto rows = random_log(1, {.requests = 30});
  funnel::schema features(every_kind());
  const funnel::fitted past = funnel::fit_schema(features, table_of(rows));
  std::vector<log_row> late{rows[0]};
  late[0].user = 999, late[0].item = 77, late[0].time = 500'000, late[0].click = true;
  late[0].category = "new", late[0].device = "ios";
  const funnel::column_table event = table_of(late);
  const funnel::columns view = event;
  const auto make = [&] { return told_state{&features, past.state}; };
  const auto observe = [](const told_state& s) { return s.answers(); };
  check_every_failure(
      "tell", make, [&](told_state& s) { s.state.tell(features, view); }, observe);
  check_every_failure(
      "advance",
      [&] {
        told_state s = make();
        s.state.advance(features, 450'000);  // what waited since the log
        s.state.tell(features, view);
        return s;
      },
      [&](told_state& s) { s.state.advance(features, 800'000); }, observe);
  check_every_failure(
      "tell_items", make, [&](told_state& s) { s.state.tell_items(features, view); }, observe);
  check_every_failure(
      "encode_log", make,
      [&](told_state& s) { s.state = funnel::encode_log(features, s.state, view).state; }, observe);
  check_every_failure(
      "fit_schema", [&] { return funnel::schema(every_kind()); },
      [&](funnel::schema& s) { funnel::fit_schema(s, view); },
      [](const funnel::schema& s) { return s.fingerprint(); });
}
