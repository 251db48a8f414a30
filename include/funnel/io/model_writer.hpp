// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/printable.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/state.hpp>
#include <funnel/io/detail/json.hpp>
#include <funnel/io/detail/tensor_stream.hpp>
#include <funnel/io/tensor.hpp>
#include <funnel/nn/parameter.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace funnel {
namespace detail {

/// The version of the model file format that `model_writer` writes, and the newest that
/// `model_file` reads.
inline constexpr std::size_t model_format = 1;

/// Keys in the metadata of a model file.
inline constexpr std::string_view format_key = "funnel.format";
inline constexpr std::string_view part_key = "funnel.part.";
inline constexpr std::string_view reserved_keys = "funnel.";

/// The part that golden values are in.
inline constexpr std::string_view golden_part = "golden";

}  // namespace detail

/// Writes a model file: the parameters of models, the state of objects, texts, and golden values.
/// `model_file` reads it.
///
///     model_writer().parameters("model", model).state("schema", schema).write("ranker.safetensors");
///
/// The file is a safetensors file that other programs read too. A tensor's name is that of its part
/// and its path, "model.experts.0.layers.1.weight". Every tensor and the header have a checksum.
/// docs/io.md has the format.
///
/// The writer refers to models and objects until `write` returns. `write` visits each of them
/// twice, first for the sizes. A write that fails or is interrupted leaves the old file as it was.
///
/// Errors      std::invalid_argument for a part that is empty, used twice, has a dot or begins with
///             "_", for a field that is visited twice, for a text that is not UTF-8;
///             std::system_error, with the file and the system's reason, if the file cannot be
///             written.
class model_writer {
 public:
  /// Adds the parameters of a model.
  template <HasParameters Model>
  model_writer& parameters(const std::string& part, const Model& model) {
    const std::string prefix = part + '.';
    return add(part, "parameters", [&model, prefix](const sink& to) {
      for_each_parameter(model, [&]<class T>(std::string_view path, const parameter<T>& p) {
        to(prefix + std::string(path), tensor_type_of<T>, {p.rows(), p.cols()},
           std::as_bytes(p.value.flat()));
      });
    });
  }
  template <HasParameters Model>
  void parameters(const std::string& part, const Model&& model) = delete;  // it would be gone

  /// Adds the state of an object.
  template <HasState Object>
  model_writer& state(const std::string& part, const Object& object) {
    return add(part, "state", [&object, part](const sink& to) {
      const auto visit = [&]<class F>(std::string_view path, const F& field) {
        if constexpr (std::is_arithmetic_v<F>) {
          to(std::string(path), tensor_type_of<F>, {}, std::as_bytes(std::span(&field, 1)));
        } else {
          using type = std::remove_cvref_t<decltype(*field.data())>;
          to(std::string(path), tensor_type_of<type>, {field.size()},
             std::as_bytes(std::span<const type>(field.data(), field.size())));
        }
      };
      for_each_state(object, visit, part);
    });
  }
  template <HasState Object>
  void state(const std::string& part, const Object&& object) = delete;

  /// Adds a text.
  ///
  /// Errors      std::invalid_argument if the key is there already or begins with "funnel.", or one
  ///             of the texts is not UTF-8.
  model_writer& text(std::string key, std::string value) {
    detail::check_text("model_writer::text", texts_, key, value);
    if (key.starts_with(detail::reserved_keys))
      detail::fail_check("model_writer::text", "key", " is \"", detail::printable(key),
                         "\", expected one that does not begin with ", detail::reserved_keys);
    texts_.emplace_back(std::move(key), std::move(value));
    return *this;
  }

  /// Adds values by which a loaded model can be checked: encoded inputs, and the scores that the
  /// saved model gave for them. They are copied. `values` is a vector, span or matrix.
  template <class Values>
  requires requires(const Values& values) { values.data(); }
  model_writer& golden(std::string_view name, const Values& values) {
    using type = std::remove_cvref_t<decltype(*values.data())>;
    golden_values g{.name = join(detail::golden_part, name),
                    .type = tensor_type_of<type>,
                    .shape = {},
                    .bytes = {}};
    const auto append = [&](std::span<const type> row) {
      const auto bytes = std::as_bytes(row);
      g.bytes.insert(g.bytes.end(), bytes.begin(), bytes.end());
    };
    if constexpr (requires { values.rows(); }) {
      const matrix_view<const type> view = values;
      g.shape = {view.rows(), view.cols()};
      for (std::size_t i = 0; i < view.rows(); ++i) append(view.row(i));
    } else {
      g.shape = {values.size()};
      append({values.data(), values.size()});
    }
    golden_.push_back(std::move(g));
    return *this;
  }
  /// The same for a tensor of another file.
  model_writer& golden(std::string_view name, const tensor& values) {
    golden_.push_back({join(detail::golden_part, name),
                       values.type,
                       values.shape,
                       {values.bytes.begin(), values.bytes.end()}});
    return *this;
  }

  void write(const std::string& path) const {
    std::vector<detail::tensor_entry> entries;
    visit([&](std::string name, tensor_type type, std::vector<std::size_t> shape,
              std::span<const std::byte> bytes) {
      entries.push_back({std::move(name), type, std::move(shape), bytes.size()});
    });
    std::vector<detail::key_and_text> texts = texts_;
    texts.emplace_back(detail::format_key, std::to_string(detail::model_format));
    for (const model_part& p : parts_)
      texts.emplace_back(join(detail::part_key, p.name, ""), p.kind);
    detail::tensor_stream file("model_writer::write", path, entries, texts, true);
    std::size_t at = 0;
    visit([&](const std::string& name, tensor_type type, const std::vector<std::size_t>& shape,
              std::span<const std::byte> bytes) {
      const bool same = at < entries.size() && entries[at].name == name &&
                        entries[at].type == type && entries[at].shape == shape;
      if (!same) fail_changed(name);
      ++at;
      file.put(bytes);
      file.end();
    });
    if (at < entries.size()) fail_changed(entries[at].name);
    file.commit();
  }

 private:
  using sink =
      std::function<void(std::string name, tensor_type type, std::vector<std::size_t> shape,
                         std::span<const std::byte> bytes)>;
  struct model_part {
    std::string name, kind;
    std::function<void(const sink&)> visit;
  };
  struct golden_values {
    std::string name;
    tensor_type type;
    std::vector<std::size_t> shape;
    std::vector<std::byte> bytes;
  };

  static std::string join(std::string_view a, std::string_view b, std::string_view between = ".") {
    return detail::join_text(a, between, b);
  }
  [[noreturn]] static void fail_changed(const std::string& name) {
    detail::fail_check("model_writer::write", detail::printable(name),
                       " changed while the file was written, expected the same fields twice");
  }

  model_writer& add(std::string name, std::string kind, std::function<void(const sink&)> visit) {
    const bool taken = std::ranges::find(parts_, name, &model_part::name) != parts_.end();
    if (name.empty() || name.find('.') != name.npos || name.starts_with('_') ||
        !detail::is_utf8(name) || name == detail::golden_part || taken)
      detail::fail_check("model_writer", "part", " is \"", detail::printable(name),
                         "\", expected a name of its own, in UTF-8, without a dot, that does not "
                         "begin with _ and is not golden");
    parts_.push_back({std::move(name), std::move(kind), std::move(visit)});
    return *this;
  }

  void visit(const sink& to) const {
    for (const model_part& p : parts_) p.visit(to);
    for (const golden_values& g : golden_) to(g.name, g.type, g.shape, g.bytes);
  }

  std::vector<model_part> parts_;
  std::vector<golden_values> golden_;
  std::vector<detail::key_and_text> texts_;
};

}  // namespace funnel
