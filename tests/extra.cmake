# Tests that are not GoogleTest cases: the structure of the tree, launches, command lines.
if(TARGET launcher_tests)
  add_dependencies(launcher_tests lockstep)
endif()
