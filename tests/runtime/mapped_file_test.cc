// A mapped file shows its bytes, outlives a move, and names what it refuses.

#include "runtime/files/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/runtime/model_files.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(MappedFileTest, ShowsTheBytesAndKeepsThemAcrossAMove) {
  TempFolder folder;
  auto file = MappedFile::Open(folder.Write("a", "hello"));
  ASSERT_TRUE(file.ok()) << file.status();
  const uint8_t* const before = file->bytes().data();
  MappedFile moved = *std::move(file);
  EXPECT_EQ(moved.text(), "hello");
  EXPECT_EQ(moved.bytes().data(), before);
  auto other = MappedFile::Open(folder.Write("b", "other"));
  ASSERT_TRUE(other.ok());
  moved = *std::move(other);
  EXPECT_EQ(moved.text(), "other");
}

TEST(MappedFileTest, AMissingFileIsNotFound) {
  const auto file = MappedFile::Open("/nonexistent/file");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("/nonexistent/file"));
}

TEST(MappedFileTest, ADirectoryAnEmptyFileAndAPipeAreRefused) {
  TempFolder folder;
  EXPECT_THAT(MappedFile::Open(folder.path()).status().ToString(), HasSubstr("is a directory"));
  EXPECT_THAT(MappedFile::Open(folder.Write("e", "")).status().ToString(), HasSubstr("is empty"));
  const std::string pipe = folder.path() + "/pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(MappedFile::Open(pipe).status().ToString(), HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace lockstep
