# Tests that are not GoogleTest cases: the structure of the tree, launches, command lines.
if(TARGET launcher_tests)
  add_dependencies(launcher_tests lockstep)
endif()

find_program(DEBIAN_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
add_test(NAME ModelTools COMMAND ${DEBIAN_PYTHON} -B ${CMAKE_SOURCE_DIR}/models/models_test.py)
set_tests_properties(ModelTools PROPERTIES LABELS unit ENVIRONMENT OPENBLAS_NUM_THREADS=1)
