// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/parameter_gradient.hpp>

#include <memory>
#include <unordered_map>
#include <utility>

namespace funnel {

/// The gradient of a dense parameter, for an operation that can set it as well as add to it.
template <class T>
struct gradient_to_write {
  matrix_view<T> values;
  /// True if nothing was added yet: the values may be old, and the operation must set all of them.
  bool is_new;
};

/// Gradients of the parameters of a model: those of a training context, for a batch or for one part
/// of it. A gradient is found by the address of its parameter.
template <class T>
class model_gradients {
 public:
  /// The gradient of a parameter, for adding to it; zero when first requested after `clear`.
  parameter_gradient<T>& gradient(const parameter<T>& p) {
    slot& s = slot_of(p);
    s.touched = true;
    return *s.gradient;
  }
  /// The same for an operation that can set all values of a dense parameter's gradient: they need
  /// not be set to zero first.
  gradient_to_write<T> gradient_to_set(const parameter<T>& p) {
    slot& s = gradients_[&p];
    if (!s.gradient || !s.gradient->fits(p)) s = {std::make_unique<parameter_gradient<T>>(p)};
    const bool is_new = !s.touched;
    s.touched = true;
    s.stale = false;
    return {s.gradient->values(), is_new};
  }
  /// Allocates memory, so that adding `other` to the gradient of a parameter allocates nothing.
  void reserve(const parameter<T>& p, const parameter_gradient<T>& other) {
    slot_of(p).gradient->reserve(other);
  }
  /// The gradient of a parameter, or nullptr if it was not requested since `clear`.
  const parameter_gradient<T>* find_gradient(const parameter<T>& p) const {
    const auto found = gradients_.find(&p);
    return found != gradients_.end() && found->second.touched ? found->second.gradient.get()
                                                              : nullptr;
  }
  parameter_gradient<T>* find_gradient(const parameter<T>& p) {
    return const_cast<parameter_gradient<T>*>(std::as_const(*this).find_gradient(p));
  }

  /// Discards all gradients. The memory is kept for the next step; it is set to zero when a
  /// gradient is requested, just before it is used.
  void clear() {
    for (auto& [p, s] : gradients_) {
      s.stale |= s.touched;
      s.touched = false;
    }
  }

 private:
  struct slot {
    std::unique_ptr<parameter_gradient<T>> gradient;
    bool touched = false;
    bool stale = false;  // holds numbers of an earlier step
  };

  slot& slot_of(const parameter<T>& p) {
    slot& s = gradients_[&p];
    if (!s.gradient || !s.gradient->fits(p)) {
      s = {std::make_unique<parameter_gradient<T>>(p)};
    } else if (s.stale) {
      s.gradient->clear();
      s.stale = false;
    }
    return s;
  }

  std::unordered_map<const parameter<T>*, slot> gradients_;
};

}  // namespace funnel
