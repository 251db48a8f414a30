// SPDX-License-Identifier: MIT
// error: a quantized table has no gradient
#include <funnel/nn/quantized_embedding.hpp>

#ifdef MUST_FAIL
using context_type = funnel::training<float>;
#else
using context_type = funnel::inference<float>;
#endif

std::size_t run(context_type& context, const funnel::quantized_embedding<funnel::float16>& layer,
                std::span<const std::uint32_t> ids) {
  return layer(context, ids).rows();
}
