// cvt. Conversions that addresses and indices are made with have loops of their own; all others go one way that knows
// every pair of types.
#include <cmath>
#include <limits>

#include "ptx_lanes.h"

namespace rig {
namespace {

enum : uint32_t { TO_WHOLE = 1 << 16, SATURATES = 1 << 17, FLUSHES = 1 << 18 };
constexpr uint32_t ROUNDING = 0xffff;

// The rounding mode in few bits: those of the processor are its own affair.
int processor_mode(uint32_t mode) {
    switch (mode & ROUNDING) {
        case 1: return FE_TOWARDZERO;
        case 2: return FE_DOWNWARD;
        case 3: return FE_UPWARD;
        default: return FE_TONEAREST;
    }
}
double whole(double value, uint32_t mode) {
    switch (mode & ROUNDING) {
        case 1: return std::trunc(value);
        case 2: return std::floor(value);
        case 3: return std::ceil(value);
        default: return std::nearbyint(value);
    }
}

uint64_t read(Warp &w, uint32_t place, unsigned width, unsigned lane) {
    uint64_t word = 0;
    std::memcpy(&word, w.reg<unsigned char>(place) + lane * width, width);
    return word;
}
int64_t extended(uint64_t word, Type type) {
    switch (type) {
        case Type::U8: return uint8_t(word);
        case Type::S8: return int8_t(word);
        case Type::U16: return uint16_t(word);
        case Type::S16: return int16_t(word);
        case Type::U32: return uint32_t(word);
        case Type::S32: return int32_t(word);
        default: return int64_t(word);
    }
}
double as_double(uint64_t word, Type type) {
    float f;
    double d;
    switch (type) {
        case Type::F16: return half_to_float(uint16_t(word));
        case Type::BF16: return bfloat_to_float(uint16_t(word));
        case Type::F32: std::memcpy(&f, &word, 4); return f;
        default: std::memcpy(&d, &word, 8); return d;
    }
}

uint64_t whole_to_whole(int64_t value, Type from, Type to, bool saturates) {
    if (!saturates) return uint64_t(extended(uint64_t(value), to));
    __int128 exact = from == Type::U64 ? __int128(uint64_t(value)) : value;
    unsigned bits = width(to) * 8;
    __int128 low = is_signed(to) ? -(__int128(1) << (bits - 1)) : 0;
    __int128 high = (__int128(1) << (is_signed(to) ? bits - 1 : bits)) - 1;
    return uint64_t(exact < low ? low : exact > high ? high : exact);
}

uint64_t number_to_whole(double value, Type from, Type to, uint32_t mode) {
    unsigned bits = width(to) * 8;
    if (std::isnan(value)) return from == Type::F64 || bits == 64 ? 1ull << (bits - 1) : 0;
    value = whole(value, mode);
    double limit = std::ldexp(1.0, int(is_signed(to) ? bits - 1 : bits));
    if (is_signed(to)) {
        if (value >= limit) return (1ull << (bits - 1)) - 1;
        if (value < -limit) return uint64_t(int64_t(-1) << (bits - 1));
        return uint64_t(int64_t(value));
    }
    if (value >= limit) return bits == 64 ? ~0ull : (1ull << bits) - 1;
    return value <= 0 ? 0 : uint64_t(value);
}

// Rounds by what the processor does, which reads and writes through volatile variables keep in its place.
template <class T, class S> T rounded_to(S value, int mode) {
    volatile S in = value;
    std::fesetround(mode);
    volatile T out = T(in);
    std::fesetround(FE_TONEAREST);
    return out;
}

uint64_t bits_of(float value) {
    uint32_t word;
    std::memcpy(&word, &value, 4);
    return word;
}
uint64_t bits_of(double value) {
    uint64_t word;
    std::memcpy(&word, &value, 8);
    return word;
}

uint64_t to_number(double value, Type to, uint32_t mode) {
    if (mode & SATURATES) value = value > 0 ? (value < 1 ? value : 1) : 0;
    int processor = mode & TO_WHOLE ? FE_TONEAREST : processor_mode(mode);
    switch (to) {
        case Type::F16: return float_to_half(value, processor);
        case Type::BF16: {
            // Only from wider than float could this round twice, and PTX has no such conversion.
            return float_to_bfloat(float(value), processor);
        }
        case Type::F32: return bits_of(rounded_to<float>(value, processor));
        default: return bits_of(value);
    }
}

uint64_t converted(uint64_t word, Type from, Type to, uint32_t mode) {
    if (is_integer(from)) {
        int64_t value = extended(word, from);
        if (is_integer(to)) return whole_to_whole(value, from, to, mode & SATURATES);
        int processor = processor_mode(mode);
        bool huge = from == Type::U64;
        if (to == Type::F32)
            return bits_of(huge ? rounded_to<float>(uint64_t(value), processor) : rounded_to<float>(value, processor));
        double near = huge ? rounded_to<double>(uint64_t(value), processor) : rounded_to<double>(value, processor);
        return to_number(near, to, mode);
    }
    double value = as_double(word, from);
    if ((mode & FLUSHES) && std::fabs(value) < 0x1p-126) value = std::copysign(0.0, value);
    if (is_integer(to)) return number_to_whole(value, from, to, mode);
    if (std::isnan(value) && from == to && !(mode & SATURATES)) return word;
    if (mode & TO_WHOLE) value = whole(value, mode);
    uint64_t made = to_number(value, to, mode);
    if ((mode & FLUSHES) && to == Type::F32 && (made & 0x7f800000) == 0) made &= 0x80000000;
    return made;
}

void convert_any(Warp &w, const Op &o) {
    for (uint32_t m = w.m; m; m &= m - 1) {
        unsigned lane = unsigned(__builtin_ctz(m));
        uint64_t made = converted(read(w, o.x[1], o.from_width, lane), o.from, o.type, o.mode);
        // A register wider than the type has the value extended.
        if (is_integer(o.type)) made = uint64_t(extended(made, o.type));
        std::memcpy(w.reg<unsigned char>(o.x[0]) + lane * o.to_width, &made, o.to_width);
    }
}

// The pairs that matter for speed, where both registers are just as wide as the types.
Handler quick(Type from, Type to, const Statement &s) {
    auto pair = [&](Type a, Type b) { return from == a && to == b; };
    if (s.has("sat") || s.has("ftz")) return nullptr;
    using u32 = uint32_t; using u64 = uint64_t; using s32 = int32_t; using s64 = int64_t; using u16 = uint16_t;
    if (pair(Type::U64, Type::U32) || pair(Type::S64, Type::U32) || pair(Type::U64, Type::S32) || pair(Type::S64, Type::S32))
        return lanes<u32, u64>([](u64 a) { return u32(a); });
    if (pair(Type::U32, Type::U64) || pair(Type::U32, Type::S64)) return lanes<u64, u32>([](u32 a) { return u64(a); });
    if (pair(Type::S32, Type::S64) || pair(Type::S32, Type::U64)) return lanes<s64, s32>([](s32 a) { return s64(a); });
    if (pair(Type::U16, Type::U32) || pair(Type::U16, Type::S32)) return lanes<u32, u16>([](u16 a) { return u32(a); });
    if (pair(Type::U32, Type::U16) || pair(Type::S32, Type::S16) || pair(Type::S32, Type::U16))
        return lanes<u16, u32>([](u32 a) { return u16(a); });
    if (pair(Type::F32, Type::F64)) return lanes<double, float>([](float a) { return double(a); });
    if (!s.has("rn")) return nullptr;
    if (pair(Type::S32, Type::F32)) return lanes<float, s32>([](s32 a) { return float(a); });
    if (pair(Type::U32, Type::F32)) return lanes<float, u32>([](u32 a) { return float(a); });
    if (pair(Type::F64, Type::F32)) return lanes<float, double>([](double a) { return float(a); });
    return nullptr;
}

void convert(Decoder &d, const Statement &s, Op &op) {
    if (s.args.size() != 2) throw Unsupported();  // two halves at once
    op.type = s.type(0);
    op.from = s.type(1);
    for (Type type : {op.type, op.from})
        if (!is_integer(type) && (type == Type::F16X2 || type == Type::BF16X2 || !is_float(type))) throw Unsupported();
    op.x[0] = d.any_dest(s.arg(0), op.type, op.to_width);
    op.x[1] = d.any(s.arg(1), op.from, op.from_width);
    if (op.to_width < width(op.type) || op.from_width < width(op.from)) throw Unsupported();
    const char *modes[][2] = {{"rn", "rni"}, {"rz", "rzi"}, {"rm", "rmi"}, {"rp", "rpi"}};
    for (uint32_t i = 0; i < 4; i++) {
        if (s.has(modes[i][0])) op.mode = i;
        if (s.has(modes[i][1])) op.mode = i | TO_WHOLE;
    }
    for (std::string_view part : s.op)
        if (part == "rna" || part == "relu" || part == "satfinite" || part == "rs" || part == "scaled") throw Unsupported();
    if (s.has("sat")) op.mode |= SATURATES;
    if (s.has("ftz")) op.mode |= FLUSHES;
    bool exact = op.to_width == width(op.type) && op.from_width == width(op.from);
    Handler fast = exact ? quick(op.from, op.type, s) : nullptr;
    op.run = fast ? fast : convert_any;
}

}  // namespace

void add_convert(Selects &selects) { selects["cvt"] = convert; }

}  // namespace rig
