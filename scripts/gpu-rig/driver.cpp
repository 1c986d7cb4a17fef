// The driver's start, its devices and contexts, streams and events. Everything that a stream is given is done when the
// call returns, so streams and events have nothing to wait for.
#include "driver.h"

#include <chrono>
#include <cstdio>

namespace rig {

State &state() {
    static State &one = *new State;
    return one;
}
Context *&current() {
    static thread_local Context *context = nullptr;
    return context;
}

Call::Call(bool needs_context) : lock(state().lock) {
    State &s = state();
    error = !s.initialised ? NOT_INITIALIZED : s.sticky ? s.sticky : needs_context && !current() ? INVALID_CONTEXT : SUCCESS;
}

void launched() {
    State &s = state();
    s.launches++;
    if (settings().lose_after >= 0 && s.launches >= settings().lose_after && !s.sticky) {
        complain("the device is lost after %ld launches", s.launches);
        s.sticky = LAUNCH_FAILED;
    }
}

unsigned newest_ptx(int driver) {
    static const struct { int driver; unsigned ptx; } NEWEST[] = {
        {13020, 92}, {13010, 91}, {13000, 90}, {12090, 88}, {12080, 87}, {12070, 86}, {12050, 85}, {12040, 84}, {12030, 83},
        {12020, 82}, {12010, 81}, {12000, 80}, {11080, 78}, {11070, 77}, {11060, 76}, {11050, 75}, {11040, 74}, {11030, 73},
        {11020, 72}, {11010, 71}, {11000, 70}};
    for (auto [number, ptx] : NEWEST)
        if (driver >= number) return ptx;
    return 65;
}

namespace {

struct Event {
    bool timed;
    bool recorded = false;
    std::chrono::steady_clock::time_point at{};
};

bool known_device(int device) { return device >= 0 && device < settings().gpus; }

int attribute(int which) {
    int capability = settings().capability;
    switch (which) {
        case 1: return 1024;                            // threads of a block
        case 2: case 3: return 1024;                    // its width and height
        case 4: return 64;                              // its depth
        case 5: return 2147483647;                      // the grid's width, height, depth
        case 6: case 7: return 65535;
        case 8: return 48 << 10;                        // shared memory of a block
        case 9: return 64 << 10;                        // constant memory
        case 10: return LANES;
        case 11: return 2147483647;                     // pitch
        case 12: case 82: return 65536;                 // registers
        case 13: return 1000000;                        // kHz
        case 14: return 512;
        case 16: return 132;                            // multiprocessors
        case 15: case 19: case 31: case 41: case 78: case 83: case 89: case 115: return 1;
        case 36: return 1000000;
        case 37: return 5120;
        case 38: return 50 << 20;                       // L2
        case 39: return capability < 80 ? 1024 : 2048;  // threads of a multiprocessor
        case 40: return 3;
        case 75: return capability / 10;
        case 76: return capability % 10;
        case 81: return capability < 80 ? 64 << 10 : 228 << 10;
        case 97: return capability < 80 ? 64 << 10 : capability < 90 ? 163 << 10 : 227 << 10;
        case 106: return 32;
        case 111: return 1024;
        default: return 0;
    }
}

int unique_id(unsigned char *id, int device) {
    Call call(false);
    if (call.error) return call.error;
    if (!known_device(device)) return INVALID_DEVICE;
    std::memcpy(id, "gpu-rig device ", 15);
    id[15] = static_cast<unsigned char>('0' + device);
    return SUCCESS;
}

int make_context(Context **context, int device) {
    Call call(false);
    if (call.error) return call.error;
    if (!known_device(device)) return INVALID_DEVICE;
    current() = *context = new Context{device, false};
    return SUCCESS;
}

int make_stream(Stream *stream) {
    Call call;
    if (call.error) return call.error;
    *stream = new char;
    trace("stream create");
    return SUCCESS;
}

int elapsed(float *milliseconds, Event *from, Event *to) {
    Call call;
    if (call.error) return call.error;
    if (!from || !to || !from->timed || !to->timed || !from->recorded || !to->recorded) return INVALID_HANDLE;
    *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return SUCCESS;
}

int nothing() {
    Call call;
    return call.error;
}

}  // namespace
}  // namespace rig

using namespace rig;

RIG_API int cuInit(unsigned) {
    State &s = state();
    std::lock_guard guard(s.lock);
    // The trace is there from now on, even if nothing is done.
    tracing();
    if (settings().gpus == 0) return NO_DEVICE;
    if (!s.initialised) {
        for (int i = 0; i < settings().gpus; i++) s.primary.push_back({i, true});
        s.initialised = true;
        if (settings().lose_after == 0) s.sticky = LAUNCH_FAILED;
    }
    return SUCCESS;
}
RIG_API int cuDriverGetVersion(int *version) {
    *version = settings().driver;
    return SUCCESS;
}
RIG_API int cuDeviceGetCount(int *count) {
    Call call(false);
    if (call.error == NOT_INITIALIZED) return call.error;
    *count = settings().gpus;
    return SUCCESS;
}
RIG_API int cuDeviceGet(int *device, int ordinal) {
    Call call(false);
    if (call.error) return call.error;
    if (!known_device(ordinal)) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}
RIG_API int cuDeviceGetName(char *name, int length, int device) {
    Call call(false);
    if (call.error) return call.error;
    if (!known_device(device)) return INVALID_DEVICE;
    std::snprintf(name, size_t(length), "gpu-rig");
    return SUCCESS;
}
RIG_API int cuDeviceGetUuid(unsigned char *id, int device) { return unique_id(id, device); }
RIG_API int cuDeviceGetUuid_v2(unsigned char *id, int device) { return unique_id(id, device); }
RIG_API int cuDeviceGetPCIBusId(char *id, int length, int device) {
    Call call(false);
    if (call.error) return call.error;
    if (!known_device(device)) return INVALID_DEVICE;
    std::snprintf(id, size_t(length), "0000:%02X:00.0", device + 1);
    return SUCCESS;
}
RIG_API int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    Call call(false);
    if (call.error) return call.error;
    if (!known_device(device)) return INVALID_DEVICE;
    *bytes = memory_total();
    return SUCCESS;
}
RIG_API int cuDeviceGetAttribute(int *value, int which, int device) {
    Call call(false);
    if (call.error) return call.error;
    if (!known_device(device)) return INVALID_DEVICE;
    *value = attribute(which);
    return SUCCESS;
}

RIG_API int cuDevicePrimaryCtxRetain(Context **context, int device) {
    Call call(false);
    if (call.error) return call.error;
    if (!known_device(device)) return INVALID_DEVICE;
    *context = &state().primary[size_t(device)];
    (*context)->uses++;
    return SUCCESS;
}
RIG_API int cuDevicePrimaryCtxRelease_v2(int device) {
    Call call(false);
    if (call.error) return call.error;
    if (!known_device(device)) return INVALID_DEVICE;
    if (state().primary[size_t(device)].uses == 0) return INVALID_CONTEXT;
    state().primary[size_t(device)].uses--;
    return SUCCESS;
}
RIG_API int cuDevicePrimaryCtxSetFlags_v2(int, unsigned) { return Call(false).error; }
RIG_API int cuCtxCreate_v2(Context **context, unsigned, int device) { return make_context(context, device); }
RIG_API int cuCtxCreate_v3(Context **context, void *, int, unsigned, int device) { return make_context(context, device); }
RIG_API int cuCtxCreate_v4(Context **context, void *, unsigned, int device) { return make_context(context, device); }
RIG_API int cuCtxDestroy_v2(Context *context) {
    Call call(false);
    if (call.error) return call.error;
    if (!context || context->primary) return INVALID_CONTEXT;
    if (current() == context) current() = nullptr;
    delete context;
    return SUCCESS;
}
RIG_API int cuCtxGetCurrent(Context **context) {
    Call call(false);
    if (call.error) return call.error;
    *context = current();
    return SUCCESS;
}
RIG_API int cuCtxSetCurrent(Context *context) {
    Call call(false);
    if (call.error) return call.error;
    current() = context;
    return SUCCESS;
}
RIG_API int cuCtxGetDevice(int *device) {
    Call call;
    if (call.error) return call.error;
    *device = current()->device;
    return SUCCESS;
}
RIG_API int cuCtxSynchronize() {
    Call call;
    trace("synchronize context");
    return call.error;
}
RIG_API int cuCtxSetLimit(int, size_t) { return nothing(); }
RIG_API int cuCtxGetLimit(size_t *value, int) {
    *value = 0;
    return nothing();
}
RIG_API int cuCtxSetFlags(unsigned) { return nothing(); }
RIG_API int cuCtxGetFlags(unsigned *flags) {
    *flags = 0;
    return nothing();
}
RIG_API int cuCtxSetCacheConfig(int) { return nothing(); }
RIG_API int cuCtxGetCacheConfig(int *config) {
    *config = 0;
    return nothing();
}
RIG_API int cuCtxGetApiVersion(Context *, unsigned *version) {
    *version = 3020;
    return nothing();
}
RIG_API int cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    *least = *greatest = 0;
    return nothing();
}

RIG_API int cuStreamCreate(Stream *stream, unsigned) { return make_stream(stream); }
RIG_API int cuStreamCreateWithPriority(Stream *stream, unsigned, int) { return make_stream(stream); }
RIG_API int cuStreamDestroy_v2(Stream stream) {
    Call call;
    if (call.error) return call.error;
    if (reinterpret_cast<uintptr_t>(stream) > 2) delete static_cast<char *>(stream);
    return SUCCESS;
}
RIG_API int cuStreamSynchronize(Stream) {
    Call call;
    trace("synchronize stream");
    return call.error;
}
RIG_API int cuStreamSynchronize_ptsz(Stream stream) { return cuStreamSynchronize(stream); }
RIG_API int cuStreamQuery(Stream) { return nothing(); }
RIG_API int cuStreamWaitEvent(Stream, Event *, unsigned) { return nothing(); }
RIG_API int cuStreamGetFlags(Stream, unsigned *flags) {
    *flags = 1;
    return nothing();
}
RIG_API int cuStreamGetPriority(Stream, int *priority) {
    *priority = 0;
    return nothing();
}
RIG_API int cuStreamGetCtx(Stream, Context **context) {
    *context = current();
    return nothing();
}
RIG_API int cuStreamIsCapturing(Stream, int *status) {
    *status = 0;
    return nothing();
}
RIG_API int cuStreamGetCaptureInfo_v2(Stream, int *status, void *, void *, void *, void *) {
    *status = 0;
    return nothing();
}
RIG_API int cuStreamGetCaptureInfo_v3(Stream, int *status, void *, void *, void *, void *, void *) {
    *status = 0;
    return nothing();
}
RIG_API int cuStreamAttachMemAsync(Stream, Pointer, size_t, unsigned) { return nothing(); }
RIG_API int cuThreadExchangeStreamCaptureMode(int *) { return nothing(); }
RIG_API int cuLaunchHostFunc(Stream, void (*function)(void *), void *data) {
    {
        Call call;
        if (call.error) return call.error;
    }
    function(data);
    return SUCCESS;
}

RIG_API int cuEventCreate(Event **event, unsigned flags) {
    Call call;
    if (call.error) return call.error;
    *event = new Event{!(flags & 2)};
    return SUCCESS;
}
RIG_API int cuEventDestroy_v2(Event *event) {
    Call call;
    if (call.error) return call.error;
    delete event;
    return SUCCESS;
}
RIG_API int cuEventRecord(Event *event, Stream) {
    Call call;
    if (call.error) return call.error;
    event->recorded = true;
    event->at = std::chrono::steady_clock::now();
    return SUCCESS;
}
RIG_API int cuEventQuery(Event *) { return nothing(); }
RIG_API int cuEventSynchronize(Event *) {
    Call call;
    trace("synchronize event");
    return call.error;
}
RIG_API int cuEventElapsedTime(float *milliseconds, Event *from, Event *to) { return elapsed(milliseconds, from, to); }
RIG_API int cuEventElapsedTime_v2(float *milliseconds, Event *from, Event *to) { return elapsed(milliseconds, from, to); }

RIG_API int cuProfilerStart() { return nothing(); }
RIG_API int cuProfilerStop() { return nothing(); }

RIG_API int rigBegin(const char *what) {
    Call call;
    if (call.error) return call.error;
    trace("launch %s", what);
    launched();
    return SUCCESS;
}
RIG_API int rigCheck(unsigned long long address, size_t bytes, void **host) {
    Call call;
    if (call.error) return call.error;
    if (bytes == 0) return SUCCESS;
    Range range = find(address, bytes);
    if (range.low > range.high) {
        complain("a library was given an illegal address: 0x%llx, %zu bytes", address, bytes);
        return state().sticky = 700;
    }
    *host = range.host(address);
    return SUCCESS;
}
RIG_API int rigDriver() { return settings().driver; }
RIG_API void rigComplain(const char *what) { complain("%s", what); }
RIG_API int rigAlive() { return Call().error; }
