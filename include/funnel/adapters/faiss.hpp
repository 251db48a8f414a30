// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/adapters/detail/check_rows_finite.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/index/item_filter.hpp>
#include <funnel/index/scored_item.hpp>

#include <faiss/AutoTune.h>
#include <faiss/Index.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFFastScan.h>
#include <faiss/impl/FaissException.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/index_factory.h>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `faiss_index`, as Faiss names them.
struct faiss_options {
  /// What `faiss::index_factory` is to make: "Flat", "HNSW32", "IVF1024,Flat", "IVF256,PQ16", ...
  std::string description = "HNSW32";
  /// What `faiss::ParameterSpace` is to set before the index is filled: "efSearch=400", "nprobe=16";
  /// several are joined by commas. Empty: Faiss' defaults.
  std::string parameters = {};
};

/// Nearest-neighbor search by inner product with any index of Faiss. Link `funnel::faiss` to use it;
/// funnel.hpp does not include this header.
///
/// Indexes whose searches Faiss can filter (flat and inverted-file ones) are told which items are
/// admitted. The others are asked for more and more items until k are admitted. A search finds fewer
/// than k if the index returns fewer, as inverted files do when the probed lists have no more.
/// Searching is const, so several threads can search at the same time.
///
/// Order       larger scores first; equal scores by lower item id; NaN last.
/// Errors      std::invalid_argument for what Faiss refuses, vectors or a query that do not have d
///             values, values that are not finite, and an index of another metric.
/// Cost        a search allocates. admit is called for an item once or several times, also from
///             threads of OpenMP if the index is set to use them within a query.
/// Numerics    scores are what Faiss computes: inner products, approximate ones if the index stores
///             vectors in fewer bits.
/// Source      docs/formulas.md#approximate-search.
class faiss_index {
 public:
  faiss_index() = default;
  /// Makes, trains and fills an index; item i is row i of the vectors, [n, d].
  explicit faiss_index(matrix_view<const float> vectors, const faiss_options& options = {}) {
    fill(vectors, {}, options);
  }
  /// The same with an id for each row. Faiss must be able to store them: descriptions that start with
  /// "IVF" or "IDMap,".
  ///
  /// Errors      std::invalid_argument if an id occurs twice.
  faiss_index(matrix_view<const float> vectors, std::span<const item_id> items,
              const faiss_options& options) {
    detail::check_size("faiss_index", "items", items.size(), vectors.rows(), "rows of vectors");
    std::vector<item_id> sorted(items.begin(), items.end());
    std::ranges::sort(sorted);
    const auto twice = std::ranges::adjacent_find(sorted);
    if (twice != sorted.end())
      detail::fail("funnel::faiss_index: items has ", *twice, " twice, expected distinct ids");
    const std::vector<std::int64_t> ids(items.begin(), items.end());
    fill(vectors, ids, options);
  }
  /// Takes an index that is trained and filled, for example one that `faiss::read_index` returned.
  /// Its ids are item ids, each stored once.
  explicit faiss_index(std::unique_ptr<faiss::Index> index) {
    if (index == nullptr) detail::fail("funnel::faiss_index: index is null, expected an index");
    check_metric(*index);
    index_ = std::move(index);
  }

  std::size_t size() const {
    return index_ == nullptr ? 0 : static_cast<std::size_t>(index_->ntotal);
  }
  std::size_t dim() const { return index_ == nullptr ? 0 : static_cast<std::size_t>(index_->d); }
  /// The index itself, for example for `faiss::write_index`.
  ///
  /// Errors      std::invalid_argument if there is none, after the default constructor or a move.
  const faiss::Index& index() const {
    if (index_ == nullptr)
      detail::fail("funnel::faiss_index::index: index is null, expected an index");
    return *index_;
  }

  /// Writes the best items for which `admit(item)` is true, best first, and returns their number.
  ///
  /// Shapes      query [d]; found [k].
  /// Errors      std::invalid_argument also if the index has an id that is no item id.
  template <std::predicate<item_id> Admit = all_items>
  std::size_t search(std::span<const float> query, std::span<scored_item> found,
                     const Admit& admit = {}) const {
    detail::check_size("faiss_index::search", "query", query.size(), dim());
    detail::check_finite("faiss_index::search", "query", query);
    const std::size_t k = std::min(found.size(), size());
    if (k == 0) return 0;
    const admitted<Admit> selector(admit);
    faiss::SearchParametersIVF parameters;
    const faiss::SearchParameters* const used = parameters_of(selector, parameters);
    std::vector<float> scores;
    std::vector<std::int64_t> ids;
    std::vector<scored_item> items;
    for (std::size_t wanted = k;; wanted = std::min(4 * wanted, size())) {
      scores.resize(wanted);
      ids.resize(wanted);
      index_->search(1, query.data(), static_cast<std::int64_t>(wanted), scores.data(), ids.data(),
                     used);
      items.clear();
      std::size_t returned = 0;
      for (std::size_t i = 0; i < wanted; ++i) {
        if (ids[i] < 0) continue;  // Faiss found fewer
        ++returned;
        const item_id item = checked(ids[i]);
        if (admit(item)) items.push_back({item, scores[i] + 0.f});  // no -0
      }
      if (items.size() >= k || returned < wanted || wanted == size()) break;
    }
    std::ranges::sort(items, [](auto& a, auto& b) { return ranks_before(a, b); });
    const std::size_t count = std::min(k, items.size());
    std::copy_n(items.begin(), count, found.begin());
    return count;
  }

 private:
  /// A filter, as Faiss wants it.
  template <class Admit>
  struct admitted final : faiss::IDSelector {
    explicit admitted(const Admit& a) : admit(a) {}
    bool is_member(std::int64_t id) const override { return admit(checked(id)); }
    const Admit& admit;
  };

  static item_id checked(std::int64_t id) {
    if (id < 0 || id > std::numeric_limits<item_id>::max())
      detail::fail("funnel::faiss_index::search: index has the id ", id,
                   ", expected 0 to 2^32 - 1");
    return static_cast<item_id>(id);
  }
  static void check_metric(const faiss::Index& index) {
    if (index.metric_type != faiss::METRIC_INNER_PRODUCT)
      detail::fail("funnel::faiss_index: index has metric ", static_cast<int>(index.metric_type),
                   ", expected METRIC_INNER_PRODUCT");
  }

  /// What to search with, so that only admitted items are found; null if the index has no such search.
  template <class Admit>
  const faiss::SearchParameters* parameters_of(const admitted<Admit>& selector,
                                               faiss::SearchParametersIVF& parameters) const {
    if constexpr (std::same_as<Admit, all_items>) return nullptr;
    // Faiss' pointer is not const, but it only reads.
    parameters.sel = const_cast<admitted<Admit>*>(&selector);
    if (dynamic_cast<const faiss::IndexFlat*>(index_.get()) != nullptr) return &parameters;
    const auto* ivf = dynamic_cast<const faiss::IndexIVF*>(index_.get());
    if (ivf == nullptr || dynamic_cast<const faiss::IndexIVFFastScan*>(ivf) != nullptr)
      return nullptr;
    parameters.nprobe = ivf->nprobe;
    parameters.max_codes = ivf->max_codes;
    return &parameters;
  }

  void fill(matrix_view<const float> vectors, std::span<const std::int64_t> ids,
            const faiss_options& options) {
    constexpr std::string_view name = "faiss_index";
    constexpr std::size_t most_values = std::numeric_limits<std::int32_t>::max();
    const std::size_t n = vectors.rows(), d = vectors.cols();
    detail::check_that(name, "number of columns", d, d > 0 && d <= most_values, "1 to ",
                       most_values);
    if (n > 0 && n - 1 > std::numeric_limits<item_id>::max())
      detail::fail("funnel::faiss_index: vectors has ", n, " rows, expected at most 2^32");
    detail::check_rows_finite(name, vectors);
    // Faiss wants rows next to each other.
    const matrix<float> copy = vectors.contiguous() ? matrix<float>() : matrix<float>(vectors);
    const float* rows = vectors.contiguous() ? vectors.data() : copy.view().data();
    try {
      std::unique_ptr<faiss::Index> index(faiss::index_factory(
          static_cast<int>(d), options.description.c_str(), faiss::METRIC_INNER_PRODUCT));
      check_metric(*index);
      if (!options.parameters.empty())
        faiss::ParameterSpace().set_index_parameters(index.get(), options.parameters.c_str());
      const auto count = static_cast<std::int64_t>(n);
      if (n > 0 && !index->is_trained) index->train(count, rows);
      if (n > 0 && ids.empty()) index->add(count, rows);
      if (n > 0 && !ids.empty()) index->add_with_ids(count, rows, ids.data());
      index_ = std::move(index);
    } catch (const faiss::FaissException& error) {
      detail::fail("funnel::faiss_index: options are \"", options.description, "\" and \"",
                   options.parameters,
                   "\", expected what Faiss accepts, which says: ", std::string_view(error.what()));
    }
  }

  std::unique_ptr<faiss::Index> index_;
};

}  // namespace funnel
