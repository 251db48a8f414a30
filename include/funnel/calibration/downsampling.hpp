// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/hashing.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Corrects probabilities or logits for negative down-sampling: a model that was trained on a part
/// of the negatives estimates too high.
///
///     logit(p) = logit(q) + ln alpha,  which is  p = alpha q / ((1 - q) + alpha q)
///
/// where q is the estimate of a model for whose training each negative was kept with probability
/// alpha, and p the corrected one. The correction keeps the order by one head, but it changes the
/// order by a fusion of several heads: correct each head with its own alpha before fusing. Heads
/// that are conditional on a click are not affected by dropping unclicked rows.
///
/// Shapes      one value, or input [n] and output [n], which may be the same span.
/// Units       `logit`: log-odds; `probability`: in [0, 1].
/// Errors      std::invalid_argument if alpha is outside (0, 1] or the sizes differ, and in
///             `probabilities` if a value is outside [0, 1]. Nothing is written in these cases.
/// Numerics    exact at q = 0 and q = 1. Prefer logits: they lose no digits for rare events. NaN
///             stays NaN.
/// Source      He et al., ADKDD 2014, section 6.3; docs/formulas.md#negative-down-sampling.
template <std::floating_point T = float>
class downsampling_correction {
 public:
  /// Changes nothing, until it is loaded.
  downsampling_correction() = default;
  /// `alpha`: the fraction of the negatives that was kept, in (0, 1]; 1 changes nothing.
  explicit downsampling_correction(T alpha) : alpha_(alpha), log_alpha_(std::log(alpha)) {
    detail::check_that("downsampling_correction", "alpha", alpha, alpha > 0 && alpha <= 1,
                       "a number in (0, 1]");
  }

  T alpha() const { return alpha_; }

  /// The corrected logit of a logit.
  T logit(T z) const { return z + log_alpha_; }

  /// The corrected probability of a probability in [0, 1].
  T probability(T q) const {
    FUNNEL_ASSERT(!(q < 0 || q > 1));
    return alpha_ * q / ((1 - q) + alpha_ * q);
  }

  /// The corrected logits of `input`, in `output`.
  void logits(std::span<const T> input, std::span<T> output) const {
    detail::check_size("downsampling_correction::logits", "output", output.size(), input.size(),
                       "input");
    for (std::size_t i = 0; i < input.size(); ++i) output[i] = logit(input[i]);
  }

  /// The corrected probabilities of `input`, in `output`.
  void probabilities(std::span<const T> input, std::span<T> output) const {
    detail::check_size("downsampling_correction::probabilities", "output", output.size(),
                       input.size(), "input");
    detail::check_each("downsampling_correction::probabilities", "input", input,
                       "a number in [0, 1] or NaN", [](T q) { return !(q < 0 || q > 1); });
    for (std::size_t i = 0; i < input.size(); ++i) output[i] = probability(input[i]);
  }

  /// See `HasState`. Throws a format_error if the alpha that was loaded is outside (0, 1].
  void visit_state(auto&& visit) {
    visit("alpha", alpha_);
    if (is_loading(visit)) detail::check_loaded([&] { *this = downsampling_correction(alpha_); });
  }

 private:
  T alpha_ = 1;
  T log_alpha_ = 0;
};

/// Numbers of labels of one head.
struct label_counts {
  std::uint64_t positives = 0;
  std::uint64_t negatives = 0;

  friend bool operator==(const label_counts&, const label_counts&) = default;
};

/// Counts the labels of a head, each 0 or 1.
///
/// Errors      std::invalid_argument for another label.
template <detail::Numbers Labels>
label_counts count_labels(const Labels& labels) {
  const auto label = detail::as_span(labels);
  detail::check_binary("count_labels", "labels", label);
  const auto negatives = static_cast<std::uint64_t>(std::ranges::count(label, 0));
  return {label.size() - negatives, negatives};
}

/// The fraction of the negatives to keep, so that `ratio` negatives are kept per positive: ratio *
/// positives / negatives, at most 1. Without positives or negatives it is 1.
///
/// Errors      std::invalid_argument unless the ratio is a finite number above 0.
/// Source      docs/formulas.md#negative-down-sampling.
inline double alpha_for_ratio(const label_counts& labels, double ratio) {
  detail::check_positive("alpha_for_ratio", "ratio", ratio);
  if (labels.positives == 0 || labels.negatives == 0) return 1;
  return std::min(1.0, ratio * static_cast<double>(labels.positives) /
                           static_cast<double>(labels.negatives));
}

/// Options of `negative_downsampling`.
struct downsampling_options {
  /// Number of negatives to keep per positive, a finite number above 0; 1 to 3 is usual. A head
  /// that has fewer negatives keeps all.
  double negatives_per_positive = 3;
  /// Whether a kept negative weighs 1 / alpha instead of 1. Then the estimates need no correction,
  /// but the loss varies more.
  bool weighted = false;
  /// Another seed keeps other negatives.
  std::uint64_t seed = 0;
};

/// Negative down-sampling of several heads: drops a part of each head's negatives from its loss by
/// setting their weights to 0, counts them, and knows the correction of the head's estimates.
///
/// Rows are never deleted, because a negative of one head may be a positive of another. A negative
/// is kept if
///
///     hash(key, head, seed) / 2^64 < alpha
///
/// with the head's alpha from `alpha_for_ratio`. So the same rows are kept in every epoch and on
/// every machine, whatever the order of the rows, and independently of the other heads. Drop
/// negatives from training rows only: validation and calibration use all.
///
/// Shapes      keys [n], one per row: an id of the row or a hash, such as
///             mix_key(mix_key(pair_key(user, item)) ^ time); rows with equal keys are kept or
///             dropped together. Labels and weights [n] of one head, or [heads, n] of all.
/// Units       labels 0 or 1; weights of 0 or more, as the losses take them. Set them to 1 before,
///             or for a head that is conditional on an action to 1 for the rows with that action
///             and to 0 for the others. Rows of weight 0 are not counted.
/// Errors      std::invalid_argument for options outside their range, a head that does not exist,
///             sizes that differ, labels other than 0 and 1, weights that are negative or not
///             finite. Nothing is written and counted in these cases.
/// Cost        two multiplications per negative and head.
/// Source      docs/formulas.md#negative-down-sampling.
class negative_downsampling {
 public:
  negative_downsampling() = default;
  /// Chooses alpha for each head by the counts of its labels in the training rows. Of a conditional
  /// head, count only the rows with its condition.
  explicit negative_downsampling(std::span<const label_counts> heads,
                                 const downsampling_options& options = {})
      : weighted_(options.weighted), seed_(options.seed) {
    detail::check_positive("negative_downsampling", "negatives_per_positive",
                           options.negatives_per_positive);
    for (const label_counts& labels : heads)
      alphas_.push_back(alpha_for_ratio(labels, options.negatives_per_positive));
    reset_counts();
  }
  /// Takes an alpha per head, in (0, 1], instead of the option `negatives_per_positive`.
  explicit negative_downsampling(std::span<const double> alphas,
                                 const downsampling_options& options = {})
      : alphas_(alphas.begin(), alphas.end()), weighted_(options.weighted), seed_(options.seed) {
    detail::check_each("negative_downsampling", "alphas", alphas, "a number in (0, 1]",
                       [](double alpha) { return alpha > 0 && alpha <= 1; });
    reset_counts();
  }

  std::size_t heads() const { return alphas_.size(); }
  /// The fraction of its negatives that a head keeps.
  double alpha(std::size_t head) const { return alphas_[checked(head, "alpha")]; }

  /// Whether a head keeps the row of this key if it is a negative.
  bool keeps(std::size_t head, std::uint64_t key) const {
    return hash_of(checked(head, "keeps"), key) < alphas_[head];
  }

  /// Sets the weights of a head's dropped negatives to 0, and counts. If `weighted`, the weights of
  /// the kept ones are divided by alpha.
  template <detail::Numbers Labels, detail::Numbers Weights>
  void apply(std::size_t head, std::span<const std::uint64_t> keys, const Labels& labels,
             Weights&& weights) {
    checked(head, "apply");
    check(keys, detail::as_span(labels), detail::as_span(weights));
    drop(head, keys, detail::as_span(labels), std::span<detail::element_of<Weights>>(weights));
  }

  /// The same for all heads: labels and weights are matrices or views with a row per head.
  template <class Labels, class Weights>
  void apply(std::span<const std::uint64_t> keys, const Labels& labels, Weights&& weights) {
    detail::check_shape("negative_downsampling::apply", "labels", labels, heads(), keys.size());
    detail::check_shape("negative_downsampling::apply", "weights", weights, heads(), keys.size());
    for (std::size_t head = 0; head < heads(); ++head)
      check(keys, detail::as_span(labels.row(head)), detail::as_span(weights.row(head)));
    for (std::size_t head = 0; head < heads(); ++head)
      drop(head, keys, detail::as_span(labels.row(head)), weights.row(head));
  }

  /// The labels that `apply` has seen of a head, dropped ones too.
  label_counts seen(std::size_t head) const {
    checked(head, "seen");
    return {positives_[head], negatives_[head]};
  }
  /// The number of negatives that `apply` has dropped of a head.
  std::uint64_t dropped(std::size_t head) const { return dropped_[checked(head, "dropped")]; }
  void reset_counts() {
    std::vector<std::uint64_t> none(heads()), zero(heads()), nothing(heads());
    positives_.swap(none);
    negatives_.swap(zero);
    dropped_.swap(nothing);
  }

  /// The correction of a head's estimates; it changes nothing if kept negatives weigh 1 / alpha.
  template <std::floating_point T = float>
  downsampling_correction<T> correction(std::size_t head) const {
    const double alpha = alphas_[checked(head, "correction")];
    return downsampling_correction<T>(weighted_ ? T(1) : static_cast<T>(alpha));
  }

  /// See `HasState`. Throws a format_error if what was loaded is not a state.
  void visit_state(auto&& visit) {
    visit("alphas", alphas_);
    visit("weighted", weighted_);
    visit("seed", seed_);
    visit("positives", positives_);
    visit("negatives", negatives_);
    visit("dropped", dropped_);
    if (is_loading(visit)) check_loaded();
  }

 private:
  std::size_t checked(std::size_t head, const char* function) const {
    if (head >= heads())
      detail::check_below(detail::join_text("negative_downsampling::", function), "head", head,
                          heads());
    return head;
  }

  template <class L, class W>
  static void check(std::span<const std::uint64_t> keys, std::span<const L> labels,
                    std::span<const W> weights) {
    constexpr std::string_view name = "negative_downsampling::apply";
    detail::check_size(name, "labels", labels.size(), keys.size(), "keys");
    detail::check_size(name, "weights", weights.size(), keys.size(), "keys");
    detail::check_binary(name, "labels", labels);
    detail::check_not_negative(name, "weights", weights);
  }

  /// Uniform in [0, 1), a multiple of 2^-53.
  double hash_of(std::size_t head, std::uint64_t key) const {
    const std::uint64_t salt = mix_key(mix_key(seed_) ^ head);
    return static_cast<double>(mix_key(mix_key(key) ^ salt) >> 11) * 0x1p-53;
  }

  template <class L, class W>
  void drop(std::size_t head, std::span<const std::uint64_t> keys, std::span<const L> labels,
            std::span<W> weights) {
    static_assert(std::floating_point<W>, "weights are floating-point numbers");
    const double alpha = alphas_[head];
    const W factor = weighted_ ? static_cast<W>(1 / alpha) : W(1);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (weights[i] == 0) continue;
      if (labels[i] != 0) {
        ++positives_[head];
        continue;
      }
      ++negatives_[head];
      if (hash_of(head, keys[i]) < alpha) {
        weights[i] *= factor;
      } else {
        ++dropped_[head];
        weights[i] = 0;
      }
    }
  }

  void check_loaded() const {
    for (const double alpha : alphas_)
      if (!(alpha > 0 && alpha <= 1))
        throw format_error(detail::join_text("negative_downsampling: an alpha is ", alpha,
                                             ", expected a number in (0, 1]"));
    for (const auto* counts : {&positives_, &negatives_, &dropped_})
      if (counts->size() != heads())
        throw format_error(detail::join_text("negative_downsampling: there are counts of ",
                                             counts->size(), " heads, expected ", heads()));
  }

  std::vector<double> alphas_;
  bool weighted_ = false;
  std::uint64_t seed_ = 0;
  std::vector<std::uint64_t> positives_, negatives_, dropped_;
};

}  // namespace funnel
