// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/features/columns.hpp>
#include <funnel/features/detail/fit_values.hpp>
#include <funnel/features/detail/log_encoder.hpp>
#include <funnel/features/encoded_log.hpp>
#include <funnel/features/feature_state.hpp>
#include <funnel/features/schema.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace funnel {

/// Tables of users and items for `fit_schema` and `encode_log`, one row per id. Their values are known
/// from the beginning of time, so they must not contain counts that grow. A table without columns
/// means that these columns are in the log.
struct side_tables {
  columns users = {};
  columns items = {};
  /// Events before the log, with the columns of `feature_state::tell`: counters and histories see
  /// them, by the same rule as those of the log, but they are no rows. Users and items have the
  /// values of their tables then, if there are tables.
  columns earlier = {};
};

/// The share of rows in which a column of the training log has a value.
struct column_coverage {
  std::string side;  ///< "of_user", "of_item", "of_context" or "of_cross"
  std::string column;
  double coverage = 0;
};

/// What `encode_log` returns: the encoded rows of a log, and the state after it.
struct encoded {
  encoded_log rows;
  feature_state state;
};

/// What `fit_schema` returns: the same, and the coverage of the columns.
struct fitted : encoded {
  std::vector<column_coverage> coverage;
};

/// Fits a schema to a log, and encodes the log.
///
/// Vocabularies, bucket boundaries, means and deviations are those of the rows of the log. Then the
/// log is replayed in the order of time: each request is encoded with what was known at its time,
/// before its own events are counted. A row sees the events whose time plus `delay` is before its
/// own; of rows with equal times none sees another. The order of the rows in the log does not
/// matter, but for events at the same time.
///
/// If the columns of users or items are in the log, a row sets the values of its user and item from
/// its time on.
///
/// Errors      std::invalid_argument if the log has no rows, a column is missing or of a wrong kind,
///             a row has no id or time, or the rows of a request have different users. The schema is
///             unchanged then.
/// Cost        O(rows) for each feature, and sorting by time.
/// Source      docs/formulas.md#features-in-time.
inline fitted fit_schema(schema& features, const columns& log, const side_tables& tables = {}) {
  schema fresh(features.options());
  const detail::log_reader reader(fresh, log, tables.users, tables.items);
  std::vector<column_coverage> coverage;
  for (std::size_t side = 0; side < detail::sides; ++side)
    for (std::size_t c = 0; c < fresh.plan().of[side].columns.size(); ++c)
      coverage.push_back({std::string(detail::side_names[side]), fresh.plan().of[side].columns[c],
                          reader.coverage(side, c)});
  fresh.set_values(detail::fit_values(fresh, reader));
  detail::log_encoder encoder(fresh, reader, feature_state::before_fit(fresh), tables.earlier);
  detail::fitted_values values = fresh.values();
  encoder.fit_scale(values);
  fresh.set_values(std::move(values));
  encoder.scale();
  fitted result{{encoder.take_rows(), encoder.take_state()}, std::move(coverage)};
  features = std::move(fresh);
  return result;
}

/// Encodes a later log, such as the days for validation, in the same way as `fit_schema` does, but
/// with a schema that is fitted already. The replay goes on from `state`, which has seen the events
/// before this log.
///
/// Users and items keep the values that the state has of them, unless a table or columns of the log
/// have newer ones.
///
/// Errors      as `fit_schema`; also if the schema is not the one that the state was made for, or a
///             row is earlier than the time of the state: it would see its own future. To encode the
///             first log once more, start from `feature_state(features)`.
inline encoded encode_log(const schema& features, const feature_state& state, const columns& log,
                          const side_tables& tables = {}) {
  state.check(features, "encode_log");
  const detail::log_reader reader(features, log, tables.users, tables.items, state.users() > 0,
                                  state.items() > 0);
  detail::check_that("encode_log", "the first time of log", reader.time(0),
                     reader.time(0) >= state.time(), state.time(),
                     ", the time of the state, or later");
  detail::log_encoder encoder(features, reader, state, tables.earlier);
  encoder.scale();
  return {encoder.take_rows(), encoder.take_state()};
}

}  // namespace funnel
