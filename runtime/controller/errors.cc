// Codes of both libraries are the same numbers (runtime/controller/errors.h).
#include "runtime/controller/errors.h"

#include "lockstep/v1/error.pb.h"
#include "runtime/jobs/failure.h"
#include "runtime/jobs/request.h"

namespace lockstep {
namespace {

constexpr size_t kMaxMessageBytes = 2048;
constexpr char kBadRequestUrl[] = "type.googleapis.com/google.rpc.BadRequest";

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.raw_code());
  const std::string message = ToUtf8(status.message().substr(0, kMaxMessageBytes));
  const std::string field = FieldOf(status);
  if (field.empty()) return grpc::Status(code, message);
  v1::BadRequest bad;
  v1::BadRequest::FieldViolation& violation = *bad.add_field_violations();
  violation.set_field(field);
  violation.set_description(message);
  v1::StatusDetails details;
  details.set_code(code);
  details.set_message(message);
  google::protobuf::Any& any = *details.add_details();
  any.set_type_url(kBadRequestUrl);
  any.set_value(bad.SerializeAsString());
  return grpc::Status(code, message, details.SerializeAsString());
}

}  // namespace lockstep
