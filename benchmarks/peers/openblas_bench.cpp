// SPDX-License-Identifier: MIT
#include "dense_peer.hpp"

#include <cblas.h>

// The result starts as the bias, sgemm adds the product to it (sgemv for one row), and relu is a
// loop that the compiler turns into SIMD.

#ifndef CBLAS_PREFIX
#define CBLAS_PREFIX
#endif
#define CBLAS_JOIN(a, b) a##b
#define CBLAS_NAMED(prefix, name) CBLAS_JOIN(prefix, name)
#define CBLAS(name) CBLAS_NAMED(CBLAS_PREFIX, name)

namespace {

const bool added = [] {
  CBLAS(openblas_set_num_threads)(1);
  benchmark::AddCustomContext("peer", CBLAS(openblas_get_config)());
  bench::add_dense_peer([](const bench::dense_data& data, bench::matrix<float>& y) -> bench::task {
    return [&x = data.x, &w = data.weight, &bias = data.bias, &y] {
      const int n = static_cast<int>(x.rows()), in = static_cast<int>(x.cols()),
                out = static_cast<int>(y.cols());
      for (std::size_t i = 0; i < y.rows(); ++i)
        std::copy_n(bias.data(), y.cols(), y.data() + i * y.cols());
      if (n == 1) {
        CBLAS(cblas_sgemv)
        (CblasRowMajor, CblasTrans, in, out, 1, w.data(), out, x.data(), 1, 1, y.data(), 1);
      } else {
        CBLAS(cblas_sgemm)
        (CblasRowMajor, CblasNoTrans, CblasNoTrans, n, out, in, 1, x.data(), in, w.data(), out, 1,
         y.data(), out);
      }
      for (float& value : y.flat()) value = value > 0 ? value : 0;
      benchmark::ClobberMemory();
    };
  });
  return true;
}();

}  // namespace
