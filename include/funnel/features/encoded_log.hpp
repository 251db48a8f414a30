// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>
#include <funnel/features/detail/entity_table.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/detail/fill_batch.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/features/schema.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {
namespace detail {
class log_encoder;
}

/// Encoded log: all rows of a log, encoded by a schema, each with what was known at its time. Rows
/// are kept by request, requests in the order of time. `gather` makes a batch of some requests.
///
/// Cost        per row 4 bytes per number and per changing category; categories and lists of users
///             and items are kept once, histories as parts of one list per user. Of rows that were
///             encoded before, all values of each row are kept.
class encoded_log {
 public:
  encoded_log() = default;

  /// An encoded log of rows that were encoded before, such as those that a server read: `gather`
  /// returns them to the bit.
  ///
  /// Shapes      times [requests], not decreasing; labels [labels][rows]: NaN is missing. `log_rows`
  ///             are 0, 1, 2, ...
  /// Errors      std::invalid_argument if the schema is not fitted, the batch does not have its
  ///             columns, a size differs, or times decrease.
  encoded_log(const schema& features, row_batch rows, std::vector<std::int64_t> times,
              std::vector<std::vector<float>> labels = {})
      : plan_(features.plan()) {
    features.check_fitted("encoded_log");
    refuse_unfit(features, rows);
    detail::check_size("encoded_log", "times", times.size(), rows.requests(), "rows.requests()");
    for (std::size_t r = 1; r < times.size(); ++r)
      if (times[r] < times[r - 1])
        detail::fail("funnel::encoded_log: times[", r, "] is ", times[r], ", expected ",
                     times[r - 1], " or more, as the one before");
    for (const std::vector<float>& label : labels)
      detail::check_size("encoded_log", "a label", label.size(), rows.rows(), "rows.rows()");
    log_rows_.resize(rows.rows());
    std::iota(log_rows_.begin(), log_rows_.end(), 0u);
    offsets_ = rows.offsets;
    times_ = std::move(times);
    labels_ = std::move(labels);
    kept_ = std::move(rows);
    keeps_rows_ = true;
  }

  std::size_t requests() const { return times_.size(); }
  std::size_t rows() const { return log_rows_.size(); }
  /// The first row of each request, and the number of rows: [requests + 1].
  std::span<const std::uint32_t> offsets() const { return offsets_; }
  /// The row of the log that row i was made of.
  std::span<const std::uint32_t> log_rows() const { return log_rows_; }
  /// The time of each request.
  std::span<const std::int64_t> times() const { return times_; }
  /// Label k of all rows; NaN where it is missing.
  std::span<const float> label(std::size_t k) const {
    detail::check_below("encoded_log::label", "k", k, labels_.size());
    return labels_[k];
  }
  std::size_t labels() const { return labels_.size(); }

  /// Writes the rows of some requests to a batch, in the order of `requests`.
  ///
  /// Values are dropped with the `drop_rate` of their features if `random` is passed, as in
  /// training.
  ///
  /// Errors      std::invalid_argument if a request is not below requests().
  void gather(std::span<const std::uint32_t> requests, row_batch& to,
              random_generator* random = nullptr) const {
    for (const std::uint32_t r : requests)
      detail::check_below("encoded_log::gather", "a request", r, this->requests());
    detail::clear_batch(plan_, to);
    to.labels.resize(labels_.size());
    to.label_present.resize(labels_.size());
    to.label_sums.assign(labels_.size(), 0);
    to.label_counts.assign(labels_.size(), 0);
    for (std::size_t k = 0; k < labels_.size(); ++k) {
      to.labels[k].clear();
      to.label_present[k].clear();
    }
    to.log_rows.clear();
    for (const std::uint32_t r : requests) {
      if (keeps_rows_) {
        detail::append_request(kept_, r, to);
        detail::append_rows(kept_, offsets_[r], offsets_[r + 1], to);
      } else {
        add_user(r, to);
        for (std::uint32_t i = offsets_[r]; i < offsets_[r + 1]; ++i) add_row(r, i, to);
      }
      for (std::uint32_t i = offsets_[r]; i < offsets_[r + 1]; ++i) add_labels(i, to);
      to.offsets.push_back(static_cast<std::uint32_t>(to.item.rows));
    }
    to.step_rows = to.rows();
    if (random != nullptr) detail::drop_values(plan_, to, *random);
  }

 private:
  friend class detail::log_encoder;

  static void refuse_unfit(const schema& features, const row_batch& rows) {
    const detail::feature_plan& plan = features.plan();
    constexpr std::array<std::string_view, detail::sides> names{"rows.user", "rows.item",
                                                                "rows.context", "rows.cross"};
    const auto check = [&](std::size_t side, std::string_view what, std::size_t count,
                           std::size_t expected) {
      if (count != expected)
        detail::fail("funnel::encoded_log: ", names[side], " has ", count, ' ', what, ", expected ",
                     expected, " as in the schema \"", features.label(), '"');
    };
    for (std::size_t side = 0; side < detail::sides; ++side) {
      const detail::side_plan& of = plan.of[side];
      const side_values& values = rows.side(side);
      check(side, "rows", values.rows, detail::is_by_request(side) ? rows.requests() : rows.rows());
      check(side, "categories", values.categories.size(), of.categories.size());
      check(side, "lists", values.lists.size(), of.lists.size());
      check(side, "numbers", values.numbers.size(), values.rows * of.width);
      for (const auto& column : values.categories)
        check(side, "values of a category", column.size(), values.rows);
      for (const auto& list : values.lists) {
        check(side, "offsets of a list", list.offsets.size(), values.rows + 1);
        detail::check_offsets("encoded_log", "offsets of a list", list.offsets, list.ids.size(),
                              "ids");
      }
    }
    detail::check_size("encoded_log", "rows.histories", rows.histories.size(),
                       plan.histories.size(), "the schema");
    for (std::size_t h = 0; h < plan.histories.size(); ++h) {
      const history_values& history = rows.histories[h];
      detail::check_size("encoded_log", "fields of a history", history.fields.size(),
                         plan.histories[h].categories.size(), "the schema");
      detail::check_size("encoded_log", "offsets of a history", history.offsets.size(),
                         rows.offsets.size(), "rows.offsets");
      for (const auto& field : history.fields)
        detail::check_offsets("encoded_log", "offsets of a history", history.offsets, field.size(),
                              "events");
    }
  }

  void add_user(std::uint32_t r, row_batch& to) const {
    const std::uint32_t version = tables_[0].version(users_[r], times_[r]);
    add_entity(detail::user_side, tables_[0], version, r, to.user);
    add_moving(detail::context_side, r, to.context);
    for (std::size_t h = 0; h < plan_.histories.size(); ++h) {
      const detail::history_plan& plan = plan_.histories[h];
      std::span<const std::uint32_t> events;
      if (plan.collected != detail::no_index) {
        const collected& all = collected_[plan.collected];
        events = std::span(all.items).subspan(all.begin[r], all.size[r]);
      } else {
        events = plan.side == detail::user_side ? tables_[0].list(plan.list, version)
                                                : moving_[detail::context_side].list(plan.list, r);
        events = events.last(std::min(plan.last, events.size()));
      }
      detail::add_history(plan, tables_[1], events, times_[r], to.histories[h]);
    }
  }
  void add_row(std::uint32_t r, std::uint32_t i, row_batch& to) const {
    const std::uint32_t version = tables_[1].version(items_[i], times_[r]);
    add_entity(detail::item_side, tables_[1], version, i, to.item);
    add_moving(detail::cross_side, i, to.cross);
  }
  void add_labels(std::uint32_t i, row_batch& to) const {
    for (std::size_t k = 0; k < labels_.size(); ++k) {
      const bool is_there = !std::isnan(labels_[k][i]);
      to.labels[k].push_back(is_there ? labels_[k][i] : 0.f);
      to.label_present[k].push_back(is_there ? 1.f : 0.f);
      to.label_sums[k] += is_there ? static_cast<double>(labels_[k][i]) : 0;
      to.label_counts[k] += is_there ? 1 : 0;
    }
    to.log_rows.push_back(log_rows_[i]);
  }
  /// A row of the user or item side: the version of the entity, and what changes by row.
  void add_entity(std::size_t side, const detail::entity_table& table, std::uint32_t version,
                  std::size_t row, side_values& to) const {
    const moving_side& moving = moving_[side];
    const std::size_t at = detail::add_side_row(to, table.codes(version), moving.numbers.row(row),
                                                table.vectors(version));
    for (std::size_t m = 0; m < moving.categories.size(); ++m)
      to.categories[moving.categories[m]][at] = moving.codes[row * moving.categories.size() + m];
    for (std::size_t l = 0; l < plan_.of[side].lists.size(); ++l)
      detail::add_list(to.lists[l], table.list(l, version));
  }
  /// A row of the context or cross side, which has no table.
  void add_moving(std::size_t side, std::size_t row, side_values& to) const {
    const moving_side& moving = moving_[side];
    const std::size_t width = moving.categories.size();
    detail::add_side_row(to, std::span(moving.codes).subspan(row * width, width),
                         moving.numbers.row(row), moving.vectors.row(row));
    for (std::size_t l = 0; l < plan_.of[side].lists.size(); ++l)
      detail::add_list(to.lists[l], moving.list(l, row));
  }

  /// What is kept for each row of a side.
  struct moving_side {
    std::vector<std::size_t> categories;  ///< of the side: those kept by row
    std::vector<std::uint32_t> codes;     ///< [rows, categories]
    matrix<float> numbers;                ///< [rows, scaled_width]
    matrix<float> vectors;                ///< [rows, vectors]; no columns if the side has a table
    std::vector<side_values::list> lists;

    std::span<const std::uint32_t> list(std::size_t l, std::size_t row) const {
      return lists[l].view()[row];
    }
  };
  struct collected {
    std::vector<std::uint32_t> items;  ///< of all users
    std::vector<std::uint64_t> begin;  ///< per request
    std::vector<std::uint32_t> size;
  };

  detail::feature_plan plan_;
  std::array<detail::entity_table, 2> tables_;  // users and items, with all versions
  std::vector<std::uint32_t> users_;            // [requests] rows of the user table
  std::vector<std::int64_t> times_;             // [requests]
  std::vector<std::uint32_t> offsets_ = {0};    // [requests + 1]
  std::vector<std::uint32_t> items_;            // [rows] rows of the item table
  std::vector<std::uint32_t> log_rows_;         // [rows]
  std::array<moving_side, detail::sides> moving_;
  std::vector<collected> collected_;
  std::vector<std::vector<float>> labels_;
  bool keeps_rows_ = false;  // all rows are in `kept_`; tables and what changes by row are empty
  row_batch kept_;
};

}  // namespace funnel
