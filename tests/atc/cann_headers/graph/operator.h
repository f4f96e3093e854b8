// Stand-in: an operator of GE, as a plugin sees it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ge {
using graphStatus = uint32_t;
constexpr graphStatus GRAPH_SUCCESS = 0;
class AscendString {
public:
    AscendString() = default;
    AscendString(const char* text);
    const char* GetString() const;
};
class Operator {
public:
    graphStatus GetAttr(const char* name, AscendString& value) const;
    Operator& SetAttr(const char* name, int64_t value);
    Operator& SetAttr(const char* name, float value);
    Operator& SetAttr(const char* name, const AscendString& value);
    Operator& SetAttr(const char* name, const std::vector<int64_t>& value);
    Operator& SetAttr(const char* name, const std::vector<float>& value);
    size_t GetInputsSize() const;
    void DynamicInputRegister(const char* name, uint32_t count);
};
}  // namespace ge
