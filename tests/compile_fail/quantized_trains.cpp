// SPDX-License-Identifier: MIT
// error: a quantized table has no gradient
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/quantized_embedding.hpp>
#include <funnel/nn/training_context.hpp>

#ifdef MUST_FAIL
using context_type = funnel::training_context<float>;
#else
using context_type = funnel::inference_context<float>;
#endif

std::size_t run(context_type& context, const funnel::quantized_embedding<funnel::float16>& layer,
                std::span<const std::uint32_t> ids) {
  return layer(context, ids).rows();
}
