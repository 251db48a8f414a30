// SPDX-License-Identifier: MIT
// Whose headers are these? They are only looked at, not compiled through: that is what takes time.
#include <Eigen/src/Core/util/Macros.h>
#include <funnel/core/version.hpp>
#include <xsimd/config/xsimd_config.hpp>

static_assert(EIGEN_MINOR_VERSION == EXPECTED_EIGEN, "not the Eigen that the project brought");
static_assert(XSIMD_VERSION_PATCH == EXPECTED_XSIMD, "not the xsimd that the project brought");
#if defined(EXPECTED_TBB) && !defined(BROUGHT_TBB)
#error "not the oneTBB that the project brought"
#endif
