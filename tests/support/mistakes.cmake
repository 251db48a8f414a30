# SPDX-License-Identifier: MIT
# What a check finds wrong, collected so that one run of it says everything.

# Records a mistake, from any scope.
function(mistake text)
  set_property(GLOBAL APPEND_STRING PROPERTY mistakes "${text}\n")
endfunction()

# Fails with all mistakes, where there are any.
function(fail_on_mistakes)
  get_property(mistakes GLOBAL PROPERTY mistakes)
  if(mistakes)
    message(FATAL_ERROR "\n${mistakes}")
  endif()
endfunction()
