// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/id_lists.hpp>
#include <funnel/core/state.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace funnel {

/// Encoded values of one side of a `row_batch`: one row per request for the user and the context,
/// one per row for the item and the cross side.
struct side_values {
  struct list {
    std::vector<std::uint32_t> ids;
    std::vector<std::uint32_t> offsets = {0};

    id_lists view() const { return {ids, offsets}; }
  };

  std::size_t rows = 0;
  std::vector<std::vector<std::uint32_t>> categories;  ///< [columns][rows]: rows of tables
  std::vector<list> lists;                             ///< [columns]
  std::vector<float> numbers;                          ///< [rows, numbers], row by row
};

/// The items of a history, one list per request, oldest first. Field f of event j is the row
/// fields[f][j] of an embedding table.
struct history_values {
  std::vector<std::vector<std::uint32_t>> fields;  ///< [fields][events]
  std::vector<std::uint32_t> offsets = {0};        ///< [requests + 1]
};

/// Row batch: encoded rows, by request, as models read them. It is made by `encoded_log` for
/// training and by `request_encoder` for serving, and can be used again for the next rows: after
/// some batches it allocates no memory.
///
/// `feature_inputs` turns it into values. The rows of request r are offsets[r] to offsets[r + 1] - 1.
struct row_batch {
  side_values user;     ///< one row per request
  side_values item;     ///< one row per row
  side_values context;  ///< one row per request
  side_values cross;    ///< one row per row
  std::vector<history_values> histories;
  std::vector<std::uint32_t> offsets = {0};  ///< [requests + 1]

  /// What the rows have for each label of the schema; 0 where it is missing.
  std::vector<std::vector<float>> labels;
  /// 1 where a row has the label, 0 where it is missing.
  std::vector<std::vector<float>> label_present;
  /// Sum of each label over the rows of the step that this batch is a part of.
  std::vector<double> label_sums;
  /// Number of rows of that step that have each label.
  std::vector<double> label_counts;
  /// Number of rows of the step that this batch is a part of.
  std::size_t step_rows = 0;
  /// Rows of the log, counted from 0; empty in serving.
  std::vector<std::uint32_t> log_rows;

  std::size_t requests() const { return offsets.size() - 1; }
  std::size_t rows() const { return offsets.back(); }

  /// Label k of the rows, in the order of `schema_options::labels`.
  ///
  /// Errors      std::invalid_argument if there is no such label.
  std::span<const float> label(std::size_t k) const {
    detail::check_below("row_batch::label", "k", k, labels.size());
    return labels[k];
  }
  /// Weights of label k: 1 where a row has the label, 0 where it is missing.
  std::span<const float> present(std::size_t k) const {
    detail::check_below("row_batch::present", "k", k, label_present.size());
    return label_present[k];
  }

  /// The encoded values; labels and rows of the log are not part of the state.
  ///
  /// Errors      format_error if the arrays that are loaded do not fit together.
  void visit_state(auto&& visit) {
    visit("offsets", offsets);
    for (std::size_t s = 0; s < 4; ++s) {
      const std::string path = std::to_string(s);
      side_values& of = side(s);
      std::uint64_t rows = of.rows, categories = of.categories.size(), lists = of.lists.size();
      visit(path + ".rows", rows);
      visit(path + ".categories", categories);
      visit(path + ".lists", lists);
      if (is_loading(visit)) {
        of.rows = rows;
        resize(of.categories, categories);
        resize(of.lists, lists);
      }
      for (std::size_t c = 0; c < of.categories.size(); ++c)
        visit(path + ".category." + std::to_string(c), of.categories[c]);
      for (std::size_t l = 0; l < of.lists.size(); ++l) {
        visit(path + ".list." + std::to_string(l) + ".ids", of.lists[l].ids);
        visit(path + ".list." + std::to_string(l) + ".offsets", of.lists[l].offsets);
      }
      visit(path + ".numbers", of.numbers);
    }
    std::uint64_t count = histories.size();
    visit("histories", count);
    if (is_loading(visit)) resize(histories, count);
    for (std::size_t h = 0; h < histories.size(); ++h) {
      const std::string path = "history." + std::to_string(h);
      std::uint64_t fields = histories[h].fields.size();
      visit(path + ".fields", fields);
      if (is_loading(visit)) resize(histories[h].fields, fields);
      for (std::size_t f = 0; f < histories[h].fields.size(); ++f)
        visit(path + ".field." + std::to_string(f), histories[h].fields[f]);
      visit(path + ".offsets", histories[h].offsets);
    }
    if (is_loading(visit)) refuse_damaged();
  }

  side_values& side(std::size_t i) {
    return i == 0 ? user : i == 1 ? item : i == 2 ? context : cross;
  }
  const side_values& side(std::size_t i) const { return const_cast<row_batch*>(this)->side(i); }

 private:
  template <class V>
  static void resize(std::vector<V>& values, std::uint64_t count) {
    if (count > 65536)
      throw format_error(
          detail::join_text("a row batch has ", count, " columns, expected 65536 or fewer"));
    values.resize(count);
  }
  void refuse_damaged() {
    const auto fits_offsets = [](const std::vector<std::uint32_t>& values, std::size_t lists,
                                 std::size_t ids) {
      if (values.size() != lists + 1 || values[0] != 0 || values.back() != ids) return false;
      for (std::size_t i = 1; i < values.size(); ++i)
        if (values[i] < values[i - 1]) return false;
      return true;
    };
    bool fits = !offsets.empty() && fits_offsets(offsets, offsets.size() - 1, offsets.back());
    for (std::size_t s = 0; fits && s < 4; ++s) {
      side_values& of = side(s);
      fits = of.rows == (s == 0 || s == 2 ? requests() : rows());
      for (const auto& column : of.categories) fits = fits && column.size() == of.rows;
      for (const auto& list : of.lists)
        fits = fits && fits_offsets(list.offsets, of.rows, list.ids.size());
    }
    for (const history_values& h : histories) {
      for (const auto& field : h.fields)
        fits = fits && fits_offsets(h.offsets, requests(), field.size());
      fits = fits && h.offsets.size() == requests() + 1;
    }
    if (!fits) throw format_error("a row batch is damaged: its arrays do not fit together");
    labels.clear();
    label_present.clear();
    label_sums.clear();
    label_counts.clear();
    log_rows.clear();
    step_rows = rows();
  }
};

namespace detail {

/// Appends rows [begin, end) of a side.
inline void append_side(const side_values& from, std::size_t begin, std::size_t end,
                        side_values& to) {
  const auto append = [](auto& values, const auto& more, std::size_t first, std::size_t last) {
    values.insert(values.end(), more.begin() + static_cast<std::ptrdiff_t>(first),
                  more.begin() + static_cast<std::ptrdiff_t>(last));
  };
  for (std::size_t c = 0; c < from.categories.size(); ++c)
    append(to.categories[c], from.categories[c], begin, end);
  for (std::size_t l = 0; l < from.lists.size(); ++l) {
    const side_values::list& list = from.lists[l];
    const std::uint32_t moved = to.lists[l].offsets.back() - list.offsets[begin];
    append(to.lists[l].ids, list.ids, list.offsets[begin], list.offsets[end]);
    for (std::size_t i = begin + 1; i <= end; ++i)
      to.lists[l].offsets.push_back(list.offsets[i] + moved);
  }
  const std::size_t width = from.rows == 0 ? 0 : from.numbers.size() / from.rows;
  append(to.numbers, from.numbers, begin * width, end * width);
  to.rows += end - begin;
}

/// Appends what a request has once: its user, context and histories. Its rows follow, then
/// `end_request`.
inline void append_request(const row_batch& from, std::size_t request, row_batch& to) {
  append_side(from.user, request, request + 1, to.user);
  append_side(from.context, request, request + 1, to.context);
  for (std::size_t h = 0; h < from.histories.size(); ++h) {
    const history_values& history = from.histories[h];
    const std::uint32_t begin = history.offsets[request], end = history.offsets[request + 1];
    for (std::size_t f = 0; f < history.fields.size(); ++f)
      to.histories[h].fields[f].insert(to.histories[h].fields[f].end(),
                                       history.fields[f].begin() + begin,
                                       history.fields[f].begin() + end);
    to.histories[h].offsets.push_back(to.histories[h].offsets.back() + (end - begin));
  }
}
/// Appends rows [begin, end) to the request that was appended last.
inline void append_rows(const row_batch& from, std::size_t begin, std::size_t end, row_batch& to) {
  append_side(from.item, begin, end, to.item);
  append_side(from.cross, begin, end, to.cross);
}
inline void end_request(row_batch& to) {
  to.offsets.push_back(static_cast<std::uint32_t>(to.item.rows));
  to.step_rows = to.rows();
}

/// Empties the encoded values of a batch. Keeps its columns and its memory.
inline void clear_values(row_batch& to) {
  for (std::size_t side = 0; side < 4; ++side) {
    side_values& values = to.side(side);
    values.rows = 0;
    for (auto& column : values.categories) column.clear();
    for (auto& list : values.lists) {
      list.ids.clear();
      list.offsets.assign(1, 0);
    }
    values.numbers.clear();
  }
  for (history_values& history : to.histories) {
    for (auto& field : history.fields) field.clear();
    history.offsets.assign(1, 0);
  }
  to.offsets.assign(1, 0);
}
/// The same, and gives it the columns of another one.
inline void clear_like(const row_batch& like, row_batch& to) {
  for (std::size_t side = 0; side < 4; ++side) {
    to.side(side).categories.resize(like.side(side).categories.size());
    to.side(side).lists.resize(like.side(side).lists.size());
  }
  to.histories.resize(like.histories.size());
  for (std::size_t h = 0; h < to.histories.size(); ++h)
    to.histories[h].fields.resize(like.histories[h].fields.size());
  clear_values(to);
}

}  // namespace detail

/// Copies some rows of a request, such as the candidates that an earlier stage kept: the user, the
/// context and the histories as they are, of the item and the cross side the rows `picked`.
///
/// Labels are not copied. `to` keeps its memory: after some calls nothing is allocated.
///
/// Order       that of `picked`; a row may be picked more than once.
/// Errors      std::invalid_argument if `from` does not have one request, a row is not below
///             rows(), or `to` is `from`; `to` is unchanged then.
inline void pick_rows(const row_batch& from, std::span<const std::uint32_t> picked, row_batch& to) {
  detail::check_that("pick_rows", "from.requests()", from.requests(), from.requests() == 1, "1");
  if (&from == &to) detail::fail("funnel::pick_rows: to is from, expected another batch");
  for (const std::uint32_t i : picked) detail::check_below("pick_rows", "a row", i, from.rows());
  detail::clear_like(from, to);
  detail::append_request(from, 0, to);
  for (const std::uint32_t i : picked) detail::append_rows(from, i, std::size_t{i} + 1, to);
  detail::end_request(to);
  to.labels.clear();
  to.label_present.clear();
  to.label_sums.clear();
  to.label_counts.clear();
  to.log_rows.clear();
}

}  // namespace funnel
