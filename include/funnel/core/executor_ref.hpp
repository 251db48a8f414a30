// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/executor.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>

namespace funnel {

namespace detail {

/// A task of any type behind a pointer: what an executor is called with by `executor_ref`.
struct task_ref {
  const void* task;
  void (*run)(const void* task, std::size_t i);

  void operator()(std::size_t i) const { run(task, i); }
};

/// What `executor_ref` refers to by default.
inline constexpr serial_executor shared_serial_executor{};

}  // namespace detail

/// Reference to an executor of any type, and itself an executor. A function, or a member of a class,
/// that takes threads from its caller needs no template parameter with it.
///
/// It does not own the executor, which must outlive it. Copying a reference copies two pointers to
/// functions and one to the executor. A default-constructed one runs the tasks one after another on
/// the caller's thread. Several threads may use a reference at a time if they may use its executor.
///
/// Errors      A task's exception goes through, as from the executor itself.
/// Cost        One call by pointer per loop and one per task. Allocates nothing.
class executor_ref {
 public:
  executor_ref() : executor_ref(detail::shared_serial_executor) {}

  /// Refers to `executor`. A copy of an `executor_ref` refers to the same executor as the original.
  template <class E>
  requires(!std::same_as<std::remove_const_t<E>, executor_ref>) &&
      Executor<E>&& requires(E& executor, const detail::task_ref& task) {
    executor.for_each(std::size_t{1}, task);
  }
  executor_ref(E& executor)
      : executor_(std::addressof(executor)), concurrency_([](const void* of) {
          return static_cast<std::size_t>(original<E>(of).concurrency());
        }),
        for_each_([](const void* of, std::size_t count, const detail::task_ref& task) {
          original<E>(of).for_each(count, task);
        }) {}
  /// A temporary executor would be gone before the reference is used.
  template <class E>
  requires(!std::same_as<E, executor_ref>) && Executor<const E> executor_ref(const E&& executor) =
      delete;

  std::size_t concurrency() const { return concurrency_(executor_); }

  template <class Task>
  void for_each(std::size_t count, Task&& task) const {
    const auto call = [&task](std::size_t i) { task(i); };
    using type = decltype(call);
    for_each_(executor_, count,
              {&call, [](const void* of, std::size_t i) { (*static_cast<type*>(of))(i); }});
  }

 private:
  /// The executor, with the type that it has: `executor_` points to a constant one only if E is
  /// const.
  template <class E>
  static E& original(const void* executor) {
    return *static_cast<E*>(const_cast<void*>(executor));
  }

  const void* executor_;
  std::size_t (*concurrency_)(const void*);
  void (*for_each_)(const void*, std::size_t, const detail::task_ref&);
};

}  // namespace funnel
