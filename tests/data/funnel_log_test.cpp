// SPDX-License-Identifier: MIT
#include <funnel/data/funnel_log.hpp>
#include <funnel/data/funnel_log_reader.hpp>

#include "data/files.hpp"
#include "data/served_log.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/row_batches.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

using namespace funnel;

namespace {

std::vector<std::byte> copy_of(std::span<const std::byte> bytes) {
  return {bytes.begin(), bytes.end()};
}

struct example {
  std::vector<log_row> rows;
  schema features{every_kind()};
  fitted past;
  explicit example(std::size_t requests)
      : rows(log_of_pages(3, {.requests = requests})), past(fit_schema(features, table_of(rows))) {}
  funnel_log empty(const funnel_log_options& options = {}) const {
    return {features, served_page().found, stages_of_pages, options};
  }
  funnel_log log(std::size_t unseen, const funnel_log_options& options = {}) const {
    funnel_log to = empty(options);
    serve_log(rows, features, past.rows, unseen, [&](const served_page& p, const row_batch& batch) {
      to.add({p.request, category_key(p.user), p.time, 5}, p.found, p.shown, batch, p.row_slots);
    });
    return to;
  }
};

/// The ids of the requests that a reader returns before it ends or throws.
std::vector<std::uint64_t> ids_of(std::span<const std::byte> bytes, std::string& error,
                                  std::size_t& dropped) {
  funnel_log_reader reader(bytes);
  std::vector<std::uint64_t> ids;
  error = format_error_of([&] {
    while (reader.next()) ids.push_back(reader.request().served.id);
  });
  if (!error.empty()) CHECK(format_error_of([&] { reader.next(); }) == error);
  dropped = reader.dropped().size();
  return ids;
}

}  // namespace

TEST_CASE("funnel_log: what is read is what was added") {
  const example data(40);
  funnel_log log = data.empty();
  std::vector<served_page> pages;
  std::vector<row_batch> batches;
  serve_log(data.rows, data.features, data.past.rows, 6,
            [&](const served_page& p, const row_batch& batch) {
              CHECK(log.add({p.request, 7, p.time, 5}, p.found, p.shown, batch, p.row_slots));
              pages.push_back(p), batches.push_back(batch);
            });
  CHECK(log.requests() == pages.size());
  funnel_log_reader reader(log);
  for (std::size_t i = 0; i < pages.size(); ++i) {
    REQUIRE(reader.next());
    const logged_request& r = reader.request();
    const candidates& found = pages[i].found;
    CHECK((r.served.id == pages[i].request && r.served.user == 7 && r.served.model == 5));
    CHECK(r.served.time == pages[i].time);
    CHECK(r.ids == std::vector<std::int64_t>(found.ids().begin(), found.ids().end()));
    CHECK(r.shown == pages[i].shown);
    for (std::uint32_t slot = 0; slot < found.size(); ++slot) {
      CHECK(r.source_bits[slot] == found.source_bits(slot));
      CHECK(r.fates[slot] == found.fate_of(slot));
      for (std::size_t s = 0; s < 2; ++s)
        for (std::size_t k = 0; k < s + 1; ++k) {
          const float expected = found.scores(s)(slot, k), got = r.scores[s][slot * (s + 1) + k];
          CHECK((expected == got || (std::isnan(expected) && std::isnan(got))));
        }
      // All are in the sample, as there are fewer than 20 of a stage.
      CHECK(r.row_slots[r.row_of[slot]] == slot);
    }
    CHECK(r.places[r.shown[0]] == 0);
    CHECK(r.places[0] == candidates::none);
    CHECK(r.row_slots.size() == found.size());
    row_batch expected;
    detail::clear_like(batches[i], expected);
    detail::append_request(batches[i], 0, expected);
    for (const std::uint32_t slot : r.row_slots)
      detail::append_rows(batches[i], slot, slot + 1, expected);
    detail::end_request(expected);
    CHECK(same_batch(r.rows, expected));
  }
  CHECK_FALSE(reader.next());
  CHECK(reader.dropped().empty());
  CHECK(reader.names().schema == data.features.label());
  CHECK(reader.names().fingerprint == data.features.fingerprint());
  CHECK(reader.names().stages == stages_of_pages);
  CHECK(reader.names().causes[2] == "filter");
  CHECK(reader.names().scores[1].outputs[1] == "like");
}

TEST_CASE("funnel_log: the sample is so large a stage, drawn anew by another seed, and even") {
  const example data(1);
  candidates found({"popular", "towers"}, {{"prerank"}, {"rank", {"click", "like"}}});
  const auto sampled = [&](std::uint64_t request, std::uint64_t seed, std::size_t backward) {
    found.clear();
    for (std::int64_t i = 0; i < 100; ++i) found.add(0, backward != 0 ? 99 - i : i, 0);
    const auto of = [&](std::int64_t below) {
      std::vector<std::uint32_t> slots;
      for (std::int64_t id = 0; id < below; ++id) slots.push_back(found.find(id));
      return slots;
    };
    found.drop_if(0, drop_cause::filter, [&](std::uint32_t s) { return found.id(s) >= 90; });
    found.keep(of(50), 2, drop_cause::size);
    found.keep(of(12), 3, drop_cause::size);
    funnel_log log = data.empty({.sample_per_stage = 7, .seed = seed});
    std::set<std::int64_t> ids;
    for (const std::uint32_t slot : log.sample(request, found, of(10))) ids.insert(found.id(slot));
    return ids;
  };
  const auto first = sampled(1, 1, 0);
  CHECK(first == sampled(1, 1, 1));  // whatever the slots
  CHECK(first != sampled(1, 2, 0));
  CHECK(first != sampled(2, 1, 0));
  std::vector<std::size_t> counts(100);
  for (std::uint64_t request = 0; request < 400; ++request) {
    const auto ids = sampled(request, 1, 0);
    CHECK(ids.size() == 10 + 2 + 7 + 7);  // the page, kept and not shown, two stages
    for (const std::int64_t id : ids) ++counts[static_cast<std::size_t>(id)];
  }
  for (std::size_t id = 0; id < 12; ++id) CHECK(counts[id] == 400);
  for (std::size_t id = 90; id < 100; ++id) CHECK(counts[id] == 0);
  // Six standard deviations of 400 draws.
  const auto near = [](std::size_t count, double p) {
    return std::abs(static_cast<double>(count) - 400 * p) < 6 * std::sqrt(400 * p * (1 - p));
  };
  for (std::size_t id = 12; id < 50; ++id) CHECK(near(counts[id], 7. / 38));
  for (std::size_t id = 50; id < 90; ++id) CHECK(near(counts[id], 7. / 40));
}

TEST_CASE("funnel_log: every truncation ends with a whole request") {
  const example data(4);
  const funnel_log log = data.log(2);
  std::string error;
  std::size_t dropped = 0;
  const std::vector<std::uint64_t> all = ids_of(log.bytes(), error, dropped);
  REQUIRE(all.size() == data.past.rows.requests());
  CHECK((error.empty() && dropped == 0));
  std::size_t longest = 0;
  for (std::size_t size = 0; size < log.bytes().size(); ++size) {
    const auto part = ids_of(log.bytes().first(size), error, dropped);
    INFO(size);
    CHECK(error.empty());
    CHECK(part.size() < all.size());
    CHECK(std::ranges::equal(part, std::span(all).first(part.size())));
    CHECK(part.size() >= longest);
    longest = part.size();
    if (size > 0 && size < log.name_bytes().size()) CHECK(dropped == 1);
  }
  CHECK(longest == all.size() - 1);
}

TEST_CASE("funnel_log: a flipped bit is an error with its place, or the end is dropped") {
  const example data(3);
  const funnel_log log = data.log(1);
  std::string error;
  std::size_t dropped = 0;
  const std::vector<std::uint64_t> all = ids_of(log.bytes(), error, dropped);
  REQUIRE(all.size() >= 2);
  std::vector<std::byte> bytes = copy_of(log.bytes());
  std::size_t last = 0;  // where the last record begins
  for (std::size_t at = 0; at + 32 <= bytes.size(); ++at) {
    detail::record_head head;
    if (detail::read_head(std::span<const std::byte>(bytes).subspan(at), head)) last = at;
  }
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    INFO(bit / 8 << " of " << bytes.size());
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    const auto ids = ids_of(bytes, error, dropped);
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    CHECK(ids.size() < all.size());
    CHECK(std::ranges::equal(ids, std::span(all).first(ids.size())));
    if (bit / 8 >= last) {
      CHECK((error.empty() && dropped == 1 && ids.size() == all.size() - 1));
    } else {
      CHECK(error.starts_with("log: byte "));
    }
  }
}

TEST_CASE("funnel_log: without features, without candidates, and when it is full") {
  const example data(1);
  candidates found({"popular", "towers"}, {{"prerank"}, {"rank", {"click", "like"}}});
  funnel_log log = data.empty();
  CHECK(log.add({.id = 1}, found, {}));
  found.add(0, -5, 1);
  CHECK(log.add({.id = 2}, found, found.kept()));
  funnel_log_reader reader(log);
  REQUIRE(reader.next());
  CHECK((reader.request().ids.empty() && !reader.request().has_rows));
  REQUIRE(reader.next());
  CHECK((reader.request().ids[0] == -5 && reader.request().row_of[0] == candidates::none));
  CHECK_FALSE(reader.next());
  funnel_log small = data.empty({.most_bytes = log.bytes().size()});
  CHECK((small.add({.id = 1}, found, {}) && !small.add({.id = 2}, found, {})));
  CHECK((small.requests() == 1 && small.lost() == 1));
  small.clear();
  CHECK((small.requests() == 0 && small.lost() == 1 && small.add({.id = 2}, found, {})));
}

TEST_CASE("funnel_log: errors change nothing") {
  const example data(2);
  const served_request r{.id = 1};
  candidates found({"popular", "towers"}, {{"prerank"}, {"rank", {"click", "like"}}});
  found.add(0, 1, 1), found.add(0, 2, 1);
  funnel_log log = data.empty();
  const auto refused = [&](const candidates& c, std::vector<std::uint32_t> shown,
                           std::string_view words) {
    return refuses([&] { log.add(r, c, shown); }, "funnel::funnel_log", words);
  };
  CHECK(refused(candidates({"popular"}), {}, "other sources"));
  CHECK(refused(found, {0, 2}, "a slot of shown is 2, expected below 2"));
  CHECK(refused(found, {1, 1}, "shown has slot 1 twice"));
  candidates far = found;
  far.keep({}, 5, drop_cause::size);
  CHECK(refused(far, {}, "was dropped by stage 5, expected below 5"));
  CHECK(refuses([&] { log.add(r, found, {}, row_batch(), {}); }, "funnel::funnel_log",
                "rows.requests() is 0, expected 1"));
  feature_state state(data.features);
  request_encoder encode(data.features, state);
  const std::vector<double> position{1, 2};
  const std::vector<std::int64_t> items{1, 2};
  row_batch rows = encode(1, items, 0, {{"device", "ios"}}, {{"position", column(position)}});
  const auto refused_rows = [&](const row_batch& b, std::vector<std::uint32_t> slots,
                                std::string_view words) {
    return refuses([&] { log.add(r, found, {}, b, slots); }, "funnel::funnel_log", words);
  };
  CHECK(refused_rows(rows, {0}, "row_slots has 1 value, expected 2"));
  CHECK(refused_rows(rows, {0, 0}, "slot 0 twice"));
  CHECK(refused_rows(rows, {0, 2}, "row_slots is 2, expected below 2"));
  rows.item.categories.pop_back();
  CHECK(refused_rows(rows, {0, 1}, "of_item"));
  CHECK(refuses([&] { funnel_log(schema(every_kind()), found, {}); }, "funnel::funnel_log",
                "not fitted"));
  CHECK((log.requests() == 0 && log.bytes().size() == log.name_bytes().size()));
}

TEST_CASE("funnel_log_reader: what is no log") {
  const temporary_folder folder;
  CHECK(format_error_of([&] { funnel_log_reader(folder.path() + "/none"); }).find("opened") !=
        std::string::npos);
  const std::string csv = folder.write("t.csv", "a,b\n1,2\n");
  funnel_log_reader reader(csv);
  CHECK(format_error_of([&] { reader.next(); }) == csv + ": byte 0: this is no funnel log");
  funnel_log_reader empty(folder.write("empty", ""));
  CHECK_FALSE(empty.next());
  // A request without names before it.
  const example data(1);
  const funnel_log log = data.log(0);
  funnel_log_reader nameless(log.bytes().subspan(log.name_bytes().size()));
  CHECK(format_error_of([&] { nameless.next(); }).find("before the names") != std::string::npos);
}
