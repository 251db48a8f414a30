// SPDX-License-Identifier: MIT
#include "data/files.hpp"
#include "support/catch.hpp"
#include "support/failing_allocator.hpp"

#include <funnel/data/arrow.hpp>
#include <funnel/data/csv.hpp>
#include <funnel/data/csv_columns.hpp>
#include <funnel/data/funnel_log_file.hpp>
#include <funnel/data/kuairand.hpp>
#include <funnel/data/logged_rows.hpp>
#include <funnel/data/simulator.hpp>
#include <funnel/data/sparse_matrix_builder.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/features/request_encoder.hpp>

#include <cstddef>
#include <filesystem>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

using failing_allocator::check_every_failure;

namespace {

/// How many files the process has open; 0 where the system does not say.
std::ptrdiff_t open_files() {
  const char* const folder = "/proc/self/fd";
  if (!std::filesystem::exists(folder)) return 0;
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

using whole_log =
    std::tuple<std::vector<std::string>, std::vector<funnel::user_profile>,
               std::vector<funnel::video>, std::vector<funnel::user_history>,
               std::vector<funnel::impression>, std::vector<funnel::categorical_field>,
               std::vector<std::string>, std::vector<funnel::categorical_field>,
               std::vector<std::string>, std::vector<std::uint64_t>, std::vector<std::uint64_t>,
               std::vector<float>>;

whole_log everything(const funnel::interaction_log& log) {
  const auto content = log.content.flat();
  return {log.actions,       log.users,       log.videos,       log.histories,
          log.impressions,   log.user_fields, log.user_numbers, log.video_fields,
          log.video_numbers, log.authors,     log.categories,   {content.begin(), content.end()}};
}

}  // namespace

TEST_CASE("csv_reader survives every failed allocation") {
  const temporary_folder folder;
  const std::string file =
      folder.write("t.csv", "a,b\n1,\"" + std::string(3000, 'x') + "\"\"" + "\"\n5,6\n");
  const std::ptrdiff_t open = open_files();
  check_every_failure(
      "opening", [] { return std::optional<funnel::csv_reader>(); },
      [&](auto& csv) { csv.emplace(file, funnel::csv_options{.block_size = 16}); },
      [](const auto& csv) { return csv ? csv->column("b") : 7; });
  CHECK(open_files() == open);
  check_every_failure(
      "next", [&] { return funnel::csv_reader(file, {.block_size = 16}); },
      [](funnel::csv_reader& csv) { csv.next(); },
      [](const funnel::csv_reader& csv) {
        std::string field;
        try {
          field = csv.text(1);
        } catch (const std::invalid_argument&) {
          field = "no record";
        }
        return std::pair(field, csv.line());
      });
  CHECK(open_files() == open);
}

TEST_CASE("read_csv survives every failed allocation") {
  const temporary_folder folder;
  const std::string file =
      folder.write("t.csv", "a,genres\n1,a genre of more letters than a string holds|b\n2.5,c\n");
  const std::ptrdiff_t open = open_files();
  check_every_failure(
      "reading", [] { return funnel::column_table(); },
      [&](funnel::column_table& table) {
        table = funnel::read_csv(file, {.lists = {{"genres", '|'}}});
      },
      [](const funnel::column_table& table) {
        std::vector<std::string> all;
        const funnel::columns c = table.view();
        for (std::size_t j = 0; j < c.size(); ++j)
          for (std::size_t k = 0; k < c[j].values(); ++k)
            all.push_back(c[j].kind() == funnel::value_kind::text ? std::string(c[j].text(k))
                                                                  : std::to_string(c[j].number(k)));
        return all;
      });
  CHECK(open_files() == open);
}

namespace {

int released = 0;

template <class Structure>
void release(Structure* self) {
  ++released;
  self->release = nullptr;
}

}  // namespace

TEST_CASE("read_arrow survives every failed allocation, and releases what it was given") {
  const std::int32_t offsets[] = {0, 2, 30};
  const std::int64_t numbers[] = {7, 8};
  const void* text_buffers[] = {nullptr, offsets, "a text longer than a string holds"};
  const void* number_buffers[] = {nullptr, numbers};
  ArrowSchema text_schema{}, number_schema{};
  text_schema.format = "u", text_schema.name = "text";
  number_schema.format = "l", number_schema.name = "number";
  ArrowSchema* fields[] = {&text_schema, &number_schema};
  ArrowArray text{}, number{};
  text.length = 2, text.n_buffers = 3, text.buffers = text_buffers;
  number.length = 2, number.n_buffers = 2, number.buffers = number_buffers;
  ArrowArray* columns[] = {&text, &number};
  check_every_failure(
      "reading", [] { return funnel::column_table(); },
      [&](funnel::column_table& table) {
        ArrowSchema schema{};
        schema.format = "+s", schema.n_children = 2, schema.children = fields;
        schema.release = release<ArrowSchema>;
        ArrowArray batch{};
        batch.length = 2, batch.n_children = 2, batch.children = columns;
        batch.release = release<ArrowArray>;
        released = 0;
        try {
          table = funnel::read_arrow(schema, batch);
        } catch (const std::bad_alloc&) {
          if (released != 2 || schema.release != nullptr) throw std::logic_error("not released");
          throw;
        }
        if (released != 2 || schema.release != nullptr) throw std::logic_error("not released");
      },
      [](const funnel::column_table& table) {
        std::vector<std::string> all;
        const funnel::columns c = table.view();
        for (std::size_t j = 0; j < c.size(); ++j)
          for (std::size_t k = 0; k < c[j].values(); ++k)
            all.push_back(c[j].kind() == funnel::value_kind::text ? std::string(c[j].text(k))
                                                                  : std::to_string(c[j].number(k)));
        return all;
      });
}

TEST_CASE("read_kuairand survives every failed allocation") {
  const temporary_folder folder;
  std::string names = "user_id";
  for (const char* name :
       {"user_active_degree", "is_lowactive_period", "is_live_streamer", "is_video_author",
        "follow_user_num", "follow_user_num_range", "fans_user_num", "fans_user_num_range",
        "friend_user_num", "friend_user_num_range", "register_days", "register_days_range"})
    names += std::string(",") + name;
  std::string row = "7,a,0,1,0,5,\"(0,10]\",3,x,2,y,799,730+";
  for (int i = 0; i < 18; ++i) {
    names += ",onehot_feat" + std::to_string(i);
    row += ",a feature of more letters than a string holds " + std::to_string(i);
  }
  folder.write("user_features_pure.csv", names + "\n" + row + "\n");
  folder.write("video_features_basic_pure.csv",
               "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,"
               "server_width,server_height,music_id,music_type,tag\n"
               "12,77,NORMAL,2022-04-09,Web,0.0,9233.0,720.0,1280.0,1,4.0,\"20,39,67\"\n");
  folder.write("log_standard_4_22_to_5_08_pure.csv",
               "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,"
               "is_forward,is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,"
               "comment_stay_time,is_profile_enter,is_rand,tab\n"
               "7,12,20220422,0,1650600000000,1,0,0,0,0,0,1,61802,49866,0,0,0,0,1\n");
  folder.write("user_history_until_4_24_pure.csv",
               "user_id,history_len,last_time_ms,watch_seq,like_seq,long_watch_seq\n"
               "7,92,1650541757927,12 12,12,12\n");
  const std::ptrdiff_t open = open_files();
  check_every_failure(
      "reading", [] { return funnel::interaction_log(); },
      [&](funnel::interaction_log& log) { log = funnel::read_kuairand(folder.path()); },
      everything);
  CHECK(open_files() == open);
}

namespace {

const funnel::simulator_options small_feed = {.users = 3,
                                              .videos = 9,
                                              .authors = 2,
                                              .categories = 2,
                                              .days = 1,
                                              .history_days = 1,
                                              .impressions_per_user_day = 16,
                                              .content_size = 3};

}  // namespace

TEST_CASE("a simulated feed and what is done to a log survive every failed allocation") {
  const funnel::simulator_options options = small_feed;
  const whole_log nothing = everything({});
  const whole_log expected = everything(funnel::simulator(options).log());
  for (long served = 0; served == 0 || failing_allocator::failures > 0; ++served) {
    funnel::interaction_log log;
    const bool thrown =
        failing_allocator::runs_out(served, true, [&] { log = funnel::simulator(options).log(); });
    if (everything(log) != (thrown ? nothing : expected)) FAIL(served << " requests are served");
  }
  std::vector<funnel::impression> shown = funnel::simulator(options).log().impressions;
  REQUIRE(shown.size() > 8);
  for (std::size_t i = 0; i < 5; ++i) shown.push_back(funnel::impression(shown[i]));
  const auto all = [](const std::vector<funnel::impression>& impressions) { return impressions; };
  check_every_failure(
      "remove_duplicates", [&] { return shown; },
      [](std::vector<funnel::impression>& impressions) { funnel::remove_duplicates(impressions); },
      all);
  check_every_failure(
      "sort_by_time", [&] { return std::vector<funnel::impression>(shown.rbegin(), shown.rend()); },
      [](std::vector<funnel::impression>& impressions) { funnel::sort_by_time(impressions); }, all);
}

TEST_CASE("a simulator is copied whole or not at all") {
  const funnel::simulator_options few = small_feed;
  funnel::simulator_options more = few;
  more.users = 7;
  more.videos = 20;
  more.content_size = 5;
  const funnel::simulator other(more);
  check_every_failure(
      "copy", [&] { return funnel::simulator(few); }, [&](funnel::simulator& s) { s = other; },
      [](const funnel::simulator& s) {
        std::vector<double> all;
        const funnel::interaction_log log = s.log();
        for (const funnel::impression& e : log.impressions) all.push_back(s.truth(e).click);
        return all;
      });
}

TEST_CASE("funnel_log survives every failed allocation, and so do its file and its readers") {
  using namespace funnel;
  column_table past;
  for (const char* c : {"user_id", "item_id", "time", "click"})
    past.add(c, 9, [](std::size_t i) { return i; });
  schema features({.of_user = {category{"user_id"}},
                   .of_item = {category{"item_id"}, number{"click"}},
                   .labels = "click"});
  const fitted fitted = fit_schema(features, past);
  request_encoder encode(features, fitted.state);
  candidates found({"popular"}, {{"rank"}});
  for (std::int64_t id = 0; id < 9; ++id) {
    const std::uint32_t slot = found.add(0, id, 1);
    found.scores(0)(slot, 0) = 1;
  }
  const std::vector<std::uint32_t> slots(found.kept().begin(), found.kept().end());
  found.keep(std::span(slots).first(3), 0, drop_cause::size);
  const row_batch rows = encode(1, found.ids(), 20);
  const auto empty = [&] { return funnel_log(features, found, {"rank"}); };
  const auto bytes_of = [](const funnel_log& log) {
    return std::tuple(std::vector<std::byte>(log.bytes().begin(), log.bytes().end()),
                      log.requests(), log.lost());
  };
  const auto add = [&](funnel_log& log) {
    log.add({.id = 1, .user = 1, .time = 20}, found, found.kept(), rows, slots);
  };
  check_every_failure("funnel_log::add", empty, add, bytes_of);
  funnel_log log = empty();
  add(log);

  const temporary_folder folder;
  const std::string path = folder.path() + "/a.log";
  const std::ptrdiff_t open = open_files();
  check_every_failure(
      "funnel_log_file",
      [&] {
        folder.write("a.log", {reinterpret_cast<const char*>(log.bytes().data()), 300});
        return std::optional<funnel_log_file>();
      },
      [&](auto& file) { file.emplace(path); },
      [](const auto& file) { return file ? file->size() : 7; });
  check_every_failure(
      "funnel_log_file::append",
      [&] {
        folder.write("a.log", "");
        return std::pair(std::make_unique<funnel_log_file>(path), log);
      },
      [](auto& both) { both.first->append(both.second); },
      [&](const auto& both) { return std::pair(both.first->size(), both.second.requests()); });
  CHECK(open_files() == open);

  column_table outcomes;
  for (const char* c : {"request", "item", "click"}) outcomes.add(c, std::vector<int>{1});
  check_every_failure(
      "training_rows", [] { return training_rows_result(); },
      [&](training_rows_result& to) {
        funnel_log_reader reader(log);
        to = training_rows(reader, features, outcomes);
      },
      [](const training_rows_result& r) {
        std::vector<float> all{static_cast<float>(r.joined)};
        if (r.rows.rows() > 0)
          all.insert(all.end(), r.rows.label(0).begin(), r.rows.label(0).end());
        return all;
      });
  check_every_failure(
      "distillation_lists", [] { return logged_lists(); },
      [&](logged_lists& to) {
        funnel_log_reader reader(log);
        to = distillation_lists(reader, features);
      },
      [](const logged_lists& lists) { return std::pair(lists.of.items, lists.scores); });
}

TEST_CASE("out of memory: a builder has the entries it counts, and finishes later") {
  const temporary_folder folder;
  const std::size_t memory = std::size_t{1} << 20, count = 40'000;  // spills once
  const auto entry = [](std::size_t i) {
    return funnel::sparse_entry{static_cast<std::uint32_t>(i * 7 % 900),
                                static_cast<std::uint32_t>(i * 3 % 800), 1, 0};
  };
  const auto cells = [](const funnel::sparse_matrix& m) {
    std::vector<std::uint32_t> all;
    for (std::size_t r = 0; r < m.rows(); ++r)
      all.insert(all.end(), m[r].columns.begin(), m[r].columns.end());
    return all;
  };
  using funnel::sparse_matrix_builder;
  std::optional<funnel::sparse_matrix> made;
  check_every_failure(
      "sparse_matrix_builder",
      [&] {
        made.reset();
        return std::make_unique<sparse_matrix_builder>(
            funnel::sparse_matrix_builder_options{.memory = memory, .folder = folder.path()});
      },
      [&](auto& builder) {
        while (builder->added() < count) builder->add(entry(builder->added()));
        made = builder->finish();
      },
      [&](const auto& builder) {
        // Before it is finished, entries may have been added: the next call adds the others.
        return std::pair(builder != nullptr, made ? cells(*made) : std::vector<std::uint32_t>());
      });
}
