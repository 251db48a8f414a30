// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/executor.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/simd/dense.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace funnel {

/// Rows [first, first + rows) of a weight matrix, or their transpose, that a product needs packed.
template <class T>
struct panels_key {
  const parameter<T>* weight = nullptr;
  std::size_t first = 0;
  std::size_t rows = 0;
  bool transposed = false;

  bool operator==(const panels_key&) const = default;
};

/// The packed weights of a model for one step of training, which all training contexts of the step
/// share. A training context that is given them takes what is there, packs by itself what is not,
/// and notes it for the next step.
///
/// The weights must not change between `pack` and the last use of the panels.
template <class T>
class weight_panels {
 public:
  /// Packs for `Arch` what the last steps needed, as far as the model still has it.
  template <class Arch, HasParameters Model, Executor E>
  void pack(Model& model, E& executor) {
    std::vector<std::pair<const parameter<T>*, std::size_t>> known;  // and their rows
    detail::visit_parameters_below(
        model, [&](const parameter<T>& p) { known.emplace_back(&p, p.rows()); });
    std::ranges::sort(known, std::less<>());
    std::erase_if(slots_, [&](const auto& slot) {
      const panels_key<T>& key = slot.first;
      const auto found = std::ranges::lower_bound(known, key.weight, std::less<>(),
                                                  [](const auto& of) { return of.first; });
      return found == known.end() || found->first != key.weight ||
             key.first + key.rows > found->second;
    });
    std::vector<std::pair<const panels_key<T>*, detail::aligned_vector<T>*>> all;
    for (auto& [key, panels] : slots_) {
      const std::size_t cols = key.weight->cols();
      panels.resize(key.transposed ? packed_size<Arch, T>(cols, key.rows)
                                   : packed_size<Arch, T>(key.rows, cols));
      all.emplace_back(&key, &panels);
    }
    executor.for_each(all.size(), [&](std::size_t i) {
      const panels_key<T>& key = *all[i].first;
      const auto rows = key.weight->value.view().middle_rows(key.first, key.rows);
      if (key.transposed) {
        pack_transposed_kernel(Arch{}, rows, T(1), all[i].second->data());
      } else {
        pack_weights_kernel(Arch{}, rows.data(), rows.stride(), rows.rows(), rows.cols(),
                            all[i].second->data());
      }
    });
  }

  /// The packed weights, or nullptr.
  const T* find(const panels_key<T>& key) const {
    const auto found = slots_.find(key);
    return found != slots_.end() && !found->second.empty() ? found->second.data() : nullptr;
  }
  /// From the next `pack` on, these weights are packed too.
  void add(const panels_key<T>& key) { slots_.try_emplace(key); }

 private:
  struct hash {
    std::size_t operator()(const panels_key<T>& key) const {
      return std::hash<const void*>()(key.weight) + 31 * key.first + (key.transposed ? 17 : 0);
    }
  };

  std::unordered_map<panels_key<T>, detail::aligned_vector<T>, hash> slots_;
};

}  // namespace funnel
