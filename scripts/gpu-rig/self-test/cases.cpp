// The rig's test of itself: kernels.ptx and the faults, through the driver's calls as a program makes them. Each case is
// a process of its own, since after most errors a device is of no use any more.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern "C" {
int cuInit(unsigned);
int cuDeviceGetCount(int *);
int cuDevicePrimaryCtxRetain(void **, int);
int cuCtxSetCurrent(void *);
int cuCtxSynchronize();
int cuMemAlloc_v2(uint64_t *, size_t);
int cuMemFree_v2(uint64_t);
int cuMemGetInfo_v2(size_t *, size_t *);
int cuMemcpyHtoD_v2(uint64_t, const void *, size_t);
int cuMemcpyDtoH_v2(void *, uint64_t, size_t);
int cuMemsetD8_v2(uint64_t, unsigned char, size_t);
int cuModuleLoadData(void **, const void *);
int cuModuleGetFunction(void **, void *, const char *);
int cuLaunchKernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **);
int cuGetErrorName(int, const char **);
int cuGraphLaunch();
int cublasCreate_v2(void **);
int cublasSgemm_v2(void *, int, int, int, int, int, const void *, const void *, int, const void *, int, const void *, void *, int);
int curandCreateGenerator(void **, int);
int curandGenerateUniform(void *, float *, size_t);
int cudnnCreate(void **);
int cudnnCreateTensorDescriptor(void **);
int cudnnCreateFilterDescriptor(void **);
int cudnnCreateConvolutionDescriptor(void **);
int cudnnSetTensor4dDescriptor(void *, int, int, int, int, int, int);
int cudnnSetFilter4dDescriptor(void *, int, int, int, int, int, int);
int cudnnSetConvolution2dDescriptor(void *, int, int, int, int, int, int, int, int);
int cudnnGetConvolutionForwardWorkspaceSize(void *, void *, void *, void *, void *, int, size_t *);
int cudnnConvolutionForward(void *, const float *, void *, const void *, void *, const void *, void *, int, void *, size_t, const float *, void *, void *);
int cudnnConvolutionBackwardData(void *, const float *, void *, const void *, void *, const void *, void *, int, void *, size_t, const float *, void *, void *);
int cudnnConvolutionBackwardFilter(void *, const float *, void *, const void *, void *, const void *, void *, int, void *, size_t, const float *, void *, void *);
}

namespace {

std::string ptx;
int failures = 0;

#define SAME(left, right)                                                                                       \
    do {                                                                                                        \
        auto l = left;                                                                                          \
        auto r = right;                                                                                         \
        if (!(l == decltype(l)(r))) {                                                                           \
            std::printf("line %d: %s is %s, not %s\n", __LINE__, #left, std::to_string(l).c_str(), std::to_string(r).c_str()); \
            failures++;                                                                                         \
        }                                                                                                       \
    } while (0)

struct Device {
    void *module = nullptr;

    Device() {
        void *context;
        SAME(cuInit(0), 0);
        SAME(cuDevicePrimaryCtxRetain(&context, 0), 0);
        SAME(cuCtxSetCurrent(context), 0);
        SAME(cuModuleLoadData(&module, ptx.c_str()), 0);
    }
    uint64_t room(size_t bytes) {
        uint64_t pointer = 0;
        SAME(cuMemAlloc_v2(&pointer, bytes), 0);
        return pointer;
    }
    template <class T> uint64_t with(const std::vector<T> &values) {
        uint64_t pointer = room(values.size() * sizeof(T));
        SAME(cuMemcpyHtoD_v2(pointer, values.data(), values.size() * sizeof(T)), 0);
        return pointer;
    }
    template <class T> std::vector<T> read(uint64_t pointer, size_t count) {
        std::vector<T> values(count);
        SAME(cuMemcpyDtoH_v2(values.data(), pointer, count * sizeof(T)), 0);
        return values;
    }
    template <class... P> int launch(const char *name, unsigned grid, unsigned block, unsigned shared, P... params) {
        void *function = nullptr, *pointers[] = {&params..., nullptr};
        SAME(cuModuleGetFunction(&function, module, name), 0);
        return cuLaunchKernel(function, grid, 1, 1, block, 1, 1, shared, nullptr, pointers, nullptr);
    }
};

void divergence() {
    Device d;
    uint64_t out = d.room(64 * 8);
    SAME(d.launch("diverge", 1, 64, 0, out), 0);
    auto got = d.read<uint32_t>(out, 128);
    for (uint32_t i = 0; i < 64; i++) {
        SAME(got[2 * i], i * (i % 7));
        SAME(got[2 * i + 1], 0xffffffff);
    }
}

void shared_memory() {
    Device d;
    std::vector<float> in(1024);
    for (size_t i = 0; i < in.size(); i++) in[i] = float(i % 13);
    uint64_t out = d.room(16);
    SAME(d.launch("reduce", 4, 256, 0, out, d.with(in)), 0);
    auto got = d.read<float>(out, 4);
    for (size_t b = 0; b < 4; b++) {
        float sum = 0;
        for (size_t i = 0; i < 256; i++) sum += in[b * 256 + i];
        SAME(got[b], sum);
    }
}

void lane_exchange() {
    Device d;
    uint64_t out = d.room(32 * 16);
    SAME(d.launch("lanes", 1, 32, 0, out), 0);
    auto got = d.read<uint32_t>(out, 128);
    for (uint32_t i = 0; i < 32; i++) {
        SAME(got[4 * i], 496u);
        SAME(got[4 * i + 1], i < 28 ? i + 4 : 99);
        SAME(got[4 * i + 2], 0xffffffe0u);
        SAME(got[4 * i + 3], 1u);
    }
    SAME(d.launch("late", 1, 32, 0, out), 0);
    for (uint32_t value : d.read<uint32_t>(out, 32)) SAME(value, 40u);
}

void atomics() {
    Device d;
    uint64_t counters = d.with(std::vector<uint32_t>(5, 0));
    SAME(d.launch("atomics", 3, 100, 0, counters), 0);
    auto got = d.read<uint32_t>(counters, 5);
    float sum;
    std::memcpy(&sum, &got[1], 4);
    SAME(got[0], 300u);
    SAME(sum, 150.0f);
    SAME(got[2], 99u);
    SAME(got[3], 4950u);
    SAME(got[4], 300u);
}

void local_memory() {
    Device d;
    uint64_t out = d.room(64 * 4);
    SAME(d.launch("local", 1, 64, 0, out), 0);
    auto got = d.read<uint32_t>(out, 64);
    for (uint32_t i = 0; i < 64; i++) SAME(got[i], (i & 15) * 100 + i);
}

void predicates() {
    Device d;
    uint64_t out = d.room(32 * 4);
    SAME(d.launch("predicates", 1, 32, 0, out), 0);
    auto got = d.read<uint32_t>(out, 32);
    for (uint32_t i = 0; i < 32; i++) {
        bool p1 = i < 20, p2 = i > 10 && p1, p3 = !(i > 10) && p1, p4 = i == 31 || !p1, p5 = p2 != p1;
        SAME(got[i], p2 * 1u + p3 * 2u + !p4 * 4u + p5 * 8u + 32 + 64 + 128);
    }
}

void conversions() {
    Device d;
    uint64_t out = d.room(128);
    // Between two floats, and nearer to a half of a whole number.
    SAME(d.launch("convert", 1, 1, 0, out, -2.5000000001), 0);
    auto f = d.read<float>(out, 17);
    auto i = d.read<int32_t>(out, 17);
    float below = std::nextafter(-2.5f, -3.0f);
    SAME(f[0], -2.5f);
    SAME(f[1], -2.5f);
    SAME(f[2], below);
    SAME(f[3], -2.5f);
    SAME(i[4], -2);
    SAME(i[5], -2);
    SAME(i[6], -3);
    SAME(i[7], -2);
    SAME(i[8], 0);
    SAME(f[9], 0.0f);
    SAME(f[10], -2.0f);
    SAME(f[11], -2.5f);
    SAME(d.read<int64_t>(out + 48, 1)[0], -2);
    SAME(i[14], -2);
    SAME(i[15], 65534);
    SAME(i[16], 0);
    SAME(d.launch("convert", 1, 1, 0, out, 300.7), 0);
    i = d.read<int32_t>(out, 17);
    f = d.read<float>(out, 17);
    SAME(i[4], 301);
    SAME(i[8], 300);
    SAME(f[9], 1.0f);
    SAME(f[11], 300.75f);
    SAME(i[14], 44);
    SAME(i[16], 255);
    SAME(d.launch("convert", 1, 1, 0, out, 1e30), 0);
    i = d.read<int32_t>(out, 17);
    SAME(i[4], INT32_MAX);
    SAME(uint32_t(i[8]), UINT32_MAX);
    SAME(d.read<int64_t>(out + 48, 1)[0], INT64_MAX);
}

void floats() {
    Device d;
    uint64_t out = d.room(48);
    float a = 1.0000001f, b = 0.99999994f, c = -1.0f;
    SAME(d.launch("floats", 1, 1, 0, out, a, b, c), 0);
    auto got = d.read<float>(out, 12);
    SAME(got[0], std::fma(a, b, c));
    SAME(got[0] != got[1], true);
    SAME(got[2], a + c);
    SAME(got[4] <= got[0], true);
    SAME(got[5], 0.0f);
    SAME(got[6], 1e-45f);
    SAME(std::signbit(got[7]), true);
    SAME(got[8], a);
    SAME(got[9], a / b);
    SAME(got[10], 1.0f);
    SAME(got[11], -a);
    // A sum that falls between two floats goes down, and up.
    SAME(d.launch("floats", 1, 1, 0, out, 1.0f, 1.0f, 1e-10f), 0);
    got = d.read<float>(out, 12);
    SAME(got[0], 1.0f);
    SAME(got[2], 1.0f);
    SAME(got[3], std::nextafter(1.0f, 2.0f));
    SAME(got[4], 1.0f);
}

void integers() {
    Device d;
    uint64_t out = d.room(72);
    uint32_t a = 0xf0a5c3e1, b = 0x00012345;
    SAME(d.launch("integers", 1, 1, 0, out, a, b), 0);
    auto got = d.read<uint32_t>(out, 18);
    uint32_t third = uint32_t(int32_t(a) / -3);
    uint32_t expected[] = {uint32_t(uint64_t(a) * b >> 32), uint32_t(int64_t(int32_t(a)) * int32_t(b) >> 32), a + b, 0, b - a,
                           0xffffffff, a >> 4 & 255, 0xffffffff, (a & ~0xf00u) | (b & 15) << 8, 0x00e145c3, 0x87c3a50f, 15,
                           uint32_t(__builtin_popcount(a)), 0xffffffff, 0, b << 8 | a >> 24, 0, third};
    // prmt takes byte 1, byte 4, byte 0 and byte 7 of both words.
    expected[9] = (a >> 8 & 255) | (b & 255) << 8 | (a & 255) << 16 | (b >> 24) << 24;
    // The table 0x6a is (a and b) xor c.
    expected[16] = (a & b) ^ 15;
    for (size_t i = 0; i < 18; i++) SAME(got[i], expected[i]);
}

void calls() {
    Device d;
    uint64_t out = d.room(32 * 4);
    SAME(d.launch("calls", 1, 32, 0, out), 0);
    auto got = d.read<uint32_t>(out, 32);
    for (uint32_t i = 0; i < 32; i++) SAME(got[i], (i >= 24 ? 1000 : i % 2 ? 2 * i : i) + 9 - 3);
}

void dynamic_shared() {
    Device d;
    uint64_t out = d.room(32 * 4);
    SAME(d.launch("dynamic_shared", 1, 32, 128, out), 0);
    auto got = d.read<uint32_t>(out, 32);
    for (uint32_t i = 0; i < 32; i++) SAME(got[i], (31 - i) + (i % 4 == 3 ? 0 : 100 + i % 4));
}

void block_vote() {
    Device d;
    uint64_t out = d.room(64 * 4);
    SAME(d.launch("vote_block", 1, 64, 0, out), 0);
    auto got = d.read<uint32_t>(out, 64);
    for (uint32_t i = 0; i < 64; i++) SAME(got[i], i < 50 ? 33u : UINT32_MAX);
}

// An error of a kernel stays.
void fails(int code, const std::function<int(Device &)> &run) {
    Device d;
    SAME(run(d), code);
    SAME(cuCtxSynchronize(), code);
    uint64_t pointer;
    SAME(cuMemAlloc_v2(&pointer, 4), code);
}
void outside() {
    fails(700, [](Device &d) { return d.launch("poke", 1, 32, 0, d.room(64), uint64_t(64)); });
}
void inside() {
    Device d;
    uint64_t out = d.room(64);
    SAME(d.launch("poke", 1, 32, 0, out, uint64_t(60)), 0);
    auto got = d.read<uint32_t>(out, 16);
    SAME(got[15], 5u);
    SAME(got[14], UINT32_MAX);
}
void freed() {
    fails(700, [](Device &d) {
        uint64_t out = d.room(64);
        SAME(cuMemFree_v2(out), 0);
        SAME(cuMemFree_v2(out), 1);
        return d.launch("poke", 1, 32, 0, out, uint64_t(0));
    });
}
void misaligned() {
    fails(716, [](Device &d) { return d.launch("poke", 1, 32, 0, d.room(64), uint64_t(2)); });
}
void outside_shared() {
    fails(700, [](Device &d) {
        SAME(d.launch("poke_shared", 1, 1, 64, uint32_t(60)), 0);
        return d.launch("poke_shared", 1, 1, 64, uint32_t(64));
    });
}
void deadlock() {
    fails(719, [](Device &d) { return d.launch("deadlock", 1, 64, 0); });
}
void unknown() {
    fails(801, [](Device &d) {
        SAME(d.launch("unknown", 1, 32, 0, 0u), 0);
        return d.launch("unknown", 1, 32, 0, 1u);
    });
}
void stub() {
    Device d;
    SAME(cuGraphLaunch(), 801);
    SAME(cuCtxSynchronize(), 0);
}
void bad_ptx() {
    Device d;
    void *module;
    SAME(cuModuleLoadData(&module, ".version 7.0\n.target sm_75\n.entry nothing("), 218);
    SAME(cuModuleLoadData(&module, ".version 9.9\n.target sm_75\n.address_size 64\n"), 222);
    SAME(cuModuleLoadData(&module, ".version 9.0\n.target sm_120\n.address_size 64\n"), 218);
    SAME(cuModuleLoadData(&module, "\x7f" "ELF"), 209);
}
void copies() {
    Device d;
    uint64_t pointer = d.room(100);
    char bytes[104] = {};
    SAME(cuMemcpyHtoD_v2(pointer, bytes, 101), 1);
    SAME(cuMemcpyDtoH_v2(bytes, pointer + 4, 96), 0);
    SAME(int(bytes[95]), -1);
    SAME(cuMemsetD8_v2(pointer, 7, 100), 0);
    SAME(d.read<uint8_t>(pointer, 100)[99], 7);
}

void no_device() {
    setenv("EMOCAM_RIG_GPUS", "0", 1);
    SAME(cuInit(0), 100);
}
void several_devices() {
    setenv("EMOCAM_RIG_GPUS", "3", 1);
    void *context;
    int count = 0;
    SAME(cuInit(0), 0);
    SAME(cuDeviceGetCount(&count), 0);
    SAME(count, 3);
    SAME(cuDevicePrimaryCtxRetain(&context, 2), 0);
    SAME(cuDevicePrimaryCtxRetain(&context, 3), 101);
}
void little_memory() {
    setenv("EMOCAM_RIG_MEMORY", "1M", 1);
    Device d;
    size_t free, total;
    uint64_t pointer;
    SAME(cuMemAlloc_v2(&pointer, 2 << 20), 2);
    uint64_t half = d.room(512 << 10);
    SAME(cuMemAlloc_v2(&pointer, 512 << 10), 2);
    SAME(cuMemGetInfo_v2(&free, &total), 0);
    SAME(total, size_t(1 << 20));
    SAME(free < (512u << 10), true);
    SAME(cuMemFree_v2(half), 0);
    d.room(512 << 10);
}
void lost() {
    setenv("EMOCAM_RIG_LOSE_AFTER", "2", 1);
    Device d;
    uint64_t out = d.room(256);
    SAME(d.launch("local", 1, 64, 0, out), 0);
    SAME(cuCtxSynchronize(), 0);
    SAME(d.launch("local", 1, 64, 0, out), 0);
    SAME(cuCtxSynchronize(), 719);
    SAME(cuMemFree_v2(out), 719);
    const char *name;
    SAME(cuGetErrorName(719, &name), 0);
    SAME(std::string(name) == "CUDA_ERROR_LAUNCH_FAILED", true);
}
void old_driver() {
    setenv("EMOCAM_RIG_DRIVER", "12020", 1);
    Device d;
    void *any;
    SAME(cuModuleLoadData(&any, ".version 8.2\n.target sm_75\n.address_size 64\n"), 0);
    SAME(cuModuleLoadData(&any, ".version 9.0\n.target sm_75\n.address_size 64\n"), 222);
    SAME(cublasCreate_v2(&any), 1);
    SAME(curandCreateGenerator(&any, 100), 203);
}
void libraries() {
    Device d;
    void *blas, *random;
    SAME(cublasCreate_v2(&blas), 0);
    // By columns: (1 2 3; 4 5 6) times (1 0; 0 1; 1 1), and as much again of what was there.
    uint64_t a = d.with(std::vector<float>{1, 4, 2, 5, 3, 6}), b = d.with(std::vector<float>{1, 0, 1, 0, 1, 1}), c = d.with(std::vector<float>{1, 1, 1, 1});
    float one = 1, two = 2;
    auto at = [](uint64_t p) { return reinterpret_cast<void *>(p); };
    SAME(cublasSgemm_v2(blas, 0, 0, 2, 2, 3, &two, at(a), 2, at(b), 3, &one, at(c), 2), 0);
    auto got = d.read<float>(c, 4);
    for (size_t i = 0; i < 4; i++) SAME(got[i], (std::vector<float>{9, 21, 11, 23})[i]);
    SAME(curandCreateGenerator(&random, 100), 0);
    uint64_t numbers = d.room(40000);
    SAME(curandGenerateUniform(random, static_cast<float *>(at(numbers)), 10000), 0);
    double sum = 0;
    for (float value : d.read<float>(numbers, 10000)) {
        SAME(value > 0 && value <= 1, true);
        sum += value;
    }
    SAME(std::fabs(sum / 10000 - 0.5) < 0.01, true);
    SAME(curandGenerateUniform(random, static_cast<float *>(at(numbers)), 10001), 201);
}
// Whole numbers, so that all sums are exact. The gradients are those for which the sum of output times its gradient is
// that of input times its gradient, and of weights times theirs: the output is linear in both.
void convolutions() {
    Device d;
    void *dnn, *xd, *wd, *yd, *conv;
    SAME(cudnnCreate(&dnn), 0);
    SAME(cudnnCreateTensorDescriptor(&xd), 0);
    SAME(cudnnCreateFilterDescriptor(&wd), 0);
    SAME(cudnnCreateTensorDescriptor(&yd), 0);
    SAME(cudnnCreateConvolutionDescriptor(&conv), 0);
    constexpr int N = 2, IN = 3, OUT = 4, H = 7, W = 6, K = 3;
    for (int stride : {1, 2}) {
        const int h = (H + 2 - K) / stride + 1, w = (W + 2 - K) / stride + 1;
        auto whole = [](int count, int by) {
            std::vector<float> values(static_cast<size_t>(count));
            for (int i = 0; i < count; i++) values[size_t(i)] = float(i * by % 11 - 5);
            return values;
        };
        auto x = whole(N * IN * H * W, 7), k = whole(OUT * IN * K * K, 5), g = whole(N * OUT * h * w, 3);
        SAME(cudnnSetTensor4dDescriptor(xd, 0, 0, N, IN, H, W), 0);
        SAME(cudnnSetFilter4dDescriptor(wd, 0, 0, OUT, IN, K, K), 0);
        SAME(cudnnSetTensor4dDescriptor(yd, 0, 0, N, OUT, h, w), 0);
        SAME(cudnnSetConvolution2dDescriptor(conv, 1, 1, stride, stride, 1, 1, 1, 0), 0);
        size_t bytes = 0;
        SAME(cudnnGetConvolutionForwardWorkspaceSize(dnn, xd, wd, conv, yd, 1, &bytes), 0);
        auto at = [](uint64_t p) { return reinterpret_cast<void *>(p); };
        uint64_t px = d.with(x), pk = d.with(k), pg = d.with(g), py = d.room(g.size() * 4), pdx = d.room(x.size() * 4), pdk = d.room(k.size() * 4);
        void *scratch = at(d.room(bytes));
        float one = 1, none = 0;
        SAME(cudnnConvolutionForward(dnn, &one, xd, at(px), wd, at(pk), conv, 1, scratch, bytes, &none, yd, at(py)), 0);
        SAME(cudnnConvolutionBackwardData(dnn, &one, wd, at(pk), yd, at(pg), conv, 1, scratch, bytes, &none, xd, at(pdx)), 0);
        SAME(cudnnConvolutionBackwardFilter(dnn, &one, xd, at(px), yd, at(pg), conv, 1, scratch, bytes, &none, wd, at(pdk)), 0);
        auto y = d.read<float>(py, g.size()), dx = d.read<float>(pdx, x.size()), dk = d.read<float>(pdk, k.size());
        for (int i = 0; i < N * OUT * h * w; i++) {
            int column = i % w, row = i / w % h, out = i / w / h % OUT, n = i / w / h / OUT;
            float sum = 0;
            for (int j = 0; j < IN * K * K; j++) {
                int r = row * stride + j / K % K - 1, c = column * stride + j % K - 1;
                if (r >= 0 && r < H && c >= 0 && c < W) sum += x[size_t(((n * IN + j / K / K) * H + r) * W + c)] * k[size_t(out * IN * K * K + j)];
            }
            SAME(y[size_t(i)], sum);
        }
        auto dot = [](const std::vector<float> &a, const std::vector<float> &b) {
            double sum = 0;
            for (size_t i = 0; i < a.size(); i++) sum += double(a[i]) * double(b[i]);
            return sum;
        };
        SAME(dot(x, dx), dot(y, g));
        SAME(dot(k, dk), dot(y, g));
    }
}
void traced() {
    char name[] = "/tmp/gpu-rig-trace-XXXXXX";
    close(mkstemp(name));
    setenv("EMOCAM_RIG_TRACE", name, 1);
    Device d;
    uint64_t out = d.room(256);
    SAME(d.launch("local", 1, 64, 0, out), 0);
    SAME(cuCtxSynchronize(), 0);
    d.read<uint32_t>(out, 64);
    std::ifstream file(name);
    std::string text((std::istreambuf_iterator<char>(file)), {});
    unlink(name);
    size_t at = 0;
    for (auto line : {"allocate 256\n", "launch local grid 1,1,1 block 64,1,1 ", "synchronize context\n", "copy to host 256\n"}) {
        at = text.find(line, at);
        SAME(at != std::string::npos, true);
    }
}

struct Case {
    const char *name;
    void (*run)();
};
const Case CASES[] = {
    {"divergence", divergence}, {"shared memory", shared_memory}, {"lane exchange", lane_exchange}, {"atomics", atomics},
    {"local memory", local_memory}, {"predicates", predicates}, {"conversions", conversions}, {"floats", floats},
    {"integers", integers}, {"calls", calls}, {"dynamic shared memory", dynamic_shared}, {"votes of a block", block_vote},
    {"outside", outside}, {"inside", inside}, {"freed", freed}, {"misaligned", misaligned}, {"outside shared", outside_shared},
    {"deadlock", deadlock}, {"unknown instruction", unknown}, {"stub", stub}, {"bad PTX", bad_ptx}, {"copies", copies},
    {"no device", no_device}, {"several devices", several_devices}, {"little memory", little_memory}, {"lost", lost},
    {"old driver", old_driver}, {"libraries", libraries}, {"convolutions", convolutions}, {"trace", traced},
};

}  // namespace

int main(int count, char **arguments) {
    std::ifstream file(count > 1 ? arguments[1] : "");
    ptx.assign(std::istreambuf_iterator<char>(file), {});
    if (ptx.empty()) return std::fprintf(stderr, "no kernels\n"), 1;
    int bad = 0;
    for (const Case &one : CASES) {
        std::fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            for (auto name : {"GPUS", "MEMORY", "CAPABILITY", "DRIVER", "LOSE_AFTER", "TRACE"})
                unsetenv((std::string("EMOCAM_RIG_") + name).c_str());
            one.run();
            std::fflush(stdout);
            _exit(failures != 0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status) {
            std::printf("FAILED: %s\n", one.name);
            bad++;
        }
    }
    std::printf("%zu cases, %d failed\n", std::size(CASES), bad);
    return bad != 0;
}
