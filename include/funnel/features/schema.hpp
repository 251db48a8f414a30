// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/bucketize.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/detail/packed_state.hpp>
#include <funnel/features/detail/plan_features.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/schema_options.hpp>
#include <funnel/features/vocabulary.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {
namespace detail {

/// What `fit_schema` learns from a log: vocabularies, boundaries of buckets, and the scale of numbers.
struct fitted_values {
  std::vector<vocabulary> vocabularies;
  std::vector<std::vector<float>> bounds;
  /// Per side: a number x becomes (x - means) * factors.
  std::array<std::vector<float>, sides> means, factors;
};

}  // namespace detail

/// Schema: the features of a model, by side (user, item, context, cross), and how they are computed
/// from a log. One schema encodes training rows and requests, so that both get the same numbers.
///
/// `fit_schema` learns its constants from a log: vocabularies, bucket boundaries, means and
/// deviations. After that it does not change. Counters and histories are not part of it, but of a
/// `feature_state`.
///
/// Errors      std::invalid_argument if the options do not fit together; the message names the
///             feature.
class schema {
 public:
  schema() = default;
  explicit schema(schema_options options)
      : options_(std::move(options)), plan_(detail::plan_features(options_)) {
    values_.vocabularies.resize(plan_.vocabularies);
    values_.bounds.resize(plan_.bounds);
    for (std::size_t side = 0; side < detail::sides; ++side) {
      values_.means[side].assign(plan_.of[side].scaled_width, 0);
      values_.factors[side].assign(plan_.of[side].scaled_width, 1);
    }
  }

  const schema_options& options() const { return options_; }
  /// True after `fit_schema`, or if it was loaded.
  bool is_fitted() const { return fingerprint_ != 0; }
  /// A hash of names, kinds, options and fitted constants; 0 before `fit_schema`. Two schemas of the
  /// same fingerprint encode alike. Counters and histories do not change it.
  std::uint64_t fingerprint() const { return fingerprint_; }
  /// The name and the fingerprint, for messages: "features 5f0c...".
  std::string label() const {
    std::string text = options_.name + ' ';
    if (!is_fitted()) return text + "(not fitted)";
    for (int shift = 60; shift >= 0; shift -= 4)
      text += "0123456789abcdef"[fingerprint_ >> shift & 15];
    return text;
  }

  /// Number of values of a category, the one for missing and unknown values included: the rows of
  /// its embedding table. If two sides have a category of that name, it is that of the first side;
  /// that of the other is "of_item.<name>".
  ///
  /// Errors      std::invalid_argument if there is no embedding table of that name, or the schema
  ///             is not fitted.
  std::size_t rows_of(std::string_view name) const {
    for (std::size_t i = 0; i < plan_.tables.size(); ++i)
      if (plan_.tables[i].name == name) return table_rows(i);
    detail::fail("funnel::schema::rows_of: name is \"", name, "\", expected a category");
  }

  void visit_state(auto&& visit) {
    std::string definition;
    if (!is_loading(visit)) definition = detail::packed_state(options_);
    visit("definition", definition);
    if (is_loading(visit)) {
      schema_options options;
      detail::unpack_state(options, definition, "schema");
      *this = schema(std::move(options));
    }
    for (std::size_t i = 0; i < plan_.vocabularies; ++i)
      visit("vocabulary." + std::to_string(i), values_.vocabularies[i]);
    for (std::size_t i = 0; i < plan_.bounds; ++i)
      visit("bounds." + std::to_string(i), values_.bounds[i]);
    for (std::size_t side = 0; side < detail::sides; ++side) {
      visit("means." + std::to_string(side), values_.means[side]);
      visit("factors." + std::to_string(side), values_.factors[side]);
    }
    std::uint64_t fingerprint = fingerprint_;
    visit("fingerprint", fingerprint);
    if (is_loading(visit)) check_loaded(fingerprint);
  }

  // For the library's own functions.

  const detail::feature_plan& plan() const { return plan_; }
  const detail::fitted_values& values() const { return values_; }
  /// Sets the constants and the fingerprint.
  void set_values(detail::fitted_values values) {
    values_ = std::move(values);
    fingerprint_ = 0;
    std::uint64_t hash = 0;
    std::string bytes = detail::packed_state(*this);
    for (const char c : bytes) hash = mix_key(hash ^ static_cast<unsigned char>(c));
    fingerprint_ = hash == 0 ? 1 : hash;
  }
  /// Errors      std::invalid_argument if the schema is not fitted.
  void check_fitted(std::string_view function) const {
    if (!is_fitted())
      detail::fail("funnel::", function, ": the schema \"", options_.name,
                   "\" is not fitted, expected a call of fit_schema before");
  }
  std::size_t table_rows(std::size_t table) const {
    const detail::table_plan& plan = plan_.tables[table];
    if (plan.fixed_rows != 0) return plan.fixed_rows;
    check_fitted("schema::rows_of");
    return values_.vocabularies[plan.vocabulary].rows();
  }

 private:
  [[noreturn]] void damaged(std::string_view what) const {
    throw format_error(detail::join_text("the schema \"", options_.name, "\" is damaged: ", what));
  }
  void check_loaded(std::uint64_t fingerprint) {
    for (std::size_t side = 0; side < detail::sides; ++side) {
      const std::size_t width = plan_.of[side].scaled_width;
      if (values_.means[side].size() != width || values_.factors[side].size() != width)
        damaged("the number of means or factors is not that of the numbers");
    }
    if (fingerprint == 0) return;
    set_values(std::move(values_));
    if (fingerprint_ != fingerprint) damaged("the fingerprint is not that of its contents");
  }

  schema_options options_;
  detail::feature_plan plan_;
  detail::fitted_values values_;
  std::uint64_t fingerprint_ = 0;
};

}  // namespace funnel
