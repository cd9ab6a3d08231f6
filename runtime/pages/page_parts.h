#pragma once
// Sections of a page, each from one file of a job; empty where the file has nothing to show.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lockstep {

using PageJson = nlohmann::ordered_json;

// A number or text at a path such as "plan.weights", as text; empty if it is not there.
std::string JsonText(const PageJson& json, const std::string& path);

// The same, with a whole number's digits in groups of three.
std::string FigureText(const PageJson& json, const std::string& path);

// `rows` of cells, the first of them the heads, which are left out when all are empty; numbers to
// the right.
std::string HtmlTable(const std::vector<std::vector<std::string>>& rows);
std::string Heading(const char* text);
// A whole number from 0 to what a double holds.
bool IsWhole(const PageJson& value);

// Of a run's report: plan, SRAM, where cycles go, stages one after the other.
std::string RunSections(const PageJson& report);
// Of a plan: bound, stages with what lies on a chip.
std::string PlanSections(const PageJson& report);
// Of one collective.
std::string CollectiveSection(const PageJson& report);
// Of links.csv; `per_node`: chips, 0 if unknown. Above 128 chips cells are nodes.
std::string LinkSection(const std::string& csv, int per_node);
// The first cycles of the first chip in a timeline.json.
std::string TimelineSection(const std::string& json);
// Of a report.csv of `lockstep compare`.
std::string ComparisonSection(const std::string& csv);

}  // namespace lockstep
