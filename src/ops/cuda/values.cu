// Small kernels over values: the end of the network at inference, and how weights follow their gradients.

constexpr int WARP = 32;

// The sum of a warp's values, in each of its threads.
__device__ float sum_of_warp(float value) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffff, value, distance);
    return value;
}

// Means of `count` rows of `length` values; a warp a row.
extern "C" __global__ void row_means(int count, int length, const float* __restrict__ x, float* __restrict__ means) {
    const int row = (blockIdx.x * blockDim.x + threadIdx.x) / WARP, lane = threadIdx.x % WARP;
    if (row >= count) return;
    float sum = 0.0f;
    for (int i = lane; i < length; i += WARP) sum += x[static_cast<size_t>(row) * length + i];
    sum = sum_of_warp(sum);
    if (lane == 0) means[row] = sum / static_cast<float>(length);
}

// Rows (count, inputs) times weights (outputs, inputs) plus a bias; a warp a result.
extern "C" __global__ void linear(int count, int inputs, int outputs, const float* __restrict__ x,
                                  const float* __restrict__ weights, const float* __restrict__ bias, float* __restrict__ y) {
    const int result = (blockIdx.x * blockDim.x + threadIdx.x) / WARP, lane = threadIdx.x % WARP;
    if (result >= count * outputs) return;
    const float* row = x + static_cast<size_t>(result / outputs) * inputs;
    const float* weight = weights + static_cast<size_t>(result % outputs) * inputs;
    float sum = 0.0f;
    for (int i = lane; i < inputs; i += WARP) sum = fmaf(row[i], weight[i], sum);
    sum = sum_of_warp(sum);
    if (lane == 0) y[result] = sum + bias[result % outputs];
}

// target = target * keep + other * add.
extern "C" __global__ void blend(int count, float keep, float add, const float* __restrict__ other,
                                 float* __restrict__ target) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) target[i] = target[i] * keep + other[i] * add;
}

// The running means of a gradient and of its square, `moments` (2, count).
extern "C" __global__ void update_moments(int count, float keep_1, float add_1, float keep_2, float add_2,
                                          const float* __restrict__ gradient, float* __restrict__ moments) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const float g = gradient[i];
    moments[i] = moments[i] * keep_1 + g * add_1;
    moments[count + i] = moments[count + i] * keep_2 + g * g * add_2;
}

// Moves values against the mean of their gradients.
extern "C" __global__ void descend(int count, float kept, float length, float scale, float epsilon,
                                   const float* __restrict__ moments, float* __restrict__ values) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    values[i] = values[i] * kept - length * moments[i] / (sqrtf(moments[count + i]) * scale + epsilon);
}
