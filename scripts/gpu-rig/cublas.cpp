// cuBLAS, as far as products of matrices and vectors. Matrices are stored by columns.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "driver.h"
#include "half.h"

namespace {

enum : int { DONE = 0, NOT_INITIALIZED = 1, BAD_VALUE = 7, EXECUTION_FAILED = 13, UNSUPPORTED = 15 };
enum : int { F32 = 0, F64 = 1, F16 = 2, BF16 = 14 };

struct Handle {
    int pointer_mode = 0;
    int math_mode = 0;
    void *stream = nullptr;
};

struct Matrix {
    const void *data;
    int type, transposed, ld;
    long long stride;
};

size_t size_of(int type) { return type == F64 ? 8 : type == F32 ? 4 : 2; }

double element(const unsigned char *data, size_t index, int type) {
    switch (type) {
        case F64: { double v; std::memcpy(&v, data + index * 8, 8); return v; }
        case F32: { float v; std::memcpy(&v, data + index * 4, 4); return v; }
        case F16: { uint16_t v; std::memcpy(&v, data + index * 2, 2); return rig::half_to_float(v); }
        default: { uint16_t v; std::memcpy(&v, data + index * 2, 2); return rig::bfloat_to_float(v); }
    }
}
void set(unsigned char *data, size_t index, int type, double value) {
    switch (type) {
        case F64: std::memcpy(data + index * 8, &value, 8); break;
        case F32: { float v = float(value); std::memcpy(data + index * 4, &v, 4); break; }
        case F16: { uint16_t v = rig::float_to_half(float(value)); std::memcpy(data + index * 2, &v, 2); break; }
        default: { uint16_t v = rig::float_to_bfloat(float(value)); std::memcpy(data + index * 2, &v, 2); }
    }
}

// The bytes of a matrix of the host, checked. An empty matrix has none.
int bytes_of(const Matrix &m, int rows, int columns, int batch, unsigned char **host) {
    if (m.transposed) std::swap(rows, columns);
    if (m.ld < std::max(1, rows)) return BAD_VALUE;
    if (rows == 0 || columns == 0) return DONE;
    size_t elements = size_t(columns - 1) * size_t(m.ld) + size_t(rows);
    uint64_t start = reinterpret_cast<uint64_t>(m.data) + uint64_t(m.stride * batch) * size_of(m.type);
    return rigCheck(start, elements * size_of(m.type), reinterpret_cast<void **>(host)) ? EXECUTION_FAILED : DONE;
}

// Rows of `m` one after the other in memory by columns, or by rows.
template <class T> std::vector<T> packed(const unsigned char *data, const Matrix &m, int rows, int columns, bool by_rows) {
    std::vector<T> out(size_t(rows) * size_t(columns));
    for (int c = 0; c < columns; c++)
        for (int r = 0; r < rows; r++) {
            size_t from = m.transposed ? size_t(c) + size_t(r) * size_t(m.ld) : size_t(r) + size_t(c) * size_t(m.ld);
            size_t to = by_rows ? size_t(c) + size_t(r) * size_t(columns) : size_t(r) + size_t(c) * size_t(rows);
            out[to] = T(element(data, from, m.type));
        }
    return out;
}

// C = A B, where A is by columns and `m` long, B is by columns and `k` long. Four columns of C at a time share each
// element of A that is read. Long sums are made of short ones, as a device's are: one long sum would be further off.
template <class T> void product(const T *a, const T *b, T *c, size_t m, size_t n, size_t k) {
    constexpr size_t ROWS = 512, DEPTH = 64;
    std::fill(c, c + m * n, T(0));
    std::vector<T> sums(4 * ROWS);
    for (size_t p0 = 0; p0 < k; p0 += DEPTH)
        for (size_t i0 = 0; i0 < m; i0 += ROWS) {
            size_t p1 = std::min(k, p0 + DEPTH), rows = std::min(m - i0, ROWS);
            for (size_t j = 0; j < n; j += 4) {
                size_t some = std::min<size_t>(4, n - j);
                T *__restrict s0 = sums.data(), *__restrict s1 = s0 + ROWS, *__restrict s2 = s1 + ROWS, *__restrict s3 = s2 + ROWS;
                std::fill(sums.begin(), sums.end(), T(0));
                for (size_t p = p0; p < p1; p++) {
                    const T *column = a + p * m + i0;
                    T by[4] = {};
                    for (size_t q = 0; q < some; q++) by[q] = b[(j + q) * k + p];
                    for (size_t i = 0; i < rows; i++) {
                        s0[i] = std::fma(column[i], by[0], s0[i]);
                        s1[i] = std::fma(column[i], by[1], s1[i]);
                        s2[i] = std::fma(column[i], by[2], s2[i]);
                        s3[i] = std::fma(column[i], by[3], s3[i]);
                    }
                }
                for (size_t q = 0; q < some; q++)
                    for (size_t i = 0; i < rows; i++) c[(j + q) * m + i0 + i] += sums[q * ROWS + i];
            }
        }
}

template <class T>
int multiply(int m, int n, int k, double alpha, const Matrix &a, const Matrix &b, double beta, const Matrix &c, int batches) {
    for (int batch = 0; batch < batches; batch++) {
        unsigned char *pa = nullptr, *pb = nullptr, *pc = nullptr;
        int error = bytes_of(a, m, k, batch, &pa);
        if (!error) error = bytes_of(b, k, n, batch, &pb);
        if (!error) error = bytes_of(c, m, n, batch, &pc);
        if (error) return error;
        std::vector<T> out(size_t(m) * size_t(n));
        // Columns that are too short for vector instructions are the rows of the transposed product.
        bool turned = m < n;
        if (turned) product(packed<T>(pb, b, k, n, true).data(), packed<T>(pa, a, m, k, true).data(), out.data(), size_t(n), size_t(m), size_t(k));
        else product(packed<T>(pa, a, m, k, false).data(), packed<T>(pb, b, k, n, false).data(), out.data(), size_t(m), size_t(n), size_t(k));
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++) {
                size_t at = size_t(i) + size_t(j) * size_t(c.ld);
                T value = T(alpha) * out[turned ? size_t(j) + size_t(i) * size_t(n) : size_t(i) + size_t(j) * size_t(m)];
                // With a beta of zero what was there is not looked at: it may be no number.
                if (beta != 0) value = T(beta) * T(element(pc, at, c.type)) + value;
                set(pc, at, c.type, double(value));
            }
    }
    return DONE;
}

// A factor, which is on the host or the device.
int scalar(const Handle *handle, const void *pointer, int type, double *value) {
    if (!pointer) return BAD_VALUE;
    void *host = const_cast<void *>(pointer);
    if (handle->pointer_mode == 1 && rigCheck(reinterpret_cast<uint64_t>(pointer), size_of(type), &host)) return EXECUTION_FAILED;
    *value = element(static_cast<unsigned char *>(host), 0, type);
    return DONE;
}

int gemm(Handle *handle, const char *name, int m, int n, int k, const void *alpha, Matrix a, Matrix b, const void *beta,
         Matrix c, int batches, int scale) {
    if (!handle) return NOT_INITIALIZED;
    for (int type : {a.type, b.type, c.type})
        if (type != F32 && type != F64 && type != F16 && type != BF16) return UNSUPPORTED;
    if (m < 0 || n < 0 || k < 0 || batches < 0) return BAD_VALUE;
    char line[160];
    std::snprintf(line, sizeof line, "cublas%s m %d n %d k %d batches %d", name, m, n, k, batches);
    if (rigBegin(line)) return EXECUTION_FAILED;
    double by = 0, keep = 0;
    int error = scalar(handle, alpha, scale, &by);
    if (!error) error = scalar(handle, beta, scale, &keep);
    if (error || m == 0 || n == 0) return error;
    return scale == F64 ? multiply<double>(m, n, k, by, a, b, keep, c, batches)
                        : multiply<float>(m, n, k, by, a, b, keep, c, batches);
}

// The type that the factors have for this way to compute.
int scale_of(int compute) {
    switch (compute) {
        case 64: case 65: return F16;
        case 68: case 69: case 74: case 75: case 77: return F32;
        case 70: case 71: return F64;
        default: return -1;
    }
}

int gemv(Handle *handle, const char *name, int type, int transposed, int m, int n, const void *alpha, const void *a, int lda,
         const void *x, int incx, const void *beta, void *y, int incy) {
    if (incx < 1 || incy != 1) return UNSUPPORTED;
    int rows = transposed ? n : m, depth = transposed ? m : n;
    // Vectors are matrices of one row.
    return gemm(handle, name, rows, 1, depth, alpha, {a, type, transposed != 0, lda, 0}, {x, type, 1, incx, 0}, beta,
                {y, type, 0, std::max(1, rows), 0}, 1, type);
}

}  // namespace

RIG_API int cublasCreate_v2(Handle **handle) {
    if (rigDriver() < 13000) {
        rigComplain("cuBLAS 13 needs a driver of CUDA 13");
        return NOT_INITIALIZED;
    }
    if (rigAlive()) return NOT_INITIALIZED;
    *handle = new Handle;
    return DONE;
}
RIG_API int cublasDestroy_v2(Handle *handle) {
    delete handle;
    return DONE;
}
RIG_API int cublasGetVersion_v2(Handle *, int *version) {
    *version = 130000;
    return DONE;
}
RIG_API int cublasSetStream_v2(Handle *handle, void *stream) {
    handle->stream = stream;
    return DONE;
}
RIG_API int cublasGetStream_v2(Handle *handle, void **stream) {
    *stream = handle->stream;
    return DONE;
}
RIG_API int cublasSetWorkspace_v2(Handle *, void *, size_t) { return DONE; }
RIG_API int cublasSetMathMode(Handle *handle, int mode) {
    handle->math_mode = mode;
    return DONE;
}
RIG_API int cublasGetMathMode(Handle *handle, int *mode) {
    *mode = handle->math_mode;
    return DONE;
}
RIG_API int cublasSetPointerMode_v2(Handle *handle, int mode) {
    handle->pointer_mode = mode;
    return DONE;
}
RIG_API int cublasGetPointerMode_v2(Handle *handle, int *mode) {
    *mode = handle->pointer_mode;
    return DONE;
}

RIG_API int cublasSgemm_v2(Handle *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda,
                           const void *b, int ldb, const void *beta, void *c, int ldc) {
    return gemm(h, "Sgemm", m, n, k, alpha, {a, F32, ta != 0, lda, 0}, {b, F32, tb != 0, ldb, 0}, beta, {c, F32, 0, ldc, 0}, 1, F32);
}
RIG_API int cublasDgemm_v2(Handle *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda,
                           const void *b, int ldb, const void *beta, void *c, int ldc) {
    return gemm(h, "Dgemm", m, n, k, alpha, {a, F64, ta != 0, lda, 0}, {b, F64, tb != 0, ldb, 0}, beta, {c, F64, 0, ldc, 0}, 1, F64);
}
RIG_API int cublasSgemmStridedBatched(Handle *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda,
                                      long long sa, const void *b, int ldb, long long sb, const void *beta, void *c, int ldc,
                                      long long sc, int batches) {
    return gemm(h, "SgemmStridedBatched", m, n, k, alpha, {a, F32, ta != 0, lda, sa}, {b, F32, tb != 0, ldb, sb}, beta,
                {c, F32, 0, ldc, sc}, batches, F32);
}
RIG_API int cublasDgemmStridedBatched(Handle *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda,
                                      long long sa, const void *b, int ldb, long long sb, const void *beta, void *c, int ldc,
                                      long long sc, int batches) {
    return gemm(h, "DgemmStridedBatched", m, n, k, alpha, {a, F64, ta != 0, lda, sa}, {b, F64, tb != 0, ldb, sb}, beta,
                {c, F64, 0, ldc, sc}, batches, F64);
}
RIG_API int cublasGemmEx(Handle *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int at, int lda,
                         const void *b, int bt, int ldb, const void *beta, void *c, int ct, int ldc, int compute, int) {
    if (scale_of(compute) < 0) return UNSUPPORTED;
    return gemm(h, "GemmEx", m, n, k, alpha, {a, at, ta != 0, lda, 0}, {b, bt, tb != 0, ldb, 0}, beta, {c, ct, 0, ldc, 0}, 1, scale_of(compute));
}
RIG_API int cublasGemmStridedBatchedEx(Handle *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int at,
                                       int lda, long long sa, const void *b, int bt, int ldb, long long sb, const void *beta,
                                       void *c, int ct, int ldc, long long sc, int batches, int compute, int) {
    if (scale_of(compute) < 0) return UNSUPPORTED;
    return gemm(h, "GemmStridedBatchedEx", m, n, k, alpha, {a, at, ta != 0, lda, sa}, {b, bt, tb != 0, ldb, sb}, beta,
                {c, ct, 0, ldc, sc}, batches, scale_of(compute));
}
RIG_API int cublasSgemv_v2(Handle *h, int t, int m, int n, const void *alpha, const void *a, int lda, const void *x, int incx,
                           const void *beta, void *y, int incy) {
    return gemv(h, "Sgemv", F32, t, m, n, alpha, a, lda, x, incx, beta, y, incy);
}
RIG_API int cublasDgemv_v2(Handle *h, int t, int m, int n, const void *alpha, const void *a, int lda, const void *x, int incx,
                           const void *beta, void *y, int incy) {
    return gemv(h, "Dgemv", F64, t, m, n, alpha, a, lda, x, incx, beta, y, incy);
}
