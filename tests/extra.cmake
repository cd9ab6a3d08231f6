# Tests that are not GoogleTest cases: the structure of the tree, launches, command lines.
if(TARGET launcher_tests)
  add_dependencies(launcher_tests lockstep lockstep-chip)
endif()

if(TARGET jobs_tests)
  add_dependencies(jobs_tests lockstep lockstep-chip lockstep-job)
endif()

find_program(DEBIAN_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
add_test(NAME ModelTools COMMAND ${DEBIAN_PYTHON} -B ${CMAKE_SOURCE_DIR}/models/models_test.py)
set_tests_properties(ModelTools PROPERTIES LABELS unit ENVIRONMENT OPENBLAS_NUM_THREADS=1)
# The same script with its defaults is a layer of Llama-2-70B.
add_test(NAME layer_check_small
         COMMAND ${DEBIAN_PYTHON} -B ${CMAKE_SOURCE_DIR}/models/layer_check.py
                 --lockstep $<TARGET_FILE:lockstep> --hidden 512 --ffn 1792 --heads 8 --kv-heads 8
                 --vocab 105 --tolerance 0.01)
set_tests_properties(layer_check_small PROPERTIES LABELS smoke ENVIRONMENT OPENBLAS_NUM_THREADS=1)

# The same script with its defaults is 4.9 GB in 1 GiB. Skipped, and shown so, without control groups.
# Not with the memory that sanitizers take beside the program's own.
if(NOT LOCKSTEP_SANITIZE)
  add_test(NAME beyond_memory_small
           COMMAND ${DEBIAN_PYTHON} -B ${CMAKE_SOURCE_DIR}/scripts/beyond_memory.py
                   --lockstep $<TARGET_FILE:lockstep> --topology groqrack --nodes 7 --layers 7
                   --hidden 1024 --ffn 6144 --heads 16 --kv-heads 8 --memory 130000000)
  set_tests_properties(beyond_memory_small PROPERTIES LABELS smoke SKIP_RETURN_CODE 77 TIMEOUT 300
                       ENVIRONMENT OPENBLAS_NUM_THREADS=1)
endif()

# --- transports over MPI: the conformance suite with 8, 4 and 2 ranks for 8 chips -----------------
add_executable(mpi_conformance fabric/mpi_conformance.cc)
target_link_libraries(mpi_conformance PRIVATE lockstep_flags GTest::gmock GTest::gtest
                      lockstep_fabric)
set(LOCKSTEP_MPIRUN ${MPIEXEC_EXECUTABLE} --oversubscribe --bind-to none --mca pml ob1)
execute_process(COMMAND id -u OUTPUT_VARIABLE LOCKSTEP_UID OUTPUT_STRIP_TRAILING_WHITESPACE)
if(LOCKSTEP_UID STREQUAL "0")  # a container
  list(APPEND LOCKSTEP_MPIRUN --allow-run-as-root)
endif()
foreach(ranks 8 4 2)
  add_test(NAME mpi_conformance_${ranks}_ranks
           COMMAND ${LOCKSTEP_MPIRUN} -n ${ranks} $<TARGET_FILE:mpi_conformance> --gtest_brief=1)
  set_tests_properties(mpi_conformance_${ranks}_ranks PROPERTIES LABELS "mpi;conformance"
                       TIMEOUT 300 PROCESSORS 2)
endforeach()
# A rank that mpirun did not start says how to start it.
add_test(NAME mpi_without_mpirun_is_refused COMMAND mpi_conformance)
set_tests_properties(mpi_without_mpirun_is_refused PROPERTIES LABELS mpi
                     PASS_REGULAR_EXPRESSION "not started as an MPI rank; start it as `mpirun .*-n")
# --- end of transports over MPI -------------------------------------------------------------------

# --- lockstep run over MPI ------------------------------------------------------------------------
foreach(case same by_hand killed stopped abandoned errors heads int8 int8_cache prefill stories
             tiny)
  add_test(NAME run_smoke_${case}
           COMMAND ${DEBIAN_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/run_smoke.py
                   ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_SOURCE_DIR} ${case})
  set_tests_properties(run_smoke_${case} PROPERTIES LABELS "smoke;mpi" TIMEOUT 600 PROCESSORS 2
                       SKIP_RETURN_CODE 77)
endforeach()

# --- studies: quick, from nothing and once more from what is there ---------------------------------
add_test(NAME studies_quick
         COMMAND ${DEBIAN_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/studies_test.py
                 ${CMAKE_SOURCE_DIR} $<TARGET_FILE:lockstep>)
set_tests_properties(studies_quick PROPERTIES LABELS study TIMEOUT 900)
add_test(NAME readme_shows_what_is_printed
         COMMAND ${DEBIAN_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/readme_test.py
                 ${CMAKE_SOURCE_DIR} ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
set_tests_properties(readme_shows_what_is_printed PROPERTIES LABELS "study;mpi" TIMEOUT 600
                     PROCESSORS 2)
add_test(NAME page_in_a_browser
         COMMAND ${DEBIAN_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/page_browser_test.py
                 ${CMAKE_SOURCE_DIR} $<TARGET_FILE:lockstep>)
set_tests_properties(page_in_a_browser PROPERTIES LABELS study TIMEOUT 900)

# --- packing and hosts ----------------------------------------------------------------------------
# hosts is skipped, and shown so, where no network namespaces can be made.
foreach(case packing model_packing hosts)
  add_test(NAME collective_smoke_${case}
           COMMAND ${DEBIAN_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/collective_smoke.py
                   ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_SOURCE_DIR} ${case})
  set_tests_properties(collective_smoke_${case} PROPERTIES LABELS "smoke;mpi" TIMEOUT 600
                       PROCESSORS 2 SKIP_RETURN_CODE 77)
endforeach()

# --- the controller, as clients see it --------------------------------------------------------------
foreach(case service security kill hostile stranger documents many studies)
  add_test(NAME controller_${case}
           COMMAND ${DEBIAN_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/controller/${case}_test.py
                   ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_SOURCE_DIR})
  set_tests_properties(controller_${case} PROPERTIES LABELS "controller;mpi" TIMEOUT 600 PROCESSORS 2)
endforeach()

# --- golden timelines -----------------------------------------------------------------------------
add_test(NAME golden_timelines
         COMMAND ${DEBIAN_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/golden/run_golden.py
                 $<TARGET_FILE:lockstep>)
set_tests_properties(golden_timelines PROPERTIES LABELS golden TIMEOUT 300)
# --- end of golden timelines ----------------------------------------------------------------------
