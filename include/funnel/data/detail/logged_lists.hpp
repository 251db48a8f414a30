// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/candidates.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/data/funnel_log_reader.hpp>
#include <funnel/features/columns.hpp>
#include <funnel/features/encoded_log.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/features/schema.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Some candidates of logged requests, request by request.
struct logged_candidates {
  std::vector<std::uint64_t> requests;       ///< [requests]: ids
  std::vector<std::uint64_t> users;          ///< [requests]: keys
  std::vector<std::int64_t> times;           ///< [requests]
  std::vector<std::uint32_t> offsets = {0};  ///< [requests + 1]
  std::vector<std::int64_t> items;           ///< [candidates]
  std::vector<std::uint32_t> places;    ///< [candidates]: place on the page, or `candidates::none`
  std::vector<candidates::fate> fates;  ///< [candidates]
};

namespace detail {

/// How far a time is after `time + window`: below, at or above 0. Nothing overflows.
inline int after(std::int64_t at, std::int64_t time, std::int64_t window) {
  if (at < time) return -1;
  const std::uint64_t passed = static_cast<std::uint64_t>(at) - static_cast<std::uint64_t>(time);
  const auto most = static_cast<std::uint64_t>(window);
  return passed < most ? -1 : passed > most ? 1 : 0;
}

inline void check_schema(std::string_view function, const funnel_names& names,
                         const schema& features) {
  features.check_fitted(function);
  if (names.fingerprint != features.fingerprint())
    fail("funnel::", function, ": features is \"", features.label(), "\", expected \"",
         names.schema, "\" as in the log");
}

inline std::size_t number_of(std::string_view function, std::string_view argument,
                             const std::string& name, const std::vector<std::string>& names) {
  const auto found = std::ranges::find(names, name);
  if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  std::string all;
  for (const std::string& other : names) all += (all.empty() ? "\"" : ", \"") + other + '"';
  fail("funnel::", function, ": ", argument, " is \"", name, "\", expected one of ",
       all.empty() ? "none" : all, " as in the log");
}

/// Outcomes by request and item.
class outcome_table {
 public:
  outcome_table(const columns& outcomes, const std::string& request, const std::string& item,
                const std::string& time, const std::vector<std::string>& labels) {
    const auto find = [&](const std::string& name) -> const column& {
      const column& values = outcomes[name];
      if (values.is_list())
        fail("funnel::training_rows: column \"", name, "\" has lists, expected one value per row");
      return values;
    };
    requests_ = find(request);
    items_ = find(item);
    if (!time.empty()) {
      times_ = find(time);
      if (times_.kind() != value_kind::integer)
        fail("funnel::training_rows: column \"", time, "\" is ",
             times_.kind() == value_kind::text ? "text" : "of numbers", ", expected integers");
    }
    for (const std::string& name : labels) labels_.push_back(find(name));
    order_.resize(outcomes.rows());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(),
              [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
  }

  /// The outcomes of an item of a request.
  std::span<const std::size_t> of(std::uint64_t request, std::int64_t item) const {
    const std::pair<std::uint64_t, std::uint64_t> wanted(request, category_key(item));
    const auto begin = std::lower_bound(order_.begin(), order_.end(), wanted,
                                        [&](std::size_t i, const auto& k) { return key(i) < k; });
    auto end = begin;
    while (end != order_.end() && key(*end) == wanted) ++end;
    return {begin, end};
  }
  /// A missing time is that of an outcome in the window.
  std::int64_t time(std::size_t i) const {
    return times_.has_value(i) ? times_.integers()[i] : std::numeric_limits<std::int64_t>::min();
  }
  double label(std::size_t k, std::size_t i) const { return labels_[k].number(i); }

 private:
  std::pair<std::uint64_t, std::uint64_t> key(std::size_t i) const {
    return {requests_.key(i), items_.key(i)};
  }

  column requests_, items_, times_;
  std::vector<column> labels_;
  std::vector<std::size_t> order_;
};

/// Candidates, their scores or labels, and their features, as they are read.
struct list_builder {
  explicit list_builder(std::size_t values_per_row) : values(values_per_row) {}

  logged_candidates of;
  std::vector<std::vector<float>> values;  ///< [values][candidates]
  row_batch rows;

  /// Begins the list of a request.
  void begin(const logged_request& r) {
    request_ = &r;
    first_ = of.items.size();
  }
  void add(const logged_request& r, std::uint32_t slot, std::span<const float> of_slot,
           bool with_rows) {
    if (of.items.size() == first_ && with_rows) {
      if (rows.requests() == 0) clear_like(r.rows, rows);
      append_request(r.rows, 0, rows);
    }
    if (with_rows) append_rows(r.rows, r.row_of[slot], r.row_of[slot] + std::size_t{1}, rows);
    with_rows_ = with_rows;
    of.items.push_back(r.ids[slot]);
    of.places.push_back(r.places[slot]);
    of.fates.push_back(r.fates[slot]);
    for (std::size_t k = 0; k < values.size(); ++k) values[k].push_back(of_slot[k]);
  }
  /// Ends it; without candidates the request is left out.
  void end() {
    check_size_of_32_bits("funnel_log_reader", "candidates", of.items.size());
    if (of.items.size() == first_) return;
    if (with_rows_) end_request(rows);
    of.requests.push_back(request_->served.id);
    of.users.push_back(request_->served.user);
    of.times.push_back(request_->served.time);
    of.offsets.push_back(static_cast<std::uint32_t>(of.items.size()));
  }

  /// The same in the order of time.
  list_builder sorted() const {
    std::vector<std::size_t> order(of.requests.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return of.times[a] != of.times[b] ? of.times[a] < of.times[b] : a < b;
    });
    list_builder to(values.size());
    clear_like(rows, to.rows);
    for (const std::size_t r : order) {
      const std::size_t begin = of.offsets[r], end = of.offsets[r + 1];
      to.of.requests.push_back(of.requests[r]);
      to.of.users.push_back(of.users[r]);
      to.of.times.push_back(of.times[r]);
      for (std::size_t i = begin; i < end; ++i) {
        to.of.items.push_back(of.items[i]);
        to.of.places.push_back(of.places[i]);
        to.of.fates.push_back(of.fates[i]);
        for (std::size_t k = 0; k < values.size(); ++k) to.values[k].push_back(values[k][i]);
      }
      to.of.offsets.push_back(static_cast<std::uint32_t>(to.of.items.size()));
      if (rows.requests() == 0) continue;
      append_request(rows, r, to.rows);
      append_rows(rows, begin, end, to.rows);
      end_request(to.rows);
    }
    return to;
  }

 private:
  const logged_request* request_ = nullptr;
  std::size_t first_ = 0;
  bool with_rows_ = false;
};

/// Moves what was read to a result, in the order of time.
inline void finish(list_builder& from, const schema* features, logged_candidates& of,
                   encoded_log& rows) {
  if (!std::ranges::is_sorted(from.of.times)) from = from.sorted();
  of = std::move(from.of);
  if (features != nullptr && !of.requests.empty())
    rows = encoded_log(*features, std::move(from.rows), of.times, from.values);
}

/// Collects lists of candidates, with the scores of a stage.
class list_collector {
 public:
  list_collector(std::string_view function, std::string stage, const schema* features,
                 std::uint64_t seed, std::size_t most)
      : function_(function), stage_(std::move(stage)), features_(features), seed_(seed),
        most_(most) {}

  void begin(const funnel_names& names, const logged_request& r) {
    if (features_ != nullptr) check_schema(function_, names, *features_);
    request_ = &r;
    number_ = 0;
    std::size_t outputs = 0;
    if (!stage_.empty()) {
      std::vector<std::string> known;
      for (const score_stage& stage : names.scores) known.push_back(stage.name);
      number_ = number_of(function_, "the stage with scores", stage_, known);
      outputs = names.scores[number_].outputs.size();
    }
    if (lists_.of.requests.empty()) lists_ = list_builder(outputs);
    if (lists_.values.size() != outputs)
      fail("funnel::", function_, ": stage \"", stage_, "\" has ", outputs,
           " scores in a part of the log, expected ", lists_.values.size(), " as before");
  }
  std::size_t outputs() const { return lists_.values.size(); }
  std::span<const float> scores(std::uint32_t slot) const {
    if (stage_.empty()) return {};
    return std::span<const float>(request_->scores[number_]).subspan(slot * outputs(), outputs());
  }

  /// Leaves `most` of the slots, those with the lowest hashes, in their order; with a schema, of those
  /// that have features.
  void draw(std::vector<std::uint32_t>& slots) const {
    if (features_ != nullptr)
      std::erase_if(slots,
                    [&](std::uint32_t s) { return request_->row_of[s] == candidates::none; });
    if (most_ == 0 || slots.size() <= most_) return;
    const std::uint64_t key = mix_key(mix_key(seed_) ^ request_->served.id);
    const auto hash = [&](std::uint32_t slot) {
      return mix_key(key ^ category_key(request_->ids[slot]));
    };
    std::ranges::nth_element(slots, slots.begin() + static_cast<std::ptrdiff_t>(most_), {}, hash);
    slots.resize(most_);
    std::ranges::sort(slots);
  }
  void add(const std::vector<std::uint32_t>& slots, std::size_t least) {
    if (slots.size() < least) return;
    lists_.begin(*request_);
    for (const std::uint32_t slot : slots)
      lists_.add(*request_, slot, scores(slot), features_ != nullptr);
    lists_.end();
  }

  template <class Lists>
  Lists finish() {
    Lists to;
    detail::finish(lists_, features_, to.of, to.rows);
    to.outputs = lists_.values.size();
    to.scores.resize(to.of.items.size() * to.outputs);
    for (std::size_t k = 0; k < to.outputs; ++k)
      for (std::size_t i = 0; i < to.of.items.size(); ++i)
        to.scores[i * to.outputs + k] = lists_.values[k][i];
    return to;
  }

 private:
  std::string_view function_;
  std::string stage_;
  const schema* features_;
  std::uint64_t seed_;
  std::size_t most_;
  const logged_request* request_ = nullptr;
  std::size_t number_ = 0;
  list_builder lists_{0};
};

}  // namespace detail
}  // namespace funnel
