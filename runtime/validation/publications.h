#pragma once
// Programs of publications for which no figure is at hand to judge by: what came out, nothing
// fitted. What has a figure is in runtime/validation/validate.h.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/latency.h"
#include "runtime/validation/encoder.h"

namespace lockstep {

struct PublicationRow {
  std::string what;
  int chips = 1;
  int64_t cycles = 0;  // 0: it was not run, and the note says why
  double utilisation =
      0;  // useful multiply-adds over the fp16 peak of those chips in that time, in %
  std::string note;
};

// All on the timing engine, all chips of all nodes verified and run.
//
// The distributed product of ISCA'22 5.4 on 8 to 104 chips; an LSTM step on one chip.
absl::StatusOr<std::vector<PublicationRow>> RunPublications(const std::string& topology_dir,
                                                            const ChipTiming& timing);
// A pipeline of encoders on 1, 4, 8 and 16 chips, `layers` on each (runtime/validation/encoder_pipeline.h):
// two inferences one after the other. Cycles are the latency of one, utilisation that of inferences
// without pause.
absl::StatusOr<std::vector<PublicationRow>> RunEncoderPipelines(const EncoderShape& shape,
                                                                int layers,
                                                                const std::string& topology_dir,
                                                                const ChipTiming& timing);
// Of BERT-Large: 384 positions, 16 heads of 64, 4096 in the middle; as many layers as a chip holds.
EncoderShape BertLarge();
inline constexpr int kBertLargeLayers = 4;

std::string PublicationTable(const std::vector<PublicationRow>& rows);

}  // namespace lockstep
