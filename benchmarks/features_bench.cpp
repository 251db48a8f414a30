// SPDX-License-Identifier: MIT
#include "harness.hpp"

#include <funnel/core/random.hpp>
#include <funnel/features/column_table.hpp>
#include <funnel/features/encoded_log.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/features/request_encoder.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

// Rows of a log to row batches: a log of the size of KuaiRand-Pure, each row a request.
namespace {

constexpr std::size_t rows = 200'000, users = 27'000, items = 7'500;

struct source {
  funnel::column_table log, videos;

  source() {
    funnel::random_generator random(1);
    const auto below = [&](std::size_t n) {
      return static_cast<std::int64_t>(funnel::uniform_below(random, n));
    };
    const auto chance = [&](double p) { return funnel::bernoulli(random, p); };
    std::vector<std::int64_t> user, item, time, tab, hour, click, long_view, like;
    std::vector<double> seconds;
    for (std::size_t i = 0; i < rows; ++i) {
      const double u = funnel::uniform01(random);
      user.push_back(below(users));
      item.push_back(static_cast<std::int64_t>(u * u * items));  // some are shown more often
      time.push_back(1'650'000'000 + 6 * static_cast<std::int64_t>(i));
      tab.push_back(below(8));
      hour.push_back(time.back() / 3600 % 24);
      click.push_back(chance(.4));
      long_view.push_back(click.back() == 1 && chance(.6));
      like.push_back(click.back() == 1 && chance(.03));
      seconds.push_back(click.back() == 1 ? 4 * funnel::uniform01(random) : 0);
    }
    log.add("user_id", user), log.add("item_id", item), log.add("time", time);
    log.add("tab", tab), log.add("hour", hour), log.add("click", click);
    log.add("long_view", long_view), log.add("like", like), log.add("seconds", seconds);
    std::vector<std::int64_t> id, author, tag, duration, upload;
    std::vector<double> length;
    for (std::size_t i = 0; i < items; ++i) {
      id.push_back(static_cast<std::int64_t>(i)), author.push_back(below(5'000));
      tag.push_back(below(60)), duration.push_back(below(16));
      upload.push_back(1'600'000'000 + below(40'000'000));
      length.push_back(100 * funnel::uniform01(random));
    }
    videos.add("item_id", id), videos.add("author", author), videos.add("tag", tag);
    videos.add("duration", duration), videos.add("upload", upload), videos.add("length", length);
  }
};

/// Categories and numbers alone.
funnel::schema_options plain() {
  using namespace funnel;
  return {.of_user = {category{"user_id"}},
          .of_item = {category{"item_id"}, category{"author"}, category{"tag"},
                      category{"duration"}, number{"length", number_as::log1p}, number{"upload"}},
          .of_context = {category{"tab"}, category{"hour"}},
          .labels = {"click", "like"}};
}
/// The same, an age, and all counters of the feed in examples/short_video_feed: ten keys with four
/// actions, six with two.
funnel::schema_options counters() {
  using namespace funnel;
  schema_options options = plain();
  const auto of_log = [](const char* name, name_list keys) {
    return rate{.name = name, .keys = keys, .actions = {"click", "long_view", "like", "seconds"}};
  };
  const auto of_past = [](const char* name, name_list keys) {
    return rate{.name = name, .keys = keys, .actions = {"long_view", "like"}};
  };
  const auto add = [](std::vector<feature>& to, std::vector<feature> more) {
    to.insert(to.end(), more.begin(), more.end());
  };
  add(options.of_user, {of_log("user", "user_id"), of_past("past_user", "user_id")});
  add(options.of_item, {age{"upload"}, of_log("item", "item_id"), of_log("by_author", "author"),
                        of_log("by_tag", "tag"), of_past("past_item", "item_id"),
                        of_past("past_author", "author"), of_past("past_tag", "tag")});
  std::erase_if(options.of_item, [](const feature& f) {
    return std::holds_alternative<number>(f) && name_of(f) == "upload";
  });
  add(options.of_context,
      {of_log("user_tab", {"user_id", "tab"}), of_log("hour_tab", {"hour", "tab"})});
  add(options.of_cross,
      {of_log("user_tag", {"user_id", "tag"}), of_log("tag_tab", {"tag", "tab"}),
       of_log("item_tab", {"item_id", "tab"}), of_log("duration_tab", {"duration", "tab"}),
       of_past("past_user_tag", {"user_id", "tag"}),
       of_past("past_user_author", {"user_id", "author"})});
  return options;
}

/// Columns to encoded rows, with a schema that is fitted.
void add_encode(const std::string& name, funnel::schema_options (*options)()) {
  bench::add("encode/" + name + "/" + std::to_string(rows), {}, [=]() -> bench::task {
    const auto data = std::make_shared<source>();
    const auto features = std::make_shared<funnel::schema>(options());
    funnel::fit_schema(*features, data->log, {.items = data->videos});
    return [=] {
      const auto encoded = funnel::encode_log(*features, funnel::feature_state(*features),
                                              data->log, {.items = data->videos});
      benchmark::DoNotOptimize(encoded.rows.rows());
    };
  });
}

/// Encoded rows to batches of 1,024.
void add_gather(const std::string& name, funnel::schema_options (*options)()) {
  bench::add("gather/" + name + "/" + std::to_string(rows), {}, [=]() -> bench::task {
    funnel::schema features(options());
    const source data;
    const auto past = std::make_shared<funnel::fitted>(
        funnel::fit_schema(features, data.log, {.items = data.videos}));
    const auto batch = std::make_shared<funnel::row_batch>();
    const auto order = std::make_shared<std::vector<std::uint32_t>>(rows);
    std::iota(order->begin(), order->end(), 0u);
    return [=] {
      for (std::size_t begin = 0; begin + 1024 <= rows; begin += 1024)
        past->rows.gather(std::span(*order).subspan(begin, 1024), *batch);
      benchmark::DoNotOptimize(batch->rows());
    };
  });
}

/// A request of 300 candidates, with the state at the end of the log.
void add_request(const std::string& name, funnel::schema_options (*options)()) {
  bench::add("encode_request/" + name + "/300", {}, [=]() -> bench::task {
    struct server {
      funnel::schema features;
      funnel::fitted past;
    };
    const auto s = std::make_shared<server>(server{funnel::schema(options()), {}});
    const source data;
    s->past = funnel::fit_schema(s->features, data.log, {.items = data.videos});
    const auto encode = std::make_shared<funnel::request_encoder>(s->features, s->past.state);
    std::vector<std::int64_t> candidates(300);
    std::iota(candidates.begin(), candidates.end(), 100);
    return [=, kept = s] {  // what the encoder reads
      const auto& batch = (*encode)(77, candidates, 1'652'000'000, {{"tab", 1}, {"hour", 21}});
      benchmark::DoNotOptimize(batch.rows());
    };
  });
}

const bool added = [] {
  add_encode("plain", plain);
  add_encode("counters", counters);
  add_gather("counters", counters);
  add_request("counters", counters);
  return true;
}();

}  // namespace
