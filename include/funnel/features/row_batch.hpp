// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/id_lists.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
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

  side_values& side(std::size_t i) {
    return i == 0 ? user : i == 1 ? item : i == 2 ? context : cross;
  }
  const side_values& side(std::size_t i) const { return const_cast<row_batch*>(this)->side(i); }
};

}  // namespace funnel
