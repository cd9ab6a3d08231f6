// Small messages: lengths and plain numbers, appended in order.
#include "fabric/agreement.h"

#include <cstring>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "chip/check.h"

namespace lockstep {
namespace {

template <typename T>
void Put(std::string* out, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Takes a number off the front; false if there are too few bytes.
template <typename T>
bool Take(absl::string_view* in, T* value) {
  if (in->size() < sizeof(T)) return false;
  std::memcpy(value, in->data(), sizeof(T));
  in->remove_prefix(sizeof(T));
  return true;
}

}  // namespace

std::vector<std::string> AllGather(Transport& transport, absl::string_view bytes) {
  std::vector<std::string> all = transport.Gather(bytes);
  std::string packed;
  for (const std::string& part : all) {
    Put<uint64_t>(&packed, part.size());
    packed += part;
  }
  transport.Broadcast(&packed);
  all.clear();
  absl::string_view rest = packed;
  uint64_t size = 0;
  while (Take(&rest, &size)) {
    LOCKSTEP_CHECK(size <= rest.size(), "%d bytes announced, %d left", size, rest.size());
    all.emplace_back(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  return all;
}

absl::Status AgreeOnStatus(Transport& transport, const absl::Status& mine) {
  const std::vector<std::string> all =
      AllGather(transport, mine.ok() ? "" : absl::StrCat(mine.message(), " "));
  for (size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank].empty()) continue;
    if (!mine.ok() && rank == static_cast<size_t>(transport.process().rank)) return mine;
    return absl::AbortedError(
        absl::StrCat("process ", rank, ": ", absl::StripSuffix(all[rank], " ")));
  }
  return absl::OkStatus();
}

absl::Status AgreeDigest(Transport& transport, uint64_t digest) {
  std::string mine;
  Put(&mine, digest);
  std::string differing;
  const std::vector<std::string> all = AllGather(transport, mine);
  const auto digest_of = [&](size_t rank) {
    uint64_t value = 0;
    absl::string_view bytes = all[rank];
    LOCKSTEP_CHECK(Take(&bytes, &value), "rank %d sent no digest", rank);
    return value;
  };
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    absl::StrAppendFormat(&differing, "%s rank %d has %016x", differing.empty() ? "" : ",", rank,
                          digest_of(rank));
  }
  if (differing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "the ranks hold different plans: rank 0 has digest %016x,%s", digest_of(0), differing));
}

std::optional<Fault> EarliestFault(Transport& transport, const std::optional<Fault>& mine) {
  std::optional<Fault> earliest;
  for (const std::string& bytes : AllGather(transport, mine ? SerializeFault(*mine) : "")) {
    if (bytes.empty()) continue;
    absl::StatusOr<Fault> fault = ParseFault(bytes);
    LOCKSTEP_CHECK(fault.ok(), "%s", fault.status().ToString());
    if (!earliest || fault->Before(*earliest)) earliest = *std::move(fault);
  }
  return earliest;
}

std::string SerializeFault(const Fault& fault) {
  std::string out;
  Put<uint8_t>(&out, static_cast<uint8_t>(fault.kind));
  Put<uint32_t>(&out, fault.chip);
  Put<int32_t>(&out, fault.queue);
  Put<int64_t>(&out, fault.cycle);
  Put<uint8_t>(&out, static_cast<uint8_t>(fault.instruction.op));
  Put<uint8_t>(&out, fault.instruction.joined ? 1 : 0);
  for (int32_t arg : fault.instruction.arg) Put(&out, arg);
  return out + fault.detail;
}

absl::StatusOr<Fault> ParseFault(absl::string_view bytes) {
  uint8_t kind = 0, op = 0, joined = 0;
  int32_t queue = 0;
  Fault fault{};
  bool ok = Take(&bytes, &kind) && Take(&bytes, &fault.chip) && Take(&bytes, &queue) &&
            Take(&bytes, &fault.cycle) && Take(&bytes, &op) && Take(&bytes, &joined);
  for (int32_t& arg : fault.instruction.arg) ok = ok && Take(&bytes, &arg);
  if (!ok || kind >= kFaultKinds || op >= kOpcodes) {
    return absl::DataLossError(absl::StrCat("no fault in these bytes: kind ", kind, ", op ", op));
  }
  fault.kind = static_cast<FaultKind>(kind);
  fault.queue = queue;
  fault.instruction.op = static_cast<Opcode>(op);
  fault.instruction.joined = joined != 0;
  fault.detail = std::string(bytes);
  return fault;
}

}  // namespace lockstep
