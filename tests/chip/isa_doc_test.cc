// The generated pages of docs/ are those that the tables give.
#include "chip/isa_doc.h"

#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

std::string ReadDoc(const std::string& name) {
  std::ifstream in(std::string(LOCKSTEP_SOURCE_DIR) + "/docs/" + name);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

TEST(IsaDocTest, IsaPageIsTheTable) {
  EXPECT_EQ(ReadDoc("isa.md"), IsaDocument(ChipTiming::Default())) << "run: lockstep isa";
}

TEST(IsaDocTest, AssumptionsPageIsTheTable) {
  // What follows is of scripts/studies/energy_cost.py (tests/studies_test.py).
  const std::string doc = ReadDoc("assumptions.md");
  EXPECT_EQ(doc.substr(0, doc.find("\n## Power")), AssumptionsDocument(ChipTiming::Default()))
      << "run: lockstep isa --assumptions";
}

}  // namespace
}  // namespace lockstep
