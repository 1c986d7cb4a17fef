// Numbers of 16 bits: those of IEEE 754 and those that are the upper half of a float.
#pragma once
#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace rig {

inline float half_to_float(uint16_t half) {
    uint32_t sign = uint32_t(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    float value;
    if (exponent == 31) {
        uint32_t word = sign | 0x7f800000 | fraction << 13;
        std::memcpy(&value, &word, 4);
        return value;
    }
    if (exponent == 0) {
        value = float(fraction) * 0x1p-24f;
        return sign ? -value : value;
    }
    uint32_t word = sign | (exponent + 112) << 23 | fraction << 13;
    std::memcpy(&value, &word, 4);
    return value;
}

inline uint16_t float_to_half(double value, int mode = FE_TONEAREST) {
    uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value)) return 0x7fff;
    double size = std::fabs(value);
    if (std::isinf(value)) return sign | 0x7c00;
    // A whole number of the smallest steps that there are at this size.
    int exponent = std::max(-14, size > 0 ? std::ilogb(size) : -14);
    double steps = std::scalbn(size, 10 - exponent), down = std::floor(steps), rest = steps - down;
    bool up = mode == FE_TONEAREST ? rest > 0.5 || (rest == 0.5 && std::fmod(down, 2) == 1)
            : mode == FE_TOWARDZERO ? false : (mode == FE_UPWARD) != (sign != 0) && rest > 0;
    double rounded = std::scalbn(down + up, exponent - 10);
    if (rounded > 65504) {
        bool infinite = mode == FE_TONEAREST || (mode != FE_TOWARDZERO && (mode == FE_UPWARD) != (sign != 0));
        return sign | (infinite ? 0x7c00 : 0x7bff);
    }
    if (rounded < 0x1p-14) return uint16_t(sign | uint16_t(rounded * 0x1p24));
    exponent = std::ilogb(rounded);
    return uint16_t(sign | uint16_t((exponent + 15) << 10) | uint16_t(std::scalbn(rounded, 10 - exponent) - 1024));
}

inline float bfloat_to_float(uint16_t half) {
    uint32_t word = uint32_t(half) << 16;
    float value;
    std::memcpy(&value, &word, 4);
    return value;
}

inline uint16_t float_to_bfloat(float value, int mode = FE_TONEAREST) {
    if (std::isnan(value)) return 0x7fff;
    uint32_t word;
    std::memcpy(&word, &value, 4);
    bool away = mode == FE_TONEAREST ? (word & 0xffff) > 0x8000 || (word & 0x1ffff) == 0x18000
              : mode != FE_TOWARDZERO && (mode == FE_UPWARD) != (word >> 31 != 0) && (word & 0xffff) != 0;
    return uint16_t((word >> 16) + away);
}

}  // namespace rig
