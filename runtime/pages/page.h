#pragma once
// What a job left, as one HTML page that needs nothing else: no script, no network, pictures in it.
//
//   report.json    figures; of a run where its time goes, how much SRAM; of a plan its stages
//   links.csv      heat map of the links
//   timeline.json  the first cycles of a chip
//   report.csv     comparison with GPUs, and its curves (report.svg)
//   table.txt      as it was printed
//
// Whatever is there is shown; what cannot be read is named on the page.

#include <map>
#include <string>
#include <vector>

namespace lockstep {

struct PageJob {
  std::string title;                         // "j17, run, SUCCEEDED"
  std::map<std::string, std::string> files;  // content by name
};

// Several jobs stand one after the other; runs among them are compared first, figure by figure.
std::string ReportPage(const std::vector<PageJob>& jobs);

}  // namespace lockstep
