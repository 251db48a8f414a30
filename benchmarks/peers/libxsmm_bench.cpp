// SPDX-License-Identifier: MIT
#include "dense_peer.hpp"

#include <libxsmm.h>

// A kernel made for the shape, which adds the product to a result that starts as the bias; relu is a
// loop that the compiler turns into SIMD. It is for small products: shapes it makes no kernel for go
// through its blocked product. It reads columns first: y^T = W^T x^T.

namespace {

const bool added = [] {
  libxsmm_init();
  benchmark::AddCustomContext("peer", std::string("LIBXSMM ") + LIBXSMM_VERSION + ", target " +
                                          libxsmm_get_target_arch());
  bench::add_dense_peer([](const bench::dense_data& data, bench::matrix<float>& y) -> bench::task {
    const auto n = static_cast<libxsmm_blasint>(data.x.rows()),
               in = static_cast<libxsmm_blasint>(data.x.cols()),
               out = static_cast<libxsmm_blasint>(y.cols());
    const libxsmm_smmfunction kernel = libxsmm_smmdispatch(out, n, in, nullptr, nullptr, nullptr,
                                                           nullptr, nullptr, nullptr, nullptr);
    return [=, &x = data.x, &w = data.weight, &bias = data.bias, &y] {
      for (std::size_t i = 0; i < y.rows(); ++i)
        std::copy_n(bias.data(), y.cols(), y.data() + i * y.cols());
      if (kernel) {
        kernel(w.data(), x.data(), y.data());
      } else {
        const float one = 1;
        libxsmm_sgemm(nullptr, nullptr, &out, &n, &in, &one, w.data(), &out, x.data(), &in, &one,
                      y.data(), &out);
      }
      for (float& value : y.flat()) value = value > 0 ? value : 0;
      benchmark::ClobberMemory();
    };
  });
  return true;
}();

}  // namespace
