# SPDX-License-Identifier: MIT
# cmake -D root=<include/funnel> -P header_names.cmake
#
# A header `x_y.hpp` declares what its name says: a type, concept or function `x_y`, or one whose name
# begins with `x_y_` or ends with `_x_y` (a concept: `XY`). One that holds a family is named after the
# family, and listed here with its members. None has more than 400 lines: past that it holds two things.
# Every member of an aggregate of options has a default: without one, compilers warn in programs that don't
# set it.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/mistakes.cmake)

# path without .hpp: members
set(families
    "adapters/faiss: faiss_index"
    "adapters/hnswlib: hnsw_index hnsw_options"
    "adapters/tbb: tbb_executor"
    "adapters/xgboost: xgboost_calibration"
    "core/detail/build: FUNNEL_INLINE"
    "core/detail/checks: check_that check_size check_each check_finite check_offsets"
    "core/detail/json_text: utf8_length is_utf8 append_json_string"
    "core/detail/mean: saturated weight_total weighted_sum_of"
    "core/detail/sizes: array_size blocks_of owned_size"
    "core/eigen: row_matrix as_eigen as_view"
    "core/ids: item_id user_id author_id category_id cluster_id"
    "core/math: sigmoid softplus logit log_sum_exp"
    "core/version: FUNNEL_VERSION"
    "data/arrow: read_arrow"
    "data/csv_columns: read_csv csv_type"
    "data/detail/entry_runs: held_entry spilled_run run_reader merge_runs"
    "data/detail/file_format: foreign_format format_bytes"
    "data/detail/log_record: begin_record end_record read_head"
    "data/detail/logged_lists: list_builder list_collector outcome_table"
    "data/detail/logged_rows_bytes: write_rows read_rows"
    "data/log_histories: history_impressions remove_days_of_histories"
    "data/logged_rows: training_rows hard_negatives distillation_lists"
    "data/splits: row_split split_by_time split_by_user leave_last_out"
    "diversity/detail/greedy: pick_greedily pick_by_relevance"
    "evaluation/detail/number_text: append_json_number width_of column_texts"
    "evaluation/detail/report_names: check_report_name is_in_group"
    "evaluation/detail/resampled_metrics: resampled_auc resampled_gauc resampled_copies"
    "evaluation/detail/user_resamples: user_rows rows_by_user draw_users"
    "features/detail/packed_state: packed_state unpack_state"
    "features/detail/row_features: write_row number_limits"
    "features/detail/side_reader: read_side read_id columns_of_side"
    "features/detail/fill_batch: clear_batch add_side_row scale_numbers"
    "features/detail/plan_columns: column_planner"
    "features/feature_kinds: category number rate history"
    "features/hashing: pair_key mix_key hash_row category_key"
    "features/missing_values: feature_coverage missing_indicators"
    "features/smoothing: beta_prior smoothed_rate wilson_lower_bound fit_beta_moments"
    "features/standardize: standardizer"
    "index/detail/best_items: add_to_best found_before"
    "index/item_filter: all_items item_bitmap"
    "io/detail/nearest_name: edit_distance did_you_mean"
    "loss/detail/row_weights: check_logits check_weights weight_of total_of divided_by"
    "metrics/detail/ranked_rows: scores_below auc_of_sorted"
    "nn/activation: activate"
    "nn/detail/rows: middle_cols middle_rows copy_rows"
    "nn/elementwise: add subtract multiply affine"
    "nn/elementwise: add multiply affine"
    "nn/initialization: initialize"
    "nn/normalization: layer_norm batch_norm"
    "nn/sum: sum mean row_sum row_mean"
    "nn/similarity: l2_normalize row_dot cosine multi_dot pairwise_dot"
    "sequence/history_search: hard_search soft_search filter_union"
    "sequence/sampling: sample_sequence sample_sequence_balanced"
    "simd/attention: fold_rows_kernel weighted_rows_kernel"
    "simd/dense_gradient: input_gradient_kernel weight_gradient_kernel column_sums_kernel"
    "simd/elementwise: exp_kernel log_kernel log1p_kernel softplus_kernel"
    "simd/embedding: bag_kernel gather_kernel scatter_add_kernel"
    "simd/optimizer: sgd_kernel adagrad_kernel adam_kernel"
    "simd/reduce: dot_kernel squares_kernel max_kernel exp_sum_kernel"
    "training/detail/training_run: training_run leaf_cut"
    "training/train_options: train_options train_callbacks train_progress train_result"
    "simd/stored_value: to_float load_stored")

set(listed "")
foreach(family IN LISTS families)
  string(REGEX MATCH "^([^:]*): (.*)$" family "${family}")
  set(path ${CMAKE_MATCH_1})
  list(APPEND listed ${path})
  separate_arguments(members_${path} UNIX_COMMAND "${CMAKE_MATCH_2}")
  if(NOT EXISTS ${root}/${path}.hpp)
    mistake("there is no ${path}.hpp, of the families in ${CMAKE_CURRENT_LIST_FILE}")
  endif()
endforeach()

file(GLOB_RECURSE headers RELATIVE ${root} ${root}/*.hpp)
foreach(header IN LISTS headers)
  if(header STREQUAL "funnel.hpp")
    continue()
  endif()
  file(READ ${root}/${header} text)
  string(REPLACE ";" "@" text "${text}")  # semicolons and brackets join and split lists
  string(REGEX REPLACE "[][]" " " text "${text}")
  string(REGEX MATCHALL "\n" lines "${text}")
  list(LENGTH lines count)
  if(count GREATER 400)
    mistake("${header} has ${count} lines, more than 400: it holds two things")
  endif()
  string(REGEX REPLACE "//[^\n]*" "" text "${text}")
  string(REPLACE "{}" "" text "${text}")
  string(REGEX MATCHALL "\nstruct [a-z0-9_]+_(options|term|schedule) [{][^}]*\n *[a-z_][A-Za-z0-9_:<>, ]* [a-z_]+@"
         bare "${text}")
  foreach(member IN LISTS bare)
    string(REGEX REPLACE "^.*[\n ]([a-z_]+)@$" "\\1" member "${member}")
    mistake("${header}: the option ${member} has no default")
  endforeach()
  string(REGEX REPLACE "[.]hpp$" "" path ${header})
  cmake_path(GET path FILENAME name)
  if(path IN_LIST listed)
    foreach(member IN LISTS members_${path})
      if(NOT text MATCHES "(^|[^A-Za-z0-9_])${member}([^A-Za-z0-9_]|$)")
        mistake("${header}: there is no ${member}, which its family lists")
      endif()
    endforeach()
    continue()
  endif()
  string(REPLACE "_" ";" words ${name})
  set(concept "")
  foreach(word IN LISTS words)
    string(SUBSTRING ${word} 0 1 first)
    string(TOUPPER ${first} first)
    string(SUBSTRING ${word} 1 -1 rest)
    string(APPEND concept ${first}${rest})
  endforeach()
  # A declaration starts a line.
  set(own "([a-z0-9_]*_)?${name}(_[a-z0-9_]*)?")
  if(NOT text MATCHES "\n(struct|class|enum class|using) ${own}[ ;{<\n]" AND NOT text MATCHES "\n *concept ${concept} "
     AND NOT text MATCHES "\n[A-Za-z][^\n(=]*[ >&*]${own}\\(" AND NOT text MATCHES "\n${own}\\(")
    mistake("${header} declares nothing of its name; a family is listed in ${CMAKE_CURRENT_LIST_FILE}")
  endif()
endforeach()

fail_on_mistakes()
