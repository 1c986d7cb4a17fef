// See memory.h.
#include "memory.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <shared_mutex>

#include "settings.h"

namespace rig {
namespace {

// Addresses with this bit are no addresses of the host.
constexpr uint64_t DEVICE = 1ull << 56;
constexpr size_t ALIGN = 256;
// Before and after each allocation, so that a step over its end does not land in another one.
constexpr size_t GUARD = 512;

struct Allocation {
    size_t size;
    unsigned char *block;
    int64_t delta;
    int device;
    Kind kind;
};

// Never destroyed: threads may still run while the program ends.
auto &allocations = *new std::map<uint64_t, Allocation>;
auto &lock = *new std::shared_mutex;
std::map<int, size_t> &used = *new std::map<int, size_t>;

}  // namespace

uint64_t allocate(int device, size_t bytes, Kind kind) {
    std::unique_lock guard(lock);
    size_t rounded = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (rounded < bytes) return 0;
    if (kind != Kind::Host && (rounded > memory_total() || used[device] > memory_total() - rounded)) return 0;
    void *block = std::aligned_alloc(ALIGN, rounded + 2 * GUARD);
    if (!block) return 0;
    auto *start = static_cast<unsigned char *>(block) + GUARD;
    std::memset(start, 0xff, rounded);
    uint64_t address = reinterpret_cast<uint64_t>(start);
    int64_t delta = 0;
    if (kind != Kind::Host) {
        address |= DEVICE;
        delta = -int64_t(DEVICE);
        used[device] += rounded;
    }
    allocations[address] = {bytes, static_cast<unsigned char *>(block), delta, device, kind};
    return address;
}

bool release(uint64_t address, Kind kind) {
    std::unique_lock guard(lock);
    auto found = allocations.find(address);
    if (found == allocations.end() || found->second.kind != kind) return false;
    if (kind != Kind::Host) used[found->second.device] -= (found->second.size + ALIGN - 1) / ALIGN * ALIGN;
    std::free(found->second.block);
    allocations.erase(found);
    return true;
}

Range find(uint64_t address, uint64_t bytes) {
    std::shared_lock guard(lock);
    auto after = allocations.upper_bound(address);
    if (after == allocations.begin()) return {};
    auto found = std::prev(after);
    Range range{found->first, found->first + found->second.size, found->second.delta};
    return range.holds(address, bytes) ? range : Range{};
}

size_t memory_total() { return settings().memory; }

size_t memory_used(int device) {
    std::shared_lock guard(lock);
    auto found = used.find(device);
    return found == used.end() ? 0 : found->second;
}

}  // namespace rig
