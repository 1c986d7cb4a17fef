// Integer and bit instructions, and those that only move or choose.
#include <type_traits>

#include "ptx_lanes.h"

namespace rig {
namespace {

template <class T> using Wide = std::conditional_t<sizeof(T) == 8,
    std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>,
    std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>,
    std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>>>;
// Of the width of T; sums and products of these wrap.
template <class T> using Wrap = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <class T> T divide(T a, T b) {
    if (b == 0) return T(~T(0));
    if (std::is_signed_v<T> && b == T(-1)) return T(Wrap<T>(0) - Wrap<T>(a));
    return T(a / b);
}
template <class T> T remainder(T a, T b) {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == T(-1)) return 0;
    return T(a % b);
}
template <class T> T saturated_sum(T a, T b) {
    Wide<T> sum = Wide<T>(a) + b, top = Wide<T>(T(~(T(1) << (sizeof(T) * 8 - 1))));
    return sum > top ? T(top) : sum < -top - 1 ? T(-top - 1) : T(sum);
}

void arithmetic(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    operands(d, s, op, type);
    if (s.args.size() != 3) throw Unsupported();
    std::string_view name = s.op[0];
    bool sat = s.has("sat");
    if (sat && type != Type::S32) throw Unsupported();
    op.run = for_integer(type, [&](auto t) -> Handler {
        using T = decltype(t);
        using W = Wrap<T>;
        if (name == "add" && sat) return lanes<T, T, T>([](T a, T b) { return saturated_sum<T>(a, b); });
        if (sat) throw Unsupported();
        if (name == "add") return lanes<T, T, T>([](T a, T b) { return T(W(a) + W(b)); });
        if (name == "sub") return lanes<T, T, T>([](T a, T b) { return T(W(a) - W(b)); });
        if (name == "div") return lanes<T, T, T>([](T a, T b) { return divide<T>(a, b); });
        if (name == "rem") return lanes<T, T, T>([](T a, T b) { return remainder<T>(a, b); });
        if (name == "min") return lanes<T, T, T>([](T a, T b) { return a < b ? a : b; });
        if (name == "max") return lanes<T, T, T>([](T a, T b) { return a > b ? a : b; });
        throw Unsupported();
    });
}

void one_operand(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    operands(d, s, op, type);
    op.run = for_integer(type, [&](auto t) -> Handler {
        using T = decltype(t);
        using W = Wrap<T>;
        if (s.op[0] == "neg") return lanes<T, T>([](T a) { return T(W(0) - W(a)); });
        return lanes<T, T>([](T a) { return a < 0 ? T(W(0) - W(a)) : a; });
    });
}

// mul and mad, of which there are the low half, the high half and both.
void multiply(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    bool add = s.op[0] == "mad" || s.op[0] == "mad24";
    if (s.has("cc") || s.has("sat")) throw Unsupported();
    if (s.args.size() != (add ? 4 : 3)) throw Unsupported();
    if (s.has("wide")) {
        Type wide = type == Type::U16 ? Type::U32 : type == Type::S16 ? Type::S32 : type == Type::U32 ? Type::U64
                  : type == Type::S32 ? Type::S64 : throw Unsupported();
        op.x[0] = d.dest(s.arg(0), wide);
        op.x[1] = d.source(s.arg(1), type);
        op.x[2] = d.source(s.arg(2), type);
        if (add) op.x[3] = d.source(s.arg(3), wide);
        op.run = for_integer(type, [&](auto t) -> Handler {
            using T = decltype(t);
            using D = std::conditional_t<sizeof(T) == 8, T, Wide<T>>;
            using W = Wrap<D>;
            if (add) return lanes<D, T, T, D>([](T a, T b, D c) { return D(W(D(a)) * W(D(b)) + W(c)); });
            return lanes<D, T, T>([](T a, T b) { return D(W(D(a)) * W(D(b))); });
        });
        return;
    }
    operands(d, s, op, type);
    bool high = s.has("hi"), short24 = s.op[0].substr(3) == "24";
    if (short24 && (high || type != Type::U32)) throw Unsupported();
    op.run = for_integer(type, [&](auto t) -> Handler {
        using T = decltype(t);
        using W = Wrap<T>;
        constexpr unsigned bits = sizeof(T) * 8;
        if (short24) {
            if (add) return lanes<T, T, T, T>([](T a, T b, T c) { return T(W(a & 0xffffff) * W(b & 0xffffff) + W(c)); });
            return lanes<T, T, T>([](T a, T b) { return T(W(a & 0xffffff) * W(b & 0xffffff)); });
        }
        if (high && add)
            return lanes<T, T, T, T>([](T a, T b, T c) { return T(W(Wide<T>(a) * b >> bits) + W(c)); });
        if (high) return lanes<T, T, T>([](T a, T b) { return T(Wide<T>(a) * b >> bits); });
        if (add) return lanes<T, T, T, T>([](T a, T b, T c) { return T(W(a) * W(b) + W(c)); });
        return lanes<T, T, T>([](T a, T b) { return T(W(a) * W(b)); });
    });
}

// Long sums: add.cc, addc, sub.cc, subc, mad.cc, madc. The mode says what the instruction does with the carry.
enum : uint8_t { READS = 1, WRITES = 2, SUBTRACTS = 4, MULTIPLIES = 8, HIGH = 16 };
template <class T> void with_carry(Warp &warp, const Op &op) {
    T *d = warp.reg<T>(op.x[0]), *a = warp.reg<T>(op.x[1]), *b = warp.reg<T>(op.x[2]), *c = warp.reg<T>(op.x[3]);
    using U = unsigned __int128;
    constexpr unsigned bits = sizeof(T) * 8;
    for (uint32_t m = warp.m; m; m &= m - 1) {
        unsigned i = unsigned(__builtin_ctz(m));
        U carry = op.mode & READS ? warp.carry >> i & 1 : 0, left = a[i], right = b[i];
        if (op.mode & MULTIPLIES) {
            left = U(a[i]) * b[i] >> (op.mode & HIGH ? bits : 0) & T(~T(0));
            right = c[i];
        }
        U sum = op.mode & SUBTRACTS ? left - right - carry : left + right + carry;
        d[i] = T(sum);
        if (op.mode & WRITES) warp.carry = (warp.carry & ~(1u << i)) | uint32_t(sum >> bits & 1) << i;
    }
}
void long_sum(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    std::string_view name = s.op[0];
    op.mode = uint8_t((name.back() == 'c' ? READS : 0) | (s.has("cc") ? WRITES : 0) |
                      (name.substr(0, 3) == "sub" ? SUBTRACTS : 0) | (name.substr(0, 3) == "mad" ? MULTIPLIES : 0) |
                      (s.has("hi") ? HIGH : 0));
    operands(d, s, op, type);
    if (width(type) < 4) throw Unsupported();
    op.run = width(type) == 8 ? with_carry<uint64_t> : with_carry<uint32_t>;
}

void predicate_logic(Decoder &d, const Statement &s, Op &op) {
    operands(d, s, op, Type::Pred);
    std::string_view name = s.op[0];
    if (name == "and") op.run = [](Warp &w, const Op &o) { w.set_pred(o.x[0], w.pred(o.x[1]) & w.pred(o.x[2])); };
    else if (name == "or") op.run = [](Warp &w, const Op &o) { w.set_pred(o.x[0], w.pred(o.x[1]) | w.pred(o.x[2])); };
    else if (name == "xor") op.run = [](Warp &w, const Op &o) { w.set_pred(o.x[0], w.pred(o.x[1]) ^ w.pred(o.x[2])); };
    else if (name == "not") op.run = [](Warp &w, const Op &o) { w.set_pred(o.x[0], ~w.pred(o.x[1])); };
    else throw Unsupported();
}

void logic(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    if (type == Type::Pred) return predicate_logic(d, s, op);
    operands(d, s, op, type);
    std::string_view name = s.op[0];
    op.run = for_bits(width(type), [&](auto t) -> Handler {
        using T = decltype(t);
        if (name == "and") return lanes<T, T, T>([](T a, T b) { return T(a & b); });
        if (name == "or") return lanes<T, T, T>([](T a, T b) { return T(a | b); });
        if (name == "xor") return lanes<T, T, T>([](T a, T b) { return T(a ^ b); });
        if (name == "not") return lanes<T, T>([](T a) { return T(~a); });
        if (name == "cnot") return lanes<T, T>([](T a) { return T(a == 0); });
        throw Unsupported();
    });
}

void shift(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    op.x[0] = d.dest(s.arg(0), type);
    op.x[1] = d.source(s.arg(1), type);
    op.x[2] = d.source(s.arg(2), Type::U32);
    // By as much as the width or more, all bits go.
    op.run = for_integer(type, [&](auto t) -> Handler {
        using T = decltype(t);
        constexpr unsigned bits = sizeof(T) * 8;
        if (s.op[0] == "shl")
            return lanes<T, T, uint32_t>([](T a, uint32_t b) { return b < bits ? T(Wrap<T>(a) << b) : T(0); });
        return lanes<T, T, uint32_t>([](T a, uint32_t b) { return T(a >> (b < bits ? b : bits - 1) >> (b < bits ? 0 : 1)); });
    });
}

void funnel(Decoder &d, const Statement &s, Op &op) {
    operands(d, s, op, Type::U32);
    using U = uint32_t;
    bool left = s.has("l");
    if (s.has("wrap")) {
        op.run = left ? lanes<U, U, U, U>([](U a, U b, U c) { return U((uint64_t(b) << 32 | a) << (c & 31) >> 32); })
                      : lanes<U, U, U, U>([](U a, U b, U c) { return U((uint64_t(b) << 32 | a) >> (c & 31)); });
    } else {
        op.run = left ? lanes<U, U, U, U>([](U a, U b, U c) {
            return c >= 32 ? a : U((uint64_t(b) << 32 | a) << c >> 32);
        }) : lanes<U, U, U, U>([](U a, U b, U c) { return c >= 32 ? b : U((uint64_t(b) << 32 | a) >> c); });
    }
}

void lop3(Decoder &d, const Statement &s, Op &op) {
    if (s.args.size() != 5) throw Unsupported();
    op.x[0] = d.dest(s.args[0], Type::U32);
    for (unsigned i = 1; i < 4; i++) op.x[i] = d.source(s.args[i], Type::U32);
    op.x[4] = d.source(s.args[4], Type::U32);
    using U = uint32_t;
    op.run = lanes<U, U, U, U, U>([](U a, U b, U c, U table) {
        U out = 0;
        for (unsigned row = 0; row < 8; row++)
            if (table >> row & 1) out |= (row & 4 ? a : ~a) & (row & 2 ? b : ~b) & (row & 1 ? c : ~c);
        return out;
    });
}

template <class T> T reversed(T a) {
    T out = 0;
    for (unsigned i = 0; i < sizeof(T) * 8; i++) out = T(out << 1 | (a >> i & 1));
    return out;
}

void count(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    std::string_view name = s.op[0];
    op.x[0] = d.dest(s.arg(0), name == "brev" ? type : Type::U32);
    op.x[1] = d.source(s.arg(1), type);
    if (width(type) < 4) throw Unsupported();
    op.run = for_integer(type, [&](auto t) -> Handler {
        using T = decltype(t);
        using U = std::make_unsigned_t<T>;
        using R = uint32_t;
        constexpr R bits = sizeof(T) * 8;
        if (name == "popc") return lanes<R, U>([](U a) { return R(__builtin_popcountll(a)); });
        if (name == "clz") return lanes<R, U>([](U a) { return a ? R(__builtin_clzll(a)) - (64 - bits) : bits; });
        if (name == "brev") return lanes<U, U>([](U a) { return reversed(a); });
        // bfind: where the topmost bit is that is not the sign's.
        bool shift = s.has("shiftamt");
        if (shift) return lanes<R, T>([](T a) {
            U b = U(a < 0 ? ~a : a);
            return b ? R(__builtin_clzll(b)) - (64 - bits) : NONE;
        });
        return lanes<R, T>([](T a) {
            U b = U(a < 0 ? ~a : a);
            return b ? 63 - R(__builtin_clzll(b)) : NONE;
        });
    });
}

template <class T> T extract(T a, uint32_t start, uint32_t length) {
    constexpr int top = sizeof(T) * 8 - 1;
    int from = int(start & 255), bits = int(length & 255);
    if (bits == 0) return 0;
    int last = from + bits - 1 < top ? from + bits - 1 : top;
    bool sign = std::is_signed_v<T> && (a >> last & 1);
    using U = std::make_unsigned_t<T>;
    U field = from > top ? 0 : U(U(a) >> from);
    if (bits <= top) {
        U mask = U((U(1) << bits) - 1);
        int present = top - from + 1;
        if (present < bits) mask = present > 0 ? U((U(1) << present) - 1) : 0;
        field &= mask;
        if (sign) field |= U(~mask);
    } else if (sign && from > 0) {
        field |= from > top ? U(~U(0)) : U(~(U(~U(0)) >> from));
    }
    return T(field);
}
template <class T> T insert(T a, T b, uint32_t start, uint32_t length) {
    constexpr uint32_t bits = sizeof(T) * 8;
    start &= 255;
    length &= 255;
    if (start >= bits || length == 0) return b;
    T mask = length >= bits ? T(~T(0)) : T((T(1) << length) - 1);
    return T((b & ~T(mask << start)) | T((a & mask) << start));
}

void bit_field(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    if (width(type) < 4) throw Unsupported();
    op.x[0] = d.dest(s.arg(0), type);
    unsigned values = s.op[0] == "bfi" ? 2 : 1;
    for (unsigned i = 1; i < values + 3; i++) op.x[i] = d.source(s.arg(i), i <= values ? type : Type::U32);
    using U = uint32_t;
    op.run = for_integer(type, [&](auto t) -> Handler {
        using T = decltype(t);
        if (values == 1) return lanes<T, T, U, U>([](T a, U b, U c) { return extract<T>(a, b, c); });
        using V = std::make_unsigned_t<T>;
        return lanes<V, V, V, U, U>([](V a, V b, U c, U l) { return insert<V>(a, b, c, l); });
    });
}

void permute(Decoder &d, const Statement &s, Op &op) {
    if (s.op.size() != 2) throw Unsupported();
    operands(d, s, op, Type::U32);
    using U = uint32_t;
    op.run = lanes<U, U, U, U>([](U a, U b, U c) {
        uint64_t bytes = uint64_t(b) << 32 | a;
        U out = 0;
        for (unsigned i = 0; i < 4; i++) {
            U select = c >> 4 * i & 15, byte = U(bytes >> 8 * (select & 7)) & 255;
            if (select & 8) byte = byte & 128 ? 255 : 0;
            out |= byte << 8 * i;
        }
        return out;
    });
}

void dot4(Decoder &d, const Statement &s, Op &op) {
    operands(d, s, op, Type::U32);
    bool left = s.type(0) == Type::S32, right = s.type(1) == Type::S32;
    if (left != right) throw Unsupported();
    using U = uint32_t;
    auto dot = [](auto byte) {
        using B = decltype(byte);
        return lanes<U, U, U, U>([](U a, U b, U c) {
            for (unsigned i = 0; i < 4; i++) c += U(int(B(a >> 8 * i)) * int(B(b >> 8 * i)));
            return c;
        });
    };
    op.run = left ? dot(int8_t()) : dot(uint8_t());
}

void absolute_difference(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    operands(d, s, op, type);
    op.run = for_integer(type, [&](auto t) -> Handler {
        using T = decltype(t);
        using W = Wrap<T>;
        return lanes<T, T, T, T>([](T a, T b, T c) { return T(W(c) + (a < b ? W(b) - W(a) : W(a) - W(b))); });
    });
}

void choose(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    op.x[0] = d.dest(s.arg(0), type);
    op.x[1] = d.source(s.arg(1), type);
    op.x[2] = d.source(s.arg(2), type);
    op.x[3] = d.source(s.arg(3), Type::Pred);
    op.run = for_bits(width(type), [](auto t) -> Handler {
        using T = decltype(t);
        return [](Warp &w, const Op &o) {
            T *to = w.reg<T>(o.x[0]);
            const T *a = w.reg<const T>(o.x[1]), *b = w.reg<const T>(o.x[2]);
            uint32_t p = w.pred(o.x[3]), m = w.m;
#pragma GCC ivdep
            for (unsigned i = 0; i < LANES; i++) to[i] = m >> i & 1 ? (p >> i & 1 ? a[i] : b[i]) : to[i];
        };
    });
}

}  // namespace

void add_integer(Selects &selects) {
    // Names that floating point has too: its part takes those over.
    for (auto name : {"add", "sub"})
        selects[name] = [](Decoder &d, const Statement &s, Op &op) {
            s.has("cc") ? long_sum(d, s, op) : arithmetic(d, s, op);
        };
    for (auto name : {"div", "rem", "min", "max"}) selects[name] = arithmetic;
    for (auto name : {"addc", "subc", "madc"}) selects[name] = long_sum;
    for (auto name : {"neg", "abs"}) selects[name] = one_operand;
    for (auto name : {"mul", "mad", "mul24", "mad24"})
        selects[name] = [](Decoder &d, const Statement &s, Op &op) {
            s.has("cc") ? long_sum(d, s, op) : multiply(d, s, op);
        };
    for (auto name : {"and", "or", "xor", "not", "cnot"}) selects[name] = logic;
    for (auto name : {"shl", "shr"}) selects[name] = shift;
    for (auto name : {"popc", "clz", "brev", "bfind"}) selects[name] = count;
    for (auto name : {"bfe", "bfi"}) selects[name] = bit_field;
    selects["shf"] = funnel;
    selects["lop3"] = lop3;
    selects["prmt"] = permute;
    selects["dp4a"] = dot4;
    selects["sad"] = absolute_difference;
    selects["selp"] = choose;
}

}  // namespace rig
