// Loads, stores, atomics and addresses. Each access is checked: global memory against the allocations, shared and local
// memory against their sizes, and all against the alignment that a device asks for.
#include <type_traits>

#include "ptx_lanes.h"

namespace rig {
namespace {

[[noreturn]] void outside(Warp &w, const Op &o, unsigned lane, uint64_t address, const char *which) {
    char text[120];
    std::snprintf(text, sizeof text, "illegal address 0x%llx of %s memory", static_cast<unsigned long long>(address), which);
    w.fail(o, 700, lane, text);
}

// The allocation that holds these bytes: most often the one that this instruction hit last.
unsigned char *global(Warp &w, const Op &o, unsigned lane, uint64_t address, uint64_t bytes) {
    Range &range = w.block->ranges[o.text % RANGES];
    if (!range.holds(address, bytes)) {
        Range found = find(address, bytes);
        if (found.low > found.high) outside(w, o, lane, address, "global");
        range = found;
    }
    return range.host(address);
}
unsigned char *shared(Warp &w, const Op &o, unsigned lane, uint64_t address, uint64_t bytes) {
    if (address > w.block->shared_size || bytes > w.block->shared_size - address) outside(w, o, lane, address, "shared");
    return w.block->shared + address;
}
unsigned char *local(Warp &w, const Op &o, unsigned lane, uint64_t address, uint64_t bytes) {
    if (address > w.code->local || bytes > w.code->local - address) outside(w, o, lane, address, "local");
    return w.block->local + uint64_t(w.index * LANES + lane) * w.code->local + address;
}
unsigned char *parameter(Warp &w, const Op &o, unsigned lane, uint64_t address, uint64_t bytes) {
    const auto &params = w.block->launch->params;
    if (address > params.size() || bytes > params.size() - address) outside(w, o, lane, address, "parameter");
    return const_cast<unsigned char *>(params.data()) + address;
}

unsigned char *at(Warp &w, const Op &o, Space space, unsigned lane, uint64_t address, uint64_t bytes) {
    uint64_t rest = address & ~WINDOW_MASK;
    switch (space) {
        case Space::Shared: return shared(w, o, lane, address, bytes);
        case Space::Local: return local(w, o, lane, address, bytes);
        case Space::Param: return parameter(w, o, lane, rest, bytes);
        case Space::Generic:
            switch (address & WINDOW_MASK) {
                case SHARED_WINDOW: return shared(w, o, lane, rest, bytes);
                case LOCAL_WINDOW: return local(w, o, lane, rest, bytes);
                case PARAM_WINDOW: return parameter(w, o, lane, rest, bytes);
            }
            [[fallthrough]];
        default: return global(w, o, lane, address, bytes);
    }
}

struct Addresses {
    uint64_t of[LANES];

    Addresses(Warp &w, const Op &o, unsigned operand) {
        if (o.address_width == 4) {
            // Addresses of shared memory have 32 bits, and so has their sum.
            const uint32_t *a = w.reg<const uint32_t>(o.x[operand]);
            for (unsigned i = 0; i < LANES; i++) of[i] = uint32_t(a[i] + uint32_t(o.immediate));
        } else {
            const uint64_t *a = w.reg<const uint64_t>(o.x[operand]);
            for (unsigned i = 0; i < LANES; i++) of[i] = a[i] + o.immediate;
        }
    }
    void aligned(Warp &w, const Op &o, uint64_t bytes) const {
        uint64_t any = 0;
        for (unsigned i = 0; i < LANES; i++) any |= w.m >> i & 1 ? of[i] : 0;
        if (!(any & (bytes - 1))) return;
        for (unsigned i = 0; i < LANES; i++)
            if ((w.m >> i & 1) && (of[i] & (bytes - 1))) {
                char text[80];
                std::snprintf(text, sizeof text, "misaligned address 0x%llx", static_cast<unsigned long long>(of[i]));
                w.fail(o, 716, i, text);
            }
    }
};

// What must be added to addresses between these two where both are in one piece of memory, which then is checked once.
// Null if they are not, or if something is wrong with them.
template <Space S> unsigned char *one_piece(Warp &w, const Op &o, uint64_t low, uint64_t high, uint64_t bytes) {
    if (S == Space::Shared) {
        bool inside = high <= w.block->shared_size && bytes <= w.block->shared_size - high;
        return inside ? w.block->shared : nullptr;
    }
    Range &range = w.block->ranges[o.text % RANGES];
    if (!range.holds(low, bytes)) range = find(low, bytes);
    return range.holds(low, bytes) && range.holds(high, bytes) ? reinterpret_cast<unsigned char *>(range.delta) : nullptr;
}

// M is the type in memory, R the register's: a wider register is extended as M's sign says. This is for one value a lane
// of global or shared memory, which is what programs are made of, so it looks out for what they do most: all lanes read
// the same value, or values that stand one after the other.
template <Space S, class M, class R, bool LOAD> void access(Warp &w, const Op &o) {
    Addresses addresses(w, o, LOAD ? 1 : 0);
    const uint64_t *of = addresses.of;
    R *r = w.reg<R>(o.x[LOAD ? 0 : 1]);
    if (w.m == ALL && !(of[0] & (sizeof(M) - 1))) {
        uint64_t same = 0, rows = 0;
        for (unsigned i = 0; i < LANES; i++) {
            same |= of[i] ^ of[0];
            rows |= of[i] ^ (of[0] + i * sizeof(M));
        }
        unsigned char *base = (LOAD && !same) || !rows ? one_piece<S>(w, o, of[0], of[LANES - 1], sizeof(M)) : nullptr;
        M *p = reinterpret_cast<M *>(base + of[0]);
        if (base && !rows) {
            for (unsigned i = 0; i < LANES; i++) {
                if (LOAD) r[i] = R(p[i]);
                else p[i] = M(r[i]);
            }
            return;
        }
        if (base) {
            R value = R(*p);
            for (unsigned i = 0; i < LANES; i++) r[i] = value;
            return;
        }
    }
    addresses.aligned(w, o, sizeof(M));
    uint64_t low = ~0ull, high = 0;
    for (unsigned i = 0; i < LANES; i++) {
        bool on = w.m >> i & 1;
        low = on && of[i] < low ? of[i] : low;
        high = on && of[i] > high ? of[i] : high;
    }
    unsigned char *base = one_piece<S>(w, o, low, high, sizeof(M));
    for (uint32_t m = w.m; m; m &= m - 1) {
        unsigned i = unsigned(__builtin_ctz(m));
        M *p = reinterpret_cast<M *>(base ? base + of[i] : at(w, o, S, i, of[i], sizeof(M)));
        if (LOAD) r[i] = R(*p);
        else *p = M(r[i]);
    }
}

// The same for two or four values a lane.
template <Space S, class M, unsigned V, bool LOAD> void access_vector(Warp &w, const Op &o) {
    constexpr unsigned BYTES = V * sizeof(M);
    Addresses addresses(w, o, LOAD ? V : 0);
    addresses.aligned(w, o, BYTES);
    const uint64_t *of = addresses.of;
    M *r[V];
    for (unsigned v = 0; v < V; v++) r[v] = w.reg<M>(o.x[(LOAD ? 0 : 1) + v]);
    if (w.m == ALL) {
        uint64_t rows = 0;
        for (unsigned i = 0; i < LANES; i++) rows |= of[i] ^ (of[0] + i * BYTES);
        unsigned char *base = rows ? nullptr : one_piece<S>(w, o, of[0], of[LANES - 1], BYTES);
        if (base) {
            M *p = reinterpret_cast<M *>(base + of[0]);
            for (unsigned v = 0; v < V; v++)
                for (unsigned i = 0; i < LANES; i++) {
                    if (LOAD) r[v][i] = p[i * V + v];
                    else p[i * V + v] = r[v][i];
                }
            return;
        }
    }
    for (uint32_t m = w.m; m; m &= m - 1) {
        unsigned i = unsigned(__builtin_ctz(m));
        M *p = reinterpret_cast<M *>(at(w, o, S, i, of[i], BYTES));
        for (unsigned v = 0; v < V; v++) {
            if (LOAD) r[v][i] = p[v];
            else p[v] = r[v][i];
        }
    }
}

// All others: vectors, and the other spaces. o.from is the type in memory, o.to_width the registers' width.
template <bool LOAD> void access_any(Warp &w, const Op &o) {
    Space space = Space(o.mode);
    unsigned first = LOAD ? 0 : 1, size = width(o.from), bytes = size * o.count;
    Addresses addresses(w, o, LOAD ? o.count : 0);
    addresses.aligned(w, o, bytes);
    for (uint32_t m = w.m; m; m &= m - 1) {
        unsigned i = unsigned(__builtin_ctz(m));
        unsigned char *p = at(w, o, space, i, addresses.of[i], bytes);
        for (unsigned v = 0; v < o.count; v++) {
            unsigned char *r = w.reg<unsigned char>(o.x[first + v]) + i * o.to_width;
            if (!LOAD) {
                std::memcpy(p + v * size, r, size);
                continue;
            }
            uint64_t value = 0;
            std::memcpy(&value, p + v * size, size);
            if (is_signed(o.from) && size < 8 && value >> (size * 8 - 1)) value |= ~0ull << (size * 8);
            std::memcpy(r, &value, o.to_width);
        }
    }
}

template <Space S, bool LOAD> Handler quick(Type memory, unsigned reg) {
    auto with = [&](auto m) -> Handler {
        using M = decltype(m);
        constexpr bool sign = std::is_signed_v<M>;
        if constexpr (sizeof(M) <= 2) {
            if (reg == 2) return access<S, M, std::conditional_t<sign, int16_t, uint16_t>, LOAD>;
        }
        if constexpr (sizeof(M) <= 4) {
            if (reg == 4) return access<S, M, std::conditional_t<sign, int32_t, uint32_t>, LOAD>;
        } else {
            if (reg == 8) return access<S, M, M, LOAD>;
        }
        return nullptr;
    };
    switch (memory) {
        case Type::U8: return with(uint8_t());
        case Type::U16: return with(uint16_t());
        case Type::U32: case Type::F32: case Type::S32: return with(uint32_t());
        case Type::U64: case Type::S64: case Type::F64: return with(uint64_t());
        default: return nullptr;
    }
}

template <Space S, bool LOAD> Handler quick_vector(Type memory, unsigned reg, unsigned count) {
    if (reg != width(memory)) return nullptr;
    if (reg == 4) return count == 2 ? access_vector<S, uint32_t, 2, LOAD> : access_vector<S, uint32_t, 4, LOAD>;
    if (reg == 8 && count == 2) return access_vector<S, uint64_t, 2, LOAD>;
    return nullptr;
}

template <bool LOAD> Handler access_in(Space space, Type memory, unsigned reg, unsigned count) {
    Handler made = nullptr;
    // A sign that a wider register must have goes the long way.
    bool extended = memory == Type::S32 && reg == 8, is_global = space == Space::Global || space == Space::Const;
    if (count > 1 && is_global) made = quick_vector<Space::Global, LOAD>(memory, reg, count);
    else if (count > 1 && space == Space::Shared) made = quick_vector<Space::Shared, LOAD>(memory, reg, count);
    else if (!extended && is_global) made = quick<Space::Global, LOAD>(memory, reg);
    else if (!extended && space == Space::Shared) made = quick<Space::Shared, LOAD>(memory, reg);
    if (!LOAD && space == Space::Param) throw Unsupported();
    return made ? made : access_any<LOAD>;
}

Space space_of(const Statement &s) {
    for (std::string_view part : s.op) {
        if (part == "global") return Space::Global;
        if (part == "const") return Space::Const;
        if (part == "shared" || part == "shared::cta") return Space::Shared;
        if (part == "local") return Space::Local;
        if (part == "param" || part == "param::entry" || part == "param::func") return Space::Param;
        if (part == "shared::cluster") throw Unsupported();
    }
    return Space::Generic;
}

void load_or_store(Decoder &d, const Statement &s, Op &op) {
    bool load = s.op[0] != "st";
    Type type = s.type();
    std::string_view values = s.arg(load ? 0 : 1);
    unsigned count = s.has("v2") ? 2 : s.has("v4") ? 4 : 1;
    if (s.has("v8") || s.has("b128") || s.args.size() != 2) throw Unsupported();
    std::vector<std::string_view> each = {values};
    if (values[0] == '{') each = split(values.substr(1, values.size() - 2));
    if (each.size() != count) throw Unsupported();
    op.count = uint8_t(count);
    uint8_t wide = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t one;
        op.x[(load ? 0 : 1) + i] = load ? d.any_dest(each[i], type, one) : d.any(each[i], type, one);
        // A number of one byte has no register that is so narrow.
        if (one == 1) {
            op.x[1 + i] = d.constant(*number(each[i], type), 2);
            one = 2;
        }
        if (wide && one != wide) throw Unsupported();
        wide = one;
    }
    Space space = d.address(s.arg(load ? 1 : 0), space_of(s), op, load ? count : 0);
    if (wide < width(type)) throw Unsupported();
    op.from = type;
    op.to_width = wide;
    op.mode = uint32_t(space);
    op.run = load ? access_in<true>(space, type, wide, count) : access_in<false>(space, type, wide, count);
}

// atom and red. F makes the new value of the old one and the operands. A lane sees what those before it have done.
template <class T, class F> void atomic(Warp &w, const Op &o) {
    Addresses addresses(w, o, 1);
    addresses.aligned(w, o, sizeof(T));
    for (uint32_t m = w.m; m; m &= m - 1) {
        unsigned i = unsigned(__builtin_ctz(m));
        unsigned char *p = at(w, o, Space(o.mode), i, addresses.of[i], sizeof(T));
        T old, b = w.reg<T>(o.x[2])[i], c = w.reg<T>(o.x[3])[i];
        std::memcpy(&old, p, sizeof old);
        T made = F()(old, b, c);
        std::memcpy(p, &made, sizeof made);
        if (o.x[0] != NONE) w.reg<T>(o.x[0])[i] = old;
    }
}
template <class T, class F> Handler makes(F) { return atomic<T, F>; }

void atomics(Decoder &d, const Statement &s, Op &op) {
    bool returns = s.op[0] == "atom";
    unsigned at = returns ? 1 : 0;
    Type type = s.type();
    // Bits that are compared or exchanged are whole numbers, whatever they mean.
    if (s.has("noftz") && type != Type::F16 && type != Type::BF16) throw Unsupported();
    op.x[0] = returns ? d.dest(s.arg(0), type) : NONE;
    Space space = d.address(s.arg(at), space_of(s), op, 1);
    op.x[2] = op.x[3] = d.source(s.arg(at + 1), type);
    bool third = s.has("cas");
    if (third) op.x[3] = d.source(s.arg(at + 2), type);
    if (s.args.size() != at + 2 + third) throw Unsupported();
    if (space != Space::Global && space != Space::Shared && space != Space::Generic) throw Unsupported();
    if (space != Space::Shared) d.code.global_atomics = true;
    op.mode = uint32_t(space);
    bool add = s.has("add");
    if (type == Type::F32 && add)
        op.run = makes<float>([](float a, float b, float) { return a + b; });
    else if (type == Type::F64 && add)
        op.run = makes<double>([](double a, double b, double) { return a + b; });
    else if (type == Type::F16 && add)
        op.run = makes<uint16_t>([](uint16_t a, uint16_t b, uint16_t) {
            return float_to_half(double(half_to_float(a)) + double(half_to_float(b)));
        });
    else if (type == Type::BF16 && add)
        op.run = makes<uint16_t>([](uint16_t a, uint16_t b, uint16_t) {
            return float_to_bfloat(bfloat_to_float(a) + bfloat_to_float(b));
        });
    else
        op.run = for_integer(type, [&](auto t) -> Handler {
            using T = decltype(t);
            if constexpr (sizeof(T) >= 2) {
                if (s.has("cas")) return makes<T>([](T a, T b, T c) { return a == b ? c : a; });
                if (s.has("exch")) return makes<T>([](T, T b, T) { return b; });
            }
            if constexpr (sizeof(T) >= 4) {
                if (add) return makes<T>([](T a, T b, T) { return T(std::make_unsigned_t<T>(a) + std::make_unsigned_t<T>(b)); });
                if (s.has("min")) return makes<T>([](T a, T b, T) { return a < b ? a : b; });
                if (s.has("max")) return makes<T>([](T a, T b, T) { return a > b ? a : b; });
                if (s.has("and")) return makes<T>([](T a, T b, T) { return T(a & b); });
                if (s.has("or")) return makes<T>([](T a, T b, T) { return T(a | b); });
                if (s.has("xor")) return makes<T>([](T a, T b, T) { return T(a ^ b); });
                if (s.has("inc")) return makes<T>([](T a, T b, T) { return a >= b ? T(0) : T(a + 1); });
                if (s.has("dec")) return makes<T>([](T a, T b, T) { return a == 0 || a > b ? b : T(a - 1); });
            }
            throw Unsupported();
        });
}

// cvta: generic addresses are those of global memory; shared and local memory have windows among them.
void address_space(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    if (width(type) != 8) throw Unsupported();
    operands(d, s, op, type);
    Space space = space_of(s);
    bool to = s.has("to");
    using T = uint64_t;
    if (space == Space::Shared)
        op.run = to ? lanes<T, T>([](T a) { return a & ~WINDOW_MASK; }) : lanes<T, T>([](T a) { return a | SHARED_WINDOW; });
    else if (space == Space::Local)
        op.run = to ? lanes<T, T>([](T a) { return a & ~WINDOW_MASK; }) : lanes<T, T>([](T a) { return a | LOCAL_WINDOW; });
    else if (space == Space::Param) op.run = lanes<T, T>([](T a) { return a | PARAM_WINDOW; });
    else op.run = lanes<T, T>([](T a) { return a; });
}

void is_space(Decoder &d, const Statement &s, Op &op) {
    op.x[0] = d.dest(s.arg(0), Type::Pred);
    op.x[1] = d.source(s.arg(1), Type::U64);
    Space space = space_of(s);
    op.immediate = space == Space::Shared ? SHARED_WINDOW : space == Space::Local ? LOCAL_WINDOW : 0;
    op.run = [](Warp &w, const Op &o) {
        uint32_t word = 0;
        for (unsigned i = 0; i < LANES; i++) word |= uint32_t((w.reg<uint64_t>(o.x[1])[i] & WINDOW_MASK) == o.immediate) << i;
        w.set_pred(o.x[0], word);
    };
}

}  // namespace

void add_memory(Selects &selects) {
    for (auto name : {"ld", "ldu", "st"}) selects[name] = load_or_store;
    for (auto name : {"atom", "red"}) selects[name] = atomics;
    selects["cvta"] = address_space;
    selects["isspacep"] = is_space;
    // Nothing to order or to fetch early: memory is that of the host, and a block is run by one thread.
    for (auto name : {"membar", "fence", "prefetch", "prefetchu", "discard"})
        selects[name] = [](Decoder &, const Statement &, Op &op) { op.run = [](Warp &, const Op &) {}; };
}

}  // namespace rig
