// cuRAND: uniform and normal numbers from a generator that depends on nothing but the seed and the position. They are
// not the numbers that a device makes.
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "driver.h"

namespace {

enum : int { DONE = 0, NOT_INITIALIZED = 101, LENGTH_NOT_MULTIPLE = 105, LAUNCH_FAILURE = 201, INITIALIZATION_FAILED = 203 };

struct Generator {
    uint64_t seed = 0, position = 0;

    uint64_t next() {
        // SplitMix64, by its author's constants.
        uint64_t word = seed * 0xda942042e4dd58b5 + ++position * 0x9e3779b97f4a7c15;
        word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
        word = (word ^ word >> 27) * 0x94d049bb133111eb;
        return word ^ word >> 31;
    }
    // As with cuRAND, 1 is among them and 0 is not.
    double uniform(unsigned bits) { return std::ldexp(double((next() >> (64 - bits)) + 1), -int(bits)); }
};

template <class T, class F> int fill(Generator *g, void *to, size_t count, const char *name, F make) {
    if (!g) return NOT_INITIALIZED;
    char line[80];
    std::snprintf(line, sizeof line, "curand%s %zu", name, count);
    void *host = nullptr;
    if (rigBegin(line) || rigCheck(reinterpret_cast<uint64_t>(to), count * sizeof(T), &host)) return LAUNCH_FAILURE;
    T *out = static_cast<T *>(host);
    for (size_t i = 0; i < count; i++) out[i] = T(make());
    return DONE;
}
template <class T> int uniform(Generator *g, void *to, size_t count, const char *name) {
    return fill<T>(g, to, count, name, [&] { return g->uniform(sizeof(T) == 4 ? 24 : 53); });
}
template <class T> int normal(Generator *g, void *to, size_t count, double mean, double deviation, const char *name, bool log) {
    if (count % 2) return LENGTH_NOT_MULTIPLE;
    return fill<T>(g, to, count, name, [&] {
        double radius = std::sqrt(-2 * std::log(g->uniform(53))), angle = 6.283185307179586 * g->uniform(53);
        double value = mean + deviation * radius * std::cos(angle);
        return log ? std::exp(value) : value;
    });
}

}  // namespace

RIG_API int curandCreateGenerator(Generator **generator, int) {
    if (rigDriver() < 13000 || rigAlive()) return INITIALIZATION_FAILED;
    *generator = new Generator;
    return DONE;
}
RIG_API int curandDestroyGenerator(Generator *generator) {
    delete generator;
    return DONE;
}
RIG_API int curandSetStream(Generator *, void *) { return DONE; }
RIG_API int curandSetPseudoRandomGeneratorSeed(Generator *generator, unsigned long long seed) {
    *generator = {seed, 0};
    return DONE;
}
RIG_API int curandSetGeneratorOffset(Generator *generator, unsigned long long offset) {
    generator->position = offset;
    return DONE;
}
RIG_API int curandGenerate(Generator *g, unsigned *to, size_t count) {
    return fill<uint32_t>(g, to, count, "Generate", [&] { return g->next() >> 32; });
}
RIG_API int curandGenerateUniform(Generator *g, float *to, size_t count) { return uniform<float>(g, to, count, "GenerateUniform"); }
RIG_API int curandGenerateUniformDouble(Generator *g, double *to, size_t count) {
    return uniform<double>(g, to, count, "GenerateUniformDouble");
}
RIG_API int curandGenerateNormal(Generator *g, float *to, size_t count, float mean, float deviation) {
    return normal<float>(g, to, count, mean, deviation, "GenerateNormal", false);
}
RIG_API int curandGenerateNormalDouble(Generator *g, double *to, size_t count, double mean, double deviation) {
    return normal<double>(g, to, count, mean, deviation, "GenerateNormalDouble", false);
}
RIG_API int curandGenerateLogNormal(Generator *g, float *to, size_t count, float mean, float deviation) {
    return normal<float>(g, to, count, mean, deviation, "GenerateLogNormal", true);
}
RIG_API int curandGenerateLogNormalDouble(Generator *g, double *to, size_t count, double mean, double deviation) {
    return normal<double>(g, to, count, mean, deviation, "GenerateLogNormalDouble", true);
}
RIG_API int curandGetVersion(int *version) {
    *version = 10400;
    return DONE;
}
