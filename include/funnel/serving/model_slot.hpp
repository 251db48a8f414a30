// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

namespace funnel {

/// The model that requests are served from, which can be replaced while requests run.
///
/// T is whatever a request needs of one version: a frozen model, a struct of several models with
/// their schema and feature state. A request calls `get` once and uses that snapshot to its end.
/// `publish` replaces the model for later requests. Any number of threads may call all functions at a
/// time, but for the destructor.
///
/// Each model has a version: 1 for the first, then one more each time. A thread that keeps something
/// computed from a model, such as item vectors in a cache, keeps it under the version. 0 is no
/// model's version.
///
/// A model is destroyed by the thread that calls `publish`, `destroy_unused` or the destructor of the
/// slot, once no snapshot uses it; by none that only holds snapshots, unless these outlive the slot.
template <class T>
class model_slot {
 public:
  /// One model, kept alive, and its version. Copies refer to the same model.
  class snapshot {
   public:
    const T& operator*() const { return *model_; }
    const T* operator->() const { return model_.get(); }
    std::uint32_t version() const { return version_; }

   private:
    friend class model_slot;
    snapshot(std::shared_ptr<const T> model, std::uint32_t version)
        : model_(std::move(model)), version_(version) {}

    std::shared_ptr<const T> model_;
    std::uint32_t version_;
  };

  model_slot() = default;
  model_slot(const model_slot&) = delete;
  model_slot& operator=(const model_slot&) = delete;

  /// Makes `model` the one that `get` returns, destroys former models that no snapshot uses any more,
  /// and returns the version of the new one.
  ///
  /// Errors      std::invalid_argument if the pointer is null; std::bad_alloc. The slot is unchanged
  ///             then.
  std::uint32_t publish(std::shared_ptr<const T> model) {
    if (model == nullptr)
      detail::fail("funnel::model_slot::publish: model is null, expected a model");
    models unused;  // destroyed after the lock is given up
    models replaced;
    replaced.push_back(std::move(model));  // what can fail comes before any change
    const std::lock_guard lock(mutex_);
    std::swap(replaced.front(), current_);
    if (replaced.front() != nullptr) former_.splice(former_.end(), replaced);
    take_unused(unused);
    return ++version_;
  }
  std::uint32_t publish(T model) { return publish(std::make_shared<const T>(std::move(model))); }

  /// The model that was published last, and its version.
  ///
  /// Errors      std::invalid_argument if none was published.
  /// Cost        copies a shared pointer under a mutex, which is held that long by others too;
  ///             allocates nothing.
  snapshot get() const {
    const std::lock_guard lock(mutex_);
    if (current_ == nullptr)
      detail::fail(
          "funnel::model_slot::get: the slot is empty, expected a model to be published first");
    return snapshot(current_, version_);
  }

  bool has_model() const {
    const std::lock_guard lock(mutex_);
    return current_ != nullptr;
  }

  /// Destroys former models that no snapshot uses any more, and returns how many are still used.
  /// `publish` does this as well: call it some time after a large model was replaced, so that the old
  /// one does not stay until the next.
  std::size_t destroy_unused() {
    models unused;  // destroyed after the lock is given up
    const std::lock_guard lock(mutex_);
    take_unused(unused);
    return former_.size();
  }

 private:
  using models = std::list<std::shared_ptr<const T>>;

  /// Moves the former models that only this slot refers to: nobody can get a new reference to them.
  void take_unused(models& unused) {
    for (auto model = former_.begin(); model != former_.end();) {
      const auto here = model++;
      // 0 is the count of a pointer that owns nothing.
      if (here->use_count() <= 1) unused.splice(unused.end(), former_, here);
    }
  }

  mutable std::mutex mutex_;
  std::shared_ptr<const T> current_;
  std::uint32_t version_ = 0;
  models former_;  // replaced, and perhaps still used
};

}  // namespace funnel
