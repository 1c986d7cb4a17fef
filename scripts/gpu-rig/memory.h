// The memory of the devices, which is memory of the host that is kept account of. Every access of a kernel and every
// copy is looked up here, so the rig finds accesses outside of what was allocated. A device's addresses are not those
// of the host: a program that follows one dies, as it would with a real device.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rig {

struct Range {
    uint64_t low = 1, high = 0;   // addresses, as kernels and the program see them
    int64_t delta = 0;            // what makes an address of the host of them

    bool holds(uint64_t address, uint64_t size) const {
        return address >= low && address <= high && size <= high - address;
    }
    unsigned char *host(uint64_t address) const { return reinterpret_cast<unsigned char *>(address + delta); }
};

enum class Kind { Device, Host, Module };

// 0 where the device hasn't so much left. The memory is full of 0xFF, which as numbers are NaN and -1.
uint64_t allocate(int device, size_t bytes, Kind kind);
// False where nothing begins at this address.
bool release(uint64_t address, Kind kind);
// The allocation around these bytes. An empty range if there is none.
Range find(uint64_t address, uint64_t bytes);
size_t memory_total();
size_t memory_used(int device);

}  // namespace rig
