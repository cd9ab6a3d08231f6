// Parsing of programs (chip/text.h): a cursor over one line at a time; the text is never copied.
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/charconv.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "chip/check.h"
#include "chip/half.h"
#include "chip/text.h"
#include "chip/text_syntax.h"

namespace lockstep {
namespace {

// What of a bad value an error shows.
std::string Quote(absl::string_view bad) {
  constexpr size_t kShown = 40;
  return absl::StrCat("`", absl::CHexEscape(bad.substr(0, kShown)),
                      bad.size() > kShown ? "..." : "", "`");
}

bool IsWordChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-' ||
         c == '+' || c == '#';
}

// A number, decimal or 0x.., that fits int64.
std::optional<int64_t> ParseNumber(absl::string_view text) {
  const bool negative = absl::ConsumePrefix(&text, "-");
  const bool hex = absl::ConsumePrefix(&text, "0x");
  uint64_t magnitude = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, magnitude, hex ? 16 : 10);
  if (text.empty() || error != std::errc() || stop != end) return std::nullopt;
  if (magnitude > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return negative ? -static_cast<int64_t>(magnitude) : static_cast<int64_t>(magnitude);
}

// One line, read left to right. The text of a token remembers its own column.
class Line {
 public:
  Line(absl::string_view text, int number) : whole_(text), number_(number) {
    rest_ = text.substr(0, text.find(';'));
    Skip();
  }
  bool AtEnd() const { return rest_.empty(); }
  absl::string_view rest() const { return rest_; }
  // The longest word from here on, perhaps empty.
  absl::string_view Word() {
    size_t n = 0;
    while (n < rest_.size() && IsWordChar(rest_[n])) ++n;
    const absl::string_view word = rest_.substr(0, n);
    rest_.remove_prefix(n);
    Skip();
    return word;
  }
  bool Take(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    Skip();
    return true;
  }
  // `at` is a piece of this line.
  absl::Status Error(absl::string_view at, absl::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", number_, ", column ",
                                                   at.data() - whole_.data() + 1, ": ", why));
  }

 private:
  void Skip() {
    while (!rest_.empty() && absl::ascii_isspace(static_cast<unsigned char>(rest_[0]))) {
      rest_.remove_prefix(1);
    }
  }
  absl::string_view whole_, rest_;
  int number_;
};

class Parser {
 public:
  explicit Parser(bool data) : data_(data) {}

  absl::StatusOr<ProgramFile> Parse(absl::string_view text) {
    for (int number = 1; !text.empty(); ++number) {
      const size_t n = std::min(text.find('\n'), text.size());
      Line line(text.substr(0, n), number);
      RETURN_IF_ERROR(ParseLine(line));
      text.remove_prefix(std::min(n + 1, text.size()));
    }
    return std::move(file_);
  }

 private:
  absl::Status ParseLine(Line& line) {
    if (line.AtEnd()) return absl::OkStatus();
    const absl::string_view start = line.rest();
    const bool joined = line.Take('&');
    const absl::string_view word = line.Word();
    if (word.empty()) return line.Error(start, absl::StrCat("no instruction: ", Quote(start)));
    absl::Status status;
    if (!joined && word[0] == '.') {
      status = Directive(line, word);
    } else if (!joined && line.Take(':')) {
      status = Section(line, word);
    } else {
      status = ParseInstruction(line, start, word, joined);
    }
    RETURN_IF_ERROR(status);
    if (line.AtEnd()) return absl::OkStatus();
    return line.Error(line.rest(), absl::StrCat("unexpected ", Quote(line.rest())));
  }

  absl::Status Section(const Line& line, absl::string_view name) {
    const std::optional<int> queue = QueueByName(name);
    if (!queue) return line.Error(name, absl::StrCat("no queue is called ", Quote(name)));
    queue_ = *queue;
    return absl::OkStatus();
  }

  absl::Status Directive(Line& line, absl::string_view name) {
    if (name == ".fetched") {
      file_.program.fetched = true;
      return absl::OkStatus();
    }
    if (name != ".word" && name != ".dump") {
      return line.Error(name, absl::StrCat("no directive is called ", Quote(name)));
    }
    if (!data_) return line.Error(name, absl::StrCat(name, " is not allowed here"));
    ASSIGN_OR_RETURN(const int slice, Number(line, "slice", 0, kSlices - 1));
    ASSIGN_OR_RETURN(const int address, Number(line, "address", 0, kWordsPerSlice - 1));
    if (name == ".word") return ParseWord(line, slice, address);
    int count = 1;
    if (!line.AtEnd()) {
      ASSIGN_OR_RETURN(count, Number(line, "count", 1, kWordsPerSlice - address));
    }
    file_.dumps.push_back({slice, address, count});
    return absl::OkStatus();
  }

  absl::Status ParseWord(Line& line, int slice, int address) {
    if (!line.Take('=')) return line.Error(line.rest(), "`=` expected");
    const absl::string_view hex = line.Word();
    const size_t n = hex.size() / 2;
    bool good = n > 0 && hex.size() % 2 == 0 && kVectorBytes % n == 0;
    for (const char c : hex) good = good && absl::ascii_isxdigit(static_cast<unsigned char>(c));
    if (!good) {
      return line.Error(hex, absl::StrCat("not 1..320 bytes of hex in a number that divides 320: ",
                                          Quote(hex)));
    }
    const std::string bytes = absl::HexStringToBytes(hex);
    SramWord& word = file_.words.emplace_back(SramWord{slice, address, {}});
    for (int i = 0; i < kVectorBytes; ++i) word.value.bytes[i] = static_cast<uint8_t>(bytes[i % n]);
    return absl::OkStatus();
  }

  absl::Status ParseInstruction(Line& line, absl::string_view start, absl::string_view name,
                                bool joined) {
    const std::optional<Opcode> op = OpcodeByName(name);
    if (!op) return line.Error(name, absl::StrCat("no instruction is called ", Quote(name)));
    if (!queue_) return line.Error(start, absl::StrCat(name, " stands in no queue"));
    if (!QueueTakes(*queue_, *op)) {
      return line.Error(name, absl::StrCat(QueueName(*queue_), " does not issue ", name));
    }
    Instruction instr{*op, joined, {}};
    const OpInfo& info = Info(*op);
    for (int i = 0; i < info.operand_count; ++i) {
      if (IsImmediateOfStream(info, i)) continue;
      if (i > 0 && !line.Take(',')) {
        return line.Error(line.rest(), absl::StrCat("`, ", info.operands[i].name, "` expected"));
      }
      RETURN_IF_ERROR(Operand(line, i, instr));
    }
    if (std::string bad = Validate(instr); !bad.empty()) return line.Error(start, bad);
    file_.program.queues[*queue_].push_back(instr);
    return absl::OkStatus();
  }

  absl::Status Operand(Line& line, int index, Instruction& instr) {
    const OperandInfo& o = Info(instr.op).operands[index];
    switch (o.kind) {
      case OperandKind::kType: return Type(line, o, instr.arg[index]);
      case OperandKind::kStreamIn:
      case OperandKind::kStreamOut: return Stream(line, o, false, instr.arg[index]);
      case OperandKind::kStreamOutOrNone: return Stream(line, o, true, instr.arg[index]);
      case OperandKind::kImmediate: return Immediate(line, index, instr);
      case OperandKind::kStreamInOrImmediate:
        if (line.rest().substr(0, 1) != "#") return Stream(line, o, false, instr.arg[index]);
        instr.arg[index] = kNoStream;
        return Immediate(line, index + 1, instr);
      case OperandKind::kCount:
      case OperandKind::kSigned:
      case OperandKind::kAddress:
      case OperandKind::kSlice: {
        ASSIGN_OR_RETURN(instr.arg[index], Number(line, o.name, o.min, o.max));
        return absl::OkStatus();
      }
    }
    return absl::OkStatus();
  }

  absl::Status Type(Line& line, const OperandInfo& o, int32_t& out) {
    const absl::string_view at = line.rest(), word = line.Word();
    const std::optional<int> type = TypeByName(word);
    if (!type) return line.Error(at, absl::StrCat(o.name, " = ", Quote(word), " is no type"));
    out = *type;
    return absl::OkStatus();
  }

  absl::Status Stream(Line& line, const OperandInfo& o, bool optional, int32_t& out) {
    const absl::string_view at = line.rest(), word = line.Word();
    if (optional && word == "none") {
      out = kNoStream;
      return absl::OkStatus();
    }
    const bool named = !word.empty() && (word[0] == 'e' || word[0] == 'w');
    const std::optional<int64_t> n = named ? ParseNumber(word.substr(1)) : std::nullopt;
    if (!n || *n < 0 || *n >= kStreamsPerDirection) {
      return line.Error(at, absl::StrCat(o.name, " = ", Quote(word), " is no stream (e0..e31, ",
                                         "w0..w31", optional ? ", none)" : ")"));
    }
    out = StreamNumber(word[0] == 'e' ? Direction::kEast : Direction::kWest, static_cast<int>(*n));
    return absl::OkStatus();
  }

  absl::StatusOr<int32_t> Number(Line& line, absl::string_view name, int32_t min, int32_t max) {
    const absl::string_view at = line.rest(), word = line.Word();
    const std::optional<int64_t> n = ParseNumber(word);
    if (!n) return line.Error(at, absl::StrCat(name, " = ", Quote(word), " is no number"));
    if (*n < min || *n > max) {
      return line.Error(at, absl::StrCat(name, " = ", *n, " is not in ", min, "..", max));
    }
    return static_cast<int32_t>(*n);
  }

  absl::Status Immediate(Line& line, int index, Instruction& instr) {
    const absl::string_view at = line.rest(), word = line.Word();
    absl::string_view text = word;
    const int type = ImmediateType(instr);
    std::optional<uint32_t> bits;
    if (absl::ConsumePrefix(&text, "#")) {
      if (text.substr(0, 2) == "0x") {
        if (auto n = ParseNumber(text); n && *n <= 0xffff'ffff) bits = static_cast<uint32_t>(*n);
      } else if (type == kTypeF16 || type == kTypeF32) {
        bits = ParseFloat(text, type);
      } else {
        const int64_t limit = type == kTypeI8 ? 128 : type == kTypeI16 ? 32768 : 2147483648;
        const auto n = ParseNumber(text);
        if (n && *n >= -limit && *n < limit) bits = static_cast<uint32_t>(*n);
      }
    }
    if (!bits) {
      return line.Error(at, absl::StrCat(Info(instr.op).operands[index].name, " = ", Quote(word),
                                         " is no immediate of its type"));
    }
    instr.arg[index] = static_cast<int32_t>(*bits);
    return absl::OkStatus();
  }

  const bool data_;  // whether .word and .dump are allowed
  std::optional<int> queue_;
  ProgramFile file_;
};

}  // namespace

std::optional<uint32_t> ParseFloat(absl::string_view text, int type) {
  float value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = absl::from_chars(text.data(), end, value);
  if (text.empty() || stop != end || !std::isfinite(value)) return std::nullopt;
  // Out of range upwards is infinite and refused above; downwards it rounds to zero or subnormal.
  if (error != std::errc() && error != std::errc::result_out_of_range) return std::nullopt;
  if (type == kTypeF32) return std::bit_cast<uint32_t>(value);
  const uint16_t half = FloatToHalf(value);
  if (!IsHalfFinite(half)) return std::nullopt;
  return half;
}

absl::StatusOr<ProgramFile> AssembleFile(absl::string_view text) {
  return Parser(/*data=*/true).Parse(text);
}

absl::StatusOr<Program> Assemble(absl::string_view text) {
  ASSIGN_OR_RETURN(ProgramFile file, Parser(/*data=*/false).Parse(text));
  return std::move(file.program);
}

}  // namespace lockstep
