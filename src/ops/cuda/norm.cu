// Batch norm with the way around and the rectification that follow it, and its gradients.
//
// Pictures are (batch, channels, pixels). Sums over a channel are made in two steps, so that their order is fixed: blocks of
// 256 threads sum parts of it, and one thread adds the parts, in doubles.

constexpr int THREADS = 256;

// What kernels.rs hands over, in this order.
struct Sizes {
    int batch, channels, pixels;
};

// Adds up two values over a block; the sums are thread 0's.
__device__ double2 sum_of_block(float first, float second) {
    __shared__ double2 sums[THREADS];
    sums[threadIdx.x] = make_double2(first, second);
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            sums[threadIdx.x].x += sums[threadIdx.x + half].x;
            sums[threadIdx.x].y += sums[threadIdx.x + half].y;
        }
    }
    return sums[0];
}

// Calls `add(index)` for those values of channel blockIdx.x that are this thread's, of all blocks gridDim.y.
template <typename Add>
__device__ void for_channel(const Sizes& sizes, Add add) {
    const int count = sizes.batch * sizes.pixels;
    for (int i = blockIdx.y * THREADS + threadIdx.x; i < count; i += gridDim.y * THREADS) {
        const int picture = i / sizes.pixels, pixel = i % sizes.pixels;
        add((static_cast<size_t>(picture) * sizes.channels + blockIdx.x) * sizes.pixels + pixel);
    }
}

// The sums over parts of channel `channel`.
__device__ double2 sum_of_parts(int parts, int channel, const double* values) {
    double2 sum = make_double2(0.0, 0.0);
    for (int part = 0; part < parts; ++part) {
        sum.x += values[2 * (channel * parts + part)];
        sum.y += values[2 * (channel * parts + part) + 1];
    }
    return sum;
}

// The first value of a channel is near its mean: less that, squares do not cancel out.
__device__ float near_mean(const Sizes& sizes, int channel, const float* x) {
    return x[static_cast<size_t>(channel) * sizes.pixels];
}

// Sums of values and of their squares, (channels, parts, 2).
extern "C" __global__ void __launch_bounds__(THREADS) channel_sums(Sizes sizes, const float* __restrict__ x, double* parts) {
    const float near = near_mean(sizes, blockIdx.x, x);
    float sum = 0.0f, squares = 0.0f;
    for_channel(sizes, [&](size_t i) {
        const float value = x[i] - near;
        sum += value;
        squares += value * value;
    });
    const double2 sums = sum_of_block(sum, squares);
    if (threadIdx.x == 0) {
        double* part = parts + 2 * (blockIdx.x * gridDim.y + blockIdx.y);
        part[0] = sums.x;
        part[1] = sums.y;
    }
}

// Mean, biased variance, and what the norm multiplies by and adds, (4, channels). `weights` is (2, channels): gamma, beta.
extern "C" __global__ void channel_statistics(Sizes sizes, int parts, float epsilon, const float* x, const double* sums,
                                              const float* weights, float* statistics) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x, channels = sizes.channels;
    if (channel >= channels) return;
    const double2 sum = sum_of_parts(parts, channel, sums);
    const double count = static_cast<double>(sizes.batch) * sizes.pixels, mean = sum.x / count;
    const float exact_mean = static_cast<float>(near_mean(sizes, channel, x) + mean);
    const float variance = static_cast<float>(fmax(sum.y / count - mean * mean, 0.0));
    const float scale = weights[channel] / sqrtf(variance + epsilon);
    statistics[channel] = exact_mean;
    statistics[channels + channel] = variance;
    statistics[2 * channels + channel] = scale;
    statistics[3 * channels + channel] = weights[channels + channel] - exact_mean * scale;
}

// Normalized values plus a way around (null: none), rectified on demand.
extern "C" __global__ void normalize(Sizes sizes, const float* __restrict__ x, const float* __restrict__ statistics,
                                     const float* __restrict__ skip, int relu, float* __restrict__ y) {
    const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= static_cast<size_t>(sizes.batch) * sizes.channels * sizes.pixels) return;
    const int channel = i / sizes.pixels % sizes.channels;
    float value = x[i] * statistics[2 * sizes.channels + channel] + statistics[3 * sizes.channels + channel];
    if (skip) value += skip[i];
    y[i] = relu ? fmaxf(value, 0.0f) : value;
}

// The gradient where the output was not rectified (`y` is null where none was).
__device__ float passed(const float* grad, const float* y, size_t i) { return !y || y[i] > 0.0f ? grad[i] : 0.0f; }

// Sums of the gradient, and of its products with how far values are from the mean, (channels, parts, 2).
extern "C" __global__ void __launch_bounds__(THREADS)
    gradient_sums(Sizes sizes, const float* __restrict__ x, const float* __restrict__ statistics,
                  const float* __restrict__ y, const float* __restrict__ grad, double* parts) {
    const float mean = statistics[blockIdx.x];
    float shift = 0.0f, scale = 0.0f;
    for_channel(sizes, [&](size_t i) {
        const float g = passed(grad, y, i);
        shift += g;
        scale += g * (x[i] - mean);
    });
    const double2 sums = sum_of_block(shift, scale);
    if (threadIdx.x == 0) {
        double* part = parts + 2 * (blockIdx.x * gridDim.y + blockIdx.y);
        part[0] = sums.x;
        part[1] = sums.y;
    }
}

// The gradients of gamma and beta, (2, channels).
extern "C" __global__ void weight_gradients(Sizes sizes, int parts, float epsilon, const double* sums,
                                            const float* statistics, float* gradients) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x, channels = sizes.channels;
    if (channel >= channels) return;
    const double2 sum = sum_of_parts(parts, channel, sums);
    gradients[channel] = static_cast<float>(sum.y) / sqrtf(statistics[channels + channel] + epsilon);
    gradients[channels + channel] = static_cast<float>(sum.x);
}

// The gradient of the values: what remains of the output's after its mean and its share along the values are taken out.
extern "C" __global__ void value_gradients(Sizes sizes, float epsilon, const float* __restrict__ x,
                                           const float* __restrict__ statistics, const float* __restrict__ weight_gradients,
                                           const float* __restrict__ y, const float* __restrict__ grad,
                                           float* __restrict__ gradients) {
    const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= static_cast<size_t>(sizes.batch) * sizes.channels * sizes.pixels) return;
    const int channels = sizes.channels, channel = i / sizes.pixels % channels;
    const float count = static_cast<float>(sizes.batch) * sizes.pixels;
    const float inverse = 1.0f / sqrtf(statistics[channels + channel] + epsilon);
    const float slope = weight_gradients[channel] / count * inverse, shift = weight_gradients[channels + channel] / count;
    const float centred = x[i] - statistics[channel];
    gradients[i] = statistics[2 * channels + channel] * (passed(grad, y, i) - shift - centred * slope);
}

// The output's gradient where the output is above 0.
extern "C" __global__ void rectified_gradient(size_t count, const float* __restrict__ y, const float* __restrict__ grad,
                                              float* __restrict__ gradients) {
    const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < count) gradients[i] = passed(grad, y, i);
}
