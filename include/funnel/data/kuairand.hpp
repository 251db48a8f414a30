// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/date.hpp>
#include <funnel/data/csv.hpp>
#include <funnel/data/interaction_log.hpp>
#include <funnel/features/vocabulary.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `read_kuairand`.
struct kuairand_options {
  /// First and last date to keep, yyyymmdd, both included; 0 means no limit on that side.
  std::int32_t from = 0;
  std::int32_t until = 0;
  /// Also read the log of randomly chosen videos, after the standard logs.
  bool random_log = false;
};

namespace detail {

/// Maps the words of a categorical column to 1, 2, ... in order of first occurrence; the empty word
/// is 0.
class word_ids {
 public:
  std::uint32_t operator()(std::string_view word) {
    if (word.empty()) return 0;
    if (const auto found = ids_.find(word); found != ids_.end()) return found->second;
    const auto id = static_cast<std::uint32_t>(ids_.size() + 1);
    ids_.emplace(word, id);
    return id;
  }
  std::uint32_t size() const { return static_cast<std::uint32_t>(ids_.size() + 1); }

 private:
  std::map<std::string, std::uint32_t, std::less<>> ids_;  // fast for any words, unlike a hash map
};

/// Reads one KuaiRand-Pure folder into a log, with one function per file.
class kuairand_reader {
 public:
  kuairand_reader(std::string folder, const kuairand_options& options)
      : options_(options), folder_(std::move(folder)) {
    if (!exists("user_features_pure.csv")) {
      folder_ += "/data";
      if (!exists("user_features_pure.csv")) {
        folder_.resize(folder_.size() - 5);
        missing("user_features_pure.csv");
      }
    }
  }

  interaction_log read() && {
    for (const flag& f : flags) log_.actions.emplace_back(f.action);
    log_.actions.emplace_back("comment_section");
    read_users();
    read_videos();
    read_histories();
    read_logs();
    return std::move(log_);
  }

 private:
  std::string path(std::string_view file) const { return join_text(folder_, "/", file); }

  bool exists(std::string_view file) const {
    std::FILE* opened = std::fopen(path(file).c_str(), "rb");
    if (opened) std::fclose(opened);
    return opened != nullptr;
  }

  [[noreturn]] void missing(std::string_view file) const {
    throw format_error(join_text(path(file), ": no such file; the folder \"", folder_,
                                 "\" does not hold KuaiRand-Pure"));
  }

  void read_users() {
    csv_reader csv(path("user_features_pure.csv"));
    const std::size_t id = csv.column("user_id");
    std::vector<std::size_t> words, numbers;
    for (const char* name :
         {"user_active_degree",    "is_lowactive_period",   "is_live_streamer",
          "is_video_author",       "follow_user_num_range", "fans_user_num_range",
          "friend_user_num_range", "register_days_range",   "onehot_feat0",
          "onehot_feat1",          "onehot_feat2",          "onehot_feat3",
          "onehot_feat4",          "onehot_feat5",          "onehot_feat6",
          "onehot_feat7",          "onehot_feat8",          "onehot_feat9",
          "onehot_feat10",         "onehot_feat11",         "onehot_feat12",
          "onehot_feat13",         "onehot_feat14",         "onehot_feat15",
          "onehot_feat16",         "onehot_feat17"}) {
      words.push_back(csv.column(name));
      log_.user_fields.push_back({name});
    }
    for (const char* name :
         {"follow_user_num", "fans_user_num", "friend_user_num", "register_days"}) {
      numbers.push_back(csv.column(name));
      log_.user_numbers.emplace_back(name);
    }
    std::vector<word_ids> ids(words.size());
    while (csv.next()) {
      user_profile& user = log_.users.emplace_back();
      user.id = new_id(csv, id, users_);
      read_features(csv, words, ids, user.categorical);
      read_numbers(csv, numbers, user.numeric);
    }
    for (std::size_t i = 0; i < ids.size(); ++i) log_.user_fields[i].size = ids[i].size();
    log_.histories.resize(log_.users.size());
  }

  void read_videos() {
    if (!exists("video_features_basic_pure.csv")) missing("video_features_basic_pure.csv");
    csv_reader csv(path("video_features_basic_pure.csv"));
    const std::size_t id = csv.column("video_id");
    const std::size_t author = csv.column("author_id");
    const std::size_t upload = csv.column("upload_dt");
    const std::size_t duration = csv.column("video_duration");
    const std::size_t tag = csv.column("tag");
    const std::array words{csv.column("video_type"), csv.column("upload_type"),
                           csv.column("music_type")};
    const std::array numbers{csv.column("server_width"), csv.column("server_height")};
    vocabulary authors, tags;
    std::array<word_ids, 3> ids;
    while (csv.next()) {
      video& v = log_.videos.emplace_back();
      v.id = new_id(csv, id, videos_);
      v.author = authors.add(csv.number<std::uint64_t>(author)) - 1;
      for_each_number(csv, tag, ',', [&](std::uint64_t t) {
        if (t == no_tag) csv.fail(tag, "the id ", t, " stands for no tag");
        v.tags.push_back(tags.add(t));
      });
      if (!v.tags.empty()) v.category = v.tags.front();
      v.duration_s = seconds(csv.optional_number<double>(duration, 0, longest_ms).value_or(0));
      v.upload_date = read_upload_date(csv, upload);
      read_features(csv, words, ids, v.categorical);
      read_numbers(csv, numbers, v.numeric);
    }
    log_.authors.assign(authors.ids().begin(), authors.ids().end());
    log_.categories.assign(1, no_tag);
    log_.categories.insert(log_.categories.end(), tags.ids().begin(), tags.ids().end());
    log_.video_fields = {{"video_type", ids[0].size()},
                         {"upload_type", ids[1].size()},
                         {"music_type", ids[2].size()}};
    log_.video_numbers = {"server_width", "server_height"};
  }

  void read_histories() {
    constexpr const char* file = "user_history_until_4_24_pure.csv";
    if (!exists(file)) return;
    csv_reader csv(path(file));
    const std::size_t user = csv.column("user_id");
    const std::size_t length = csv.column("history_len");
    const std::size_t last = csv.column("last_time_ms");
    const std::size_t watched = csv.column("watch_seq");
    const std::size_t liked = csv.column("like_seq");
    const std::size_t long_watched = csv.column("long_watch_seq");
    vocabulary seen;
    while (csv.next()) {
      new_id(csv, user, seen);
      user_history& history = log_.histories[known_id(csv, user, users_, "user_features_pure.csv")];
      history.total = csv.number<std::uint32_t>(length);
      history.last_time_ms = csv.number<std::int64_t>(last, 0, latest_time_ms);
      read_items(csv, watched, history.watched);
      if (history.watched.size() > history.total)
        csv.fail(length, "the number ", history.total, " is below that of the ",
                 history.watched.size(), " videos in watch_seq");
      read_items(csv, liked, history.liked);
      read_items(csv, long_watched, history.long_watched);
    }
  }

  void read_logs() {
    constexpr const char* first = "log_standard_4_08_to_4_21_pure.csv";
    constexpr const char* second = "log_standard_4_22_to_5_08_pure.csv";
    constexpr const char* random = "log_random_4_22_to_5_08_pure.csv";
    if (!exists(second)) missing(second);
    if (exists(first) && options_.from < 20220422) read_log(first);
    read_log(second);
    if (options_.random_log) {
      if (!exists(random)) missing(random);
      read_log(random);
    }
  }

  void read_log(std::string_view file) {
    csv_reader csv(path(file));
    const std::size_t user = csv.column("user_id");
    const std::size_t video = csv.column("video_id");
    const std::size_t date = csv.column("date");
    const std::size_t hourmin = csv.column("hourmin");
    const std::size_t time = csv.column("time_ms");
    std::array<std::size_t, flags.size()> done;
    for (std::size_t i = 0; i < flags.size(); ++i) done[i] = csv.column(flags[i].column);
    const std::size_t play = csv.column("play_time_ms");
    const std::size_t duration = csv.column("duration_ms");
    const std::size_t comment_section = csv.column("comment_stay_time");
    const std::size_t random = csv.column("is_rand");
    const std::size_t tab = csv.column("tab");
    while (csv.next()) {
      impression e;
      e.date = csv.number<std::int32_t>(date);
      if (!is_date(e.date)) csv.fail(date, e.date, " is not a date yyyymmdd");
      if (e.date < options_.from || (options_.until != 0 && e.date > options_.until)) continue;
      e.user = known_id(csv, user, users_, "user_features_pure.csv");
      e.item = known_id(csv, video, videos_, "video_features_basic_pure.csv");
      const auto clock = csv.number<std::int32_t>(hourmin, 0, 2359);
      if (clock % 100 > 59) csv.fail(hourmin, clock, " is not a time hhmm");
      e.hour = static_cast<std::uint8_t>(clock / 100);
      e.time_ms = csv.number<std::int64_t>(time, 0, latest_time_ms);
      for (std::size_t i = 0; i < done.size(); ++i) e.done.set(i, csv.flag(done[i]));
      e.done.set(done.size(), csv.number<double>(comment_section, 0, longest_ms) > 0);
      e.play_s = seconds(csv.number<double>(play, 0, longest_ms));
      e.duration_s = seconds(csv.optional_number<double>(duration, 0, longest_ms).value_or(0));
      e.random = csv.flag(random);
      e.tab = csv.number<std::uint16_t>(tab);
      log_.impressions.push_back(e);
    }
  }

  struct flag {
    const char* action;
    const char* column;
  };
  static constexpr std::array flags{
      flag{"click", "is_click"},      flag{"like", "is_like"},
      flag{"follow", "is_follow"},    flag{"comment", "is_comment"},
      flag{"forward", "is_forward"},  flag{"hate", "is_hate"},
      flag{"long_view", "long_view"}, flag{"profile_entered", "is_profile_enter"}};
  static constexpr std::uint64_t no_tag = std::numeric_limits<std::uint64_t>::max();
  static constexpr std::int64_t latest_time_ms = (day_number(99991231) + 1) * 86'400'000LL - 1;
  static constexpr double longest_ms = 1e12;  // longer than any view, far below the largest float

  static float seconds(double milliseconds) { return static_cast<float>(milliseconds / 1000); }

  /// Reads an id that must not have occurred before.
  static std::uint64_t new_id(const csv_reader& csv, std::size_t column, vocabulary& known) {
    const auto id = csv.number<std::uint64_t>(column);
    const std::size_t rows = known.rows();
    known.add(id);
    if (known.rows() == rows) csv.fail(column, "the id ", id, " comes twice");
    return id;
  }

  static std::uint32_t known_id(const csv_reader& csv, std::size_t column, const vocabulary& known,
                                std::string_view file) {
    const auto id = csv.number<std::uint64_t>(column);
    const std::uint32_t row = known.find(id);
    if (row == 0) csv.fail(column, "the id ", id, " is not in ", file);
    return row - 1;
  }

  static std::int32_t read_upload_date(const csv_reader& csv, std::size_t column) {
    const std::string_view text = csv.text(column);
    if (text.empty()) return 0;
    std::int32_t date = 0;
    bool valid = text.size() == 10 && text[4] == '-' && text[7] == '-';
    for (std::size_t i = 0; valid && i < 10; ++i) {
      if (i == 4 || i == 7) continue;
      valid = text[i] >= '0' && text[i] <= '9';
      date = date * 10 + (text[i] - '0');
    }
    if (!valid || !is_date(date))
      csv.fail(column, "expected a date yyyy-mm-dd, got \"", printable(text), "\"");
    return date;
  }

  /// Calls `take` for each of the unsigned integers of one field, which are separated by single
  /// separators; an empty field has none.
  template <class Take>
  static void for_each_number(const csv_reader& csv, std::size_t column, char separator,
                              Take&& take) {
    std::string_view rest = csv.text(column);
    bool more = !rest.empty();
    while (more) {
      const std::size_t length = rest.find(separator);
      const std::string_view digits = rest.substr(0, length);
      std::uint64_t value = 0;
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), value);
      if (error != std::errc() || end != digits.data() + digits.size())
        csv.fail(column, "expected whole numbers, got \"", printable(digits), "\"");
      take(value);
      more = length != rest.npos;
      rest.remove_prefix(more ? length + 1 : rest.size());
    }
  }

  void read_items(const csv_reader& csv, std::size_t column, std::vector<item_id>& items) const {
    for_each_number(csv, column, ' ', [&](std::uint64_t id) {
      const std::uint32_t row = videos_.find(id);
      if (row == 0) csv.fail(column, "the id ", id, " is not in video_features_basic_pure.csv");
      items.push_back(row - 1);
    });
  }

  static void read_features(const csv_reader& csv, std::span<const std::size_t> columns,
                            std::span<word_ids> ids, std::vector<std::uint32_t>& values) {
    for (std::size_t i = 0; i < columns.size(); ++i) values.push_back(ids[i](csv.text(columns[i])));
  }

  static void read_numbers(const csv_reader& csv, std::span<const std::size_t> columns,
                           std::vector<float>& values) {
    for (const std::size_t column : columns) {
      const bool unknown = csv.text(column) == "-1";
      values.push_back(unknown ? -1.0f : csv.optional_number<float>(column, 0).value_or(0.0f));
    }
  }

  kuairand_options options_;
  std::string folder_;
  vocabulary users_, videos_;  // row - 1 is the index in the tables
  interaction_log log_;
};

}  // namespace detail

/// Reads the KuaiRand-Pure data set as downloaded. `folder` is the folder of the files, or the
/// folder that contains it as `data/`.
///
/// Reads user_features_pure.csv, video_features_basic_pure.csv, log_standard_4_22_to_5_08_pure.csv
/// and, if they exist, log_standard_4_08_to_4_21_pure.csv (unless `from` is later) and
/// user_history_until_4_24_pure.csv (what users watched until 2022-04-24; for earlier impressions
/// this is the future). Duplicate rows are kept: see `remove_duplicates`.
///
/// Shapes      users and videos are in the order of their files, impressions in the order of the
///             logs. For rows before `from` or after `until` only the date is checked.
/// Units       seconds (the files have milliseconds), not clipped: replays may exceed the duration.
///             Missing values are 0: durations, dates, numbers and categorical ids; a video without
///             tags has category 0. Numbers of users and videos are 0 or more; -1, which the files
///             use for "unknown", is kept. The actions are click, like, follow, comment, forward,
///             hate (asked not to see such videos), long_view, profile_entered (opened the author's
///             profile) and comment_section (stayed there for more than 0 ms). Requests and
///             positions are not recorded.
/// Errors      format_error "<file>:<line>:<column>: ..." for everything that `csv_reader` rejects,
///             a missing file or column, a user or video that is not in its table or is there
///             twice, fields that are not numbers or are negative, durations above 10^12 ms, times
///             after the year 9999, dates and times of day that do not exist, lists with an empty
///             element, a history longer than its stated length. std::invalid_argument if until is
///             before from, or one of them is neither 0 nor a date. After an error nothing is
///             returned and no file stays open.
/// Cost        one pass over each file: 0.2 s for 24 MB.
/// Source      Gao et al., "KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly
///             Exposed Videos", CIKM 2022; https://kuairand.com.
inline interaction_log read_kuairand(std::string folder, const kuairand_options& options = {}) {
  const auto check = [](const char* name, std::int32_t date) {
    if (date != 0 && !is_date(date))
      detail::fail("funnel::read_kuairand: ", name, " is ", date,
                   ", expected a date yyyymmdd, or 0");
  };
  check("from", options.from);
  check("until", options.until);
  if (options.until != 0) detail::check_days("read_kuairand", options.from, options.until);
  return detail::kuairand_reader(std::move(folder), options).read();
}

}  // namespace funnel
