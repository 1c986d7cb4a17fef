// Convolution and its two gradients, as products of matrices whose one side is gathered from pictures while it is read.
//
// Pictures are (batch, channels, height, width), kernels (out, in, k, k) with odd k, padding k / 2. A block of 256 threads
// holds a tile of the result in registers, 8 TM rows (channels) by 32 TN columns (pixels, or places of the kernel), and goes
// along what is summed over in steps whose values lie in shared memory: while it works on one step, the values of the next
// one are on their way. Sums go in a fixed order, so the same numbers in give the same numbers out.

// What kernels.rs hands over, in this order.
struct Sizes {
    int batch;
    // Of the convolution's input.
    int in_channels, height, width;
    int out_channels, out_height, out_width;
    int kernel, stride;
};

constexpr int THREADS = 256;

// One of the ways in which pixels that are read and pixels that are written belong together: forward, or one phase of the
// gradient of the input. That of a stride of s falls into s * s phases, each with the places of the kernel that reach it.
struct Way {
    int read_channels, read_height, read_width;
    int written_channels, written_height, written_width;
    // Pixels of each picture that are written, and where: every `spread`th row and column, from the first ones on.
    int rows, columns, first_row, first_column, spread;
    // Row `i` of those reads row `i * step + row_offset + direction * tap`, and so do columns.
    int step, row_offset, column_offset, direction;
    // The places of the kernel that are used: every `tap_step`th row and column, from the first ones on.
    int tap_rows, tap_columns, first_tap_row, first_tap_column, tap_step;
};

__device__ Way forward_way(const Sizes& s) {
    return {s.in_channels, s.height, s.width, s.out_channels, s.out_height, s.out_width,
            s.out_height, s.out_width, 0, 0, 1,
            s.stride, -(s.kernel / 2), -(s.kernel / 2), 1,
            s.kernel, s.kernel, 0, 0, 1};
}

// Input row y is reached from output row (y + padding - ky) / stride where that is whole.
__device__ Way backward_way(const Sizes& s, int phase) {
    const int padding = s.kernel / 2;
    const int row = phase / s.stride, column = phase % s.stride;
    const int tap_row = (row + padding) % s.stride, tap_column = (column + padding) % s.stride;
    const auto count = [&](int size, int first) { return first < size ? (size - first + s.stride - 1) / s.stride : 0; };
    return {s.out_channels, s.out_height, s.out_width, s.in_channels, s.height, s.width,
            count(s.height, row), count(s.width, column), row, column, s.stride,
            1, (row + padding - tap_row) / s.stride, (column + padding - tap_column) / s.stride, -1,
            count(s.kernel, tap_row), count(s.kernel, tap_column), tap_row, tap_column, s.stride};
}

// Adds the products of one step in shared memory to a thread's part of the tile: rows `row + 8 i`, columns `TN column + j`.
template <int TM, int TN, int DEPTH, int A_WIDTH, int B_WIDTH>
__device__ void multiply(const float (&a)[DEPTH][A_WIDTH], const float (&b)[DEPTH][B_WIDTH], int row, int column,
                         float (&sums)[TM][TN]) {
#pragma unroll
    for (int k = 0; k < DEPTH; ++k) {
        float left[TM], right[TN];
#pragma unroll
        for (int i = 0; i < TM; ++i) left[i] = a[k][row + 8 * i];
#pragma unroll
        for (int j = 0; j < TN; ++j) right[j] = b[k][TN * column + j];
#pragma unroll
        for (int i = 0; i < TM; ++i)
#pragma unroll
            for (int j = 0; j < TN; ++j) sums[i][j] = fmaf(left[i], right[j], sums[i][j]);
    }
}

// Channels by pixels; what is summed over: channels that are read, by places of the kernel. The innermost loop goes over
// the places, which find the same pixels in the cache.
template <int TM, int TN, bool BACKWARD>
__device__ void convolve(const Sizes& sizes, const Way& way, const float* __restrict__ x, const float* __restrict__ kernel,
                         const float* __restrict__ bias, const float* __restrict__ skip, bool relu, float* __restrict__ y) {
    // Small tiles are for few pixels, where all wait for memory: they fetch more at a time.
    constexpr int M = 8 * TM, N = 32 * TN, DEPTH = TN == 1 ? 32 : 8;
    constexpr int LOADED_ROWS = DEPTH * N / THREADS, WEIGHTS = (DEPTH * M + THREADS - 1) / THREADS;
    __shared__ __align__(16) float a[2][DEPTH][M];
    __shared__ __align__(16) float b[2][DEPTH][N];

    const int thread = threadIdx.x, first_channel = blockIdx.y * M, first_pixel = blockIdx.x * N;
    const int per_picture = way.rows * way.columns, pixels = sizes.batch * per_picture;
    const int plane = way.read_height * way.read_width, places = sizes.kernel * sizes.kernel;

    // The pixel whose values this thread fetches.
    const int load_pixel = first_pixel + thread % N, load_row = thread / N;
    const bool is_inside = load_pixel < pixels;
    const int picture = is_inside ? load_pixel / per_picture : 0;
    const int in_picture = is_inside ? load_pixel % per_picture : 0;
    const int base_row = in_picture / max(way.columns, 1) * way.step + way.row_offset;
    const int base_column = in_picture % max(way.columns, 1) * way.step + way.column_offset;
    x += static_cast<size_t>(picture) * way.read_channels * plane;

    float pixel_values[LOADED_ROWS], weights[WEIGHTS];
    int channel = 0, tap_row = 0, tap_column = 0;
    const auto fetch = [&] {
        const int row = base_row + way.direction * tap_row, column = base_column + way.direction * tap_column;
        const bool is_there = is_inside && row >= 0 && row < way.read_height && column >= 0 && column < way.read_width;
        const int place = (way.first_tap_row + tap_row * way.tap_step) * sizes.kernel + way.first_tap_column +
                          tap_column * way.tap_step;
#pragma unroll
        for (int i = 0; i < LOADED_ROWS; ++i) {
            const int c = channel + load_row + i * (THREADS / N);
            pixel_values[i] = is_there && c < way.read_channels ? x[c * plane + row * way.read_width + column] : 0.0f;
        }
#pragma unroll
        for (int i = 0; i < WEIGHTS; ++i) {
            const int e = thread + i * THREADS, c = channel + e % DEPTH, m = first_channel + e / DEPTH;
            const bool is_weight = e < DEPTH * M && c < way.read_channels && m < way.written_channels;
            const int from = BACKWARD ? c * way.written_channels + m : m * way.read_channels + c;
            weights[i] = is_weight ? kernel[from * places + place] : 0.0f;
        }
        // To the next step.
        if (++tap_column == way.tap_columns) {
            tap_column = 0;
            if (++tap_row == way.tap_rows) {
                tap_row = 0;
                channel += DEPTH;
            }
        }
    };
    const auto keep = [&](int buffer) {
#pragma unroll
        for (int i = 0; i < LOADED_ROWS; ++i) b[buffer][load_row + i * (THREADS / N)][thread % N] = pixel_values[i];
#pragma unroll
        for (int i = 0; i < WEIGHTS; ++i) {
            const int e = thread + i * THREADS;
            if (e < DEPTH * M) a[buffer][e % DEPTH][e / DEPTH] = weights[i];
        }
    };

    const int row = thread / 32, column = thread % 32;
    float sums[TM][TN] = {};
    const int steps = (way.read_channels + DEPTH - 1) / DEPTH * way.tap_rows * way.tap_columns;
    if (steps > 0) {
        fetch();
        keep(0);
    }
    __syncthreads();
    for (int step = 0; step < steps; ++step) {
        const bool is_last = step + 1 == steps;
        if (!is_last) fetch();
        multiply<TM, TN>(a[step % 2], b[step % 2], row, column, sums);
        if (!is_last) keep((step + 1) % 2);
        __syncthreads();
    }

#pragma unroll
    for (int j = 0; j < TN; ++j) {
        const int pixel = first_pixel + TN * column + j;
        if (pixel >= pixels) continue;
        const int picture = pixel / per_picture, in_picture = pixel % per_picture;
        const int y_row = way.first_row + in_picture / way.columns * way.spread;
        const int y_column = way.first_column + in_picture % way.columns * way.spread;
#pragma unroll
        for (int i = 0; i < TM; ++i) {
            const int m = first_channel + row + 8 * i;
            if (m >= way.written_channels) continue;
            const size_t at = ((static_cast<size_t>(picture) * way.written_channels + m) * way.written_height + y_row) *
                                  way.written_width + y_column;
            float sum = sums[i][j];
            if (bias) sum += bias[m];
            if (skip) sum += skip[at];
            y[at] = relu ? fmaxf(sum, 0.0f) : sum;
        }
    }
}

// Channels by places of the kernel; what is summed over: the pixels of all pictures, of which block z takes a part.
template <int TM, int TN>
__device__ void kernel_gradient(const Sizes& sizes, int pixels_per_part, const float* __restrict__ x,
                                const float* __restrict__ grad, float* __restrict__ parts) {
    constexpr int M = 8 * TM, N = 32 * TN, DEPTH = 16;
    constexpr int GRADS = (M + DEPTH - 1) / DEPTH, PLACES = N / DEPTH;
    // What is added to the widths keeps neighbouring threads from waiting for the same bank of memory.
    __shared__ float a[2][DEPTH][M + 1];
    __shared__ __align__(16) float b[2][DEPTH][N + 4];

    const int thread = threadIdx.x, first_channel = blockIdx.y * M, first_place = blockIdx.x * N;
    const int per_picture = sizes.out_height * sizes.out_width, pixels = sizes.batch * per_picture;
    const int plane = sizes.height * sizes.width, padding = sizes.kernel / 2;
    const int places_per_channel = sizes.kernel * sizes.kernel, places = sizes.in_channels * places_per_channel;
    const int begin = blockIdx.z * pixels_per_part, end = min(begin + pixels_per_part, pixels);

    // Each thread fetches the same rows of every step, and one pixel of each.
    const int load_pixel = thread % DEPTH, load_row = thread / DEPTH;
    int offsets[PLACES], tap_rows[PLACES], tap_columns[PLACES];
#pragma unroll
    for (int i = 0; i < PLACES; ++i) {
        const int place = first_place + load_row + i * DEPTH, tap = place % places_per_channel;
        tap_rows[i] = tap / sizes.kernel - padding;
        tap_columns[i] = tap % sizes.kernel - padding;
        offsets[i] = place < places ? place / places_per_channel * plane + tap_rows[i] * sizes.width + tap_columns[i] : -1;
        // No row is that far away: places beyond the last one read nothing.
        if (place >= places) tap_rows[i] = -(1 << 24);
    }

    float grads[GRADS], inputs[PLACES];
    const auto fetch = [&](int from) {
        const int pixel = from + load_pixel;
        const bool is_inside = pixel < end;
        const int picture = is_inside ? pixel / per_picture : 0, in_picture = is_inside ? pixel % per_picture : 0;
#pragma unroll
        for (int i = 0; i < GRADS; ++i) {
            const int e = load_row + i * DEPTH, m = first_channel + e;
            const bool is_grad = is_inside && e < M && m < sizes.out_channels;
            const size_t at = (static_cast<size_t>(picture) * sizes.out_channels + m) * per_picture + in_picture;
            grads[i] = is_grad ? grad[at] : 0.0f;
        }
        const int row = in_picture / sizes.out_width * sizes.stride, column = in_picture % sizes.out_width * sizes.stride;
        const float* values = x + static_cast<size_t>(picture) * sizes.in_channels * plane;
#pragma unroll
        for (int i = 0; i < PLACES; ++i) {
            const int y = row + tap_rows[i], z = column + tap_columns[i];
            const bool is_there = is_inside && y >= 0 && y < sizes.height && z >= 0 && z < sizes.width;
            inputs[i] = is_there ? values[offsets[i] + row * sizes.width + column] : 0.0f;
        }
    };
    const auto keep = [&](int buffer) {
#pragma unroll
        for (int i = 0; i < GRADS; ++i) {
            const int e = load_row + i * DEPTH;
            if (e < M) a[buffer][load_pixel][e] = grads[i];
        }
#pragma unroll
        for (int i = 0; i < PLACES; ++i) b[buffer][load_pixel][load_row + i * DEPTH] = inputs[i];
    };

    const int row = thread / 32, column = thread % 32;
    float sums[TM][TN] = {};
    fetch(begin);
    keep(0);
    __syncthreads();
    int buffer = 0;
    for (int from = begin; from < end; from += DEPTH) {
        const bool is_last = from + DEPTH >= end;
        if (!is_last) fetch(from + DEPTH);
        multiply<TM, TN>(a[buffer], b[buffer], row, column, sums);
        buffer ^= 1;
        if (!is_last) keep(buffer);
        __syncthreads();
    }

    parts += static_cast<size_t>(blockIdx.z) * sizes.out_channels * places;
#pragma unroll
    for (int i = 0; i < TM; ++i) {
        const int m = first_channel + row + 8 * i;
#pragma unroll
        for (int j = 0; j < TN; ++j) {
            const int place = first_place + TN * column + j;
            if (m < sizes.out_channels && place < places) parts[static_cast<size_t>(m) * places + place] = sums[i][j];
        }
    }
}

// The tiles that kernels.rs chooses from. Null stands for no bias and for no way around.
#define TILE(TM, TN)                                                                                                       \
    extern "C" __global__ void __launch_bounds__(THREADS) convolve_##TM##x##TN(                                            \
        Sizes sizes, const float* x, const float* kernel, const float* bias, const float* skip, int relu, float* y) {      \
        convolve<TM, TN, false>(sizes, forward_way(sizes), x, kernel, bias, skip, relu != 0, y);                           \
    }                                                                                                                      \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                                  \
        input_gradient_##TM##x##TN(Sizes sizes, const float* grad, const float* kernel, float* y) {                        \
        convolve<TM, TN, true>(sizes, backward_way(sizes, blockIdx.z), grad, kernel, nullptr, nullptr, false, y);          \
    }                                                                                                                      \
    extern "C" __global__ void __launch_bounds__(THREADS) kernel_gradient_##TM##x##TN(                                     \
        Sizes sizes, int pixels_per_part, const float* x, const float* grad, float* parts) {                               \
        kernel_gradient<TM, TN>(sizes, pixels_per_part, x, grad, parts);                                                   \
    }

TILE(1, 1)
TILE(2, 1)
TILE(5, 1)
TILE(2, 4)
TILE(5, 4)
TILE(10, 4)

// (parts, count) to (count,).
extern "C" __global__ void sum_parts(int count, int parts, const float* __restrict__ values, float* __restrict__ sums) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float sum = 0.0f;
    for (int part = 0; part < parts; ++part) sum += values[static_cast<size_t>(part) * count + i];
    sums[i] = sum;
}
