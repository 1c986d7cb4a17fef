// Random changes to training pictures, as dataset/augment.rs makes them, and the input that preprocess.rs makes of the result.
//
// A block makes one input of one picture (size, size) of grey bytes. What is changed was drawn beforehand and comes as a row
// of numbers, whose order is that of `Change::to_row`. Every operation is rounded as on a CPU, so that the inputs are the
// same there and here, bit for bit: products and sums must not be contracted.

constexpr int THREADS = 256, LIGHT = 256;

// Where the numbers of a row begin.
enum Row { PICTURE, ORIGIN_X, ORIGIN_Y, X_BY_X, X_BY_Y, Y_BY_X, Y_BY_Y, LEFT, TOP, RIGHT, BOTTOM, GRAY, LIGHTS };
constexpr int ROW = LIGHTS + LIGHT;

// a * b + c, rounded after each.
__device__ float then_plus(float a, float b, float c) { return __fadd_rn(__fmul_rn(a, b), c); }

// The value at `u` of the way from `a` to `b`.
__device__ float between(float a, float b, float u) {
    return __fadd_rn(__fmul_rn(a, __fsub_rn(1.0f, u)), __fmul_rn(b, u));
}

// The value between four pixels, with the edge going on beyond the picture.
__device__ float at(const float* lit, int size, float x, float y) {
    const float last = static_cast<float>(size - 1);
    x = fminf(fmaxf(x, 0.0f), last);
    y = fminf(fmaxf(y, 0.0f), last);
    const int left = static_cast<int>(x), top = static_cast<int>(y);
    const float u = __fsub_rn(x, static_cast<float>(left)), v = __fsub_rn(y, static_cast<float>(top));
    const int right = min(left + 1, size - 1);
    const float *upper = lit + top * size, *lower = lit + min(top + 1, size - 1) * size;
    return between(between(upper[left], upper[right], u), between(lower[left], lower[right], u), v);
}

// Shared memory: size * size floats, the picture in its new light.
extern "C" __global__ void __launch_bounds__(THREADS)
    augment(int size, float least_deviation, const unsigned char* __restrict__ pictures, const float* __restrict__ rows,
            float* __restrict__ inputs) {
    extern __shared__ float lit[];
    __shared__ unsigned long long sums[2];
    const float* row = rows + static_cast<size_t>(blockIdx.x) * ROW;
    const int pixels = size * size;
    const unsigned char* picture = pictures + static_cast<size_t>(row[PICTURE]) * pixels;
    float* input = inputs + static_cast<size_t>(blockIdx.x) * pixels;
    if (threadIdx.x < 2) sums[threadIdx.x] = 0;
    for (int i = threadIdx.x; i < pixels; i += THREADS) lit[i] = row[LIGHTS + picture[i]];
    __syncthreads();

    const float half = static_cast<float>(size) / 2.0f;
    unsigned long long sum = 0, squares = 0;
    for (int i = threadIdx.x; i < pixels; i += THREADS) {
        const int column = i % size, line = i / size;
        const float dx = __fsub_rn(static_cast<float>(column) + 0.5f, half);
        const float dy = __fsub_rn(static_cast<float>(line) + 0.5f, half);
        const float x = then_plus(row[X_BY_X], dx, then_plus(row[X_BY_Y], dy, row[ORIGIN_X]));
        const float y = then_plus(row[Y_BY_X], dx, then_plus(row[Y_BY_Y], dy, row[ORIGIN_Y]));
        float gray = floorf(__fadd_rn(at(lit, size, x, y), 0.5f));
        const float c = static_cast<float>(column), l = static_cast<float>(line);
        if (c >= row[LEFT] && c < row[RIGHT] && l >= row[TOP] && l < row[BOTTOM]) gray = row[GRAY];
        input[i] = gray;
        const unsigned long long value = static_cast<unsigned long long>(gray);
        sum += value;
        squares += value * value;
    }
    // Sums of whole numbers do not depend on their order.
    atomicAdd(&sums[0], sum);
    atomicAdd(&sums[1], squares);
    __syncthreads();

    const float count = static_cast<float>(pixels), mean = __fdiv_rn(static_cast<float>(sums[0]), count);
    const double mean_square = __ddiv_rn(static_cast<double>(sums[1]), static_cast<double>(count));
    const double square = __dmul_rn(static_cast<double>(mean), static_cast<double>(mean));
    const float variance = static_cast<float>(fmax(__dsub_rn(mean_square, square), 0.0));
    const float factor = __fdiv_rn(1.0f, fmaxf(__fsqrt_rn(variance), least_deviation));
    for (int i = threadIdx.x; i < pixels; i += THREADS) input[i] = __fmul_rn(__fsub_rn(input[i], mean), factor);
}
