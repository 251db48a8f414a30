// SPDX-License-Identifier: MIT
#include <funnel/io/tensor.hpp>

#include "data/files.hpp"
#include "support/catch.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

using funnel::tensor;
using funnel::tensor_type;
using funnel::tensor_type_of;

namespace {

template <class T>
tensor tensor_of(std::span<const T> values, std::vector<std::size_t> shape) {
  return {"t", tensor_type_of<T>, std::move(shape), std::as_bytes(values)};
}

}  // namespace

TEST_CASE("tensor_type: names, sizes and C++ types") {
  CHECK(tensor_type_name(tensor_type::f64) == "F64");
  CHECK(tensor_type_name(tensor_type::bf16) == "BF16");
  CHECK(tensor_type_name(tensor_type::boolean) == "BOOL");
  CHECK(tensor_type_size(tensor_type::bf16) == 2);
  CHECK(tensor_type_size(tensor_type::u64) == 8);
  STATIC_REQUIRE(tensor_type_of<std::size_t> == tensor_type::u64);
  STATIC_REQUIRE(tensor_type_of<long long> == tensor_type::i64);
  STATIC_REQUIRE(tensor_type_of<int> == tensor_type::i32);
  STATIC_REQUIRE(tensor_type_of<signed char> == tensor_type::i8);
  STATIC_REQUIRE(tensor_type_of<char> == tensor_type::u8);
  STATIC_REQUIRE(tensor_type_of<bool> == tensor_type::boolean);
  STATIC_REQUIRE(tensor_type_of<funnel::float16> == tensor_type::f16);
}

TEST_CASE("tensor: a type with fewer digits is converted, one with more is not") {
  const std::vector<funnel::float16> halves{{0x3c00}, {0xc000}, {1}};
  const std::vector<funnel::bfloat16> brain{{0x3f80}, {0xc000}};
  const std::vector<float> floats{1.5f, -0.1f};
  const std::vector<double> doubles{1.5};
  const auto read = [](const auto& values) {
    return std::span<const std::remove_cvref_t<decltype(values[0])>>(values);
  };
  const auto a = funnel::detail::copied_matrix<float>("f", tensor_of(read(halves), {3, 1}));
  CHECK((a.rows() == 3 && a(0, 0) == 1 && a(1, 0) == -2 && a(2, 0) == 0x1p-24f));
  const auto b = funnel::detail::copied_matrix<double>("f", tensor_of(read(brain), {2}));
  CHECK((b.rows() == 1 && b(0, 0) == 1 && b(0, 1) == -2));
  const auto c = funnel::detail::copied_matrix<double>("f", tensor_of(read(floats), {1, 2}));
  CHECK((c(0, 0) == 1.5 && c(0, 1) == static_cast<double>(-0.1f)));
  CHECK(format_error_of(
            [&] { funnel::detail::copied_matrix<float>("f", tensor_of(read(doubles), {})); }) ==
        "f: tensor \"t\": the file has F64 [], expected F32 or a floating-point type with fewer "
        "digits");
  CHECK(!format_error_of([&] {
           funnel::detail::copied_matrix<std::int32_t>("f", tensor_of(read(floats), {2}));
         }).empty());
  CHECK(funnel::detail::copied_matrix<double>("f", tensor_of(read(doubles), {}))(0, 0) == 1.5);
}

TEST_CASE("tensor: the number of values of a shape, where it does not overflow") {
  const auto count = [](std::vector<std::size_t> shape, std::size_t most) {
    std::size_t n = 99;
    return funnel::detail::count_values(shape, most, n) ? n : SIZE_MAX;
  };
  CHECK(count({}, 1) == 1);
  CHECK(count({}, 0) == SIZE_MAX);
  CHECK(count({3, 4}, 12) == 12);
  CHECK(count({3, 4}, 11) == SIZE_MAX);
  CHECK(count({SIZE_MAX, SIZE_MAX}, SIZE_MAX / 8) == SIZE_MAX);
  CHECK(count({SIZE_MAX / 2, 3}, SIZE_MAX / 8) == SIZE_MAX);
  CHECK(count({SIZE_MAX, 0, SIZE_MAX}, 0) == 0);
}
