// Stand-in: the registration of a plugin.
#pragma once
#include <vector>

#include "graph/operator.h"

namespace domi {
using Status = uint32_t;
constexpr Status SUCCESS = 0;
constexpr Status FAILED = 1;
enum FrameworkType { CAFFE, TENSORFLOW = 3, ONNX = 5 };
enum class ImplyType { BUILDIN, TVM };
class OpRegistrationData {
public:
    explicit OpRegistrationData(const char* type);
    OpRegistrationData& FrameworkType(domi::FrameworkType type);
    OpRegistrationData& OriginOpType(const std::vector<ge::AscendString>& types);
    OpRegistrationData& ParseParamsByOperatorFn(Status (*function)(const ge::Operator&,
                                                                   ge::Operator&));
    OpRegistrationData& ImplyType(domi::ImplyType type);
};
}  // namespace domi

#define REGISTER_CUSTOM_OP(type) static const OpRegistrationData standIn = OpRegistrationData(type)
