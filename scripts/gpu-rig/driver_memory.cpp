// The driver's memory: allocation, copies, and filling.
#include "driver.h"

#include <cstdlib>

namespace rig {
namespace {

int device() { return current()->device; }

int allocate_on_device(Pointer *pointer, size_t bytes, Kind kind = Kind::Device) {
    *pointer = allocate(device(), bytes, kind);
    trace("allocate %zu%s", bytes, *pointer ? "" : " failed");
    return *pointer ? SUCCESS : OUT_OF_MEMORY;
}

// With pools, memory of no bytes is no error.
int allocate_from_pool(Pointer *pointer, size_t bytes) {
    Call call;
    if (call.error) return call.error;
    if (bytes == 0) {
        *pointer = 0;
        return SUCCESS;
    }
    return allocate_on_device(pointer, bytes);
}

int free_device(Pointer pointer) {
    Call call;
    if (call.error) return call.error;
    if (pointer == 0) return SUCCESS;
    trace("free");
    if (release(pointer, Kind::Device) || release(pointer, Kind::Host)) return SUCCESS;
    complain("freed, but not allocated or freed before: 0x%llx", pointer);
    return INVALID_VALUE;
}

unsigned char *inside(Pointer pointer, size_t bytes, const char *what) {
    Range range = find(pointer, bytes);
    if (range.low <= range.high) return range.host(pointer);
    complain("%s: not within an allocation: 0x%llx, %zu bytes", what, pointer, bytes);
    return nullptr;
}

int to_device(Pointer to, const void *from, size_t bytes) {
    Call call;
    if (call.error || bytes == 0) return call.error;
    trace("copy to device %zu", bytes);
    unsigned char *host = inside(to, bytes, "copy to the device");
    if (!host) return INVALID_VALUE;
    std::memcpy(host, from, bytes);
    return SUCCESS;
}
int to_host(void *to, Pointer from, size_t bytes) {
    Call call;
    if (call.error || bytes == 0) return call.error;
    trace("copy to host %zu", bytes);
    unsigned char *host = inside(from, bytes, "copy to the host");
    if (!host) return INVALID_VALUE;
    std::memcpy(to, host, bytes);
    return SUCCESS;
}
int on_device(Pointer to, Pointer from, size_t bytes) {
    Call call;
    if (call.error || bytes == 0) return call.error;
    trace("copy on device %zu", bytes);
    unsigned char *target = inside(to, bytes, "copy on the device"), *source = inside(from, bytes, "copy on the device");
    if (!target || !source) return INVALID_VALUE;
    std::memmove(target, source, bytes);
    return SUCCESS;
}

template <class T> int fill(Pointer to, T value, size_t count) {
    Call call;
    if (call.error || count == 0) return call.error;
    trace("fill %zu", count * sizeof value);
    if (to % sizeof value) return INVALID_VALUE;
    unsigned char *host = inside(to, count * sizeof value, "fill");
    if (!host) return INVALID_VALUE;
    for (size_t i = 0; i < count; i++) std::memcpy(host + i * sizeof value, &value, sizeof value);
    return SUCCESS;
}

int allocate_on_host(void **pointer, size_t bytes) {
    Call call;
    if (call.error) return call.error;
    if (bytes == 0) return INVALID_VALUE;
    *pointer = reinterpret_cast<void *>(allocate(device(), bytes, Kind::Host));
    trace("allocate on host %zu", bytes);
    return *pointer ? SUCCESS : OUT_OF_MEMORY;
}

int pool(void **made, int number) {
    Call call(false);
    if (call.error) return call.error;
    if (number < 0 || number >= settings().gpus) return INVALID_DEVICE;
    *made = reinterpret_cast<void *>(uintptr_t(0x100 + number));
    return SUCCESS;
}

int nothing() {
    Call call;
    return call.error;
}

}  // namespace
}  // namespace rig

using namespace rig;

RIG_API int cuMemGetInfo_v2(size_t *free, size_t *total) {
    Call call;
    if (call.error) return call.error;
    *total = memory_total();
    *free = *total - memory_used(device());
    return SUCCESS;
}
RIG_API int cuMemAlloc_v2(Pointer *pointer, size_t bytes) {
    Call call;
    if (call.error) return call.error;
    return bytes ? allocate_on_device(pointer, bytes) : INVALID_VALUE;
}
RIG_API int cuMemAllocManaged(Pointer *pointer, size_t bytes, unsigned) {
    Call call;
    if (call.error) return call.error;
    return bytes ? allocate_on_device(pointer, bytes, Kind::Host) : INVALID_VALUE;
}
RIG_API int cuMemAllocAsync(Pointer *pointer, size_t bytes, Stream) { return allocate_from_pool(pointer, bytes); }
RIG_API int cuMemAllocFromPoolAsync(Pointer *pointer, size_t bytes, void *, Stream) {
    return allocate_from_pool(pointer, bytes);
}
RIG_API int cuMemFree_v2(Pointer pointer) { return free_device(pointer); }
RIG_API int cuMemFreeAsync(Pointer pointer, Stream) { return free_device(pointer); }
RIG_API int cuMemHostAlloc(void **pointer, size_t bytes, unsigned) { return allocate_on_host(pointer, bytes); }
RIG_API int cuMemAllocHost_v2(void **pointer, size_t bytes) { return allocate_on_host(pointer, bytes); }
RIG_API int cuMemFreeHost(void *pointer) {
    Call call;
    if (call.error) return call.error;
    return release(reinterpret_cast<uint64_t>(pointer), Kind::Host) ? SUCCESS : INVALID_VALUE;
}
RIG_API int cuMemHostGetDevicePointer_v2(Pointer *device_pointer, void *pointer, unsigned) {
    *device_pointer = reinterpret_cast<Pointer>(pointer);
    return nothing();
}
RIG_API int cuMemGetAddressRange_v2(Pointer *base, size_t *size, Pointer pointer) {
    Call call;
    if (call.error) return call.error;
    Range range = find(pointer, 0);
    if (range.low > range.high) return NOT_FOUND;
    if (base) *base = range.low;
    if (size) *size = range.high - range.low;
    return SUCCESS;
}
RIG_API int cuMemPrefetchAsync_v2(Pointer, size_t, unsigned long long, unsigned, Stream) { return nothing(); }
RIG_API int cuMemAdvise_v2(Pointer, size_t, int, unsigned long long) { return nothing(); }

RIG_API int cuMemcpyHtoD_v2(Pointer to, const void *from, size_t bytes) { return to_device(to, from, bytes); }
RIG_API int cuMemcpyHtoDAsync_v2(Pointer to, const void *from, size_t bytes, Stream) { return to_device(to, from, bytes); }
RIG_API int cuMemcpyDtoH_v2(void *to, Pointer from, size_t bytes) { return to_host(to, from, bytes); }
RIG_API int cuMemcpyDtoHAsync_v2(void *to, Pointer from, size_t bytes, Stream) { return to_host(to, from, bytes); }
RIG_API int cuMemcpyDtoD_v2(Pointer to, Pointer from, size_t bytes) { return on_device(to, from, bytes); }
RIG_API int cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t bytes, Stream) { return on_device(to, from, bytes); }
RIG_API int cuMemcpyPeerAsync(Pointer to, void *, Pointer from, void *, size_t bytes, Stream) {
    return on_device(to, from, bytes);
}
RIG_API int cuMemsetD8_v2(Pointer to, unsigned char value, size_t count) { return fill(to, value, count); }
RIG_API int cuMemsetD8Async(Pointer to, unsigned char value, size_t count, Stream) { return fill(to, value, count); }
RIG_API int cuMemsetD16_v2(Pointer to, unsigned short value, size_t count) { return fill(to, value, count); }
RIG_API int cuMemsetD16Async(Pointer to, unsigned short value, size_t count, Stream) { return fill(to, value, count); }
RIG_API int cuMemsetD32_v2(Pointer to, unsigned value, size_t count) { return fill(to, value, count); }
RIG_API int cuMemsetD32Async(Pointer to, unsigned value, size_t count, Stream) { return fill(to, value, count); }

RIG_API int cuDeviceGetDefaultMemPool(void **made, int number) { return pool(made, number); }
RIG_API int cuDeviceGetMemPool(void **made, int number) { return pool(made, number); }
RIG_API int cuDeviceSetMemPool(int, void *) { return Call(false).error; }
RIG_API int cuMemPoolCreate(void **made, const void *) { return pool(made, 0); }
RIG_API int cuMemPoolDestroy(void *) { return Call(false).error; }
RIG_API int cuMemPoolTrimTo(void *, size_t) { return Call(false).error; }
RIG_API int cuMemPoolSetAttribute(void *, int, void *) { return Call(false).error; }
RIG_API int cuMemPoolGetAttribute(void *made, int which, void *value) {
    Call call(false);
    if (call.error) return call.error;
    // The first three are flags; then there are the bytes reserved and used, and their highest values.
    if (which <= 3) *static_cast<int *>(value) = 1;
    else *static_cast<uint64_t *>(value) = which == 4 ? 0 : memory_used(int(reinterpret_cast<uintptr_t>(made) - 0x100));
    return SUCCESS;
}
