// SPDX-License-Identifier: MIT
#include <funnel/training/batches.hpp>

#include <funnel/features/fit_schema.hpp>

#include "features/random_log.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

using namespace funnel;

namespace {

encoded_log example(std::size_t requests = 50) {
  schema_options options = every_kind();
  std::get<category>(options.of_user[0]).drop_rate = .5;
  schema features(options);
  return fit_schema(features, table_of(random_log(1, {.requests = requests}))).rows;
}

}  // namespace

TEST_CASE("an epoch has every request once, in batches of whole requests") {
  const encoded_log rows = example();
  batches all(rows, {.rows = 10});
  std::vector<std::uint32_t> first, second;
  for (std::vector<std::uint32_t>* epoch : {&first, &second}) {
    std::size_t count = 0;
    while (all.next()) {
      const row_batch& batch = all.batch();
      CHECK(batch.rows() == all.rows());
      CHECK(batch.requests() == all.requests().size());
      CHECK(batch.step_rows == batch.rows());
      count += batch.rows();
      CHECK((all.rows() >= 10 || count == rows.rows()));
      CHECK(all.rows() < 10 + 3);
      epoch->insert(epoch->end(), all.requests().begin(), all.requests().end());
    }
    CHECK(count == rows.rows());
  }
  CHECK(all.epoch() == 2);
  CHECK(first != second);
  std::ranges::sort(first);
  for (std::uint32_t r = 0; r < rows.requests(); ++r) CHECK(first[r] == r);
  batches in_time(rows, {.rows = 1000, .shuffle = false});
  in_time.next();
  CHECK(std::ranges::equal(in_time.requests(), first));
}

TEST_CASE("an epoch of some requests has these alone") {
  const encoded_log rows = example();
  const std::vector<std::uint32_t> picked{7, 3, 41, 3};
  std::size_t count = 0;
  for (const std::uint32_t r : picked) count += rows.offsets()[r + 1] - rows.offsets()[r];
  for (const bool shuffle : {false, true}) {
    batches some(rows, {.rows = 2, .requests = picked, .shuffle = shuffle});
    CHECK(some.epoch_rows() == count);
    std::vector<std::uint32_t> seen;
    for (int epoch = 0; epoch < 2; ++epoch) {
      seen.clear();
      std::size_t sum = 0;
      for (; some.next(); sum += some.rows())
        seen.insert(seen.end(), some.requests().begin(), some.requests().end());
      CHECK(sum == count);
    }
    CHECK((shuffle ? std::ranges::is_permutation(seen, picked) : seen == picked));
  }
  CHECK_FALSE(batches(rows, {.requests = std::vector<std::uint32_t>{}}).next());
  CHECK(refuses([&] { batches(rows, {.requests = std::vector{50u}}); }, "funnel::batches",
                "a request is 50"));
}

TEST_CASE("batches that are loaded go on with the next one, and drop the same values") {
  const encoded_log rows = example();
  batches whole(rows, {.rows = 16, .seed = 3});
  for (std::size_t stop = 0; stop < 15; ++stop) {
    const saved_state file(whole);
    batches loaded(rows, {.rows = 16, .seed = 3});
    file.load(loaded);
    const bool more = whole.next();
    CHECK(loaded.next() == more);
    CHECK(loaded.epoch() == whole.epoch());
    if (!more) continue;
    CHECK(std::ranges::equal(loaded.requests(), whole.requests()));
    CHECK(loaded.batch().user.categories == whole.batch().user.categories);
  }
  const saved_state file(whole);
  const encoded_log other = example(40);
  batches wrong(other);
  CHECK_THROWS_AS(file.load(wrong), format_error);
}

TEST_CASE("values are dropped at their rate, only in training") {
  const encoded_log rows = example(400);
  batches all(rows, {.rows = 10'000});
  all.next();
  const auto dropped = std::ranges::count(all.batch().user.categories[0], 0u);
  CHECK(dropped > 150);
  CHECK(dropped < 250);
  row_batch plain;
  rows.gather(all.requests(), plain);
  CHECK(std::ranges::count(plain.user.categories[0], 0u) == 0);
  CHECK(refuses([&] { batches(rows, {.rows = 0}); }, "funnel::batches", "rows is 0"));
}
