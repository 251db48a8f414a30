// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/id_lists.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/features/schema.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/look_up_columns.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/slice.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace funnel {

/// Sides of a `row_batch`.
enum class feature_side : std::uint8_t { user, item, context, cross };

/// Options of `feature_inputs`.
struct feature_inputs_options {
  /// Size of an embedding, unless its feature has a `dim` of its own; 1 or more.
  std::size_t dim = 8;
  /// Standard deviation of the normal distribution that embeddings start from, 0 or more.
  double initial_scale = 0.05;
  /// Whether the user's values contain the mean of each history's embeddings.
  bool mean_of_histories = true;
};

/// Values of a `row_batch`, as `feature_inputs` returns them.
template <class Value>
struct input_values {
  Value user;  ///< [requests, user_width()]: the user and the context
  Value item;  ///< [rows, item_width()]: the item and the cross side
};

/// The events of a history and the candidates, as attention layers take them.
template <class Value>
struct history_inputs {
  Value candidates;                        ///< [rows, width]
  Value events;                            ///< [events, width]
  std::span<const std::uint32_t> offsets;  ///< [requests + 1]: the events of each request
};

/// Feature inputs: the first layer of a model, which turns a `row_batch` into values. It has the
/// embedding tables of a schema; categories become embeddings, lists and histories the mean of
/// embeddings, and numbers stay as they are.
///
/// The values of the user and the context have one row per request. A call tells the context which
/// rows belong to which request (`group_rows`), so that what depends on the user alone is computed
/// once per request.
///
/// Shapes      see `input_values`. The columns of a side are its categories, lists, histories (of
///             the user and the context) and numbers, in this order.
/// Errors      std::invalid_argument if the batch was made with another schema (another number of
///             columns, or ids outside of a table).
/// Source      docs/formulas.md#embedding.
template <class T>
class feature_inputs : detail::layer_of<T> {
 public:
  using detail::layer_of<T>::operator();

  std::vector<embedding<T>> tables;  ///< one per category, by the names of `table_names`

  feature_inputs() = default;
  /// Errors      std::invalid_argument if the schema is not fitted, or `dim` is 0.
  explicit feature_inputs(const schema& features, const feature_inputs_options& options = {}) {
    features.check_fitted("feature_inputs");
    detail::check_at_least_one("feature_inputs", "dim", options.dim);
    const detail::feature_plan& plan = features.plan();
    for (std::size_t t = 0; t < plan.tables.size(); ++t) {
      const detail::table_plan& table = plan.tables[t];
      tables.emplace_back(features.table_rows(t), table.dim == 0 ? options.dim : table.dim,
                          embedding_options{.initial_scale = options.initial_scale});
      names_.push_back(table.name);
    }
    for (std::size_t s = 0; s < detail::sides; ++s) {
      side& to = sides_[s];
      const detail::side_plan& of = plan.of[s];
      for (const detail::category_plan& c : of.categories) to.categories.push_back(c.table);
      for (const detail::list_plan& l : of.lists) to.lists.push_back(l.table);
      to.numbers = of.width;
    }
    for (const detail::history_plan& h : plan.histories) {
      history_plan to{h.name, h.side, {}, h.categories};
      for (const std::size_t c : h.categories)
        to.tables.push_back(plan.of[detail::item_side].categories[c].table);
      to.in_side = options.mean_of_histories;
      histories_.push_back(std::move(to));
    }
  }

  /// Names of the tables: those of their categories.
  std::span<const std::string> table_names() const { return names_; }
  /// Number of columns of a side.
  std::size_t width(feature_side of) const {
    const auto s = static_cast<std::size_t>(of);
    std::size_t sum = sides_[s].numbers;
    for_each_field(s, [&](std::size_t table) { sum += tables[table].dim(); });
    return sum;
  }
  std::size_t user_width() const {
    return width(feature_side::user) + width(feature_side::context);
  }
  std::size_t item_width() const { return width(feature_side::item) + width(feature_side::cross); }
  /// Number of columns of all sides: of `concat(context, x.user, x.item)`.
  std::size_t width() const { return user_width() + item_width(); }
  /// Widths of the fields: the embeddings of all categories, lists and histories, in the order of
  /// `fields`.
  std::vector<std::size_t> field_widths() const {
    std::vector<std::size_t> widths;
    for (const feature_side s :
         {feature_side::user, feature_side::context, feature_side::item, feature_side::cross})
      for_each_field(static_cast<std::size_t>(s),
                     [&](std::size_t table) { widths.push_back(tables[table].dim()); });
    return widths;
  }
  /// Number of columns of the events of a history.
  std::size_t history_width(std::string_view name) const { return width(find(name)); }

  template <ContextOf<T> C>
  input_values<value_of<C>> operator()(C& context, const row_batch& rows) const {
    context.group_rows(rows.offsets);
    constexpr std::array request{feature_side::user, feature_side::context};
    constexpr std::array row{feature_side::item, feature_side::cross};
    // Two statements: the compiler chooses the order in which it evaluates initializers of one call.
    const auto user = block(context, rows, request);
    const auto item = block(context, rows, row);
    return {user, item};
  }
  /// The columns of x that are embeddings, without the numbers: of the user, the context, the item
  /// and the cross side, in this order. For layers that work on fields, such as `senet` and
  /// `bilinear`. Copies nothing.
  ///
  /// Errors      std::invalid_argument if x has other columns than this layer returns.
  template <Context C>
  auto fields(C& context, const input_values<value_of<C>>& x) const {
    detail::check_cols("feature_inputs::fields", "x.user", x.user.cols(), user_width());
    detail::check_cols("feature_inputs::fields", "x.item", x.item.cols(), item_width());
    const auto of = [&](feature_side s, const value_of<C>& columns, std::size_t begin) {
      return slice(context, columns, begin, width(s) - sides_[static_cast<std::size_t>(s)].numbers);
    };
    return concat(context, of(feature_side::user, x.user, 0),
                  of(feature_side::context, x.user, width(feature_side::user)),
                  of(feature_side::item, x.item, 0),
                  of(feature_side::cross, x.item, width(feature_side::item)));
  }
  /// The values of one side: for a tower that reads only that. Does not call `group_rows`.
  template <Context C>
  value_of<C> values(C& context, const row_batch& rows, feature_side of) const {
    return block(context, rows, std::span(&of, 1));
  }

  /// The events of a history, and the candidates with the same fields: for attention over the
  /// history.
  ///
  /// Errors      std::invalid_argument if there is no history of that name.
  template <Context C>
  history_inputs<value_of<C>> history(C& context, const row_batch& rows,
                                      std::string_view name) const {
    const history_plan& h = find(name);
    check(rows);
    const history_values& events = rows.histories[static_cast<std::size_t>(&h - histories_.data())];
    const std::size_t n = events.offsets.back();
    const std::size_t columns = width(h);
    const auto of_candidates = context.make(rows.rows(), columns);
    const auto of_events = context.make(n, columns);
    std::size_t at = 0;
    for (std::size_t f = 0; f < h.tables.size(); ++f) {
      look_up(context, h.tables[f], rows.item.categories[h.categories[f]], of_candidates, at);
      look_up(context, h.tables[f], events.fields[f], of_events, at);
      at += tables[h.tables[f]].dim();
    }
    return {of_candidates, of_events, events.offsets};
  }

  void visit_parameters(auto&& visit) {
    for (std::size_t t = 0; t < tables.size(); ++t) visit(std::string_view(names_[t]), tables[t]);
  }

 private:
  struct side {
    std::vector<std::size_t> categories, lists;  // tables
    std::size_t numbers = 0;
  };
  struct history_plan {
    std::string name;
    std::size_t side;
    std::vector<std::size_t> tables;
    std::vector<std::size_t> categories;  // of the item
    bool in_side = true;
  };

  /// Calls `visit(table)` for every embedding among the columns of a side.
  template <class Visit>
  void for_each_field(std::size_t of, const Visit& visit) const {
    for (const std::size_t table : sides_[of].categories) visit(table);
    for (const std::size_t table : sides_[of].lists)
      if (table != detail::no_index) visit(table);
    for (const history_plan& h : histories_)
      if (h.in_side && h.side == of)
        for (const std::size_t table : h.tables) visit(table);
  }
  std::size_t width(const history_plan& h) const {
    std::size_t sum = 0;
    for (const std::size_t table : h.tables) sum += tables[table].dim();
    return sum;
  }
  const history_plan& find(std::string_view name) const {
    for (const history_plan& h : histories_)
      if (h.name == name) return h;
    detail::fail("funnel::feature_inputs: name is \"", name,
                 "\", expected a history of the schema");
  }

  void check(const row_batch& rows) const {
    const auto check_count = [](std::string_view what, std::size_t count, std::size_t expected) {
      detail::check_that("feature_inputs", what, count, count == expected, expected,
                         " as in the schema");
    };
    for (std::size_t s = 0; s < detail::sides; ++s) {
      const side_values& values = rows.side(s);
      check_count("categories of a side", values.categories.size(), sides_[s].categories.size());
      check_count("lists of a side", values.lists.size(), sides_[s].lists.size());
      check_count("numbers of a side", values.numbers.size(), values.rows * sides_[s].numbers);
      check_count("rows of a side", values.rows,
                  detail::is_by_request(s) ? rows.requests() : rows.rows());
    }
    check_count("histories", rows.histories.size(), histories_.size());
  }

  /// The columns of some sides with the same number of rows, side by side.
  template <Context C>
  value_of<C> block(C& context, const row_batch& rows, std::span<const feature_side> of) const {
    check(rows);
    std::size_t columns = 0;
    for (const feature_side s : of) columns += width(s);
    const auto y = context.make(rows.side(static_cast<std::size_t>(of[0])).rows, columns);
    std::size_t at = 0;
    for (const feature_side s : of) {
      const auto index = static_cast<std::size_t>(s);
      const side_values& values = rows.side(index);
      const side& plan = sides_[index];
      for (std::size_t c = 0; c < plan.categories.size(); ++c) {
        look_up(context, plan.categories[c], values.categories[c], y, at);
        at += tables[plan.categories[c]].dim();
      }
      for (std::size_t l = 0; l < plan.lists.size(); ++l) {
        if (plan.lists[l] == detail::no_index) continue;  // the items of a history
        pool(context, plan.lists[l], values.lists[l].view(), y, at);
        at += tables[plan.lists[l]].dim();
      }
      for (std::size_t h = 0; h < histories_.size(); ++h) {
        if (!histories_[h].in_side || histories_[h].side != index) continue;
        for (std::size_t f = 0; f < histories_[h].tables.size(); ++f) {
          pool(context, histories_[h].tables[f],
               {rows.histories[h].fields[f], rows.histories[h].offsets}, y, at);
          at += tables[histories_[h].tables[f]].dim();
        }
      }
      const matrix_view<scalar_of<C>> to = writable(y).middle_cols(at, plan.numbers);
      for (std::size_t i = 0; i < to.rows() && plan.numbers > 0; ++i) {
        const float* from = values.numbers.data() + i * plan.numbers;
        std::transform(from, from + plan.numbers, to.row(i).begin(),
                       [](float x) { return static_cast<scalar_of<C>>(x); });
      }
      at += plan.numbers;
    }
    return y;
  }

  /// Writes embeddings to columns `at` and on of y.
  template <Context C, class Y>
  void look_up(C& context, std::size_t table, std::span<const std::uint32_t> ids, const Y& y,
               std::size_t at) const {
    detail::look_up_columns(context, "feature_inputs", tables[table].table, ids, y, at);
  }
  /// The same for the mean of the embeddings of lists.
  template <Context C, class Y>
  void pool(C& context, std::size_t table, const id_lists& lists, const Y& y,
            std::size_t at) const {
    detail::pool_columns(context, "feature_inputs", tables[table].table, lists, pooling::mean, y,
                         at);
  }

  std::vector<std::string> names_;
  std::array<side, detail::sides> sides_;
  std::vector<history_plan> histories_;
};

}  // namespace funnel
