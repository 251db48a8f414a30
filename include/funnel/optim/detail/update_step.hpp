// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/executor.hpp>
#include <funnel/nn/model_gradients.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/optim/detail/check_fits.hpp>
#include <funnel/optim/detail/gradient_norm.hpp>
#include <funnel/optim/detail/merged_rows.hpp>
#include <funnel/optim/detail/optimizer_state.hpp>
#include <funnel/optim/detail/sum_parts.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/optimizer.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace funnel::detail {

/// An array with the same number of bytes for each row of a table.
struct row_bytes {
  const void* data;
  std::size_t bytes;

  const void* row(std::size_t i) const { return static_cast<const std::byte*>(data) + i * bytes; }
};

/// Resizes `values` and sets each of them to `fill`, unless they have this size already.
template <class V>
void ensure_size(V& values, std::size_t size, typename V::value_type fill = {}) {
  if (values.size() != size) values.assign(size, fill);
}

/// Epsilon as a step uses it.
template <class T>
T step_epsilon(double value) {
  return std::max(static_cast<T>(value), smallest_epsilon<T>);
}

/// One step of an optimizer on gradients that are given in parts. It is made of tasks that own
/// ranges of parameters; their boundaries do not depend on who runs them.
///
/// `Rule` is the optimizer: `check(rates)` refuses rates outside their range, `reserve(state, p)`
/// requests the memory of a parameter's state, `begin(state, p, rates)` starts a step, which cannot
/// fail, and returns its numbers; `values(state, p, numbers, g, i, n)` updates n values of a dense
/// parameter from value i on, `arrays(state, p)` names the arrays of which a row of a table is
/// updated, and `rows(state, p, numbers)` returns what updates a row, called as (row, g).
template <class Arch, class T, class Rule>
class update_step {
 public:
  /// Checks everything and allocates the memory of the step. If this throws, nothing has changed.
  template <HasParameters Model>
  update_step(Model& model, std::span<model_gradients<T>* const> parts, optimizer_memory<T>& memory,
              const Rule& rule, double decay)
      : rule_(rule), memory_(memory), count_(parts.size()) {
    constexpr std::string_view name = "optimizer";
    check_that(name, "parts", count_, count_ > 0 && count_ <= most_parts, "1 to ", most_parts);
    const bool is_first = memory.states.empty();
    std::vector<optimizer_state<T>>& states = is_first ? fresh_ : memory.states;
    std::size_t position = 0;
    visit_parameters_below(model, [&](const parameter<T>& p) {
      if (is_first) fresh_.emplace_back(p);
      if (position < states.size()) check_state(name, model, position, p, states[position]);
      ++position;
    });
    if (position != states.size()) {
      fail("funnel::", name, ": the model has ", position, " parameters, expected ", states.size(),
           " as in the last step");
    }
    memory.find_groups(name, model, position);
    position = 0;
    visit_parameters_below(model, [&](parameter<T>& p) {
      add(name, model, position, p, parts, states[position], memory.rates_of(position, p, decay));
      ++position;
    });
    squares_.resize(tasks_.size());
    done_.resize(tasks_.size());
  }

  /// Finds the rows of tables that several parts have.
  template <Executor E>
  void link(E& executor) {
    std::vector<merged_rows<T>*> tables;
    for (item& i : items_)
      if (i.merged) tables.push_back(&*i.merged);
    if (tables.empty()) return;
    const std::size_t slices = std::clamp<std::size_t>(executor.concurrency(), 1, 16);
    executor.for_each(tables.size() * slices,
                      [&](std::size_t i) { tables[i / slices]->link(i % slices, slices); });
  }

  /// Sums the gradients of the parts, into the first of them. Returns the norm of the sums.
  template <Executor E>
  double sum(E& executor) {
    executor.for_each(tasks_.size(), [&](std::size_t i) {
      sum(tasks_[i]);
      squares_[i] = 0;
      for_each_run(tasks_[i],
                   [&](const T* g, std::size_t n) { squares_[i] += squares_kernel(Arch{}, g, n); });
    });
    summed_ = true;
    double squares = 0;
    for (const double part : squares_) squares += part;
    return gradient_norm(squares, [&](const auto& visit) {
      for (const task& t : tasks_) for_each_run(t, visit);
    });
  }

  /// Updates all parameters, from gradients that are scaled down from `norm` to `max_norm` first; 0:
  /// they are not. Does not throw: what the executor could not run is run here.
  template <Executor E>
  void update(E& executor, double norm, double max_norm) noexcept {
    if (memory_.states.empty()) memory_.states.swap(fresh_);
    for (item& i : items_) i.numbers = rule_.begin(*i.state, *i.p, i.rates);
    for (statistic& s : statistics_) s.merged.move_statistic(*s.p);
    const auto run = [&](std::size_t i) {
      if (!summed_) sum(tasks_[i]);
      if (max_norm > 0 && norm > max_norm) {
        for_each_clip_factor<T>(norm, max_norm, [&](T factor) {
          for_each_run(tasks_[i],
                       [&](T* g, std::size_t n) { scale_kernel(Arch{}, factor, g, g, n); });
        });
      }
      update(tasks_[i]);
      done_[i] = 1;
    };
    try {
      executor.for_each(tasks_.size(), run);
    } catch (...) {
      for (std::size_t i = 0; i < tasks_.size(); ++i)
        if (done_[i] == 0) run(i);
    }
  }

 private:
  using gradient = parameter_gradient<T>;

  struct item {
    parameter<T>* p;
    optimizer_state<T>* state;
    parameter_rates rates;
    std::array<gradient*, most_parts> parts;
    std::optional<merged_rows<T>> merged;  // of a table with several parts
    typename Rule::numbers numbers{};
  };
  /// Values [begin, end) of a dense parameter, or rows touched()[begin, end) of a part of a table.
  struct task {
    std::size_t item;
    std::size_t part;  // the first that has a gradient, or the one of the rows
    std::size_t begin;
    std::size_t end;
  };
  struct statistic {
    parameter<T>* p;
    gradient merged;
  };

  template <class Model>
  static void check_state(std::string_view name, const Model& model, std::size_t position,
                          const parameter<T>& p, const optimizer_state<T>& state) {
    if (state.rows != p.rows() || state.cols != p.cols() || state.kind != p.kind) {
      fail("funnel::", name, ": parameter ", path_of_parameter(model, position), " is [", p.rows(),
           ", ", p.cols(), "] of kind ", static_cast<int>(p.kind), ", expected [", state.rows, ", ",
           state.cols, "] of kind ", static_cast<int>(state.kind), " as in the last step");
    }
    if (!state.arrays_fit()) {
      fail("funnel::", name, ": the state of parameter ", path_of_parameter(model, position),
           " has arrays of ", state.first.size(), ", ", state.second.size(), ", ",
           state.row_sums.size(), " and ", state.steps.size(), " values, expected those of [",
           p.rows(), ", ", p.cols(), "]");
    }
  }

  template <class Model>
  void add(std::string_view name, const Model& model, std::size_t position, parameter<T>& p,
           std::span<model_gradients<T>* const> parts, optimizer_state<T>& state,
           const parameter_rates& rates) {
    rule_.check(rates);
    item added{&p, &state, rates, {}, {}, {}};
    std::size_t present = 0;
    std::size_t first = 0;
    for (std::size_t i = count_; i-- > 0;) {
      gradient* const g = parts[i]->find_gradient(p);
      if (g == nullptr) continue;
      check_fits(name, model, position, p, *g);
      added.parts[i] = g;
      first = i;
      ++present;
    }
    if (present == 0 || rates.frozen) return;
    if (p.kind == parameter_kind::statistic) {
      statistics_.push_back({&p, merge(std::span(added.parts).first(count_), p)});
      return;
    }
    rule_.reserve(state, p);
    const std::size_t index = items_.size();
    if (p.kind == parameter_kind::dense) {
      add_tasks(index, first, p.value.size(), 4096);
    } else {
      for (std::size_t i = first; i < count_; ++i) {
        if (added.parts[i] != nullptr) add_tasks(index, i, added.parts[i]->touched().size(), 2048);
      }
      if (present > 1) added.merged.emplace(std::span<gradient* const>(added.parts).first(count_));
    }
    items_.push_back(std::move(added));
  }
  void add_tasks(std::size_t index, std::size_t part, std::size_t n, std::size_t block) {
    for (std::size_t begin = 0; begin < n; begin += block)
      tasks_.push_back({index, part, begin, std::min(begin + block, n)});
  }

  /// The observations of a running statistic, merged along the tree.
  static gradient merge(std::span<gradient* const> parts, const parameter<T>& p) {
    if (parts.size() == 1) return parts[0] == nullptr ? gradient(p) : *parts[0];
    const std::size_t left = left_parts(parts.size());
    gradient merged = merge(parts.first(left), p);
    merged.add(merge(parts.subspan(left), p), T(1), Arch{});
    return merged;
  }

  /// Sums the gradients of a task's values, into those of its part.
  void sum(const task& t) noexcept {
    item& of = items_[t.item];
    if (of.p->kind == parameter_kind::rows) {
      if (!of.merged) return;
      for (std::size_t i = t.begin; i < t.end; ++i)
        if (!of.merged->counts_earlier(t.part, i)) of.merged->sum(Arch{}, t.part, i);
      return;
    }
    if (count_ == 1) return;
    sum_room<T> room;
    std::array<const T*, most_parts> parts{};
    for (std::size_t i = t.begin; i < t.end; i += sum_room<T>::chunk) {
      for (std::size_t k = 0; k < count_; ++k)
        parts[k] = of.parts[k] == nullptr ? nullptr : of.parts[k]->values().data() + i;
      sum_parts(Arch{}, std::span<const T* const>(parts.data(), count_),
                std::min(sum_room<T>::chunk, t.end - i), of.parts[t.part]->values().data() + i,
                room);
    }
  }

  /// Calls `visit(g, n)` for the summed gradients of a task.
  void for_each_run(const task& t, const auto& visit) {
    item& of = items_[t.item];
    const matrix_view<T> g = of.parts[t.part]->values();
    if (of.p->kind == parameter_kind::dense) return visit(g.data() + t.begin, t.end - t.begin);
    for (std::size_t i = t.begin; i < t.end; ++i)
      if (!of.merged || !of.merged->counts_earlier(t.part, i)) visit(g.row(i).data(), g.cols());
  }

  void update(const task& t) noexcept {
    item& of = items_[t.item];
    const gradient& part = *of.parts[t.part];
    const T* g = part.values().data();
    if (of.p->kind == parameter_kind::dense) {
      rule_.values(*of.state, *of.p, of.numbers, g + t.begin, t.begin, t.end - t.begin);
      return;
    }
    const std::span<const std::uint32_t> touched = part.touched().first(t.end);
    const std::size_t cols = part.values().cols();
    const auto arrays = rule_.arrays(*of.state, *of.p);
    std::size_t largest = 0;
    for (const row_bytes& array : arrays) largest = std::max(largest, array.bytes);
    const rows_ahead ahead(largest);
    auto update_row = rule_.rows(*of.state, *of.p, of.numbers);
    for (std::size_t i = t.begin; i < t.end; ++i) {
      if (i + ahead.far < t.end) {
        for (const row_bytes& array : arrays)
          prefetch_bytes<true>(array.row(touched[i + ahead.far]), array.bytes);
      }
      if (i + ahead.near < t.end) {
        for (const row_bytes& array : arrays)
          prefetch_bytes<false>(array.row(touched[i + ahead.near]), array.bytes);
      }
      if (!of.merged || !of.merged->counts_earlier(t.part, i)) update_row(touched[i], g + i * cols);
    }
  }

  const Rule& rule_;
  optimizer_memory<T>& memory_;
  std::vector<optimizer_state<T>> fresh_;  // states of a first step
  std::size_t count_;                      // of the parts
  bool summed_ = false;
  std::vector<item> items_;
  std::vector<task> tasks_;
  std::vector<statistic> statistics_;
  std::vector<double> squares_;
  std::vector<unsigned char> done_;  // not bool: tasks of several threads write it
};

}  // namespace funnel::detail
