# The structure of the tree (label structure): include rules, sizes, READMEs; headers that compile
# alone. REQUIRES: DEBIAN_PYTHON (tests/extra.cmake).
foreach(check check_layers check_layers_test)
  add_test(NAME ${check} COMMAND ${DEBIAN_PYTHON} -B ${CMAKE_SOURCE_DIR}/scripts/${check}.py)
  set_tests_properties(${check} PROPERTIES LABELS structure)
endforeach()

# Every header compiles alone. foo.cc includes foo.h before anything else (check_layers.py sees to
# it), which proves it for foo.h; each header without such a source gets one here that includes it
# twice and nothing else. Part of `all`; not optimised, as only the compiler's verdict counts.
file(GLOB LOCKSTEP_HEADERS CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
     ${CMAKE_SOURCE_DIR}/chip/*.h ${CMAKE_SOURCE_DIR}/fabric/*.h ${CMAKE_SOURCE_DIR}/fabric/*/*.h
     ${CMAKE_SOURCE_DIR}/runtime/*/*.h ${CMAKE_SOURCE_DIR}/launcher/*.h
     ${CMAKE_SOURCE_DIR}/launcher/*/*.h
     ${CMAKE_SOURCE_DIR}/tests/*/*.h)
set(HEADER_SOURCES)
foreach(header ${LOCKSTEP_HEADERS})
  string(REGEX REPLACE "[.]h$" ".cc" source ${header})
  if(NOT EXISTS ${CMAKE_SOURCE_DIR}/${source})
    string(REPLACE "/" "." name ${header})
    set(source ${CMAKE_CURRENT_BINARY_DIR}/header_check/${name}.cc)
    file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${header}\"\n#include \"${header}\"\n" @ONLY)
    list(APPEND HEADER_SOURCES ${source})
  endif()
endforeach()
add_library(header_check OBJECT ${HEADER_SOURCES})
target_link_libraries(header_check PRIVATE lockstep_flags lockstep_launcher PkgConfig::HWY
                      PkgConfig::XXHASH GTest::gmock)
target_compile_options(header_check PRIVATE -O0 -g0)
target_compile_definitions(header_check PRIVATE LOCKSTEP_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                           LOCKSTEP_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
