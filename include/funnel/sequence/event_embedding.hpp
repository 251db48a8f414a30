// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/id_lists.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/look_up_columns.hpp>
#include <funnel/nn/embedding.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace funnel {

/// Size of the table of a field.
struct event_field {
  /// Number of ids, 1 or more.
  std::size_t rows = 1;
  /// Size of an embedding, 1 or more.
  std::size_t dim = 8;
};

/// Options of `event_embedding`.
struct event_embedding_options {
  /// Fields of the item with one id each, such as the item itself, its category, its author.
  std::vector<event_field> fields = {};
  /// Fields of the item with a list of ids each, such as its tags.
  std::vector<event_field> lists = {};
  /// How the embeddings of a list are combined.
  pooling pool = pooling::mean;
  /// Number of kinds of action; 0: events have no action.
  std::size_t actions = 0;
  /// Size of an action's embedding, 1 or more if there are actions.
  std::size_t action_dim = 4;
  /// Number of buckets of `time_bucket`; 0: events have no time.
  std::size_t time_buckets = 0;
  /// Size of a bucket's embedding, 1 or more if there are buckets.
  std::size_t time_dim = 4;
  /// Standard deviation of the normal distribution that embeddings start from, 0 or more.
  double initial_scale = 0.05;
};

/// The ids of m events, column by column. In training the ids must live until the context is cleared.
struct event_columns {
  std::span<const std::span<const std::uint32_t>> fields = {};  ///< by field, each [m]
  std::span<const id_lists> lists = {};                         ///< by field, each m lists
  std::span<const std::uint32_t> actions = {};                  ///< [m], or empty without actions
  std::span<const std::uint32_t> time_buckets = {};             ///< [m], or empty without buckets
};

/// Event embedding: the vector of an event of a history is the embeddings of its item's fields, its
/// action and its age side by side; the vector of a candidate has the same fields from the same tables,
/// and zeros for action and age, which a candidate does not have.
///
///     x_j = [e(item_j); e(category_j); ...; mean e(tags_j); e(action_j); e(bucket(now - time_j))]
///     q   = [e(item);   e(category);   ...; mean e(tags);   0;           0]
///
/// The vectors are what `din_attention` and `multi_head_attention` take. In DIN, q - x and q * x are
/// then -x and 0 in the columns of the action and the age: its unit reads them as they are.
///
/// Shapes      m events -> [m, width()]; n candidates -> [n, width()]. With an empty list of tags
///             those columns are zeros.
/// Errors      std::invalid_argument if the columns do not fit the options or one another, or an id is
///             not a row of its table.
/// Source      Zhou et al., KDD 2018, section 4.1; docs/formulas.md#event-embedding.
template <class T>
class event_embedding : detail::layer_of<T> {
 public:
  std::vector<embedding<T>> fields;
  std::vector<embedding_bag<T>> lists;
  /// One table of actions and one of buckets, or none.
  std::vector<embedding<T>> actions, time_buckets;

  event_embedding() = default;
  /// Errors      std::invalid_argument if a table would have no row or no column, or there are no fields
  ///             and no lists.
  explicit event_embedding(const event_embedding_options& options) {
    if (options.fields.empty() && options.lists.empty())
      detail::fail("funnel::event_embedding: fields is empty, expected 1 field or more, or lists");
    const embedding_options scale{.initial_scale = options.initial_scale};
    for (const event_field& f : options.fields) add("a field", fields, f, scale);
    for (const event_field& f : options.lists)
      add("a list", lists, f,
          embedding_bag_options{.pool = options.pool, .initial_scale = options.initial_scale});
    if (options.actions > 0)
      add("an action", actions, {options.actions, options.action_dim}, scale);
    if (options.time_buckets > 0)
      add("a time bucket", time_buckets, {options.time_buckets, options.time_dim}, scale);
  }

  /// Number of columns of an event or a candidate.
  std::size_t width() const {
    return width_of(fields) + width_of(lists) + width_of(actions) + width_of(time_buckets);
  }

  using detail::layer_of<T>::operator();
  /// The vectors of events.
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const event_columns& events) const {
    const std::size_t m = check_fields(events);
    check("actions", events.actions.size(), actions.empty() ? 0 : m);
    check("time_buckets", events.time_buckets.size(), time_buckets.empty() ? 0 : m);
    const auto y = context.make(m, width());
    std::size_t at = write_fields(context, events, y);
    for (const embedding<T>& table : actions) {
      detail::look_up_columns(context, name, table.table, events.actions, y, at);
      at += table.dim();
    }
    for (const embedding<T>& table : time_buckets)
      detail::look_up_columns(context, name, table.table, events.time_buckets, y, at);
    return y;
  }
  /// The vectors of candidates; their actions and buckets are not read.
  template <ContextOf<T> C>
  value_of<C> candidates(C& context, const event_columns& items) const {
    const auto y = context.make(check_fields(items), width());
    const std::size_t at = write_fields(context, items, y);
    const matrix_view<T> rest = writable(y).middle_cols(at, width() - at);
    for (std::size_t i = 0; i < rest.rows(); ++i) std::ranges::fill(rest.row(i), T(0));
    return y;
  }

  void visit_parameters(auto&& visit) {
    visit("fields", fields);
    visit("lists", lists);
    visit("actions", actions);
    visit("time_buckets", time_buckets);
  }

 private:
  static constexpr std::string_view name = "event_embedding";

  template <class Table, class Options>
  static void add(std::string_view what, std::vector<Table>& tables, const event_field& field,
                  const Options& options) {
    if (field.rows == 0 || field.dim == 0)
      detail::fail("funnel::event_embedding: ", what, " has ", field.rows, " rows of ", field.dim,
                   " values, expected 1 or more of each");
    tables.emplace_back(field.rows, field.dim, options);
  }
  static std::size_t width_of(const auto& tables) {
    std::size_t sum = 0;
    for (const auto& table : tables) sum += table.dim();
    return sum;
  }
  static void check(std::string_view what, std::size_t size, std::size_t expected) {
    detail::check_size(name, what, size, expected);
  }

  /// The number of rows.
  std::size_t check_fields(const event_columns& x) const {
    check("fields", x.fields.size(), fields.size());
    check("lists", x.lists.size(), lists.size());
    const std::size_t m = !x.fields.empty()  ? x.fields[0].size()
                          : !x.lists.empty() ? x.lists[0].size()
                                             : 0;
    for (const auto& ids : x.fields)
      detail::check_size(name, "a field", ids.size(), m, "the first");
    for (const id_lists& ids : x.lists)
      detail::check_size(name, "a list field", ids.size(), m, "the first field");
    return m;
  }
  template <class C, class Y>
  std::size_t write_fields(C& context, const event_columns& x, const Y& y) const {
    std::size_t at = 0;
    for (std::size_t f = 0; f < fields.size(); ++f) {
      detail::look_up_columns(context, name, fields[f].table, x.fields[f], y, at);
      at += fields[f].dim();
    }
    for (std::size_t f = 0; f < lists.size(); ++f) {
      if (x.lists[f].size() > 0)
        detail::pool_columns(context, name, lists[f].table, x.lists[f], lists[f].pool, y, at);
      at += lists[f].dim();
    }
    return at;
  }
};

}  // namespace funnel
