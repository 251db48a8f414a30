// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/random.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/simd/embedding.hpp>
#include <funnel/simd/prefetch.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <unordered_map>
#include <vector>

namespace funnel {

/// A value on the tape of a `training` context: what it is, and the gradient of the loss with
/// respect to it.
template <class T>
struct variable {
  matrix_view<T> values;
  matrix_view<T> gradient;  ///< [rows, cols]; no data where nothing before it is learned

  std::size_t rows() const { return values.rows(); }
  std::size_t cols() const { return values.cols(); }
  bool learns() const { return gradient.data() != nullptr; }
};

template <class T>
matrix_view<const T> view(const variable<T>& value) {
  return value.values;
}
template <class T>
matrix_view<T> writable(const variable<T>& value) {
  return value.values;
}

/// The gradient of one parameter: all of it, or for an embedding table the rows that were touched.
template <class T>
class parameter_gradient {
 public:
  explicit parameter_gradient(const parameter<T>& p)
      : by_rows_(p.kind == parameter_kind::rows), cols_(p.cols()) {
    if (by_rows_) {
      slot_of_row_.assign(p.rows(), 0);
    } else {
      values_.assign(p.rows(), p.cols());
    }
  }

  bool by_rows() const { return by_rows_; }
  /// Rows of the table that have a gradient, in the order they were first touched. Empty where not
  /// by rows.
  std::span<const std::uint32_t> touched() const { return touched_; }
  /// The dense gradient, or [touched, cols].
  matrix_view<const T> values() const {
    return by_rows_ ? matrix_view<const T>(rows_.data(), touched_.size(), cols_) : values_.view();
  }
  matrix_view<T> values() {
    return by_rows_ ? matrix_view<T>(rows_.data(), touched_.size(), cols_) : values_.view();
  }
  /// The gradient of one row of a table, zero when first touched; valid until the next call.
  std::span<T> row(std::uint32_t index) {
    const std::size_t before = touched_.size();
    const std::size_t slot = slot_of(index);
    reserve_rows();
    const std::span<T> values(rows_.data() + slot * cols_, cols_);
    if (touched_.size() > before) std::ranges::fill(values, T(0));
    return values;
  }
  /// Adds `factor` times row i of `values` to the gradient of row ids[i] of a table, which it has.
  ///
  /// Numerics    A row that comes more than once gets its terms in the order of the ids.
  template <class Arch>
  void add_rows(Arch arch, std::span<const std::uint32_t> ids, matrix_view<const T> values,
                T factor = T(1)) {
    std::size_t fresh = find_slots(ids);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      scatter_add_kernel(arch, rows_.data(), cols_, std::span<const std::uint32_t>(slots_), i,
                         i + 1, factor, values.row(i).data(), fresh);
    }
  }
  /// Adds factor(i) times row i of `values` to the gradients of all of
  /// ids[offsets[i]] .. ids[offsets[i + 1] - 1].
  template <class Arch, class Factor>
  void add_rows(Arch arch, std::span<const std::uint32_t> ids,
                std::span<const std::uint32_t> offsets, matrix_view<const T> values,
                const Factor& factor) {
    std::size_t fresh = find_slots(ids);
    for (std::size_t i = 0; i < values.rows(); ++i) {
      scatter_add_kernel(arch, rows_.data(), cols_, std::span<const std::uint32_t>(slots_),
                         offsets[i], offsets[i + 1], factor(i), values.row(i).data(), fresh);
    }
  }
  void clear() {
    touched_.clear();
    std::ranges::fill(values_.flat(), T(0));
  }
  /// Adds `factor` times another gradient of the same parameter.
  template <class Arch = default_arch>
  void add(const parameter_gradient& other, T factor, Arch arch = {}) {
    if (by_rows_) {
      add_rows(arch, other.touched(), other.values(), factor);
    } else {
      axpy_kernel(arch, factor, other.values_.data(), values_.data(), values_.size());
    }
  }

 private:
  /// Where in `rows_` the gradient of a row is; a row that has none gets the next place.
  std::uint32_t slot_of(std::uint32_t index) {
    // What a step before this one left behind names a place that another row has, or none has yet.
    std::uint32_t& kept = slot_of_row_[index];
    if (kept >= touched_.size() || touched_[kept] != index) {
      kept = static_cast<std::uint32_t>(touched_.size());
      touched_.push_back(index);
    }
    return kept;
  }
  /// Fills `slots_` and makes room for the new rows, which have no values yet.
  /// The number of rows before.
  std::size_t find_slots(std::span<const std::uint32_t> ids) {
    constexpr std::size_t ahead = 32;
    const std::size_t before = touched_.size();
    slots_.resize(ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (i + ahead < ids.size())
        detail::prefetch_bytes<false>(&slot_of_row_[ids[i + ahead]], sizeof(std::uint32_t));
      slots_[i] = slot_of(ids[i]);
    }
    reserve_rows();
    return before;
  }
  void reserve_rows() {
    const std::size_t needed = touched_.size() * cols_;
    if (rows_.size() < needed) rows_.resize(std::max(needed, 2 * rows_.size()));
  }

  bool by_rows_;
  std::size_t cols_ = 0;
  matrix<T> values_;
  detail::aligned_vector<T> rows_;  // those of `touched_`, and room for more
  std::vector<std::uint32_t> touched_;
  detail::aligned_vector<std::uint32_t> slot_of_row_;
  std::vector<std::uint32_t> slots_;  // of the ids that are being added
};

/// The context that trains: it records each operation, and `backward` runs them in reverse.
///
/// Gradients of parameters live here, not in the model: several contexts can run shards of a batch
/// on one model. Use: run the model and the loss, `backward(loss)`, step an optimizer, `clear()`.
/// What is passed to operations as spans and views (ids, labels) must live until `clear`.
template <class T, class Arch = default_arch>
class training {
 public:
  using scalar = T;
  using arch = Arch;
  using value = variable<T>;
  static constexpr bool is_training = true;

  /// `seed` decides what dropout drops.
  explicit training(std::uint64_t seed = 0) : random_(seed) {}

  /// A new value [rows, cols], not yet filled, with a gradient of zeros.
  value make(std::size_t rows, std::size_t cols) {
    T* gradient = arena_.allocate<T>(rows, cols);
    std::fill_n(gradient, rows * cols, T(0));
    return {{arena_.allocate<T>(rows, cols), rows, cols}, {gradient, rows, cols}};
  }
  /// The caller's data as a value without a gradient; copies nothing, and nothing writes to it.
  value input(matrix_view<const T> data) {
    return {{const_cast<T*>(data.data()), data.rows(), data.cols(), data.stride()}, {}};
  }
  /// Room that operations may use until `clear`.
  arena& scratch() { return arena_; }
  random_generator& random() { return random_; }

  /// Keeps a backward step; it adds to the gradients of its operation's inputs. Copied into the
  /// arena, never destroyed.
  template <class Backward>
  void record(const Backward& backward) {
    static_assert(std::is_trivially_destructible_v<Backward> &&
                      std::is_trivially_copyable_v<Backward>,
                  "a backward step captures views and numbers by value");
    Backward* kept = arena_.allocate<Backward>(1);
    std::construct_at(kept, backward);
    tape_.push_back({kept, [](void* closure) { (*static_cast<Backward*>(closure))(); }});
  }

  /// Computes the gradient of a loss [1, 1] with respect to everything before it, times `scale`.
  /// Errors      std::invalid_argument if the loss is not one number, or backward ran before and
  ///             nothing was recorded since.
  void backward(const value& loss, T scale = T(1)) {
    if (loss.rows() != 1 || loss.cols() != 1) {
      detail::fail("funnel::training::backward: loss is [", loss.rows(), ", ", loss.cols(),
                   "], expected [1, 1]");
    }
    if (spent_ && tape_.empty()) {
      detail::fail("funnel::training::backward: nothing was recorded since the last backward");
    }
    spent_ = true;
    if (loss.learns()) loss.gradient(0, 0) += scale;
    for (std::size_t i = tape_.size(); i > 0; --i) tape_[i - 1].run(tape_[i - 1].backward);
    tape_.clear();
  }

  /// The gradient of a parameter, to add to; zero when first asked for after `clear`.
  parameter_gradient<T>& gradient(const parameter<T>& p) {
    slot& s = gradients_[&p];
    const bool fits = s.gradient && s.rows == p.rows() && s.cols == p.cols() &&
                      s.gradient->by_rows() == (p.kind == parameter_kind::rows);
    if (!fits) s = {std::make_unique<parameter_gradient<T>>(p), p.rows(), p.cols(), false};
    s.touched = true;
    return *s.gradient;
  }
  /// The gradient of a parameter, or nullptr if nothing has reached it since `clear`.
  const parameter_gradient<T>* find_gradient(const parameter<T>& p) const {
    const auto found = gradients_.find(&p);
    return found != gradients_.end() && found->second.touched ? found->second.gradient.get()
                                                              : nullptr;
  }
  parameter_gradient<T>* find_gradient(const parameter<T>& p) {
    return const_cast<parameter_gradient<T>*>(std::as_const(*this).find_gradient(p));
  }

  /// Ends a part of a batch: its values and tape are gone, and the gradients of parameters stay, for
  /// the next part to add to. Parts of some hundred rows keep what a step touches in the cache.
  void next_micro_batch() {
    spent_ = false;
    tape_.clear();
    arena_.reset();
  }

  /// Ends the step: values, tape and gradients are gone, their memory stays for the next.
  void clear() {
    next_micro_batch();
    for (auto& [p, s] : gradients_) {
      if (s.touched) s.gradient->clear();
      s.touched = false;
    }
  }

 private:
  struct operation {
    void* backward;
    void (*run)(void*);
  };
  struct slot {
    std::unique_ptr<parameter_gradient<T>> gradient;
    std::size_t rows = 0;
    std::size_t cols = 0;
    bool touched = false;
  };

  arena arena_;
  std::vector<operation> tape_;
  bool spent_ = false;  // backward ran since `clear`
  std::unordered_map<const parameter<T>*, slot> gradients_;
  random_generator random_;
};

}  // namespace funnel
