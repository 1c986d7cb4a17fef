// What an instruction does to each lane, made into what it does to a warp.
#pragma once
#include <cfenv>
#include <utility>

#include "half.h"
#include "ptx_decode.h"

namespace rig {

// F is a function object from values of types A to one of type D. With all lanes active, and with most of them, it is
// a loop over 32 that the compiler can make vector instructions of; a lane that is not active is computed for nothing
// and left out.
template <class F, class D, class... A>
struct Lanes {
    // A register may be source and destination: lane by lane that is no conflict.
    static void loop(uint32_t m, D *__restrict d, const A *...a) {
        F f;
        if (m == ALL) {
#pragma GCC ivdep
            for (unsigned i = 0; i < LANES; i++) d[i] = f(a[i]...);
        } else if (__builtin_popcount(m) > 4) {
            D made[LANES];
            for (unsigned i = 0; i < LANES; i++) made[i] = f(a[i]...);
            for (unsigned i = 0; i < LANES; i++) d[i] = m >> i & 1 ? made[i] : d[i];
        } else {
            for (; m; m &= m - 1) {
                unsigned i = unsigned(__builtin_ctz(m));
                d[i] = f(a[i]...);
            }
        }
    }
    template <size_t... I>
    static void each(Warp &warp, const Op &op, std::index_sequence<I...>) {
        loop(warp.m, warp.reg<D>(op.x[0]), warp.reg<const A>(op.x[I + 1])...);
    }
    static void run(Warp &warp, const Op &op) { each(warp, op, std::index_sequence_for<A...>()); }
};

template <class D, class... A, class F>
Handler lanes(F) {
    return Lanes<F, D, A...>::run;
}

// As above, to a predicate: the bits of all lanes.
template <class F, class T>
uint32_t test(const T *a, const T *b) {
    F f;
    uint32_t bits[LANES], word = 0;
    for (unsigned i = 0; i < LANES; i++) bits[i] = f(a[i], b[i]) ? 1u << i : 0;
    for (unsigned i = 0; i < LANES; i++) word |= bits[i];
    return word;
}

// Runs op.inner with the rounding mode op.mode. The call can't be moved over the calls that set the mode.
inline void rounded(Warp &warp, const Op &op) {
    std::fesetround(int(op.mode));
    op.inner(warp, op);
    std::fesetround(FE_TONEAREST);
}
inline int rounding(const Statement &s) {
    if (s.has("rz")) return FE_TOWARDZERO;
    if (s.has("rm")) return FE_DOWNWARD;
    if (s.has("rp")) return FE_UPWARD;
    return FE_TONEAREST;
}

// The places of the operands of an instruction that has one type.
inline void operands(Decoder &d, const Statement &s, Op &op, Type type) {
    op.x[0] = d.dest(s.arg(0), type);
    for (size_t i = 1; i < s.args.size() && i < 8; i++) op.x[i] = d.source(s.args[i], type);
}

// Calls f with a value of the C type for the PTX type.
template <class F>
auto for_integer(Type type, F f) {
    switch (type) {
        case Type::U16: return f(uint16_t());
        case Type::S16: return f(int16_t());
        case Type::U32: return f(uint32_t());
        case Type::S32: return f(int32_t());
        case Type::U64: return f(uint64_t());
        case Type::S64: return f(int64_t());
        default: throw Unsupported();
    }
}
// The same where only the width matters.
template <class F>
Handler for_bits(unsigned width, F f) {
    switch (width) {
        case 2: return f(uint16_t());
        case 4: return f(uint32_t());
        case 8: return f(uint64_t());
        default: throw Unsupported();
    }
}

}  // namespace rig
