// SPDX-License-Identifier: MIT
#include "files.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/data/kuairand.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace {

const std::string users_header =
    "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,"
    "follow_user_num,follow_user_num_range,fans_user_num,fans_user_num_range,friend_user_num,"
    "friend_user_num_range,register_days,register_days_range,onehot_feat0,onehot_feat1,"
    "onehot_feat2,onehot_feat3,onehot_feat4,onehot_feat5,onehot_feat6,onehot_feat7,onehot_feat8,"
    "onehot_feat9,onehot_feat10,onehot_feat11,onehot_feat12,onehot_feat13,onehot_feat14,"
    "onehot_feat15,onehot_feat16,onehot_feat17\n";
const std::string log_header =
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,"
    "is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,"
    "is_profile_enter,is_rand,tab\n";
const std::string videos_header =
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,"
    "server_width,server_height,music_id,music_type,tag\n";
const std::string log_name = "data/log_standard_4_22_to_5_08_pure.csv";

std::string user_row(const std::string& id, const std::string& degree, const std::string& follows) {
  return id + "," + degree + ",0,1,0," + follows +
         ",\"(10,50]\",3,\"[1,10)\",2,x,799,730+,1,1,29,949,,0,0,14,135,6,3,0,0.0,1.0,0.0,0.0,0.0,"
         "0.0\n";
}

/// The official layout in small: users 40, 7, 41; videos 900, 5, 12.
struct small_copy : temporary_folder {
  small_copy() {
    write("data/user_features_pure.csv", users_header + user_row("40", "full_active", "514") +
                                             user_row("7", "low_active", "") +
                                             user_row("41", "full_active", "-1"));
    write("data/video_features_basic_pure.csv",
          videos_header +
              "900,77,NORMAL,2022-04-10,LongImport,0.0,87433.0,720.0,1280.0,9155697141,9.0,39\n"
              "5,76,AD,,Web,0.0,,720.0,,0,,\n"
              "12,77,NORMAL,2022-04-09,Web,0.0,9233.0,720.0,1280.0,1,4.0,\"20,39,67\"\n");
    write(log_name, log_header +
                        "7,12,20220422,0,1650600000000,1,0,0,0,0,0,1,61802,49866,0,0,0,0,1\n"
                        "40,900,20220425,2359,1650900000000,0,1,1,1,1,1,0,0,0,0,0,0,0,14\n"
                        "40,5,20220501,1359,1651400000000,1,0,0,0,0,0,0,1500,9233,0,300,1,1,0\n");
  }
  std::string complaint(const funnel::kuairand_options& options = {}) const {
    const std::string text = format_error_of([&] { funnel::read_kuairand(path(), options); });
    return text.starts_with(path() + "/") ? text.substr(path().size() + 1) : text;
  }
};

}  // namespace

TEST_CASE("read_kuairand reads the official layout") {
  const small_copy copy;
  const funnel::interaction_log log = funnel::read_kuairand(copy.path());

  REQUIRE(log.users.size() == 3);
  CHECK(log.users[1].id == 7);
  REQUIRE(log.user_fields.size() == 26);
  CHECK(log.user_fields[0] == funnel::categorical_field{"user_active_degree", 3});
  CHECK(log.user_fields[12].name == "onehot_feat4");
  CHECK(log.user_fields[12].size == 1);  // always missing here
  REQUIRE(log.users[0].categorical.size() == 26);
  CHECK(log.users[0].categorical[0] == 1);
  CHECK(log.users[1].categorical[0] == 2);
  CHECK(log.users[2].categorical[0] == 1);
  CHECK(log.users[1].categorical[12] == 0);
  CHECK(log.user_numbers == std::vector<std::string>{"follow_user_num", "fans_user_num",
                                                     "friend_user_num", "register_days"});
  CHECK(log.users[0].numeric == std::vector<float>{514, 3, 2, 799});
  CHECK(log.users[1].numeric[0] == 0);
  CHECK(log.users[2].numeric[0] == -1);

  REQUIRE(log.videos.size() == 3);
  CHECK(log.videos[0].id == 900);
  CHECK(log.authors == std::vector<std::uint64_t>{77, 76});
  CHECK(log.videos[1].author == 1);
  CHECK(log.videos[2].author == 0);
  REQUIRE(log.categories.size() == 4);  // none, 39, 20, 67
  CHECK(log.categories[2] == 20);
  CHECK(log.videos[0].category == 1);
  CHECK(log.videos[1].category == 0);
  CHECK(log.videos[1].tags.empty());
  CHECK(log.videos[2].category == 2);
  CHECK(log.videos[2].tags == std::vector<funnel::category_id>{2, 1, 3});
  CHECK(log.videos[0].duration_s == 87.433f);
  CHECK(log.videos[1].duration_s == 0);
  CHECK(log.videos[0].upload_date == 20220410);
  CHECK(log.videos[1].upload_date == 0);
  CHECK(log.video_fields[2] == funnel::categorical_field{"music_type", 3});
  CHECK(log.videos[1].categorical == std::vector<std::uint32_t>{2, 2, 0});
  CHECK(log.videos[1].numeric == std::vector<float>{720, 0});

  CHECK(log.histories.size() == 3);
  CHECK(log.histories[0].watched.empty());

  REQUIRE(log.impressions.size() == 3);
  const funnel::impression& first = log.impressions[0];
  CHECK(first.user == 1);
  CHECK(first.item == 2);
  CHECK(first.date == 20220422);
  CHECK(first.hour == 0);
  CHECK(first.time_ms == 1650600000000);
  CHECK(log.actions == std::vector<std::string>{"click", "like", "follow", "comment", "forward",
                                                "hate", "long_view", "profile_entered",
                                                "comment_section"});
  const auto done = [&](std::initializer_list<const char*> names) {
    funnel::action_set actions;
    for (const char* name : names) actions.set(log.action(name));
    return actions;
  };
  CHECK(first.done == done({"click", "long_view"}));
  CHECK(!first.random);
  CHECK(first.play_s == 61.802f);  // replays: more than its 49.866 s
  CHECK(first.duration_s == 49.866f);
  CHECK(first.tab == 1);
  CHECK(first.position == 0);
  CHECK(first.request == 0);
  const funnel::impression& second = log.impressions[1];
  CHECK(second.done == done({"like", "follow", "comment", "forward", "hate"}));
  CHECK(log.impressions[2].done == done({"click", "comment_section", "profile_entered"}));
  CHECK(second.hour == 23);
  CHECK(second.duration_s == 0);
  CHECK(log.impressions[2].random);
}

TEST_CASE("read_kuairand takes the data folder itself and keeps the days asked for") {
  const small_copy copy;
  CHECK(funnel::read_kuairand(copy.path() + "/data").impressions.size() == 3);
  CHECK(funnel::read_kuairand(copy.path(), {.from = 20220425}).impressions.size() == 2);
  CHECK(funnel::read_kuairand(copy.path(), {.until = 20220425}).impressions.size() == 2);
  const auto middle = funnel::read_kuairand(copy.path(), {.from = 20220423, .until = 20220430});
  REQUIRE(middle.impressions.size() == 1);
  CHECK(middle.impressions[0].hour == 23);
  CHECK(refuses([&] { funnel::read_kuairand(copy.path(), {.from = 20220502, .until = 20220501}); },
                "funnel::read_kuairand",
                "until is 20220501, expected 20220502, the date of from, or later"));
  for (const std::int32_t date : {-5, 20220431, 2022, 20221301, 100000101}) {
    const std::string is = " is " + std::to_string(date) + ", expected a date yyyymmdd, or 0";
    CHECK(refuses([&] { funnel::read_kuairand(copy.path(), {.from = date}); },
                  "funnel::read_kuairand", "from" + is));
    CHECK(refuses([&] { funnel::read_kuairand(copy.path(), {.until = date}); },
                  "funnel::read_kuairand", "until" + is));
  }
}

TEST_CASE("read_kuairand reads the earlier log, the random log and histories where they are") {
  const small_copy copy;
  copy.write("data/log_standard_4_08_to_4_21_pure.csv",
             log_header + "41,5,20220408,100,1649350000000,0,0,0,0,0,0,0,0,0,0,0,0,0,2\n");
  copy.write("data/log_random_4_22_to_5_08_pure.csv",
             log_header + "41,5,20220422,100,1650600000001,0,0,0,0,0,0,0,0,0,0,0,0,1,2\n");
  copy.write("data/user_history_until_4_24_pure.csv",
             "user_id,history_len,last_time_ms,watch_seq,like_seq,long_watch_seq\n"
             "41,92,1650541757927,12 12 900,\"\",900\n"
             "40,1,1650541757000,5,5,\n");
  const auto log = funnel::read_kuairand(copy.path(), {.random_log = true});
  REQUIRE(log.impressions.size() == 5);
  CHECK(log.impressions.front().date == 20220408);
  CHECK((log.impressions.back().random && log.impressions.back().user == 2));
  CHECK(log.histories[2] == funnel::user_history{{2, 2, 0}, {}, {0}, 92, 1650541757927});
  CHECK(log.histories[0] == funnel::user_history{{1}, {1}, {}, 1, 1650541757000});
  CHECK(log.histories[1] == funnel::user_history{});
  CHECK(funnel::read_kuairand(copy.path(), {.from = 20220422}).impressions.size() == 3);
}

TEST_CASE("read_kuairand says which file is missing") {
  const temporary_folder empty;
  CHECK(format_error_of([&] { funnel::read_kuairand(empty.path()); }) ==
        empty.path() + "/user_features_pure.csv: no such file; the folder \"" + empty.path() +
            "\" does not hold KuaiRand-Pure");
  const small_copy copy;
  CHECK(copy.complaint({.random_log = true})
            .starts_with("data/log_random_4_22_to_5_08_pure.csv: no such file; the folder \""));
  copy.remove(log_name);
  CHECK(copy.complaint().starts_with(log_name + ": no such file"));
  copy.remove("data/video_features_basic_pure.csv");
  CHECK(copy.complaint().starts_with("data/video_features_basic_pure.csv: no such file"));
}

TEST_CASE("read_kuairand names the place of what is wrong in a log") {
  const small_copy copy;
  const std::string good = "7,12,20220422,0,1650600000000,1,0,0,0,0,0,1,61802,49866,0,0,0,0,1\n";
  const auto complaint = [&](const std::string& content) {
    copy.write(log_name, content);
    const std::string text = copy.complaint();
    REQUIRE(text.starts_with(log_name + ":"));
    return text.substr(log_name.size() + 1);
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string row = good;
    return complaint(log_header + good + row.replace(row.find(from), from.size(), to));
  };
  CHECK(with("7,12", "8,12") == "3:1: user_id: the id 8 is not in user_features_pure.csv");
  CHECK(with("7,12", "7,13") == "3:3: video_id: the id 13 is not in video_features_basic_pure.csv");
  CHECK(with("7,12", "-7,12") ==
        "3:1: user_id: the number -7 is outside [0, 18446744073709551615]");
  CHECK(with("20220422", "20220431") == "3:6: date: 20220431 is not a date yyyymmdd");
  CHECK(with("61802", "-5").starts_with("3:45: play_time_ms: the number -5 is outside [0, "));
  CHECK(with("61802", "NaN") == "3:45: play_time_ms: expected a number, got \"NaN\"");
  CHECK(with("61802", "") == "3:45: play_time_ms: expected a number, got \"\"");
  CHECK(with("49866", "-1").starts_with("3:51: duration_ms: the number -1 is outside [0, "));
  CHECK(with(",1,0,0", ",2,0,0") == "3:31: is_click: expected 0 or 1, got \"2\"");
  CHECK(with("61802", "1e300") == "3:45: play_time_ms: the number 1e300 is outside [0, 1e+12]");
  CHECK(with("61802", "1e13").find("play_time_ms: the number 1e13 is outside") == 6);
  CHECK(with("49866", "inf") == "3:51: duration_ms: expected a number, got \"inf\"");
  CHECK(with("49866", "1000000000001").find("duration_ms: the number 1000000000001 is") == 6);
  CHECK(with(",0,0,0,0,1\n", ",0,-1,0,0,1\n") ==
        "3:59: comment_stay_time: the number -1 is outside [0, 1e+12]");
  CHECK(with(",0,0,0,0,1\n", ",0,,0,0,1\n") ==
        "3:59: comment_stay_time: expected a number, got \"\"");
  CHECK(with(",0,0,0,0,1\n", ",0,0,3,0,1\n") ==
        "3:61: is_profile_enter: expected 0 or 1, got \"3\"");
  CHECK(with(",1,0,0,0,0,0,1,", ",1,0,0,0,0,x,1,") == "3:41: is_hate: expected 0 or 1, got \"x\"");
  CHECK(with("1650600000000", "-5") ==
        "3:17: time_ms: the number -5 is outside [0, 253402300799999]");
  CHECK(with("1650600000000", "253402300800000").find("time_ms: the number 253402300800000 is") ==
        6);
  CHECK(with("22,0,", "22,-5,") == "3:15: hourmin: the number -5 is outside [0, 2359]");
  CHECK(with("22,0,", "22,1275,") == "3:15: hourmin: 1275 is not a time hhmm");
  CHECK(with("22,0,", "22,60,") == "3:15: hourmin: 60 is not a time hhmm");
  CHECK(with("22,0,", "22,2360,") == "3:15: hourmin: the number 2360 is outside [0, 2359]");
  CHECK(with("20220422", "-20220422") == "3:6: date: -20220422 is not a date yyyymmdd");
  CHECK(with("7,12", "7,18446744073709551616").starts_with("3:3: video_id: the number 184467"));
  CHECK(with("22,0,", "22,2400,") == "3:15: hourmin: the number 2400 is outside [0, 2359]");
  CHECK(with(",0,0,0,0,1\n", ",0,0,0,0,70000\n") ==
        "3:65: tab: the number 70000 is outside [0, 65535]");
  CHECK(complaint(log_header + good + good.substr(0, 25)) ==
        "3:26: the row ends after 5 of 19 fields, before \"is_click\"");
  CHECK(complaint("") == "1:1: the file is empty, expected a line of column names");
  std::string header = log_header;
  header.replace(header.find("long_view"), 9, "longview");
  CHECK(complaint(header + good)
            .starts_with("1:1: column \"long_view\" is missing; the file has \"user_id\", \"vid"));
  CHECK(funnel::read_kuairand((copy.write(log_name, log_header), copy.path())).impressions.empty());
}

TEST_CASE("read_kuairand names the place of what is wrong in the tables") {
  const small_copy copy;
  const std::string history = "data/user_history_until_4_24_pure.csv";
  const std::string columns =
      "user_id,history_len,last_time_ms,watch_seq,like_seq,long_watch_seq\n";
  copy.write(history, columns + "41,92,1650541757927,12 13,,\n");
  CHECK(copy.complaint() ==
        history + ":2:21: watch_seq: the id 13 is not in video_features_basic_pure.csv");
  copy.write(history, columns + "41,92,1650541757927,12 x,,\n");
  CHECK(copy.complaint() == history + ":2:21: watch_seq: expected whole numbers, got \"x\"");
  copy.write(history, columns + "41,1,0,12,,\n41,1,0,12,,\n");
  CHECK(copy.complaint() == history + ":3:1: user_id: the id 41 comes twice");
  copy.write(history, columns + "42,92,1650541757927,12,,\n");
  CHECK(copy.complaint() == history + ":2:1: user_id: the id 42 is not in user_features_pure.csv");
  copy.write(history, columns + "41,92,-1,12,,\n");
  CHECK(copy.complaint() ==
        history + ":2:7: last_time_ms: the number -1 is outside [0, 253402300799999]");
  copy.write(history, columns + "41,1,0,12 12,,\n");
  CHECK(copy.complaint() ==
        history + ":2:4: history_len: the number 1 is below that of the 2 videos in watch_seq");
  for (const char* list : {"12 ", " 12", "12  12", " "}) {
    copy.write(history, columns + "41,92,0,12," + list + ",\n");
    CHECK(copy.complaint() == history + ":2:12: like_seq: expected whole numbers, got \"\"");
  }

  const std::string videos = "data/video_features_basic_pure.csv";
  const std::string row = "900,77,NORMAL,2022-04-10,Web,0.0,87433.0,720.0,1280.0,1,9.0,39\n";
  copy.write(videos, videos_header + row + row);
  CHECK(copy.complaint() == videos + ":3:1: video_id: the id 900 comes twice");
  copy.write(videos, videos_header + "1,77,NORMAL,2022-4-10,Web,0.0,8.0,720.0,1280.0,1,9.0,39\n");
  CHECK(copy.complaint() ==
        videos + ":2:13: upload_dt: expected a date yyyy-mm-dd, got \"2022-4-10\"");
  copy.write(videos, videos_header + "1,77,NORMAL,2022-04-31,Web,0.0,8.0,720.0,1280.0,1,9.0,39\n");
  CHECK(copy.complaint() ==
        videos + ":2:13: upload_dt: expected a date yyyy-mm-dd, got \"2022-04-31\"");
  copy.write(videos, videos_header + "1,77,NORMAL,2022-04-10,Web,0.0,-8,720.0,1280.0,1,9.0,39\n");
  CHECK(copy.complaint().starts_with(videos + ":2:32: video_duration: the number -8 is outside"));
  copy.write(videos, videos_header + "1,77,N,,Web,0.0,8.0,720.0,1280.0,1,9.0,\"20,,39\"\n");
  CHECK(copy.complaint() == videos + ":2:40: tag: expected whole numbers, got \"\"");
  for (const char* tags : {"12,7,", ",12,7", ",", "12,,7"}) {
    copy.write(videos, videos_header + "1,77,N,,Web,0.0,8.0,720.0,1280.0,1,9.0,\"" + tags + "\"\n");
    CHECK(copy.complaint() == videos + ":2:40: tag: expected whole numbers, got \"\"");
  }
  copy.write(videos,
             videos_header + "1,77,N,,Web,0.0,8.0,720.0,1280.0,1,9.0,18446744073709551615\n");
  CHECK(copy.complaint() == videos + ":2:40: tag: the id 18446744073709551615 stands for no tag");
  copy.write(videos, videos_header + "1,77,N,,Web,0.0,1e300,720.0,1280.0,1,9.0,39\n");
  CHECK(copy.complaint() ==
        videos + ":2:17: video_duration: the number 1e300 is outside [0, 1e+12]");
  copy.write(videos, videos_header + "1,77,N,,Web,0.0,8.0,-5,1280.0,1,9.0,39\n");
  CHECK(
      copy.complaint().starts_with(videos + ":2:21: server_width: the number -5 is outside [0, "));

  copy.write("data/user_features_pure.csv", users_header + user_row("1", "a", "many"));
  CHECK(copy.complaint() ==
        "data/user_features_pure.csv:2:11: follow_user_num: expected a number, got \"many\"");
  for (const char* number : {"-5", "-0.5", "-1.0", "1e39"}) {
    copy.write("data/user_features_pure.csv", users_header + user_row("1", "a", number));
    CHECK(copy.complaint().starts_with(
        std::string("data/user_features_pure.csv:2:11: follow_user_num: the number ") + number +
        " is outside [0, 3.40282347e+38]"));
  }
}

TEST_CASE("read_kuairand reads the whole cut of the real data") {
  const std::string file = data_file("kuairand_pure/data/log_standard_4_22_to_5_08_pure.csv");
  if (file.empty()) return;
  funnel::interaction_log log = funnel::read_kuairand(file.substr(0, file.rfind('/')));
  const std::vector<funnel::impression> all = log.impressions;
  CHECK(log.users.size() == 27285);
  CHECK(log.videos.size() == 7583);
  CHECK(log.authors.size() == 6510);
  CHECK(log.impressions.size() == 185061);
  CHECK(funnel::remove_duplicates(log.impressions) == 5039);
  CHECK(funnel::impressions_between(log.impressions, 20220425, 20220430).size() == 91805);
  const auto test = funnel::impressions_between(log.impressions, 20220501, 20220505);
  CHECK(test.size() == 88217);

  const auto mean = [&](auto&& of) {
    double sum = 0;
    for (const funnel::impression& e : test) sum += static_cast<double>(of(e));
    return sum / static_cast<double>(test.size());
  };
  using funnel::impression;
  const auto count = [&](auto&& of) { return std::ranges::count_if(all, of); };
  const auto did = [&](const char* name) {
    return [action = log.action(name)](const impression& e) { return e.did(action); };
  };
  CHECK(count(did("comment_section")) == 8062);
  CHECK(count(did("profile_entered")) == 3440);
  CHECK(count(did("hate")) == 157);
  CHECK(tolerance::within(mean(did("click")), .4540, tolerance::printed(4)));
  CHECK(tolerance::within(mean(did("long_view")), .3203, tolerance::printed(4)));
  CHECK(tolerance::within(mean(did("like")), .0175, tolerance::printed(4)));
  CHECK(tolerance::within(mean([](const impression& e) { return std::min(e.play_s, 600.f); }),
                          21.82, tolerance::printed(2)));

  std::size_t with_history = 0, too_long = 0;
  for (const funnel::user_history& history : log.histories) {
    with_history += !history.watched.empty();
    too_long += history.watched.size() > std::min<std::size_t>(50, history.total);
  }
  CHECK(with_history == 26469);
  CHECK(too_long == 0);
}
