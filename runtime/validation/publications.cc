// Publications' programs, run and listed (runtime/validation/publications.h).
#include "runtime/validation/publications.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/topology_file.h"
#include "runtime/validation/distributed_matmul.h"
#include "runtime/validation/encoder_pipeline.h"
#include "runtime/validation/lstm.h"
#include "runtime/validation/validate_testbed.h"

namespace lockstep {
namespace {

constexpr double kPeak = 2.0 * kHalfLanes * kTileRows;  // fp16 multiply-adds of a chip in a cycle

absl::StatusOr<Topology> Dragonfly(const std::string& topology_dir) {
  ASSIGN_OR_RETURN(TopologySpec spec, LoadTopology("dragonfly-264", topology_dir));
  return Topology::Create(std::move(spec));
}

absl::StatusOr<std::vector<PublicationRow>> Products(const std::string& topology_dir,
                                                     const ChipTiming& timing) {
  constexpr int kRows = 800, kK = 32576, kN = 8192;
  ASSIGN_OR_RETURN(const Topology whole, Dragonfly(topology_dir));
  ASSIGN_OR_RETURN(const LinkModel links, LinkModel::Create());
  const ChipTiming with_hops = WithHops(timing, links);
  std::vector<PublicationRow> rows;
  for (int nodes : {1, 2, 4, 7, 10, 13}) {
    PublicationRow row{"fp16 [800 x 32576] x [32576 x 8192], ISCA'22 5.4", nodes * kNodeChips, 0, 0,
                       ""};
    const auto m = CompileDistributedMatmul(kRows, kK, kN, nodes, links, with_hops);
    if (!m.ok()) {
      row.note = absl::StrCat("not run: ", m.status().message());
      rows.push_back(row);
      continue;
    }
    ASSIGN_OR_RETURN(const Topology part, whole.Subset(row.chips));
    RETURN_IF_ERROR(RunDistributedMatmul(*m, part, links, with_hops));
    const double peak = kPeak * row.chips;
    row.cycles = m->cycles;
    row.utilisation = 100.0 * kRows * kK * kN / (peak * static_cast<double>(m->cycles));
    row.note = absl::StrCat("product ", m->product_cycles, ", then reduction over 7 links");
    rows.push_back(row);
  }
  return rows;
}

absl::StatusOr<PublicationRow> LstmStep(const ChipTiming& timing) {
  const LstmShape shape{1280, 1280};
  const LstmMap map(shape);
  Placer placer(timing);
  PlaceLstmStep(placer, timing, shape, map);
  const Execution run = RunTiming(placer.Finish(), timing);
  if (run.fault) return absl::InternalError(run.Problem());
  const double useful = 4.0 * shape.hidden * shape.columns();
  const int64_t streaming = int64_t{map.i.weight_rows()} + map.f.weight_rows();
  return PublicationRow{"LSTM step, 1280 hidden, 1280 inputs, fp16", 1, run.end,
                        100 * useful / (kPeak * static_cast<double>(run.end)),
                        absl::StrCat("weights alone stream for ", streaming, " cycles")};
}

}  // namespace

absl::StatusOr<std::vector<PublicationRow>> RunPublications(const std::string& topology_dir,
                                                            const ChipTiming& timing) {
  ASSIGN_OR_RETURN(std::vector<PublicationRow> rows, Products(topology_dir, timing));
  ASSIGN_OR_RETURN(PublicationRow step, LstmStep(timing));
  rows.push_back(std::move(step));
  return rows;
}

EncoderShape BertLarge() { return {384, 16, 64, 4096}; }

absl::StatusOr<std::vector<PublicationRow>> RunEncoderPipelines(const EncoderShape& shape,
                                                                int layers,
                                                                const std::string& topology_dir,
                                                                const ChipTiming& timing) {
  ASSIGN_OR_RETURN(const Topology whole, Dragonfly(topology_dir));
  ASSIGN_OR_RETURN(const LinkModel links, LinkModel::Create());
  const ChipTiming with_hops = WithHops(timing, links);
  ASSIGN_OR_RETURN(const EncoderChip chip, CompileEncoderChip(shape, layers, with_hops));
  std::vector<PublicationRow> rows;
  for (int chips : {1, 4, 8, 16}) {
    ASSIGN_OR_RETURN(const Topology part, whole.Subset(chips));
    ASSIGN_OR_RETURN(const std::vector<ChipId> chain, ChainOfChips(part, chips));
    ASSIGN_OR_RETURN(const EncoderPipeline p, PipelineOf(chip, 2, part, chain, links, with_hops));
    RETURN_IF_ERROR(RunLaunches(p.launches, part, links, with_hops));
    const double macs = static_cast<double>(layers * shape.LayerMacs());
    rows.push_back({absl::StrCat("encoders, ", layers, " a chip, ", shape.positions,
                                 " positions of ", shape.hidden(), ", ", shape.heads, " heads, ",
                                 shape.ffn, ", fp16"),
                    chips, p.latency, 100 * macs / (kPeak * static_cast<double>(p.interval)),
                    absl::StrCat("an inference every ", p.interval, "; layers of a chip ",
                                 p.layer_cycles, ", transfer ", p.transfer_cycles)});
  }
  return rows;
}

std::string PublicationTable(const std::vector<PublicationRow>& rows) {
  std::string out =
      "| program | chips | cycles | us | utilisation | published | note "
      "|\n|---|---|---|---|---|---|---|\n";
  for (const PublicationRow& r : rows) {
    const bool ran = r.cycles > 0;
    absl::StrAppend(
        &out, "| ", r.what, " | ", r.chips, " | ", ran ? absl::StrCat(r.cycles) : std::string("-"),
        " | ",
        ran ? absl::StrFormat("%.2f", static_cast<double>(r.cycles) / 900.0) : std::string("-"),
        " | ", ran ? absl::StrFormat("%.1f %%", r.utilisation) : std::string("-"),
        " | no figure at hand | ", r.note, " |\n");
  }
  return out;
}

}  // namespace lockstep
