// SPDX-License-Identifier: MIT
#include <funnel/core/row_cache.hpp>
#include <funnel/serving/model_slot.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using funnel::model_slot;

static_assert(!std::is_copy_constructible_v<model_slot<int>>);
static_assert(std::same_as<decltype(*std::declval<model_slot<int>::snapshot>()), const int&>);

namespace {

/// A model that is all of one number, counts how many there are, and notes who destroys it.
class counted_model {
 public:
  struct counts {
    std::atomic<int> alive{0};
    std::atomic<int> destroyed_elsewhere{0};  // by another thread than `expected`
    std::thread::id expected = std::this_thread::get_id();
  };

  counted_model(counts& of, std::uint32_t number) : of_(&of), number_(number) {
    values_.fill(number);
    ++of_->alive;
  }
  counted_model(const counted_model& other) : counted_model(*other.of_, other.number_) {}
  counted_model& operator=(const counted_model&) = delete;
  ~counted_model() {
    values_.fill(0xdead);
    --of_->alive;
    if (std::this_thread::get_id() != of_->expected) ++of_->destroyed_elsewhere;
  }

  std::uint32_t number() const { return number_; }
  bool whole() const {
    return std::ranges::all_of(values_, [&](std::uint32_t v) { return v == number_; });
  }

 private:
  counts* of_;
  std::uint32_t number_;
  std::array<std::uint32_t, 100> values_{};
};

std::shared_ptr<const counted_model> make(counted_model::counts& of, std::uint32_t number) {
  return std::make_shared<const counted_model>(of, number);
}

}  // namespace

TEST_CASE("model_slot: gives the model that was published last, and its version") {
  model_slot<std::vector<float>> slot;
  CHECK_FALSE(slot.has_model());
  CHECK(slot.publish(std::vector<float>{1, 2}) == 1);
  CHECK(slot.has_model());
  const auto first = slot.get();
  CHECK(*first == std::vector<float>{1, 2});
  CHECK(first->size() == 2);
  CHECK(first.version() == 1);

  CHECK(slot.publish(std::make_shared<std::vector<float>>(3, 7.f)) == 2);
  CHECK(slot.get().version() == 2);
  CHECK(slot.get()->size() == 3);
  CHECK(first->size() == 2);  // a snapshot stays what it is
  CHECK(&*slot.get() == &*slot.get());
}

TEST_CASE("model_slot: models that can only be moved, or only be made in place") {
  model_slot<std::unique_ptr<int>> movable;
  movable.publish(std::make_unique<int>(4));
  CHECK(**movable.get() == 4);

  struct fixed {
    explicit fixed(int n) : value(n) {}
    fixed(const fixed&) = delete;
    std::atomic<int> value;
  };
  model_slot<fixed> slot;
  slot.publish(std::make_shared<fixed>(5));
  CHECK(slot.get()->value == 5);

  static const int constant = 6;  // not owned
  model_slot<int> borrowed;
  borrowed.publish(std::shared_ptr<const int>(std::shared_ptr<void>(), &constant));
  borrowed.publish(7);
  CHECK(borrowed.destroy_unused() == 0);
}

TEST_CASE("model_slot: an empty slot and a null pointer are errors") {
  model_slot<int> slot;
  CHECK(refuses([&] { slot.get(); }, "funnel::model_slot::get", "the slot is empty, expected"));
  CHECK(refuses([&] { slot.publish(std::shared_ptr<const int>()); }, "funnel::model_slot::publish",
                "model is null, expected"));
  CHECK_FALSE(slot.has_model());
  CHECK(slot.publish(3) == 1);
  CHECK(refuses([&] { slot.publish(std::shared_ptr<const int>()); }, "funnel::model_slot::publish",
                "model is null, expected"));
  CHECK(*slot.get() == 3);
  CHECK(slot.get().version() == 1);
}

TEST_CASE("model_slot: a model lives as long as it is published or used, and no longer") {
  counted_model::counts counts;
  {
    model_slot<counted_model> slot;
    slot.publish(make(counts, 1));
    slot.publish(make(counts, 2));
    CHECK(counts.alive == 1);  // the first had no user
    auto used = std::make_unique<model_slot<counted_model>::snapshot>(slot.get());
    const auto copy = std::make_unique<model_slot<counted_model>::snapshot>(*used);
    slot.publish(make(counts, 3));
    slot.publish(make(counts, 4));
    CHECK(counts.alive == 2);
    CHECK(slot.destroy_unused() == 1);
    used.reset();
    CHECK(slot.destroy_unused() == 1);
    CHECK((*copy)->number() == 2);
    CHECK((*copy)->whole());
  }
  CHECK(counts.alive == 0);

  // The user of the last one may outlive the slot.
  auto slot = std::make_unique<model_slot<counted_model>>();
  slot->publish(counted_model(counts, 9));
  {
    const auto last = slot->get();
    slot.reset();
    CHECK(counts.alive == 1);
    CHECK(last->whole());
  }
  CHECK(counts.alive == 0);
}

TEST_CASE("model_slot: the thread of a request does not destroy the model it used") {
  counted_model::counts counts;
  model_slot<counted_model> slot;
  slot.publish(make(counts, 1));
  std::atomic<int> step{0};
  const auto wait_for = [&](int n) {
    while (step < n) std::this_thread::yield();
  };
  bool whole = false;
  std::thread request([&] {
    {
      const auto model = slot.get();
      step = 1;
      wait_for(2);
      whole = model->whole();
    }
    step = 3;
  });
  wait_for(1);
  slot.publish(make(counts, 2));
  CHECK(counts.alive == 2);
  step = 2;
  wait_for(3);
  CHECK(counts.alive == 2);
  CHECK(slot.destroy_unused() == 0);
  CHECK(counts.alive == 1);
  request.join();
  CHECK(whole);
  CHECK(counts.destroyed_elsewhere == 0);
}

TEST_CASE("model_slot: requests run while models are replaced") {
  constexpr std::uint32_t versions = 2000;
  counted_model::counts counts;
  model_slot<counted_model> slot;
  CHECK(slot.publish(make(counts, 1)) == 1);

  struct reader_result {
    std::uint64_t reads = 0, broken = 0, mixed = 0, back = 0, stale = 0;
    std::uint32_t last = 0, seen = 0;
  };
  std::array<reader_result, 2> results;
  std::atomic<int> reading{0};
  std::vector<std::thread> readers;
  for (reader_result& own : results) {
    readers.emplace_back([&] {
      // A cache of this thread, as of item vectors: what it holds under a version is of that version.
      funnel::row_cache<std::uint32_t> cache(1, {.budget = 4096});
      std::array<std::uint32_t, 1> row{};
      while (own.last < versions) {
        const auto model = slot.get();
        ++own.reads;
        own.mixed += model->number() != model.version() ? 1 : 0;
        own.back += model.version() < own.last ? 1 : 0;
        own.seen += model.version() != own.last ? 1 : 0;
        own.last = std::max(own.last, model.version());
        funnel::cached_rows(cache, std::array<std::uint64_t, 1>{own.reads % 5}, model.version(),
                            funnel::matrix_view<std::uint32_t>(row.data(), 1, 1),
                            [&](auto, auto rows) { rows(0, 0) = model->number(); });
        own.stale += row[0] != model.version() ? 1 : 0;
        own.broken += model->whole() ? 0 : 1;
        if (own.reads == 1) ++reading;
      }
    });
  }
  while (reading < 2) std::this_thread::yield();
  for (std::uint32_t number = 2; number <= versions; ++number) {
    if (slot.publish(make(counts, number)) != number) FAIL_CHECK("not the next version");
    if (number % 16 == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  for (std::thread& reader : readers) reader.join();

  for (const reader_result& own : results) {
    INFO(own.reads << " reads of " << own.seen << " models");
    CHECK(own.broken == 0);
    CHECK(own.mixed == 0);
    CHECK(own.back == 0);
    CHECK(own.stale == 0);
    CHECK(own.last == versions);
    CHECK(own.seen > 1);
  }
  CHECK(slot.destroy_unused() == 0);
  CHECK(counts.alive == 1);
  CHECK(counts.destroyed_elsewhere == 0);
}

TEST_CASE("model_slot: several threads may publish") {
  counted_model::counts counts;
  model_slot<counted_model> slot;
  std::array<std::vector<std::uint32_t>, 2> given;
  std::atomic<int> broken{0};
  std::vector<std::thread> publishers;
  for (auto& own : given) {
    publishers.emplace_back([&] {
      for (std::uint32_t i = 0; i < 300; ++i) {
        own.push_back(slot.publish(make(counts, i)));
        if (!slot.get()->whole()) ++broken;
      }
    });
  }
  for (std::thread& publisher : publishers) publisher.join();
  CHECK(broken == 0);
  std::vector<std::uint32_t> all;
  for (const auto& own : given) {
    CHECK(std::ranges::is_sorted(own));
    all.insert(all.end(), own.begin(), own.end());
  }
  std::ranges::sort(all);
  for (std::uint32_t i = 0; i < 600; ++i) CHECK(all[i] == i + 1);
  CHECK(slot.get().version() == 600);
  slot.destroy_unused();
  CHECK(counts.alive == 1);
}
