// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/inference_context.hpp>

#include "support/cpu_time.hpp"

#include <cstddef>

/// True if a frozen model of float, whose input is `user_columns` values of the user and one of the item,
/// computes the user's product once for all blocks of a request. The user's input must be nearly all
/// there is to compute: 16 blocks then do not cost 16 times one.
bool shares_user_product(const auto& frozen, std::size_t user_columns) {
  const funnel::matrix<float> user(1, user_columns, 1.f);
  const funnel::matrix<float> items(16 * 256, 1, 1.f);
  funnel::inference_context<float> context;
  const auto seconds = [&](std::size_t rows) {
    return cpu_time([&] {
      frozen(context, funnel::concat(context, user, items.view().middle_rows(0, rows)));
      context.reset();
    });
  };
  return seconds(16 * 256) < 4 * seconds(256);
}
