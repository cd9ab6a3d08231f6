// Files that are whole or absent.
#include "runtime/files/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/chip/test_folder.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class AtomicFileTest : public WithFolder {
 protected:
  std::string Path() const { return folder_.File("out"); }
  std::string Content() const {
    std::ifstream in(Path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  int Files() const {
    return static_cast<int>(std::distance(fs::directory_iterator(folder_.path()), {}));
  }
};

TEST_F(AtomicFileTest, AppearsOnlyWithCommit) {
  AtomicFile file = AtomicFile::Create(Path()).value();
  ASSERT_TRUE(file.Append("ab").ok());
  EXPECT_FALSE(fs::exists(Path()));
  ASSERT_TRUE(file.Append("c").ok());
  ASSERT_TRUE(file.Commit().ok());
  EXPECT_EQ(Content(), "abc");
  EXPECT_EQ(Files(), 1);
}

TEST_F(AtomicFileTest, LeavesNothingWithoutCommit) {
  { ASSERT_TRUE(AtomicFile::Create(Path())->Append("ab").ok()); }
  EXPECT_EQ(Files(), 0);
}

TEST_F(AtomicFileTest, KeepsTheOldFileUntilCommit) {
  ASSERT_TRUE(WriteAtomically(Path(), "old").ok());
  { ASSERT_TRUE(AtomicFile::Create(Path())->Append("new").ok()); }
  EXPECT_EQ(Content(), "old");
  ASSERT_TRUE(WriteAtomically(Path(), "new").ok());
  EXPECT_EQ(Content(), "new");
}

TEST_F(AtomicFileTest, WritesMoreThanItsBuffer) {
  const std::string much(1'000'000, 'x');
  ASSERT_TRUE(WriteAtomically(Path(), much).ok());
  EXPECT_EQ(Content(), much);
}

TEST_F(AtomicFileTest, AFullDiskIsAnErrorWithTheNameAndTheReason) {
  const absl::Status status = WriteAtomically("/dev/full", "x");
  EXPECT_THAT(status.message(), HasSubstr("cannot write /dev/full: No space left"));
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST_F(AtomicFileTest, AMissingFolderIsAnErrorAtOnce) {
  const auto file = AtomicFile::Create(folder_.path() / "no" / "out");
  EXPECT_THAT(file.status().message(), HasSubstr("No such file"));
}

}  // namespace
}  // namespace lockstep
