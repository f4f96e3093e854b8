// Stand-in: the prototype, tiling and inference API as CANN's pages declare it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ge {
using graphStatus = uint32_t;
constexpr graphStatus GRAPH_SUCCESS = 0;
enum DataType {
    DT_FLOAT, DT_FLOAT16, DT_BF16, DT_DOUBLE, DT_INT8, DT_INT16, DT_INT32, DT_INT64, DT_UINT8,
    DT_UINT16, DT_UINT32, DT_UINT64, DT_BOOL
};
enum Format { FORMAT_ND };
}  // namespace ge

namespace gert {
struct Shape {
    int64_t GetShapeSize() const;
};
struct StorageShape {
    const Shape& GetOriginShape() const;
};
struct TypedContinuousVector;
struct RuntimeAttrs {
    const int64_t* GetInt(size_t index) const;
    const float* GetFloat(size_t index) const;
    const char* GetStr(size_t index) const;
    const TypedContinuousVector* GetListInt(size_t index) const;
};
struct TilingData {
    void* GetData();
    size_t GetCapacity() const;
    void SetDataSize(size_t size);
};
struct TilingContext {
    const StorageShape* GetInputShape(size_t index) const;
    const StorageShape* GetOutputShape(size_t index) const;
    const RuntimeAttrs* GetAttrs() const;
    TilingData* GetRawTilingData();
    size_t* GetWorkspaceSizes(size_t count);
    ge::graphStatus SetBlockDim(uint32_t count);
};
struct InferShapeContext {
    const Shape* GetInputShape(size_t index) const;
    Shape* GetOutputShape(size_t index);
};
struct InferDataTypeContext {
    ge::DataType GetInputDataType(size_t index) const;
    ge::graphStatus SetOutputDataType(size_t index, ge::DataType type);
};
}  // namespace gert

namespace ops {
enum Option { REQUIRED, OPTIONAL, DYNAMIC };
struct OpParamDef {
    OpParamDef& ParamType(Option option);
    OpParamDef& DataType(std::vector<ge::DataType> types);
    OpParamDef& Format(std::vector<ge::Format> formats);
};
struct OpAttrDef {
    OpAttrDef& AttrType(Option option);
    OpAttrDef& Int();
    OpAttrDef& Int(int64_t value);
    OpAttrDef& Float();
    OpAttrDef& Float(float value);
    OpAttrDef& String();
    OpAttrDef& String(const char* value);
    OpAttrDef& ListInt();
    OpAttrDef& ListInt(std::vector<int64_t> value);
    OpAttrDef& ListFloat();
    OpAttrDef& ListFloat(std::vector<float> value);
};
struct OpAICoreDef {
    OpAICoreDef& SetTiling(ge::graphStatus (*function)(gert::TilingContext*));
    OpAICoreDef& AddConfig(const char* chip);
};
class OpDef {
public:
    explicit OpDef(const char* name);
    OpParamDef& Input(const char* name);
    OpParamDef& Output(const char* name);
    OpAttrDef& Attr(const char* name);
    OpDef& SetInferShape(ge::graphStatus (*function)(gert::InferShapeContext*));
    OpDef& SetInferDataType(ge::graphStatus (*function)(gert::InferDataTypeContext*));
    OpAICoreDef& AICore();
};
}  // namespace ops

#define OP_ADD(type) static type standIn##type(#type)
