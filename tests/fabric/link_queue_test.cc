// The queue of a link: order, payloads, reuse of chunks, one thread against another.
#include "fabric/link_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace lockstep {
namespace {

TEST(LinkQueueTest, GivesBackWhatWasPushedInOrder) {
  LinkQueue queue;
  LinkPort::Arrival arrival;
  EXPECT_FALSE(queue.Front(&arrival));
  for (int64_t i = 0; i < 1000; ++i) {
    Vector v;
    v.bytes[7] = static_cast<uint8_t>(i);
    queue.Push(i, i % 3 == 0 ? &v : nullptr);
  }
  for (int64_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(queue.Front(&arrival));
    EXPECT_EQ(arrival.cycle, i);
    ASSERT_EQ(arrival.payload != nullptr, i % 3 == 0);
    if (arrival.payload != nullptr) {
      EXPECT_EQ(arrival.payload->bytes[7], static_cast<uint8_t>(i));
    }
    queue.Pop();
  }
  EXPECT_FALSE(queue.Front(&arrival));
}

TEST(LinkQueueTest, IsEmptyAfterClearWhateverItHeld) {
  LinkPort::Arrival arrival;
  for (int64_t pushed : {0, 1, 31, 32, 33, 64, 200}) {
    for (int64_t popped = 0; popped <= pushed; ++popped) {
      LinkQueue queue;
      for (int64_t i = 0; i < pushed; ++i) queue.Push(i, nullptr);
      for (int64_t i = 0; i < popped; ++i) queue.Pop();
      queue.Clear();
      ASSERT_FALSE(queue.Front(&arrival));
      queue.Push(77, nullptr);
      ASSERT_TRUE(queue.Front(&arrival));
      ASSERT_EQ(arrival.cycle, 77);
    }
  }
}

TEST(LinkQueueTest, OneThreadMayPushWhileAnotherPops) {
  LinkQueue queue;
  constexpr int64_t kVectors = 100'000;
  std::thread producer([&queue] {
    for (int64_t i = 0; i < kVectors; ++i) queue.Push(i, nullptr);
  });
  LinkPort::Arrival arrival;
  int64_t wrong = 0;
  for (int64_t i = 0; i < kVectors; ++i) {
    while (!queue.Front(&arrival)) std::this_thread::yield();
    wrong += arrival.cycle != i;
    queue.Pop();
  }
  producer.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace lockstep
