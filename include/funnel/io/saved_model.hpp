// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/features/encoded_log.hpp>
#include <funnel/features/feature_state.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/features/schema.hpp>
#include <funnel/io/model_file.hpp>
#include <funnel/io/model_writer.hpp>
#include <funnel/nn/detail/for_each_output.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/parameter.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace funnel {
namespace detail {

/// The scores that a model gives to the rows of a batch, in float.
template <class T, class Model>
std::vector<float> scores_of(const Model& model, const row_batch& rows) {
  inference_context<T> context;
  std::vector<float> scores;
  for_each_output(model(context, rows), [&](const auto& output) {
    for (std::size_t i = 0; i < output.rows(); ++i)
      for (std::size_t j = 0; j < output.cols(); ++j)
        scores.push_back(static_cast<float>(output(i, j)));
  });
  return scores;
}

}  // namespace detail

/// Saves a model with all that a server needs: the schema, the feature state, and rows with the
/// scores that the model gives to them, by which a loaded model is checked.
///
/// `past` is what `fit_schema` returned, or what `encode_log` returned for a later log: a server goes
/// on from its state.
///
/// `more(writer)` may add parts of one's own, such as calibration:
/// `[&](model_writer& file) { file.state("calibration", calibration); }`.
///
/// T is the number type of the model.
///
/// Errors      std::invalid_argument if the state was made for another schema; otherwise as
///             `model_writer`. The old file is unchanged then.
template <class T = float, HasParameters Model>
void save_model(const std::string& path, const Model& model, const schema& features,
                const encoded& past, const std::function<void(model_writer&)>& more = {}) {
  past.state.check(features, "save_model");
  std::vector<std::uint32_t> last(std::min<std::size_t>(8, past.rows.requests()));
  std::iota(last.begin(), last.end(),
            static_cast<std::uint32_t>(past.rows.requests() - last.size()));
  row_batch rows;
  past.rows.gather(last, rows);
  model_writer file;
  file.parameters("model", model).state("schema", features).state("state", past.state);
  file.state("golden_rows", rows).golden("scores", detail::scores_of<T>(model, rows));
  if (more) more(file);
  file.write(path);
}

/// A file that `save_model` wrote. Opening it checks it, and loads the schema and the feature state.
///
///     const saved_model file("ranker.safetensors");
///     ranker<float> model(file.features());
///     file.load(model);
///
/// Errors      format_error as `model_file`.
class saved_model {
 public:
  explicit saved_model(const std::string& path) : file_(path) {
    file_.load_state("schema", features_);
    state_ = feature_state(features_);
    file_.load_state("state", state_);
    if (state_.label() != features_.label())
      throw format_error(detail::join_text(path, ": the state was made for the schema \"",
                                           state_.label(), "\", expected \"", features_.label(),
                                           '"'));
  }

  const schema& features() const { return features_; }
  const feature_state& state() const { return state_; }
  /// The file, for parts of one's own.
  const model_file& file() const { return file_; }

  /// Loads the parameters, and checks that the model gives the scores of the file. A model that was
  /// constructed with other options than the saved one may differ only in them.
  ///
  /// Errors      format_error if parameters or scores differ. The model is unchanged then.
  template <class T = float, HasParameters Model>
  void load(Model& model) const {
    Model loaded = model;
    file_.load_parameters("model", loaded);
    row_batch rows;
    file_.load_state("golden_rows", rows);
    file_.check_golden("scores", detail::scores_of<T>(loaded, rows));
    model = std::move(loaded);
  }

 private:
  model_file file_;
  schema features_;
  feature_state state_;
};

}  // namespace funnel
