// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/cosine.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>
#include <funnel/core/state.hpp>
#include <funnel/index/flat_index.hpp>
#include <funnel/index/score_items.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/simd/arch.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// How k-means chooses its first centroids.
enum class kmeans_start : std::uint8_t {
  plus_plus,  ///< k-means++: points that are far from those chosen before are likelier
  random,     ///< points, each as likely as any other
};

/// Options of `cosine_kmeans`.
struct cosine_kmeans_options {
  /// Number of clusters, 1 or more. K.
  std::size_t clusters = 1000;
  /// Most updates of the centroids, 0 or more.
  std::size_t iterations = 20;
  /// Stops once an update raises the mean cosine by no more than this, 0 or more.
  double tolerance = 1e-4;
  kmeans_start start = kmeans_start::plus_plus;
  /// `plus_plus` chooses from so many points per cluster, 1 or more; a random sample if there are more.
  std::size_t start_points = 32;
  /// Seed of the random numbers.
  std::uint64_t seed = 0;
};

/// The cluster of a vector of zeros.
inline constexpr cluster_id no_cluster = std::numeric_limits<cluster_id>::max();

/// Clusters of vectors by direction: K centroids of length 1. A vector belongs to the one with the
/// largest cosine.
///
/// Order       of equal cosines the lower cluster.
/// Errors      std::bad_alloc; an object that is assigned to is unchanged then.
/// Cost        8 bytes per value of a centroid. All functions are const, for any number of threads.
template <class Arch = default_arch>
class cosine_clusters {
 public:
  cosine_clusters() = default;
  /// Clusters with given centroids, [K, d], which are scaled to length 1.
  ///
  /// Errors      std::invalid_argument if one of them is zero or not finite.
  explicit cosine_clusters(matrix_view<const float> centroids)
      : centroids_(centroids.rows(), centroids.cols()) {
    for (std::size_t c = 0; c < size(); ++c)
      if (!detail::write_unit_vector(centroids.row(c), centroids_.row(c)))
        detail::fail("funnel::cosine_clusters: centroids has a row ", c,
                     " without direction, expected one that is finite and not zero");
    index_ = flat_index<Arch>(centroids_);
  }
  cosine_clusters(const cosine_clusters&) = default;
  cosine_clusters(cosine_clusters&&) noexcept = default;
  cosine_clusters& operator=(const cosine_clusters& other) {
    *this = cosine_clusters(other);
    return *this;
  }
  cosine_clusters& operator=(cosine_clusters&&) noexcept = default;

  std::size_t size() const { return centroids_.rows(); }
  std::size_t dim() const { return centroids_.cols(); }
  matrix_view<const float> centroids() const { return centroids_; }

  /// The cluster of a vector, or `no_cluster` if it is zero or there are no clusters.
  ///
  /// Shapes      vector [d].
  /// Errors      std::invalid_argument if it does not have d values, or the square of its length is
  ///             not a finite number.
  /// Cost        reads the centroids. Allocates nothing.
  cluster_id nearest(std::span<const float> vector) const {
    detail::check_size("cosine_clusters::nearest", "vector", vector.size(), dim());
    scored_item best;
    find({vector.data(), 1, vector.size()}, {&best, 1, 1});
    return best.item;
  }
  /// The clusters of several vectors, on the threads of an executor; the same as one by one.
  ///
  /// Shapes      vectors [n, d]; clusters [n].
  /// Errors      std::invalid_argument as `nearest`, or on other shapes; what is written then is not
  ///             defined.
  template <Executor E>
  void assign(E& executor, matrix_view<const float> vectors, std::span<cluster_id> clusters) const {
    detail::check_cols("cosine_clusters::assign", "vectors", vectors.cols(), dim());
    detail::check_size("cosine_clusters::assign", "clusters", clusters.size(), vectors.rows());
    for_blocks(executor, vectors.rows(), 256, [&](std::size_t begin, std::size_t end) {
      matrix<scored_item> best(end - begin, 1);
      find(vectors.middle_rows(begin, end - begin), best.view());
      for (std::size_t i = begin; i < end; ++i) clusters[i] = best(i - begin, 0).item;
    });
  }
  /// The same on the caller's thread.
  void assign(matrix_view<const float> vectors, std::span<cluster_id> clusters) const {
    serial_executor executor;
    assign(executor, vectors, clusters);
  }

  void visit_state(auto&& visit) {
    std::uint64_t dim = centroids_.cols();
    std::vector<float> values(centroids_.flat().begin(), centroids_.flat().end());
    visit("dim", dim);
    visit("centroids", values);
    if (!is_loading(visit)) return;
    if (dim == 0 ? !values.empty() : values.size() % dim != 0)
      throw format_error("clusters are damaged: their arrays do not fit together");
    const std::size_t rows = dim == 0 ? 0 : values.size() / dim;
    const matrix_view<const float> loaded(values.data(), rows, dim);
    for (std::size_t c = 0; c < rows; ++c)
      if (!(std::abs(detail::plain_products::squares(loaded.row(c), 1) - 1) < 1e-4))
        throw format_error(
            detail::join_text("clusters are damaged: centroid ", c, " does not have length 1"));
    cosine_clusters made;
    made.centroids_ = matrix<float>(loaded);
    made.index_ = flat_index<Arch>(loaded);
    *this = std::move(made);
  }

 private:
  void find(matrix_view<const float> vectors, matrix_view<scored_item> best) const {
    const bool any = size() > 0 && index_.search(vectors, best) > 0;
    for (std::size_t i = 0; i < vectors.rows(); ++i) {
      // Beyond float, products could be infinite, and equal.
      const double squares = detail::plain_products::squares(vectors.row(i), 1);
      if (!(squares <= static_cast<double>(std::numeric_limits<float>::max())))
        detail::fail("funnel::cosine_clusters: a vector has squares that add up to ", squares,
                     ", expected at most ", std::numeric_limits<float>::max());
      if (!any || squares == 0) best(i, 0).item = no_cluster;
    }
  }

  matrix<float> centroids_;
  flat_index<Arch> index_;
};

/// What `cosine_kmeans` returns.
template <class Arch = default_arch>
struct cosine_kmeans_result {
  cosine_clusters<Arch> clusters;
  /// The cluster of each vector, as `clusters.assign` gives it; `no_cluster` for vectors of zeros.
  std::vector<cluster_id> assignment;
  /// Mean cosine of the vectors that are not zero with their centroids.
  double mean_cosine = 0;
  /// Updates of the centroids.
  std::size_t iterations = 0;
};

namespace detail {

/// The positions of the first centroids among the points, which have length 1.
template <class Arch, Executor E>
std::vector<item_id> first_centroids(E& executor, const matrix<float>& points,
                                     const cosine_kmeans_options& options) {
  const std::size_t n = points.rows(), k = options.clusters;
  random_generator bits(options.seed);
  std::vector<item_id> order(n);
  std::iota(order.begin(), order.end(), item_id{0});
  const bool random = options.start == kmeans_start::random;
  std::size_t sampled = n;
  if (random)
    sampled = k;
  else if (options.start_points <= n / k)
    sampled = options.start_points * k;
  for (std::size_t i = 0; i < sampled; ++i)
    std::swap(order[i], order[i + uniform_below(bits, n - i)]);
  order.resize(sampled);
  if (random) return order;

  constexpr std::size_t block = 1024;
  std::vector<float> cosines(sampled);
  std::vector<double> distances(sampled, std::numeric_limits<double>::infinity());
  std::vector<double> sums(blocks_of(sampled, block));
  std::vector<item_id> chosen;
  std::size_t next = 0;  // the sample is in random order
  for (;;) {
    chosen.push_back(order[next]);
    if (chosen.size() == k) return chosen;
    for_blocks(executor, sampled, block, [&](std::size_t begin, std::size_t end) {
      score_items<Arch>(std::as_const(points).row(chosen.back()), points,
                        std::span(order).subspan(begin, end - begin),
                        std::span(cosines).subspan(begin, end - begin));
      double sum = 0;
      for (std::size_t i = begin; i < end; ++i) {
        const double distance = std::max(1 - static_cast<double>(cosines[i]), 0.);
        if (distance < distances[i]) distances[i] = distance;
        if (i == next) distances[i] = -1;  // chosen
        sum += std::max(distances[i], 0.);
      }
      sums[begin / block] = sum;
    });
    double left = uniform01(bits) * std::accumulate(sums.begin(), sums.end(), 0.);
    std::size_t b = 0;
    while (b + 1 < sums.size() && left >= sums[b]) left -= sums[b++];
    // Rounding may leave a little at the end; then the last point that is possible is chosen. If all
    // are equal to chosen ones, any other.
    std::size_t last = sampled;
    for (std::size_t i = b * block; i < std::min((b + 1) * block, sampled); ++i) {
      if (!(distances[i] > 0)) continue;
      last = i;
      if ((left -= distances[i]) < 0) break;
    }
    for (std::size_t i = 0; last == sampled; ++i)
      if (distances[i] >= 0) last = i;
    next = last;
  }
}

/// The points with a direction, scaled to length 1.
inline matrix<float> unit_points(matrix_view<const float> vectors) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < vectors.rows(); ++i) {
    const std::span<const float> row = vectors.row(i);
    const double squares = plain_products::squares(row, 1);
    if (!(squares <= static_cast<double>(std::numeric_limits<float>::max())))
      fail("funnel::cosine_kmeans: vectors has a row ", i, " whose squares add up to ", squares,
           ", expected at most ", std::numeric_limits<float>::max());
    count += squares > 0 ? std::size_t{1} : 0;
  }
  matrix<float> points(count, vectors.cols());
  for (std::size_t i = 0, p = 0; i < vectors.rows() && p < count; ++i)
    p += write_unit_vector(vectors.row(i), points.row(p)) ? std::size_t{1} : 0;
  return points;
}

/// Moves each centroid to the mean of its points, and those without points to the points that are the
/// farthest from theirs. Returns whether there were such.
template <Executor E>
bool update_centroids(E& executor, const matrix<float>& points, const matrix<scored_item>& nearest,
                      matrix<float>& centroids) {
  const std::size_t k = centroids.rows(), dim = points.cols();
  // The points by cluster, ascending, from begins[cluster] on: each cluster is one sum in that order, on
  // any thread.
  std::vector<std::size_t> begins(k + 1);
  for (std::size_t p = 0; p < points.rows(); ++p) ++begins[nearest(p, 0).item + 1];
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  std::vector<item_id> members(points.rows());
  std::vector<std::size_t> place(begins.begin(), begins.end() - 1);
  for (std::size_t p = 0; p < points.rows(); ++p)
    members[place[nearest(p, 0).item]++] = static_cast<item_id>(p);
  for_blocks(executor, k, 8, [&](std::size_t begin, std::size_t end) {
    std::vector<double> sum(dim);
    for (std::size_t c = begin; c < end; ++c) {
      std::ranges::fill(sum, 0.);
      for (std::size_t m = begins[c]; m < begins[c + 1]; ++m) {
        const std::span<const float> point = points.row(members[m]);
        for (std::size_t f = 0; f < dim; ++f) sum[f] += static_cast<double>(point[f]);
      }
      const unit_scale scale = unit_scale_of(std::span<const double>(sum));
      if (!scale.has_direction()) continue;  // as before: no points, or they cancel each other
      for (std::size_t f = 0; f < dim; ++f) centroids(c, f) = static_cast<float>(scale(sum[f]));
    }
  });

  std::vector<std::size_t> empty;
  for (std::size_t c = 0; c < k; ++c)
    if (begins[c] == begins[c + 1]) empty.push_back(c);
  if (empty.empty()) return false;
  std::iota(members.begin(), members.end(), item_id{0});
  const std::size_t moved = std::min(empty.size(), members.size());
  const auto cosine = [&](item_id p) { return nearest(p, 0).score; };
  std::partial_sort(
      members.begin(), members.begin() + static_cast<std::ptrdiff_t>(moved), members.end(),
      [&](item_id a, item_id b) { return cosine(a) != cosine(b) ? cosine(a) < cosine(b) : a < b; });
  for (std::size_t e = 0; e < moved; ++e) {
    // A point that is where its centroid is would only take it away from that one.
    if (cosine(members[e]) > 1 - 1e-6f) return e > 0;
    std::ranges::copy(points.row(members[e]), centroids.row(empty[e]).begin());
  }
  return true;
}

}  // namespace detail

/// K-means with cosines (spherical k-means): groups vectors by direction, such as items for retrieval by
/// cluster.
///
///     repeat   cluster(i) = argmax_c <x_i, c>;   c = s / |s|,  s = sum of the x_i of the cluster
///     until the mean of <x_i, cluster(i)> rises by at most `tolerance`;   x_i = vector / |vector|
///
/// A cluster that lost all its points starts again at the point that is the farthest from its centroid.
/// With fewer different directions than clusters, some stay empty. Vectors of zeros are in no cluster.
/// The result has the same bits on any number of threads.
///
/// Shapes      vectors [n, d], of which K are not zero.
/// Errors      std::invalid_argument if an option is out of range, fewer than K vectors are not zero,
///             or the square of a vector's length is not finite.
/// Cost        2 n K d operations per iteration; memory for a copy of the vectors and 24 bytes per
///             vector.
/// Source      Dhillon and Modha, Machine Learning 42, 2001; Arthur and Vassilvitskii, SODA 2007;
///             docs/formulas.md#k-means-with-cosines.
template <class Arch = default_arch, Executor E>
cosine_kmeans_result<Arch> cosine_kmeans(E& executor, matrix_view<const float> vectors,
                                         const cosine_kmeans_options& options = {}) {
  constexpr std::string_view name = "cosine_kmeans";
  detail::check_at_least_one(name, "clusters", options.clusters);
  detail::check_not_negative(name, "tolerance", options.tolerance);
  if (options.start > kmeans_start::random)
    detail::fail("funnel::cosine_kmeans: start is ", static_cast<int>(options.start),
                 ", expected below 2");
  detail::check_at_least_one(name, "start_points", options.start_points);
  const matrix<float> points = detail::unit_points(vectors);
  const std::size_t n = points.rows();
  if (n < options.clusters)
    detail::fail("funnel::cosine_kmeans: vectors has ", n, " rows that are not zero, expected ",
                 options.clusters, " or more, the number of clusters");

  matrix<float> centroids(options.clusters, points.cols());
  const std::vector<item_id> first = detail::first_centroids<Arch>(executor, points, options);
  for (std::size_t c = 0; c < first.size(); ++c)
    std::ranges::copy(points.row(first[c]), centroids.row(c).begin());

  cosine_kmeans_result<Arch> result;
  matrix<scored_item> nearest(n, 1);
  bool moved = true;
  for (double before = -2;; before = result.mean_cosine) {
    const flat_index<Arch> index(centroids);
    for_blocks(executor, n, 256, [&](std::size_t begin, std::size_t end) {
      index.search(points.view().middle_rows(begin, end - begin),
                   nearest.view().middle_rows(begin, end - begin));
    });
    double sum = 0;
    for (const scored_item& s : nearest.flat()) sum += static_cast<double>(s.score);
    result.mean_cosine = sum / static_cast<double>(n);
    const bool settled = !moved && result.mean_cosine - before <= options.tolerance;
    if (settled || result.iterations == options.iterations) break;
    moved = detail::update_centroids(executor, points, nearest, centroids);
    ++result.iterations;
  }
  result.clusters = cosine_clusters<Arch>(centroids);
  result.assignment.resize(vectors.rows());
  result.clusters.assign(executor, vectors, result.assignment);
  return result;
}
/// The same on the caller's thread.
template <class Arch = default_arch>
cosine_kmeans_result<Arch> cosine_kmeans(matrix_view<const float> vectors,
                                         const cosine_kmeans_options& options = {}) {
  serial_executor executor;
  return cosine_kmeans<Arch>(executor, vectors, options);
}

}  // namespace funnel
