// The driver's modules, functions and launches.
#include "driver.h"

#include <chrono>
#include <fstream>
#include <iterator>

namespace rig {
namespace {

int load(Module **module, const char *image) {
    Call call;
    if (call.error) return call.error;
    uint32_t magic;
    std::memcpy(&magic, image, 4);
    if (magic == 0xba55ed50 || std::memcmp(image, "\x7f" "ELF", 4) == 0) {
        complain("a module that is machine code of a device; the rig runs PTX only");
        return NO_BINARY;
    }
    try {
        auto made = std::make_unique<Module>(image);
        if (made->version > newest_ptx(settings().driver)) return UNSUPPORTED_PTX_VERSION;
        if (int(made->target) > settings().capability) {
            complain("a module for sm_%u, on a device of sm_%d", made->target, settings().capability);
            return INVALID_PTX;
        }
        trace("module %zu functions", made->functions.size());
        *module = made.release();
        return SUCCESS;
    } catch (const BadPtx &e) {
        complain("the PTX can't be read: %s", e.what());
        return INVALID_PTX;
    } catch (const LaunchError &e) {
        complain("%s", e.what());
        return e.code;
    }
}

int run_kernel(Function *function, Dim grid, Dim block, uint32_t shared, void **params, void **extra) {
    Call call;
    if (call.error) return call.error;
    if (!function) return INVALID_HANDLE;
    Launch launch;
    launch.function = function;
    launch.grid = grid;
    launch.block = block;
    launch.dynamic_shared = shared;
    if (!grid.volume() || !block.volume() || block.volume() > 1024 || block.x > 1024 || block.y > 1024 || block.z > 64 ||
        grid.x > 2147483647 || grid.y > 65535 || grid.z > 65535)
        return INVALID_VALUE;
    if (function->max_threads && block.volume() > function->max_threads) return INVALID_VALUE;
    launch.params.resize(function->param_bytes);
    if (params) {
        for (size_t i = 0; i < function->params.size(); i++)
            std::memcpy(&launch.params[function->params[i].offset], params[i], function->params[i].size);
    } else if (extra) {
        // Pairs: 1 is where the parameters are, 2 how many bytes, 0 the end.
        const void *buffer = nullptr;
        size_t size = 0;
        for (; *extra; extra += 2) {
            if (*extra == reinterpret_cast<void *>(1)) buffer = extra[1];
            if (*extra == reinterpret_cast<void *>(2)) size = *static_cast<size_t *>(extra[1]);
        }
        if (!buffer || size > launch.params.size()) return INVALID_VALUE;
        std::memcpy(launch.params.data(), buffer, size);
    } else if (!function->params.empty()) {
        return INVALID_VALUE;
    }
    try {
        const Code &code = function->decoded();
        if (uint64_t(code.static_shared) + shared > std::max<uint64_t>(48 << 10, function->max_dynamic_shared + code.static_shared)) {
            complain("kernel %s: %u bytes of shared memory are more than it may have", function->name.c_str(), code.static_shared + shared);
            return INVALID_VALUE;
        }
        auto start = std::chrono::steady_clock::now();
        run(launch);
        std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
        trace("launch %s grid %s block %s shared %u instructions %llu ms %.3f", function->name.c_str(), text_of(grid).c_str(),
              text_of(block).c_str(), shared, static_cast<unsigned long long>(launch.lane_instructions), took.count());
        launched();
        return SUCCESS;
    } catch (const BadPtx &e) {
        complain("kernel %s: the PTX can't be read: %s", function->name.c_str(), e.what());
        return INVALID_PTX;
    } catch (const LaunchError &e) {
        complain("%s", e.what());
        // As with a device: after that, nothing works any more.
        if (e.code != OUT_OF_MEMORY) state().sticky = e.code;
        return e.code;
    }
}

// How many bytes of shared memory a block may have, and threads.
int active_blocks(int *blocks, Function *, int threads, size_t) {
    Call call;
    if (call.error) return call.error;
    *blocks = threads > 0 ? std::max(1, 2048 / threads) : 0;
    return SUCCESS;
}
int best_block(int *grid, int *block, int limit) {
    Call call;
    if (call.error) return call.error;
    *block = limit > 0 && limit < 1024 ? limit : 1024;
    *grid = 132 * (2048 / *block);
    return SUCCESS;
}

}  // namespace
}  // namespace rig

using namespace rig;

RIG_API int cuModuleLoadData(Module **module, const void *image) { return load(module, static_cast<const char *>(image)); }
RIG_API int cuModuleLoadDataEx(Module **module, const void *image, unsigned, void *, void **) {
    return load(module, static_cast<const char *>(image));
}
RIG_API int cuModuleLoad(Module **module, const char *name) {
    std::ifstream file(name, std::ios::binary);
    if (!file) return FILE_NOT_FOUND;
    std::string text((std::istreambuf_iterator<char>(file)), {});
    return load(module, text.c_str());
}
RIG_API int cuModuleUnload(Module *module) {
    Call call;
    if (call.error) return call.error;
    delete module;
    return SUCCESS;
}
RIG_API int cuModuleGetFunction(Function **function, Module *module, const char *name) {
    Call call;
    if (call.error) return call.error;
    auto found = module->functions.find(name);
    if (found == module->functions.end() || !found->second->entry) return NOT_FOUND;
    *function = found->second.get();
    return SUCCESS;
}
RIG_API int cuModuleGetGlobal_v2(Pointer *pointer, size_t *bytes, Module *module, const char *name) {
    Call call;
    if (call.error) return call.error;
    auto found = module->variables.find(name);
    if (found == module->variables.end() || !found->second.address) return NOT_FOUND;
    if (pointer) *pointer = found->second.address;
    if (bytes) *bytes = found->second.size;
    return SUCCESS;
}

RIG_API int cuFuncGetAttribute(int *value, int which, Function *function) {
    Call call;
    if (call.error) return call.error;
    try {
        const Code &code = function->decoded();
        switch (which) {
            case 0: *value = function->max_threads ? int(function->max_threads) : 1024; break;
            case 1: *value = int(code.static_shared); break;
            case 2: *value = 0; break;
            case 3: *value = int(code.local); break;
            case 4: *value = 32; break;
            case 5: *value = int(function->module->version); break;
            case 6: *value = settings().capability; break;
            case 8: *value = int(function->max_dynamic_shared ? function->max_dynamic_shared : (48 << 10) - code.static_shared); break;
            default: *value = 0;
        }
        return SUCCESS;
    } catch (const BadPtx &e) {
        complain("kernel %s: the PTX can't be read: %s", function->name.c_str(), e.what());
        return INVALID_PTX;
    }
}
RIG_API int cuFuncSetAttribute(Function *function, int which, int value) {
    Call call;
    if (call.error) return call.error;
    int most = settings().capability < 80 ? 64 << 10 : settings().capability < 90 ? 163 << 10 : 227 << 10;
    if (which == 8) {
        if (value < 0 || value > most) return INVALID_VALUE;
        function->max_dynamic_shared = uint32_t(value);
    }
    return SUCCESS;
}
RIG_API int cuFuncSetCacheConfig(Function *, int) { return Call().error; }
RIG_API int cuFuncGetName(const char **name, Function *function) {
    *name = function->name.c_str();
    return SUCCESS;
}

RIG_API int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, Function *f, int threads, size_t shared) {
    return active_blocks(blocks, f, threads, shared);
}
RIG_API int cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, Function *f, int threads, size_t shared, unsigned) {
    return active_blocks(blocks, f, threads, shared);
}
RIG_API int cuOccupancyMaxPotentialBlockSize(int *grid, int *block, Function *, void *, size_t, int limit) {
    return best_block(grid, block, limit);
}
RIG_API int cuOccupancyMaxPotentialBlockSizeWithFlags(int *grid, int *block, Function *, void *, size_t, int limit, unsigned) {
    return best_block(grid, block, limit);
}
RIG_API int cuOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, Function *, int, int) {
    *bytes = 48 << 10;
    return Call().error;
}

RIG_API int cuLaunchKernel(Function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                           unsigned shared, Stream, void **params, void **extra) {
    return run_kernel(function, {gx, gy, gz}, {bx, by, bz}, shared, params, extra);
}
struct LaunchConfig {
    unsigned gx, gy, gz, bx, by, bz, shared;
    Stream stream;
    void *attributes;
    unsigned count;
};
RIG_API int cuLaunchKernelEx(const LaunchConfig *c, Function *function, void **params, void **extra) {
    return run_kernel(function, {c->gx, c->gy, c->gz}, {c->bx, c->by, c->bz}, c->shared, params, extra);
}
