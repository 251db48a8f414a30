// SPDX-License-Identifier: MIT
#include <funnel/data/kuairand.hpp>
#include <funnel/data/log_columns.hpp>
#include <funnel/features/feature_inputs.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/features/request_encoder.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/ranking/mmoe.hpp>

#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/errors.hpp"
#include "support/row_batches.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <vector>

using namespace funnel;

namespace {

constexpr std::size_t tasks = 3;
constexpr std::int64_t utc_offset = 8 * 3600;

/// Every kind of feature that the log has data for.
schema_options every_feature(const interaction_log& log, event_delay delay) {
  schema_options options{
      .name = "feed",
      .request = "request",
      .of_user = {category{.column = "user_id", .min_count = 3}, number{"register_days"},
                  number{"follow_user_num", number_as::log1p},
                  number{.column = "fans_user_num", .as = number_as::bucketized, .buckets = 8},
                  age{"last_watched"},
                  rate{"user_rates", "user_id", {"click", "long_view", "like"}},
                  rate{.name = "user_seconds",
                       .keys = "user_id",
                       .actions = "play_s",
                       .prior_strength = 5,
                       .as = rate_as::value},
                  rate{.name = "user_likes_per_click",
                       .keys = "user_id",
                       .actions = "like",
                       .per = "click"},
                  window{.name = "user_hours",
                         .keys = "user_id",
                         .actions = "click",
                         .lengths = {1, 6, 24},
                         .period_hours = 1},
                  activity{.name = "user_active", .keys = "user_id", .days = 7, .bounds = {1, 3}},
                  history{.name = "watched_before",
                          .column = "long_watched",
                          .last = 20,
                          .fields = {"item_id", "tag"}},
                  history{.name = "clicked", .action = "click", .last = 10},
                  history{.name = "shown", .last = 5, .fields = {"author_id", "music_type"}}},
      .of_item = {category{.column = "item_id", .min_count = 5},
                  category{.column = "author_id", .hash_rows = 1000}, category{.column = "tag"},
                  category_list{.column = "tags", .share = "tag"},
                  number{"duration_s", number_as::log1p}, number{.column = "server_width"},
                  age{.column = "uploaded", .as = number_as::bucketized, .buckets = 6},
                  rate{"item_rates", "item_id", {"click", "long_view", "like"}},
                  rate{"author_rates", "author_id", {"click", "like"}},
                  rate{"tag_rates", "tag", {"click", "like"}},
                  window{.name = "item_days",
                         .keys = "item_id",
                         .actions = {"click", "like"},
                         .lengths = {1, 3, 7}},
                  stock{"followers", "author_id", "follow"},
                  stock{.name = "posts", .keys = "author_id", .of_items = true}},
      .of_context = {category{"tab"}, category{"hour"}, time_of{.holidays = {20220501}},
                     rate{"tab_rate", "tab", "click"},
                     rate{"hour_tab_rate", {"hour", "tab"}, "click"},
                     rate{"user_tab_rate", {"user_id", "tab"}, {"click", "long_view"}}},
      .of_cross = {number{"duration_s"},
                   rate{"user_tag_rate", {"user_id", "tag"}, {"click", "long_view"}},
                   rate{"user_author_rate", {"user_id", "author_id"}, "click"},
                   rate{"item_tab_rate", {"item_id", "tab"}, "click"}},
      .labels = {"click", "long_view", "like"},
      .delay = delay,
      .ticks_per_second = 1000,
      .utc_offset = utc_offset};
  for (const categorical_field& field : log.user_fields)
    options.of_user.push_back(category{field.name});
  for (const categorical_field& field : log.video_fields)
    options.of_item.push_back(category{field.name});
  return options;
}

template <class T>
struct ranker {
  feature_inputs<T> inputs;
  mmoe<T, tasks> experts;
  std::vector<mlp<T>> heads;

  explicit ranker(const schema& features)
      : inputs(features, {.dim = 4}), experts(inputs.width(), {.experts = 3, .expert_sizes = {16}}),
        heads(tasks, mlp<T>(16, {8, 1})) {
    random_generator bits(1);
    initialize(*this, bits);
  }
  template <Context C>
  std::array<value_of<C>, tasks> operator()(C& context, const row_batch& rows) const {
    const auto x = inputs(context, rows);
    const auto h = experts(context, concat(context, x.user, x.item));
    return {heads[0](context, h[0]), heads[1](context, h[1]), heads[2](context, h[2])};
  }
  void visit_parameters(auto&& visit) {
    visit("inputs", inputs), visit("experts", experts), visit("heads", heads);
  }
};

/// The bits of the scores of some rows.
template <class Model>
std::vector<std::uint32_t> score_bits(const Model& model, inference_context<float>& context,
                                      const row_batch& rows) {
  context.reset();
  const auto z = model(context, rows);
  std::vector<std::uint32_t> bits;
  for (std::size_t i = 0; i < rows.rows(); ++i)
    for (std::size_t t = 0; t < tasks; ++t)
      bits.push_back(std::bit_cast<std::uint32_t>(z[t](i, 0)));
  return bits;
}

struct comparison {
  std::size_t requests = 0, rows = 0, same_inputs = 0, same_scores = 0;
  std::set<std::uint32_t> scores;
};

/// Replays a log as a server sees it. Requests chosen at random are scored at their time with the
/// state of that time, and compared with their training rows.
comparison replay(const interaction_log& log, const schema& features, const fitted& past,
                  std::size_t requests) {
  const ranker<float> model(features);
  const auto serving = freeze(model);
  std::vector<std::uint32_t> chosen(past.rows.requests());
  std::iota(chosen.begin(), chosen.end(), 0u);
  random_generator bits(7);
  shuffle(bits, std::span(chosen));
  chosen.resize(std::min(requests, chosen.size()));
  std::ranges::sort(chosen);

  // The training rows are scored in batches of many requests.
  std::vector<std::uint32_t> expected;
  inference_context<float> context;
  row_batch trained;
  for (std::size_t begin = 0; begin < chosen.size(); begin += 100) {
    past.rows.gather(
        std::span(chosen).subspan(begin, std::min<std::size_t>(100, chosen.size() - begin)),
        trained);
    const auto scores = score_bits(serving, context, trained);
    expected.insert(expected.end(), scores.begin(), scores.end());
  }

  feature_state state(features);
  state.tell_users(features, user_columns(log));
  state.tell_items(features, item_columns(log, utc_offset));
  request_encoder encode(features, state);
  comparison result;
  std::size_t told = 0, at = 0;
  for (const std::uint32_t r : chosen) {
    const std::int64_t time = past.rows.times()[r];
    const std::size_t before = told;
    while (told < log.impressions.size() && log.impressions[told].time_ms < time) ++told;
    state.tell(features,
               log_columns(log, std::span(log.impressions).subspan(before, told - before)));
    state.advance(features, time);

    const auto shown = past.rows.log_rows().subspan(
        past.rows.offsets()[r], past.rows.offsets()[r + 1] - past.rows.offsets()[r]);
    const impression& first = log.impressions[shown[0]];
    std::vector<std::uint64_t> items;
    std::vector<double> durations;
    for (const std::uint32_t row : shown) {
      const impression& e = log.impressions[row];
      items.push_back(log.videos[e.item].id);
      durations.push_back(e.duration_s == 0 ? std::nan("") : static_cast<double>(e.duration_s));
    }
    const row_batch& served =
        encode(log.users[first.user].id, items, time, {{"tab", first.tab}, {"hour", first.hour}},
               {{"duration_s", column(std::span<const double>(durations))}});
    past.rows.gather(std::array{r}, trained);
    result.same_inputs += same_batch(served, trained) ? 1 : 0;
    const std::vector<std::uint32_t> scores = score_bits(serving, context, served);
    result.same_scores +=
        std::ranges::equal(scores, std::span(expected).subspan(at, scores.size())) ? 1 : 0;
    result.scores.insert(scores.begin(), scores.end());
    at += scores.size();
    ++result.requests;
    result.rows += items.size();
  }
  return result;
}

}  // namespace

TEST_CASE("serving: requests of a real log score as their training rows did, to the bit") {
  const std::string file = data_file("kuairand_pure/data/log_standard_4_22_to_5_08_pure.csv");
  if (file.empty()) return;
  interaction_log log = read_kuairand(file.substr(0, file.rfind('/')));
  sort_by_time(log.impressions);
  const column_table rows = log_columns(log), users = user_columns(log),
                     items = item_columns(log, utc_offset);
  for (const event_delay delay : {event_delay{}, to_midnight}) {
    INFO((delay.until_midnight ? "to midnight" : "at once"));
    schema features(every_feature(log, delay));
    const fitted past = fit_schema(features, rows, {users, items});
    REQUIRE(past.rows.requests() > 100'000);
    const comparison found = replay(log, features, past, 10'000);
    CHECK(found.requests == 10'000);
    CHECK(found.same_inputs == found.requests);
    CHECK(found.same_scores == found.requests);
    CHECK(found.rows > found.requests);       // some show more than one video
    CHECK(found.scores.size() > found.rows);  // they are scores of something

    // The same options, fitted to one day: other vocabularies, means and deviations.
    schema other(every_feature(log, delay));
    const auto day = impressions_between(log.impressions, 20220425, 20220425);
    fit_schema(other, log_columns(log, day), {users, items});
    REQUIRE(other.label() != features.label());
    const std::string names =
        "the schema is \"" + other.label() + "\", expected \"" + features.label() + '"';
    CHECK(refuses([&] { request_encoder(other, past.state); }, "funnel::request_encoder", names));
    feature_state state = past.state;
    CHECK(
        refuses([&] { state.tell(other, log_columns(log, day)); }, "funnel::feature_state", names));
    CHECK(refuses([&] { state.advance(other, 0); }, "funnel::feature_state", names));
    CHECK(refuses(
        [&] {
          encode_log(other, past.state, rows, {users, items});
        },
        "funnel::encode_log", names));
  }
}
