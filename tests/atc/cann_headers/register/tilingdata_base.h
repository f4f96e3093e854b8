// Stand-in: the macros that declare what the host hands to the kernel.
#pragma once
#include <cstddef>
#include <cstdint>

#define BEGIN_TILING_DATA_DEF(type)                       \
    struct type {                                         \
        void SaveToBuffer(void* data, size_t capacity);   \
        size_t GetDataSize() const;
#define TILING_DATA_FIELD_DEF(type, name) \
    type name;                            \
    void set_##name(type value)
#define END_TILING_DATA_DEF }
#define REGISTER_TILING_DATA_CLASS(op, type) using StandInTiling = type;
