// Stands in for each function of a library that the rig does not have: a program is linked with all of them, and the
// linker leaves none undefined. The functions that the rig has go before these, which are weak.
#pragma once
#include <cstdio>

#define RIG_STUB(name, error)                                                              \
    extern "C" __attribute__((visibility("default"), weak)) int name() {                   \
        std::fprintf(stderr, "gpu-rig: %s is not implemented\n", #name);                   \
        return error;                                                                      \
    }
