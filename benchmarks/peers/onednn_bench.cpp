// SPDX-License-Identifier: MIT
#include "dense_peer.hpp"

#include <initializer_list>
#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

// One matmul primitive with bias and relu in it, made once; weights in the layout it asks for,
// reordered once.

namespace {

using dnnl::memory;

struct layer {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  dnnl::matmul product;
  std::unordered_map<int, memory> arguments;

  layer(const bench::dense_data& data, bench::matrix<float>& y) {
    const auto describe = [](const bench::matrix<float>& m, memory::format_tag tag) {
      return memory::desc({static_cast<memory::dim>(m.rows()), static_cast<memory::dim>(m.cols())},
                          memory::data_type::f32, tag);
    };
    const auto wrap = [&](const bench::matrix<float>& m) {
      return memory(describe(m, memory::format_tag::ab), engine, const_cast<float*>(m.data()));
    };
    memory x = wrap(data.x), weight = wrap(data.weight), bias = wrap(data.bias), result = wrap(y);
    const memory::desc any = describe(data.weight, memory::format_tag::any);
    dnnl::post_ops after;
    dnnl::primitive_attr attributes;
#if DNNL_VERSION_MAJOR >= 3
    after.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
    attributes.set_post_ops(after);
    const dnnl::matmul::primitive_desc made(engine, x.get_desc(), any, bias.get_desc(),
                                            result.get_desc(), attributes);
#else
    after.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
    attributes.set_post_ops(after);
    const dnnl::matmul::primitive_desc made(
        dnnl::matmul::desc(x.get_desc(), any, bias.get_desc(), result.get_desc()), attributes,
        engine);
#endif
    memory packed(made.weights_desc(), engine);
    dnnl::reorder(weight, packed).execute(stream, weight, packed);
    stream.wait();
    product = dnnl::matmul(made);
    arguments = {{DNNL_ARG_SRC, x},
                 {DNNL_ARG_WEIGHTS, packed},
                 {DNNL_ARG_BIAS, bias},
                 {DNNL_ARG_DST, result}};
  }

  void run() {
    product.execute(stream, arguments);
    stream.wait();
  }
};

const bool added = [] {
  omp_set_num_threads(1);
  const dnnl_version_t& v = *dnnl_version();
  benchmark::AddCustomContext("peer", "oneDNN " + std::to_string(v.major) + '.' +
                                          std::to_string(v.minor) + '.' + std::to_string(v.patch));
  bench::add_dense_peer([](const bench::dense_data& data, bench::matrix<float>& y) -> bench::task {
    const auto made = std::make_shared<layer>(data, y);
    return [made] { made->run(); };
  });
  return true;
}();

}  // namespace
