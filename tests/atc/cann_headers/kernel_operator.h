// Stand-in: what a kernel of Ascend C includes. The tiling's fields come from the host's header, as
// CANN's build hands them over.
#pragma once
#include <cstdint>
#include TILING_HEADER

#define __aicore__
#define __global__
#define __gm__
#define GM_ADDR uint8_t*
#define GET_TILING_DATA(name, address) optiling::StandInTiling name{}

struct half {
    uint16_t bits;
};

namespace AscendC {
template <typename T>
class GlobalTensor {
public:
    void SetGlobalBuffer(T* buffer) { (void)buffer; }
};
}  // namespace AscendC
