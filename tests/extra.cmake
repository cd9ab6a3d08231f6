# Tests that are not GoogleTest cases: the structure of the tree, launches, command lines.
