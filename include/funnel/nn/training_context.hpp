// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/request_rows.hpp>
#include <funnel/nn/model_gradients.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/parameter_gradient.hpp>
#include <funnel/nn/weight_panels.hpp>
#include <funnel/simd/arch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

namespace funnel {

/// Value on the tape of a `training_context`: its numbers, and the gradient of the loss with
/// respect to them.
template <class T>
struct variable {
  matrix_view<T> values;
  matrix_view<T> gradient;  ///< [rows, cols]; its data is null for an `input`

  // Read like the values of every context, which are matrix views of const numbers.
  std::size_t rows() const { return values.rows(); }
  std::size_t cols() const { return values.cols(); }
  std::size_t size() const { return values.size(); }
  bool empty() const { return values.empty(); }
  const T& operator()(std::size_t i, std::size_t j) const { return values(i, j); }
  std::span<const T> row(std::size_t i) const { return values.row(i); }

  /// True if the value has a gradient, to which backward steps add.
  bool has_gradient() const { return gradient.data() != nullptr; }
};

template <class T>
matrix_view<const T> view(const variable<T>& value) {
  return value.values;
}
template <class T>
matrix_view<T> writable(const variable<T>& value) {
  return value.values;
}

/// Context for training: records each operation on a tape; `backward` runs them in reverse order
/// (reverse-mode automatic differentiation).
///
/// The gradients of parameters are stored here and not in the model, so that several contexts can
/// run parts of a batch on one model.
///
/// A step: run the model and the loss, call `backward(loss)`, run an optimizer's step, call
/// `clear()`. Spans and views that are passed to operations (ids, labels) must live until `clear`.
/// A gradient is found by the address of its parameter: between the model's call and the
/// optimizer's step, do not move the model, replace it by a copy, or add layers to it.
template <class T, class Arch = default_arch>
class training_context {
 public:
  using scalar = T;
  using arch = Arch;
  using value = variable<T>;
  static constexpr bool is_training = true;

  /// `seed` determines which elements dropout drops.
  explicit training_context(std::uint64_t seed = 0) : random_(seed) {}

  /// A new value [rows, cols], uninitialized, with a gradient of zeros. Valid until
  /// `next_micro_batch` or `clear`.
  value make(std::size_t rows, std::size_t cols) {
    T* gradient = arena_.allocate<T>(rows, cols);
    std::fill_n(gradient, rows * cols, T(0));
    return {{arena_.allocate<T>(rows, cols), rows, cols}, {gradient, rows, cols}};
  }
  /// The caller's data as a value without a gradient. Copies nothing, and nothing writes to the
  /// data.
  value input(matrix_view<const T> data) {
    return {{const_cast<T*>(data.data()), data.rows(), data.cols(), data.stride()}, {}};
  }
  /// Temporary memory for operations, valid until `next_micro_batch` or `clear`.
  arena& scratch() { return arena_; }
  random_generator& random() { return random_; }
  /// Starts the random numbers anew, as those of a new context with this seed.
  void reseed(std::uint64_t seed) { random_ = random_generator(seed); }

  /// Says how many rows the whole step has, of which this context may see only a part. Losses then
  /// divide by it, not by the sum of the weights they see, so that the losses and gradients of the
  /// parts add up to those of the step. 0 means unknown. Stays until it is set again.
  void set_step_rows(std::size_t rows) { step_rows_ = rows; }
  std::size_t step_rows() const { return step_rows_; }

  /// Records the backward step of an operation, which adds to the gradients of the operation's
  /// inputs. It is copied into the arena and never destroyed.
  template <class Backward>
  void record(const Backward& backward) {
    static_assert(std::is_trivially_destructible_v<Backward> &&
                      std::is_trivially_copyable_v<Backward>,
                  "a backward step captures views and numbers by value");
    Backward* kept = arena_.allocate<Backward>(1);
    std::construct_at(kept, backward);
    tape_.push_back({kept, [](void* closure) { (*static_cast<Backward*>(closure))(); }});
  }

  /// Computes the gradients of `scale` times a loss [1, 1] with respect to everything that the loss
  /// was computed from.
  /// Errors      std::invalid_argument if the loss is not [1, 1], if nothing was recorded since the
  ///             last call, or if a parameter was replaced by one of another shape or kind since it
  ///             was used. Gradients may then be incomplete: call `clear` before the next step.
  void backward(const value& loss, T scale = T(1)) {
    detail::check_shape("training_context::backward", "loss", loss, 1, 1);
    if (spent_ && tape_.empty()) {
      detail::fail("funnel::training_context::backward: the record is empty, expected a forward "
                   "step since the last backward step");
    }
    spent_ = true;
    if (loss.has_gradient()) loss.gradient(0, 0) += scale;
    while (!tape_.empty()) {  // a step that throws does not run twice
      const operation step = tape_.back();
      tape_.pop_back();
      step.run(step.backward);
    }
  }

  /// The gradient of a parameter, for adding to it; zero when first requested after `clear`.
  parameter_gradient<T>& gradient(const parameter<T>& p) { return gradients_.gradient(p); }
  /// The same for an operation that can set all values of a dense parameter's gradient: they need
  /// not be set to zero first.
  gradient_to_write<T> gradient_to_set(const parameter<T>& p) {
    return gradients_.gradient_to_set(p);
  }
  /// Allocates memory, so that adding `other` to the gradient of a parameter allocates nothing.
  void reserve(const parameter<T>& p, const parameter_gradient<T>& other) {
    gradients_.reserve(p, other);
  }
  /// The gradient of a parameter, or nullptr if it was not requested since `clear`.
  const parameter_gradient<T>* find_gradient(const parameter<T>& p) const {
    return gradients_.find_gradient(p);
  }
  parameter_gradient<T>* find_gradient(const parameter<T>& p) {
    return gradients_.find_gradient(p);
  }
  /// The gradients of all parameters. They may be swapped with those of another part of the batch.
  model_gradients<T>& gradients() { return gradients_; }
  const model_gradients<T>& gradients() const { return gradients_; }

  /// Divides the rows of the batch into requests: request r has rows offsets[r] to
  /// offsets[r + 1] - 1. From now on a value may also have one row per request; operations broadcast
  /// it to the rows of its request. Valid until `next_micro_batch` or `clear`.
  ///
  /// Errors      std::invalid_argument if offsets does not start at 0 or does not rise.
  void group_rows(std::span<const std::uint32_t> offsets) {
    requests_ = detail::request_rows(arena_, "training_context::group_rows", offsets);
  }
  /// The requests that `group_rows` set.
  const detail::request_rows& requests() const { return requests_; }
  /// Gives the context packed weights that it may use in place of its own; nullptr takes them away.
  void use_panels(const weight_panels<T>* panels) {
    panels_ = panels;
    missing_panels_.clear();
  }
  /// Packed weights, or nullptr if the operation has to pack them.
  const T* find_panels(const panels_key<T>& key) {
    if (panels_ == nullptr) return nullptr;
    const T* found = panels_->find(key);
    if (found == nullptr) missing_panels_.push_back(key);
    return found;
  }
  /// The packed weights that were not found since `use_panels`, for `weight_panels::add`.
  std::vector<panels_key<T>>& missing_panels() { return missing_panels_; }

  /// Ends a micro-batch, one part of a batch: discards its values and its tape, and keeps the
  /// gradients of parameters, to which the next part adds. With some hundred rows per part, the
  /// data of a step stays in the cache.
  void next_micro_batch() {
    spent_ = false;
    tape_.clear();
    requests_ = {};
    arena_.reset();
  }

  /// Ends the step: discards values, tape and gradients. The memory is kept for the next step.
  void clear() {
    next_micro_batch();
    gradients_.clear();
  }

 private:
  struct operation {
    void* backward;
    void (*run)(void*);
  };

  arena arena_;
  detail::request_rows requests_;
  std::vector<operation> tape_;
  bool spent_ = false;  // backward ran since the last `next_micro_batch` or `clear`
  std::size_t step_rows_ = 0;
  model_gradients<T> gradients_;
  const weight_panels<T>* panels_ = nullptr;
  std::vector<panels_key<T>> missing_panels_;
  random_generator random_;
};

}  // namespace funnel
