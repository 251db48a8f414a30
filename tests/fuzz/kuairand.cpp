// SPDX-License-Identifier: MIT
//
// A small copy of KuaiRand-Pure in which the bytes of the input say what is changed: fields and
// stretches of its files give way to other bytes. The reader names a place in a file of the folder,
// or gives a log in which everything is within its documented range.
#include "fuzz/file.hpp"
#include "fuzz/input.hpp"

#include <funnel/data/kuairand.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct part {
  const char* name;
  std::string text;
};

std::vector<part> small_copy() {
  const std::string log_names =
      "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,"
      "is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,"
      "is_profile_enter,is_rand,tab\n";
  const auto user = [](const char* begin) {
    return std::string(begin) + ",\"(10,50]\",3,\"[1,10)\",2,x,799,730+,1,1,29,949,,0,0,14,135,6,3,"
                                "0,0.0,1.0,0.0,0.0,0.0,0.0\n";
  };
  return {
      {"user_features_pure.csv",
       "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,"
       "follow_user_num,follow_user_num_range,fans_user_num,fans_user_num_range,friend_user_num,"
       "friend_user_num_range,register_days,register_days_range,onehot_feat0,onehot_feat1,"
       "onehot_feat2,onehot_feat3,onehot_feat4,onehot_feat5,onehot_feat6,onehot_feat7,"
       "onehot_feat8,onehot_feat9,onehot_feat10,onehot_feat11,onehot_feat12,onehot_feat13,"
       "onehot_feat14,onehot_feat15,onehot_feat16,onehot_feat17\n" +
           user("40,full_active,0,1,0,514") + user("7,low_active,0,-124,0,")},
      {"video_features_basic_pure.csv",
       "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,"
       "server_width,server_height,music_id,music_type,tag\n"
       "900,77,NORMAL,2022-04-10,LongImport,0.0,87433.0,720.0,1280.0,9155697141,9.0,39\n"
       "5,76,AD,,Web,0.0,,720.0,,0,,\n"
       "12,77,NORMAL,2022-04-09,Web,0.0,9233.0,720.0,1280.0,1,4.0,\"20,39,67\"\n"},
      {"log_standard_4_22_to_5_08_pure.csv",
       log_names + "7,12,20220422,0,1650600000000,1,0,0,0,0,0,1,61802,49866,0,0,0,0,1\n"
                   "40,900,20220425,2359,1650900000000,0,1,1,1,1,1,0,0,,0,300,1,0,14\n"},
      {"log_standard_4_08_to_4_21_pure.csv",
       log_names + "40,5,20220408,100,1649350000000,0,0,0,0,0,0,0,0,0,0,0,0,0,2\n"},
      {"log_random_4_22_to_5_08_pure.csv",
       log_names + "40,5,20220422,100,1650600000001,0,0,0,0,0,0,0,0,0,0,0,0,1,2\n"},
      {"user_history_until_4_24_pure.csv",
       "user_id,history_len,last_time_ms,watch_seq,like_seq,long_watch_seq\n"
       "40,92,1650541757927,12 12 900,\"\",900\n"},
  };
}

/// What a field may be told to be, apart from bytes of the input.
constexpr std::array<std::string_view, 30> words = {"",
                                                    "-1",
                                                    "-5",
                                                    "-0",
                                                    "1e300",
                                                    "1e-46",
                                                    "1e13",
                                                    "nan",
                                                    "inf",
                                                    "1275",
                                                    "2359",
                                                    "2360",
                                                    "12,7,",
                                                    "\"12,7,\"",
                                                    "\"20,,39\"",
                                                    "\"20,20\"",
                                                    "12 ",
                                                    "5 5 5",
                                                    "20220431",
                                                    "99991231",
                                                    "10101",
                                                    "2022-04-31",
                                                    "0000-00-00",
                                                    "18446744073709551615",
                                                    "18446744073709551616",
                                                    "253402300799999",
                                                    "253402300800000",
                                                    "\"",
                                                    "\r",
                                                    "user_id"};

std::string few_bytes(fuzz::input& in) {
  std::string text;
  for (std::size_t n = in.below(8); n > 0; --n) text += static_cast<char>(in.bits(1));
  return text;
}

void change(std::string& text, fuzz::input& in) {
  if (in.flag()) {  // a stretch of bytes
    const std::size_t begin = in.below(text.size() + 1);
    text.replace(begin, in.below(text.size() - begin + 1) % 16, few_bytes(in));
    return;
  }
  std::vector<std::size_t> ends;  // of what stands between commas and line ends
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == ',' || text[i] == '\n') ends.push_back(i);
  if (ends.empty()) return;
  const std::size_t field = in.below(ends.size());
  const std::size_t begin = field == 0 ? 0 : ends[field - 1] + 1;
  const std::string to = in.flag() ? few_bytes(in) : std::string(words[in.below(words.size())]);
  text.replace(begin, ends[field] - begin, to);
}

template <class T>
bool within(T value, T low, T high) {
  return value >= low && value <= high;
}

void check(const funnel::interaction_log& log, const funnel::kuairand_options& options) {
  constexpr std::int64_t end_of_time = 253'402'300'799'999;
  const auto numbers_hold = [](const std::vector<float>& numbers, std::size_t size) {
    return numbers.size() == size && std::ranges::all_of(numbers, [](float x) {
             return std::isfinite(x) && (x >= 0 || x == -1);
           });
  };
  const auto words_hold = [](const std::vector<std::uint32_t>& values,
                             const std::vector<funnel::categorical_field>& fields) {
    return std::ranges::equal(
        values, fields, [](std::uint32_t value, const auto& field) { return value < field.size; });
  };
  const auto items_hold = [&](const std::vector<funnel::item_id>& items) {
    return std::ranges::all_of(items, [&](auto item) { return item < log.videos.size(); });
  };
  std::vector<std::uint64_t> ids;
  for (const funnel::user_profile& user : log.users) {
    FUZZ_EXPECT(numbers_hold(user.numeric, log.user_numbers.size()));
    FUZZ_EXPECT(words_hold(user.categorical, log.user_fields));
    ids.push_back(user.id);
  }
  std::ranges::sort(ids);
  FUZZ_EXPECT(std::ranges::adjacent_find(ids) == ids.end());
  FUZZ_EXPECT(!log.categories.empty());
  for (const funnel::video& video : log.videos) {
    FUZZ_EXPECT(video.author < log.authors.size());
    FUZZ_EXPECT(video.category == (video.tags.empty() ? 0 : video.tags.front()));
    for (const funnel::category_id tag : video.tags)
      FUZZ_EXPECT(tag >= 1 && tag < log.categories.size());
    FUZZ_EXPECT(within(video.duration_s, 0.f, 1e9f));
    FUZZ_EXPECT(video.upload_date == 0 || funnel::is_date(video.upload_date));
    FUZZ_EXPECT(numbers_hold(video.numeric, log.video_numbers.size()));
    FUZZ_EXPECT(words_hold(video.categorical, log.video_fields));
  }
  FUZZ_EXPECT(log.histories.size() == log.users.size());
  for (const funnel::user_history& history : log.histories) {
    FUZZ_EXPECT(items_hold(history.watched) && items_hold(history.liked) &&
                items_hold(history.long_watched));
    FUZZ_EXPECT(history.watched.size() <= history.total);
    FUZZ_EXPECT(within<std::int64_t>(history.last_time_ms, 0, end_of_time));
  }
  for (const funnel::impression& e : log.impressions) {
    FUZZ_EXPECT(e.user < log.users.size() && e.item < log.videos.size());
    FUZZ_EXPECT(within<std::int64_t>(e.time_ms, 0, end_of_time));
    FUZZ_EXPECT(funnel::is_date(e.date) && e.date >= options.from);
    FUZZ_EXPECT(options.until == 0 || e.date <= options.until);
    FUZZ_EXPECT(e.hour <= 23 && e.position == 0);
    FUZZ_EXPECT(within(e.play_s, 0.f, 1e9f) && within(e.duration_s, 0.f, 1e9f));
  }
}

/// A message begins with the path of a file of the folder and, unless that is missing, with a place.
void check_message(std::string_view message, const std::vector<part>& parts) {
  FUZZ_EXPECT(message.starts_with(fuzz::folder() + "/"));
  message.remove_prefix(fuzz::folder().size() + 1);
  const auto named = std::ranges::find_if(
      parts, [&](const part& p) { return message.starts_with(std::string(p.name) + ":"); });
  FUZZ_EXPECT(named != parts.end());
  message.remove_prefix(std::string_view(named->name).size() + 1);
  if (message.starts_with(" no such file; the folder")) return;
  char* end = nullptr;
  const std::string place(message);
  FUZZ_EXPECT(std::strtoul(place.c_str(), &end, 10) >= 1 && *end == ':');
  FUZZ_EXPECT(std::strtoul(end + 1, &end, 10) >= 1 && *end == ':');
  FUZZ_EXPECT(place.size() < 800 && std::ranges::none_of(place, [](char c) {
                return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
              }));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<part> whole = small_copy();
  static const bool written = [] {
    for (const part& p : whole) fuzz::write_file(p.text, p.name);
    return true;
  }();
  FUZZ_EXPECT(written);
  fuzz::input in(data, size);
  funnel::kuairand_options options;
  constexpr std::int32_t dates[] = {0, 20220408, 20220422, 20220425, 99991231, 20220431, -1};
  options.random_log = in.flag();
  options.from = dates[in.below(std::size(dates))];
  options.until = dates[in.below(std::size(dates))];
  std::vector<part> parts = whole;
  std::vector<bool> changed(parts.size());
  do {
    const std::size_t p = in.below(parts.size());
    change(parts[p].text, in);
    changed[p] = true;
  } while (in.left() > 0);
  for (std::size_t p = 0; p < parts.size(); ++p)
    if (changed[p]) fuzz::write_file(parts[p].text, parts[p].name);
  try {
    check(funnel::read_kuairand(fuzz::folder(), options), options);
  } catch (const funnel::format_error& error) {
    check_message(error.what(), parts);
  } catch (const std::invalid_argument& error) {
    const auto fits = [](std::int32_t date) { return date == 0 || funnel::is_date(date); };
    FUZZ_EXPECT(std::string_view(error.what()).starts_with("funnel::read_kuairand: "));
    FUZZ_EXPECT(!fits(options.from) || !fits(options.until) || options.until < options.from);
  }
  for (std::size_t p = 0; p < parts.size(); ++p)
    if (changed[p]) fuzz::write_file(whole[p].text, whole[p].name);
  return 0;
}
