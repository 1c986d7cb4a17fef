// cuDNN, as far as convolutions of pictures in single precision and their two gradients, in plain loops.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "driver.h"

namespace {

enum : int { DONE = 0, NOT_INITIALIZED = 1001, BAD_PARAM = 2000, UNSUPPORTED = 3000, EXECUTION_FAILED = 5000 };

struct Handle {
    void *stream = nullptr;
};
// Both of pictures (n, c, h, w) and of kernels (out, in, h, w).
struct Tensor {
    int type = 0;
    int size[4] = {}, stride[4] = {};

    size_t count() const { return size_t(size[0]) * size_t(size[1]) * size_t(size[2]) * size_t(size[3]); }
    size_t extent() const {
        size_t last = 1;
        for (int i = 0; i < 4; i++) last += size_t(size[i] - 1) * size_t(stride[i]);
        return count() ? last : 0;
    }
    int set(int of, const int *sizes, const int *strides) {
        type = of;
        for (int i = 3, next = 1; i >= 0; next *= sizes[i--]) {
            if (sizes[i] < 1) return BAD_PARAM;
            size[i] = sizes[i];
            stride[i] = strides ? strides[i] : next;
        }
        return DONE;
    }
};
struct Convolution {
    int padding[2] = {}, stride[2] = {1, 1}, dilation[2] = {1, 1}, mode = 1, groups = 1;
};

// What an algorithm is said to be: deterministic, and in need of a little memory to scribble on.
struct Performance {
    int algorithm, status;
    float time;
    size_t memory;
    int determinism, math;
    int reserved[3];
};
constexpr size_t SCRATCH = 1024;

int algorithm(int wanted, int *returned, Performance *out) {
    if (wanted < 1 || !returned || !out) return BAD_PARAM;
    *returned = 1;
    *out = {1, DONE, 1.0f, SCRATCH, 1, 0, {}};
    return DONE;
}

// A tensor's numbers, one after the other.
struct Numbers {
    const Tensor &tensor;
    float *device = nullptr;
    std::vector<float> values;

    Numbers(const Tensor &tensor) : tensor(tensor), values(tensor.count()) {}
    int find(const void *pointer) {
        void *host = nullptr;
        if (tensor.type != 0) return UNSUPPORTED;
        if (rigCheck(reinterpret_cast<uint64_t>(pointer), tensor.extent() * 4, &host)) return EXECUTION_FAILED;
        device = static_cast<float *>(host);
        return DONE;
    }
    template <class F> void each(F f) {
        const int *n = tensor.size, *s = tensor.stride;
        size_t i = 0;
        for (int a = 0; a < n[0]; a++)
            for (int b = 0; b < n[1]; b++)
                for (int c = 0; c < n[2]; c++)
                    for (int d = 0; d < n[3]; d++)
                        f(values[i++], device[size_t(a) * size_t(s[0]) + size_t(b) * size_t(s[1]) + size_t(c) * size_t(s[2]) + size_t(d) * size_t(s[3])]);
    }
    int read(const void *pointer) {
        int error = find(pointer);
        if (!error) each([](float &value, float &there) { value = there; });
        return error;
    }
    void write(float alpha, float beta) {
        // With a beta of zero what was there is not looked at: it may be no number.
        each([&](float &value, float &there) { there = beta == 0 ? alpha * value : alpha * value + beta * there; });
    }
};

// Calls f(x, y, w, count, step): `count` neighbours of a row of y go with every `step`th of a row of x, by one weight.
template <class F>
int pairs(const Convolution &c, const Tensor &x, const Tensor &w, const Tensor &y, F f) {
    int in_per_group = w.size[1], out_per_group = y.size[1] / c.groups;
    if (c.mode != 1) return UNSUPPORTED;
    if (x.size[0] != y.size[0] || w.size[0] != y.size[1] || x.size[1] != in_per_group * c.groups || y.size[1] % c.groups)
        return BAD_PARAM;
    for (int i = 0; i < 2; i++) {
        int reach = c.dilation[i] * (w.size[2 + i] - 1) + 1;
        if (y.size[2 + i] != (x.size[2 + i] + 2 * c.padding[i] - reach) / c.stride[i] + 1) return BAD_PARAM;
    }
    const int height = x.size[2], width = x.size[3], rows = y.size[2], columns = y.size[3];
    for (int n = 0; n < y.size[0]; n++)
        for (int out = 0; out < y.size[1]; out++)
            for (int in = 0; in < in_per_group; in++) {
                size_t x_plane = size_t(n) * size_t(x.size[1]) + size_t(out / out_per_group * in_per_group + in);
                size_t y_plane = size_t(n) * size_t(y.size[1]) + size_t(out), w_plane = size_t(out) * size_t(in_per_group) + size_t(in);
                for (int ky = 0; ky < w.size[2]; ky++)
                    for (int kx = 0; kx < w.size[3]; kx++) {
                        size_t weight = (w_plane * size_t(w.size[2]) + size_t(ky)) * size_t(w.size[3]) + size_t(kx);
                        int left = kx * c.dilation[1] - c.padding[1], step = c.stride[1];
                        int first = left < 0 ? (-left + step - 1) / step : 0;
                        int last = std::min(columns - 1, (width - 1 - left) / step);
                        if (width - 1 - left < 0 || first > last) continue;
                        for (int row = 0; row < rows; row++) {
                            int from = row * c.stride[0] + ky * c.dilation[0] - c.padding[0];
                            if (from < 0 || from >= height) continue;
                            f((x_plane * size_t(height) + size_t(from)) * size_t(width) + size_t(left + first * step),
                              (y_plane * size_t(rows) + size_t(row)) * size_t(columns) + size_t(first), weight,
                              size_t(last - first + 1), size_t(step));
                        }
                    }
            }
    return DONE;
}

int begin(Handle *handle, const char *name, const void *scratch, size_t bytes) {
    void *host;
    if (!handle) return NOT_INITIALIZED;
    if (bytes < SCRATCH) return BAD_PARAM;
    if (rigBegin(name) || rigCheck(reinterpret_cast<uint64_t>(scratch), bytes, &host)) return EXECUTION_FAILED;
    return DONE;
}

template <class T> int create(T **made) {
    *made = new T;
    return DONE;
}
template <class T> int destroy(T *one) {
    delete one;
    return DONE;
}
int set_nd(Tensor *t, int type, int count, const int *sizes, const int *strides) {
    return count == 4 ? t->set(type, sizes, strides) : UNSUPPORTED;
}

}  // namespace

RIG_API size_t cudnnGetVersion() { return 92100; }
RIG_API size_t cudnnGetCudartVersion() { return 13000; }
RIG_API const char *cudnnGetErrorString(int status) {
    switch (status) {
        case DONE: return "CUDNN_STATUS_SUCCESS";
        case NOT_INITIALIZED: return "CUDNN_STATUS_NOT_INITIALIZED";
        case BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
        case UNSUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
        default: return "CUDNN_STATUS_EXECUTION_FAILED";
    }
}
RIG_API int cudnnCreate(Handle **handle) {
    if (rigDriver() < 13000 || rigAlive()) return NOT_INITIALIZED;
    return create(handle);
}
RIG_API int cudnnDestroy(Handle *handle) { return destroy(handle); }
RIG_API int cudnnSetStream(Handle *handle, void *stream) {
    handle->stream = stream;
    return DONE;
}
RIG_API int cudnnCreateTensorDescriptor(Tensor **t) { return create(t); }
RIG_API int cudnnDestroyTensorDescriptor(Tensor *t) { return destroy(t); }
RIG_API int cudnnCreateFilterDescriptor(Tensor **t) { return create(t); }
RIG_API int cudnnDestroyFilterDescriptor(Tensor *t) { return destroy(t); }
RIG_API int cudnnCreateConvolutionDescriptor(Convolution **c) { return create(c); }
RIG_API int cudnnDestroyConvolutionDescriptor(Convolution *c) { return destroy(c); }
RIG_API int cudnnSetTensor4dDescriptor(Tensor *t, int format, int type, int n, int c, int h, int w) {
    int sizes[] = {n, c, h, w};
    return format == 0 ? t->set(type, sizes, nullptr) : UNSUPPORTED;
}
RIG_API int cudnnSetTensor4dDescriptorEx(Tensor *t, int type, int n, int c, int h, int w, int sn, int sc, int sh, int sw) {
    int sizes[] = {n, c, h, w}, strides[] = {sn, sc, sh, sw};
    return t->set(type, sizes, strides);
}
RIG_API int cudnnSetTensorNdDescriptor(Tensor *t, int type, int count, const int *sizes, const int *strides) {
    return set_nd(t, type, count, sizes, strides);
}
RIG_API int cudnnSetFilter4dDescriptor(Tensor *t, int type, int format, int k, int c, int h, int w) {
    int sizes[] = {k, c, h, w};
    return format == 0 ? t->set(type, sizes, nullptr) : UNSUPPORTED;
}
RIG_API int cudnnSetFilterNdDescriptor(Tensor *t, int type, int format, int count, const int *sizes) {
    return format == 0 ? set_nd(t, type, count, sizes, nullptr) : UNSUPPORTED;
}
RIG_API int cudnnSetConvolution2dDescriptor(Convolution *c, int ph, int pw, int sh, int sw, int dh, int dw, int mode, int type) {
    if (type != 0) return UNSUPPORTED;
    *c = {{ph, pw}, {sh, sw}, {dh, dw}, mode, 1};
    return ph < 0 || pw < 0 || sh < 1 || sw < 1 || dh < 1 || dw < 1 ? BAD_PARAM : DONE;
}
RIG_API int cudnnSetConvolutionGroupCount(Convolution *c, int groups) {
    c->groups = groups;
    return groups < 1 ? BAD_PARAM : DONE;
}
RIG_API int cudnnSetConvolutionMathType(Convolution *, int) { return DONE; }

RIG_API int cudnnGetConvolutionForwardAlgorithm_v7(Handle *, Tensor *, Tensor *, Convolution *, Tensor *, int wanted, int *returned, Performance *out) {
    return algorithm(wanted, returned, out);
}
RIG_API int cudnnGetConvolutionBackwardDataAlgorithm_v7(Handle *, Tensor *, Tensor *, Convolution *, Tensor *, int wanted, int *returned, Performance *out) {
    return algorithm(wanted, returned, out);
}
RIG_API int cudnnGetConvolutionBackwardFilterAlgorithm_v7(Handle *, Tensor *, Tensor *, Convolution *, Tensor *, int wanted, int *returned, Performance *out) {
    return algorithm(wanted, returned, out);
}
RIG_API int cudnnGetConvolutionForwardWorkspaceSize(Handle *, Tensor *, Tensor *, Convolution *, Tensor *, int, size_t *bytes) {
    *bytes = SCRATCH;
    return DONE;
}
RIG_API int cudnnGetConvolutionBackwardDataWorkspaceSize(Handle *, Tensor *, Tensor *, Convolution *, Tensor *, int, size_t *bytes) {
    *bytes = SCRATCH;
    return DONE;
}
RIG_API int cudnnGetConvolutionBackwardFilterWorkspaceSize(Handle *, Tensor *, Tensor *, Convolution *, Tensor *, int, size_t *bytes) {
    *bytes = SCRATCH;
    return DONE;
}

RIG_API int cudnnConvolutionForward(Handle *handle, const float *alpha, Tensor *xd, const void *x, Tensor *wd, const void *w,
                                    Convolution *c, int, void *scratch, size_t bytes, const float *beta, Tensor *yd, void *y) {
    int error = begin(handle, "cudnnConvolutionForward", scratch, bytes);
    if (error) return error;
    Numbers in(*xd), weights(*wd), out(*yd);
    if ((error = in.read(x)) || (error = weights.read(w)) || (error = out.find(y))) return error;
    error = pairs(*c, *xd, *wd, *yd, [&](size_t from, size_t to, size_t weight, size_t count, size_t step) {
        float *__restrict p = &out.values[to];
        const float *q = &in.values[from], factor = weights.values[weight];
        for (size_t i = 0; i < count; i++) p[i] += factor * q[i * step];
    });
    if (!error) out.write(*alpha, *beta);
    return error;
}
RIG_API int cudnnConvolutionBackwardData(Handle *handle, const float *alpha, Tensor *wd, const void *w, Tensor *yd, const void *y,
                                         Convolution *c, int, void *scratch, size_t bytes, const float *beta, Tensor *xd, void *x) {
    int error = begin(handle, "cudnnConvolutionBackwardData", scratch, bytes);
    if (error) return error;
    Numbers in(*yd), weights(*wd), out(*xd);
    if ((error = in.read(y)) || (error = weights.read(w)) || (error = out.find(x))) return error;
    error = pairs(*c, *xd, *wd, *yd, [&](size_t to, size_t from, size_t weight, size_t count, size_t step) {
        float *__restrict p = &out.values[to];
        const float *q = &in.values[from], factor = weights.values[weight];
        for (size_t i = 0; i < count; i++) p[i * step] += factor * q[i];
    });
    if (!error) out.write(*alpha, *beta);
    return error;
}
RIG_API int cudnnConvolutionBackwardFilter(Handle *handle, const float *alpha, Tensor *xd, const void *x, Tensor *yd, const void *y,
                                           Convolution *c, int, void *scratch, size_t bytes, const float *beta, Tensor *wd, void *w) {
    int error = begin(handle, "cudnnConvolutionBackwardFilter", scratch, bytes);
    if (error) return error;
    Numbers in(*xd), gradient(*yd), out(*wd);
    if ((error = in.read(x)) || (error = gradient.read(y)) || (error = out.find(w))) return error;
    error = pairs(*c, *xd, *wd, *yd, [&](size_t from, size_t to, size_t weight, size_t count, size_t step) {
        const float *p = &gradient.values[to], *q = &in.values[from];
        float sums[8] = {};
        for (size_t i = 0; i < count; i++) sums[i % 8] += p[i] * q[i * step];
        for (float sum : sums) out.values[weight] += sum;
    });
    if (!error) out.write(*alpha, *beta);
    return error;
}

// Each part of the library says that it fits the others.
RIG_API int cudnnOpsVersionCheck() { return DONE; }
RIG_API int cudnnCnnVersionCheck() { return DONE; }
RIG_API int cudnnAdvVersionCheck() { return DONE; }
