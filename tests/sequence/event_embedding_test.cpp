// SPDX-License-Identifier: MIT
#include <funnel/sequence/event_embedding.hpp>

#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/sequence/din_attention.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/requests.hpp"

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

using funnel::event_columns;
using funnel::event_embedding;
using funnel::event_embedding_options;
using funnel::id_lists;
using funnel::matrix;

namespace {

using ids = std::vector<std::uint32_t>;
using fields = std::vector<std::span<const std::uint32_t>>;

const event_embedding_options all_columns{.fields = {{10, 3}, {4, 2}},
                                          .lists = {{6, 2}},
                                          .actions = 3,
                                          .action_dim = 2,
                                          .time_buckets = 5,
                                          .time_dim = 1};

/// Five events, of which the first and the last are of one item.
struct events_of_test {
  ids items{7, 2, 9, 0, 7}, categories{1, 3, 3, 0, 1}, actions{0, 2, 1, 1, 2},
      buckets{4, 3, 3, 1, 0};
  ids tags{5, 1, 1, 0, 2}, tag_offsets{0, 2, 2, 3, 4, 5};
  fields by_field{items, categories};
  std::array<id_lists, 1> lists{id_lists{tags, tag_offsets}};
  event_columns columns{by_field, lists, actions, buckets};
};

/// Three candidates.
struct candidates_of_test {
  ids items{7, 1, 9}, categories{1, 2, 3}, tags{5, 1}, tag_offsets{0, 2, 2, 2};
  fields by_field{items, categories};
  std::array<id_lists, 1> lists{id_lists{tags, tag_offsets}};
  event_columns columns{by_field, lists, {}, {}};
};

template <class T>
event_embedding<T> filled(const event_embedding_options& options) {
  return with_random_parameters(event_embedding<T>(options));
}

struct din_of_events {
  event_embedding<double> events;
  funnel::din_attention<double> attention;

  void visit_parameters(auto&& visit) {
    visit("events", events);
    visit("attention", attention);
  }
};

}  // namespace

TEST_CASE("event_embedding: the columns of events and candidates") {
  const events_of_test of;
  const candidates_of_test items;
  for (const bool sum : {false, true}) {
    event_embedding_options options = all_columns;
    options.pool = sum ? funnel::pooling::sum : funnel::pooling::mean;
    const auto layer = filled<float>(options);
    REQUIRE(layer.width() == 10);
    funnel::inference_context<float> context;
    const auto x = layer(context, of.columns);
    const auto q = layer.candidates(context, items.columns);
    REQUIRE(x.rows() == 5);
    REQUIRE(x.cols() == 10);
    const auto expect = [&](const auto& row, std::uint32_t item, std::uint32_t category) {
      for (std::size_t k = 0; k < 3; ++k) CHECK(row[k] == layer.fields[0].table.value(item, k));
      for (std::size_t k = 0; k < 2; ++k)
        CHECK(row[3 + k] == layer.fields[1].table.value(category, k));
    };
    for (std::size_t i = 0; i < 5; ++i) {
      expect(x.row(i), of.items[i], of.categories[i]);
      for (std::size_t k = 0; k < 2; ++k)
        CHECK(x(i, 7 + k) == layer.actions[0].table.value(of.actions[i], k));
      CHECK(x(i, 9) == layer.time_buckets[0].table.value(of.buckets[i], 0));
    }
    const auto& tags = layer.lists[0].table.value;
    for (std::size_t k = 0; k < 2; ++k) {
      const float pair = tags(5, k) + tags(1, k);
      CHECK(x(0, 5 + k) == (sum ? pair : pair / 2));
      CHECK(x(1, 5 + k) == 0);  // no tags
      CHECK(x(2, 5 + k) == tags(1, k));
      CHECK(q(0, 5 + k) == x(0, 5 + k));
    }
    for (std::size_t i = 0; i < 3; ++i) {
      expect(q.row(i), items.items[i], items.categories[i]);
      for (std::size_t k = 7; k < 10; ++k) CHECK(q(i, k) == 0);
    }
    funnel::training_context<float> tape;
    CHECK(same_bits(view(layer(tape, of.columns)), x));
    CHECK(same_bits(view(layer.candidates(tape, items.columns)), q));
    CHECK(same_bits(funnel::freeze(layer)(context, of.columns), x));
  }
}

TEST_CASE("event_embedding: no events, one field alone") {
  const auto layer = filled<float>({.fields = {{10, 3}}});
  CHECK(layer.width() == 3);
  funnel::inference_context<float> context;
  const ids none, one{3};
  CHECK(layer(context, {.fields = fields{none}}).rows() == 0);
  const auto x = layer(context, {.fields = fields{one}});
  CHECK(same_bits(x, layer.candidates(context, {.fields = fields{one}})));
  // Lists alone.
  const auto bags = filled<float>({.lists = {{4, 2}}});
  const ids tags{1, 2}, offsets{0, 2, 2};
  const std::array<id_lists, 1> lists{id_lists{tags, offsets}};
  CHECK(bags(context, {.lists = lists}).rows() == 2);
}

TEST_CASE("event_embedding: gradients, and those of DIN above it, one history per request") {
  const events_of_test of;
  const candidates_of_test items;
  check_layer(filled<double>(all_columns), {},
              [&](auto& context, const auto& layer, const double_values&) {
                return layer(context, of.columns);
              });
  candidates_of_test few;
  few.items = {0, 1, 2};
  few.by_field[0] = few.items;
  check_layer(filled<double>({.fields = {{3, 3}, {4, 2}}, .lists = {{6, 2}}, .actions = 1}), {},
              [&](auto& context, const auto& layer, const double_values&) {
                return layer.candidates(context, {few.by_field, few.lists, {}, {}});
              });
  // Three candidates of two requests with 4 events and 1 event.
  const request_offsets requests = offsets_of({2, 1}), histories{0, 4, 5};
  const din_of_events model{
      event_embedding<double>(all_columns),
      funnel::din_attention<double>(10, {.hidden = {4}, .function = funnel::activation::tanh})};
  check_layer(model, {}, [&](auto& context, const auto& layer, const double_values&) {
    context.group_rows(requests);
    return layer.attention(context, layer.events.candidates(context, items.columns),
                           layer.events(context, of.columns), histories);
  });
}

TEST_CASE("event_embedding: DIN with softmax gives a single event the weight 1") {
  const auto layer = filled<float>(all_columns);
  const funnel::din_attention<float> attention(layer.width(), {.normalize = true});
  const candidates_of_test items;
  const ids item{2}, category{1}, action{1}, bucket{2}, tags, tag_offsets{0, 0};
  const std::array<id_lists, 1> lists{id_lists{tags, tag_offsets}};
  funnel::inference_context<float> context;
  const auto x = layer(context, {fields{item, category}, lists, action, bucket});
  const auto y = attention(context, layer.candidates(context, items.columns), x,
                           std::vector<std::uint32_t>{0, 1});
  for (std::size_t i = 0; i < 3; ++i) CHECK(same_bits(y.middle_rows(i, 1), x));
}

TEST_CASE("event_embedding: what is refused") {
  const char* name = "funnel::event_embedding";
  const auto refused_options = [&](const event_embedding_options& options, const char* words) {
    return refuses([&] { event_embedding<float>{options}; }, name, words);
  };
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  CHECK(refused_options({}, "fields is empty"));
  CHECK(refused_options({.fields = {{0, 3}}}, "a field has 0 rows of 3 values"));
  CHECK(refused_options({.fields = {{3, 0}}}, "a field has 3 rows of 0 values"));
  CHECK(refused_options({.lists = {{3, 0}}}, "a list has 3 rows of 0 values"));
  CHECK(refused_options({.fields = {{3, 1}}, .actions = 2, .action_dim = 0}, "an action has"));
  CHECK(refused_options({.fields = {{3, 1}}, .time_buckets = 2, .time_dim = 0}, "a time bucket"));
  CHECK(refuses(
      [&] {
        event_embedding<float>({.fields = {{largest, largest}}});
      },
      "funnel::", "expected at most"));

  const auto layer = filled<float>(all_columns);
  funnel::inference_context<float> context;
  const auto refused = [&](const event_columns& columns, const char* words) {
    return refuses([&] { layer(context, columns); }, name, words);
  };
  const events_of_test of;
  event_columns bad = of.columns;
  const fields one{of.items}, uneven{of.items, std::span(of.categories).first(4)};
  bad.fields = one;
  CHECK(refused(bad, "fields has 1 value, expected 2"));
  bad.fields = uneven;
  CHECK(refused(bad, "a field has 4 values, expected 5"));
  bad = of.columns;
  bad.lists = {};
  CHECK(refused(bad, "lists has 0 values, expected 1"));
  bad = of.columns;
  bad.actions = {};
  CHECK(refused(bad, "actions has 0 values, expected 5"));
  bad = of.columns;
  bad.time_buckets = bad.time_buckets.first(2);
  CHECK(refused(bad, "time_buckets has 2 values, expected 5"));
  const ids unknown{7, 2, 10, 0, 7};
  const fields wrong{unknown, of.categories};
  bad = of.columns;
  bad.fields = wrong;
  CHECK(refused(bad, "ids[2] is 10, expected below 10"));
}
