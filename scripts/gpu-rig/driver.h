// What the parts of the driver share: its state, and how each call begins. Declarations here are those of CUDA's ABI.
#pragma once
#include <mutex>

#include "memory.h"
#include "ptx.h"
#include "settings.h"

#define RIG_API extern "C" __attribute__((visibility("default")))

namespace rig {

enum : int {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201, NO_BINARY = 209, INVALID_PTX = 218, UNSUPPORTED_PTX_VERSION = 222, FILE_NOT_FOUND = 301,
    INVALID_HANDLE = 400, NOT_FOUND = 500, LAUNCH_FAILED = 719, NOT_SUPPORTED = 801,
};

struct Context {
    int device;
    bool primary;
    int uses = 0;
};

struct State {
    std::recursive_mutex lock;    // one call at a time: a launch is over when its call is
    bool initialised = false;
    int sticky = 0;               // an error after which every call fails with it
    long launches = 0;
    std::vector<Context> primary;
};
State &state();
Context *&current();

// Begins a call: takes the lock, and has the error that the call must end with, if there is one.
struct Call {
    std::unique_lock<std::recursive_mutex> lock;
    int error;
    explicit Call(bool needs_context = true);
};
// Counts a launch, of a kernel or within one of the libraries; the device may be lost after it.
void launched();
// PTX's newest version that a driver of this number knows: 90 is 9.0.
unsigned newest_ptx(int driver);

using Stream = void *;
using Pointer = unsigned long long;

}  // namespace rig

// For the libraries of the rig that stand on this one.
RIG_API int rigCheck(unsigned long long address, size_t bytes, void **host);
// Counts and traces a launch that a library makes. The error is the driver's, as is that of rigAlive.
RIG_API int rigBegin(const char *what);
RIG_API int rigAlive();
RIG_API int rigDriver();
RIG_API void rigComplain(const char *what);
