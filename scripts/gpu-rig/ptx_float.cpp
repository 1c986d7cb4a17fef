// Instructions on floating point numbers, and comparisons of all kinds.
#include <cmath>
#include <limits>
#include <type_traits>

#include "ptx_lanes.h"

namespace rig {

namespace {

Selects &integers() {
    static Selects all;
    return all;
}

template <class T> T flushed(T value) {
    return std::fabs(value) < std::numeric_limits<T>::min() ? std::copysign(T(0), value) : value;
}

// A function of numbers with what the instruction says about tiny numbers and about the range.
template <class T, bool FTZ, bool SAT, class F>
struct Shaped {
    template <class... A> T operator()(A... a) const {
        T value = FTZ ? F()(flushed(a)...) : F()(a...);
        if (FTZ) value = flushed(value);
        // Also of NaN it makes 0.
        if (SAT) value = value > 0 ? (value < 1 ? value : T(1)) : T(0);
        return value;
    }
};
template <class F>
struct OfHalves {
    template <class... A> uint16_t operator()(A... a) const { return float_to_half(F()(double(half_to_float(a))...)); }
};
template <class F>
struct OfBfloats {
    template <class... A> uint16_t operator()(A... a) const { return float_to_bfloat(float(F()(double(bfloat_to_float(a))...))); }
};

template <class T, class... A, class F>
Handler shaped(const Statement &s, F) {
    bool ftz = s.has("ftz"), sat = s.has("sat");
    if (ftz) return sat ? lanes<T, A...>(Shaped<T, true, true, F>()) : lanes<T, A...>(Shaped<T, true, false, F>());
    return sat ? lanes<T, A...>(Shaped<T, false, true, F>()) : lanes<T, A...>(Shaped<T, false, false, F>());
}

// One, two or three operands of the instruction's type. Only single precision numbers flush and saturate.
template <unsigned N, class F>
Handler single(const Statement &s, F f) {
    if constexpr (N == 1) return shaped<float, float>(s, f);
    else if constexpr (N == 2) return shaped<float, float, float>(s, f);
    else return shaped<float, float, float, float>(s, f);
}
template <unsigned N, class T, class F>
Handler plain(F f) {
    if constexpr (N == 1) return lanes<T, T>(f);
    else if constexpr (N == 2) return lanes<T, T, T>(f);
    else return lanes<T, T, T, T>(f);
}
template <unsigned N, class F>
Handler numbers(const Statement &s, Op &op, Type type, F f) {
    int mode = rounding(s);
    if (type != Type::F32 && s.has("sat")) throw Unsupported();
    if (type == Type::F16) op.inner = plain<N, uint16_t>(OfHalves<F>());
    else if (type == Type::BF16) op.inner = plain<N, uint16_t>(OfBfloats<F>());
    else if (type == Type::F64) op.inner = plain<N, double>(f);
    else if (type == Type::F32) op.inner = single<N>(s, f);
    else throw Unsupported();
    if (mode == FE_TONEAREST) return op.inner;
    if (type != Type::F32 && type != Type::F64) throw Unsupported();
    op.mode = uint32_t(mode);
    return rounded;
}

// 0 is above -0, and a number is preferred to NaN.
template <class T> T smaller(T a, T b) {
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return std::signbit(a) ? a : b;
    return a < b ? a : b;
}
template <class T> T bigger(T a, T b) {
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return std::signbit(a) ? b : a;
    return a > b ? a : b;
}

void arithmetic(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    if (!is_float(type)) return integers().at(s.op[0])(d, s, op);
    std::string_view name = s.op[0];
    operands(d, s, op, type);
    size_t count = s.args.size() - 1;
    auto need = [&](size_t n) {
        if (count != n) throw Unsupported();
    };
    if (name == "fma" || name == "mad") {
        need(3);
        op.run = numbers<3>(s, op, type, [](auto a, decltype(a) b, decltype(a) c) { return std::fma(a, b, c); });
    } else if (name == "neg" || name == "abs") {
        need(1);
        if (name == "neg") op.run = numbers<1>(s, op, type, [](auto a) { return -a; });
        else op.run = numbers<1>(s, op, type, [](auto a) { return std::fabs(a); });
    } else {
        need(2);
        if (name == "add") op.run = numbers<2>(s, op, type, [](auto a, decltype(a) b) { return a + b; });
        else if (name == "sub") op.run = numbers<2>(s, op, type, [](auto a, decltype(a) b) { return a - b; });
        else if (name == "mul") op.run = numbers<2>(s, op, type, [](auto a, decltype(a) b) { return a * b; });
        else if (name == "div") op.run = numbers<2>(s, op, type, [](auto a, decltype(a) b) { return a / b; });
        else if (s.has("xorsign")) throw Unsupported();
        else if (s.has("NaN") && name == "min")
            op.run = numbers<2>(s, op, type, [](auto a, decltype(a) b) { return a != a || b != b ? a + b : smaller(a, b); });
        else if (s.has("NaN"))
            op.run = numbers<2>(s, op, type, [](auto a, decltype(a) b) { return a != a || b != b ? a + b : bigger(a, b); });
        else if (name == "min") op.run = numbers<2>(s, op, type, [](auto a, decltype(a) b) { return smaller(a, b); });
        else if (name == "max") op.run = numbers<2>(s, op, type, [](auto a, decltype(a) b) { return bigger(a, b); });
        else throw Unsupported();
    }
}

double only_high_word(double value) {
    uint64_t word;
    std::memcpy(&word, &value, 8);
    word &= 0xffffffff00000000;
    std::memcpy(&value, &word, 8);
    return value;
}

// The approximations are computed in double precision and rounded, which is nearer than what they promise.
void functions(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    if (type == Type::F16X2 || type == Type::BF16X2) throw Unsupported();
    std::string_view name = s.op[0];
    operands(d, s, op, type);
    if (s.args.size() != 2) throw Unsupported();
    if (type == Type::F64 && s.has("approx")) {
        // These have only the upper word: code that refines them expects that.
        if (name == "rcp") op.run = numbers<1>(s, op, type, [](auto a) { return only_high_word(1 / double(a)); });
        else if (name == "rsqrt") op.run = numbers<1>(s, op, type, [](auto a) { return only_high_word(1 / std::sqrt(double(a))); });
        else throw Unsupported();
    } else if (name == "rcp") op.run = numbers<1>(s, op, type, [](auto a) { return decltype(a)(1) / a; });
    else if (name == "sqrt") op.run = numbers<1>(s, op, type, [](auto a) { return std::sqrt(a); });
    else if (name == "rsqrt") op.run = numbers<1>(s, op, type, [](auto a) { return decltype(a)(1 / std::sqrt(double(a))); });
    else if (type != Type::F32) throw Unsupported();
    else if (name == "sin") op.run = single<1>(s, [](float a) { return float(std::sin(double(a))); });
    else if (name == "cos") op.run = single<1>(s, [](float a) { return float(std::cos(double(a))); });
    else if (name == "lg2") op.run = single<1>(s, [](float a) { return float(std::log2(double(a))); });
    else if (name == "ex2") op.run = single<1>(s, [](float a) { return float(std::exp2(double(a))); });
    else if (name == "tanh") op.run = single<1>(s, [](float a) { return float(std::tanh(double(a))); });
    else throw Unsupported();
}

void copy_sign(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    operands(d, s, op, type);
    // The sign of the first operand, the rest of the second.
    op.run = numbers<2>(s, op, type, [](auto a, decltype(a) b) { return std::copysign(b, a); });
}

void property(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    op.x[0] = d.dest(s.arg(0), Type::Pred);
    op.x[1] = d.source(s.arg(1), type);
    std::string_view kind = s.op.at(1);
    op.mode = uint8_t(kind == "finite" ? 0 : kind == "infinite" ? 1 : kind == "number" ? 2 : kind == "notanumber" ? 3
                    : kind == "normal" ? 4 : kind == "subnormal" ? 5 : throw Unsupported());
    auto handler = [](auto t) -> Handler {
        using T = decltype(t);
        return [](Warp &w, const Op &o) {
            uint32_t word = 0;
            for (unsigned i = 0; i < LANES; i++) {
                T a = w.reg<T>(o.x[1])[i];
                int c = std::fpclassify(a);
                bool is[] = {std::isfinite(a), c == FP_INFINITE, c != FP_NAN, c == FP_NAN, c == FP_NORMAL, c == FP_SUBNORMAL};
                word |= uint32_t(is[o.mode]) << i;
            }
            w.set_pred(o.x[0], word);
        };
    };
    op.run = type == Type::F32 ? handler(float()) : type == Type::F64 ? handler(double()) : throw Unsupported();
}

// What setp and set have in common: a test of two values, perhaps joined with a predicate. x[5] and x[6] are the values,
// x[4] the predicate.
enum : uint8_t { AND = 1, OR = 2, XOR = 3, JOINS = 3, NEGATES = 4, SECOND = 8 };

uint32_t joined(Warp &w, const Op &o, uint32_t word) {
    uint32_t c = o.mode & JOINS ? w.pred(o.x[4]) : 0;
    if (o.mode & NEGATES) c = ~c;
    switch (o.mode & JOINS) {
        case AND: return word & c;
        case OR: return word | c;
        case XOR: return word ^ c;
        default: return word;
    }
}

template <class F, class T> uint32_t tested(const void *a, const void *b) {
    return test<F, T>(static_cast<const T *>(a), static_cast<const T *>(b));
}
uint32_t tested(Warp &w, const Op &o) { return o.test(w.reg<char>(o.x[5]), w.reg<char>(o.x[6])); }

void set_predicate(Warp &w, const Op &o) {
    uint32_t word = tested(w, o);
    if (o.mode == 0) return w.set_pred(o.x[0], word);
    uint32_t first = joined(w, o, word), second = joined(w, o, ~word);
    w.set_pred(o.x[0], first);
    if (o.mode & SECOND) w.set_pred(o.x[1], second);
}
void set_value(Warp &w, const Op &o) {
    uint32_t word = joined(w, o, tested(w, o));
    for (uint32_t m = w.m; m; m &= m - 1) {
        unsigned i = unsigned(__builtin_ctz(m));
        bool set = word >> i & 1;
        if (o.type == Type::F32) w.reg<float>(o.x[0])[i] = set;
        else if (width(o.type) == 4) w.reg<uint32_t>(o.x[0])[i] = set ? ALL : 0;
        else if (o.type == Type::F16) w.reg<uint16_t>(o.x[0])[i] = set ? 0x3c00 : 0;
        else if (o.type == Type::BF16) w.reg<uint16_t>(o.x[0])[i] = set ? 0x3f80 : 0;
        else w.reg<uint16_t>(o.x[0])[i] = set ? 0xffff : 0;
    }
}

// How a value is read before it is compared.
struct AsIs { template <class T> T operator()(T a) const { return a; } };
struct Flush { template <class T> T operator()(T a) const { return flushed(a); } };
struct AsHalf { float operator()(uint16_t a) const { return half_to_float(a); } };
struct AsBfloat { float operator()(uint16_t a) const { return bfloat_to_float(a); } };

template <class R, class F> struct Read {
    template <class T> bool operator()(T a, T b) const { return F()(R()(a), R()(b)); }
};

template <class T, class R, class F> Test compares(F) {
    return tested<Read<R, F>, T>;
}

template <class T, class R = AsIs> Test comparison(std::string_view name, bool floats) {
    auto is = [&](const char *ordered) { return name == ordered; };
    if (is("eq")) return compares<T, R>([](auto a, decltype(a) b) { return a == b; });
    if (is("lt") || is("lo")) return compares<T, R>([](auto a, decltype(a) b) { return a < b; });
    if (is("le") || is("ls")) return compares<T, R>([](auto a, decltype(a) b) { return a <= b; });
    if (is("gt") || is("hi")) return compares<T, R>([](auto a, decltype(a) b) { return a > b; });
    if (is("ge") || is("hs")) return compares<T, R>([](auto a, decltype(a) b) { return a >= b; });
    // Of floating point numbers, "ne" is false where one is NaN; "neu" is C's.
    if (is("ne") && floats) return compares<T, R>([](auto a, decltype(a) b) { return a < b || a > b; });
    if (is("ne") || is("neu")) return compares<T, R>([](auto a, decltype(a) b) { return a != b; });
    if (is("equ")) return compares<T, R>([](auto a, decltype(a) b) { return !(a < b || a > b); });
    if (is("ltu")) return compares<T, R>([](auto a, decltype(a) b) { return !(a >= b); });
    if (is("leu")) return compares<T, R>([](auto a, decltype(a) b) { return !(a > b); });
    if (is("gtu")) return compares<T, R>([](auto a, decltype(a) b) { return !(a <= b); });
    if (is("geu")) return compares<T, R>([](auto a, decltype(a) b) { return !(a < b); });
    if (is("num")) return compares<T, R>([](auto a, decltype(a) b) { return a == a && b == b; });
    if (is("nan")) return compares<T, R>([](auto a, decltype(a) b) { return a != a || b != b; });
    throw Unsupported();
}

void compare(Decoder &d, const Statement &s, Op &op) {
    bool value = s.op[0] == "set";
    if (s.op.size() < 3) throw Unsupported();
    Type type = s.type(value ? 1 : 0);
    std::string_view first = s.arg(0), second;
    if (size_t bar = first.find('|'); bar != std::string_view::npos) {
        second = trim(first.substr(bar + 1));
        first = trim(first.substr(0, bar));
    }
    if (value) {
        op.type = s.type(0);
        op.x[0] = d.dest(first, op.type);
    } else {
        op.x[0] = d.dest(first, Type::Pred);
        if (!second.empty()) {
            op.x[1] = d.dest(second, Type::Pred);
            op.mode |= SECOND;
        }
    }
    op.x[5] = d.source(s.arg(1), type);
    op.x[6] = d.source(s.arg(2), type);
    if (s.args.size() == 4) {
        std::string_view third = s.args[3];
        if (third[0] == '!') {
            op.mode |= NEGATES;
            third = trim(third.substr(1));
        }
        op.x[4] = d.source(third, Type::Pred);
        op.mode |= s.has("and") ? AND : s.has("or") ? OR : s.has("xor") ? XOR : throw Unsupported();
    }
    std::string_view name = s.op[1];
    op.run = value ? set_value : set_predicate;
    if (type == Type::F32) op.test = s.has("ftz") ? comparison<float, Flush>(name, true) : comparison<float>(name, true);
    else if (type == Type::F64) op.test = comparison<double>(name, true);
    else if (type == Type::F16) op.test = comparison<uint16_t, AsHalf>(name, true);
    else if (type == Type::BF16) op.test = comparison<uint16_t, AsBfloat>(name, true);
    else op.test = for_integer(type, [&](auto t) { return comparison<decltype(t)>(name, false); });
}

}  // namespace

void add_float(Selects &selects) {
    integers() = selects;
    for (auto name : {"add", "sub", "mul", "div", "min", "max", "neg", "abs", "mad", "fma"}) selects[name] = arithmetic;
    for (auto name : {"rcp", "sqrt", "rsqrt", "sin", "cos", "lg2", "ex2", "tanh"}) selects[name] = functions;
    for (auto name : {"setp", "set"}) selects[name] = compare;
    selects["copysign"] = copy_sign;
    selects["testp"] = property;
}

}  // namespace rig
