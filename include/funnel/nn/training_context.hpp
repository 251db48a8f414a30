// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/parameter_gradient.hpp>
#include <funnel/simd/arch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace funnel {

/// A value on the tape of a `training_context` context: what it is, and the gradient of the loss with
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

/// The context that trains: it records each operation, and `backward` runs them in reverse.
///
/// Gradients of parameters live here, not in the model: several contexts can run shards of a batch
/// on one model. Use: run the model and the loss, `backward(loss)`, step an optimizer, `clear()`.
/// What is passed to operations as spans and views (ids, labels) must live until `clear`. So must the
/// model, where it is: gradients are found by the address of their parameter, so that a model is not
/// copied, moved or given new layers between the call and the optimizer's step.
template <class T, class Arch = default_arch>
class training_context {
 public:
  using scalar = T;
  using arch = Arch;
  using value = variable<T>;
  static constexpr bool is_training = true;

  /// `seed` decides what dropout drops.
  explicit training_context(std::uint64_t seed = 0) : random_(seed) {}

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
  /// Errors      std::invalid_argument if the loss is not one number, backward ran before and
  ///             nothing was recorded since, or a parameter was replaced since it was used. What was
  ///             added to gradients by then stays: `clear` before the next step.
  void backward(const value& loss, T scale = T(1)) {
    if (loss.rows() != 1 || loss.cols() != 1) {
      detail::fail("funnel::training_context::backward: loss is [", loss.rows(), ", ", loss.cols(),
                   "], expected [1, 1]");
    }
    if (spent_ && tape_.empty()) {
      detail::fail(
          "funnel::training_context::backward: nothing was recorded since the last backward");
    }
    spent_ = true;
    if (loss.learns()) loss.gradient(0, 0) += scale;
    while (!tape_.empty()) {  // where a step throws, it does not run twice
      const operation step = tape_.back();
      tape_.pop_back();
      step.run(step.backward);
    }
  }

  /// The gradient of a parameter, to add to; zero when first asked for after `clear`.
  parameter_gradient<T>& gradient(const parameter<T>& p) {
    slot& s = slot_of(p);
    s.touched = true;
    return *s.gradient;
  }
  /// Makes room, so that adding another gradient to that of a parameter asks for no memory.
  void reserve(const parameter<T>& p, const parameter_gradient<T>& other) {
    slot_of(p).gradient->reserve(other);
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
    bool touched = false;
  };

  slot& slot_of(const parameter<T>& p) {
    slot& s = gradients_[&p];
    if (!s.gradient || !s.gradient->fits(p))
      s = {std::make_unique<parameter_gradient<T>>(p), false};
    return s;
  }

  arena arena_;
  std::vector<operation> tape_;
  bool spent_ = false;  // backward ran since `clear`
  std::unordered_map<const parameter<T>*, slot> gradients_;
  random_generator random_;
};

}  // namespace funnel
