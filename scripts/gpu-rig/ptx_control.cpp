// Moves, branches, calls, barriers, and what the lanes of a warp tell one another.
#include <chrono>

#include "ptx_lanes.h"

namespace rig {
namespace {

template <class T> void pack(Warp &w, const Op &o) {
    // The first part is the lowest; parts are as wide as to_width says.
    for (uint32_t m = w.m; m; m &= m - 1) {
        unsigned i = unsigned(__builtin_ctz(m));
        T made = 0;
        for (unsigned part = 0; part < o.count; part++)
            std::memcpy(reinterpret_cast<unsigned char *>(&made) + part * o.to_width,
                        w.reg<unsigned char>(o.x[1 + part]) + i * o.to_width, o.to_width);
        w.reg<T>(o.x[0])[i] = made;
    }
}
template <class T> void unpack(Warp &w, const Op &o) {
    for (uint32_t m = w.m; m; m &= m - 1) {
        unsigned i = unsigned(__builtin_ctz(m));
        T value = w.reg<T>(o.x[7])[i];
        for (unsigned part = 0; part < o.count; part++)
            std::memcpy(w.reg<unsigned char>(o.x[part]) + i * o.to_width,
                        reinterpret_cast<unsigned char *>(&value) + part * o.to_width, o.to_width);
    }
}

Type bits(unsigned width) {
    switch (width) {
        case 2: return Type::U16;
        case 4: return Type::U32;
        case 8: return Type::U64;
        default: throw Unsupported();
    }
}

void move(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    std::string_view to = s.arg(0), from = s.arg(1);
    if (to[0] == '{' || from[0] == '{') {
        std::string_view list = to[0] == '{' ? to : from;
        auto parts = split(list.substr(1, list.size() - 2));
        unsigned each = width(type) / unsigned(parts.size());
        op.count = uint8_t(parts.size());
        op.to_width = uint8_t(each);
        for (unsigned i = 0; i < parts.size(); i++) {
            if (to[0] == '{') op.x[i] = d.dest(parts[i], bits(each));
            else op.x[1 + i] = d.source(parts[i], bits(each));
        }
        if (to[0] == '{') op.x[7] = d.source(from, bits(width(type)));
        else op.x[0] = d.dest(to, bits(width(type)));
        bool long_word = width(type) == 8;
        if (to[0] == '{') op.run = long_word ? unpack<uint64_t> : unpack<uint32_t>;
        else op.run = long_word ? pack<uint64_t> : pack<uint32_t>;
        return;
    }
    op.x[0] = d.dest(to, type);
    if (from == "%clock" || from == "%clock64" || from == "%globaltimer" || from == "%clock_hi") {
        op.to_width = uint8_t(width(type));
        op.run = [](Warp &w, const Op &o) {
            uint64_t now = uint64_t(std::chrono::steady_clock::now().time_since_epoch().count());
            for (uint32_t m = w.m; m; m &= m - 1)
                std::memcpy(w.reg<unsigned char>(o.x[0]) + __builtin_ctz(m) * o.to_width, &now, o.to_width);
        };
        return;
    }
    if (type == Type::Pred) {
        op.x[1] = d.source(from, type);
        op.run = [](Warp &w, const Op &o) { w.set_pred(o.x[0], w.pred(o.x[1])); };
        return;
    }
    op.x[1] = d.source(from, type);
    op.run = for_bits(width(type), [](auto t) -> Handler {
        using T = decltype(t);
        return lanes<T, T>([](T a) { return a; });
    });
}

void jump(Warp &w, const Op &o) {
    uint32_t taken = w.m;
    if (taken == w.active) {
        w.pc = o.target;
        return;
    }
    w.others.push_back({o.target, taken});
    w.next = o.target < w.next ? o.target : w.next;
    w.active &= ~taken;
}

void branch(Decoder &d, const Statement &s, Op &op) {
    d.branch_to(s.arg(0));
    op.run = jump;
}

void branch_indexed(Decoder &d, const Statement &s, Op &op) {
    op.x[0] = d.source(s.arg(0), Type::U32);
    op.target = uint32_t(d.code.tables.size());
    d.branch_table(s.arg(1));
    op.immediate = d.code.tables.size() - op.target;
    op.run = [](Warp &w, const Op &o) {
        for (uint32_t m = w.m; m; m &= m - 1) {
            unsigned i = unsigned(__builtin_ctz(m));
            uint32_t index = w.reg<uint32_t>(o.x[0])[i];
            if (index >= o.immediate) w.fail(o, 700, i, "a branch to no target");
            uint32_t target = w.code->tables[o.target + index];
            w.others.push_back({target, 1u << i});
        }
        w.next = 0;
        w.active &= ~w.m;
    };
}

void leave(Warp &w, const Op &) {
    w.alive &= ~w.m;
    w.leave(w.m);
}

void come_back(Decoder &d, const Statement &, Op &op) {
    op.run = d.is_entry() ? leave : jump;
    if (!d.is_entry()) d.branch_to_end();
}

// The text at an address of the device.
std::string text_at(uint64_t address) {
    std::string text;
    for (Range range = find(address, 1); range.holds(address, 1); address++) {
        char c = char(*range.host(address));
        if (!c) break;
        text += c;
    }
    return text;
}

void assertion(Warp &w, const Op &o) {
    unsigned i = unsigned(__builtin_ctz(w.m));
    uint64_t words[4] = {};
    for (unsigned k = 0; k < 4; k++)
        std::memcpy(&words[k], w.block->local + uint64_t(w.index * LANES + i) * w.code->local + o.x[k], k == 2 ? 4 : 8);
    w.fail(o, 710, i, text_at(words[1]) + ":" + std::to_string(words[2]) + ": assertion failed: " + text_at(words[0]));
}

void call(Decoder &d, const Statement &s, Op &op) {
    std::string_view name = s.arg(0)[0] == '(' ? s.arg(1) : s.arg(0);
    if (name == "__assertfail") {
        auto params = split(s.arg(1).substr(1, s.arg(1).size() - 2));
        for (unsigned i = 0; i < 4 && i < params.size(); i++) {
            Op place;
            if (d.address("[" + std::string(params[i]) + "]", Space::Param, place, 0) != Space::Local) throw Unsupported();
            std::memcpy(&op.x[i], &d.code.constants[place.x[0] & ~CONSTANT], 4);
        }
        op.run = assertion;
        return;
    }
    // Lanes that the guard keeps out go around it.
    size_t around = d.code.ops.size();
    bool guarded = op.guard != NONE;
    if (guarded) {
        Op over = op;
        over.guard_not = !op.guard_not;
        over.run = jump;
        d.code.ops.push_back(over);
    }
    try {
        d.call(s, op);
    } catch (const Unsupported &) {
        d.code.ops.resize(around);
        throw;
    }
    if (guarded) d.code.ops[around].target = uint32_t(d.code.ops.size());
}

// Whether the lanes that an instruction names are here; if not, those that are wait for the others.
bool together(Warp &w, uint32_t members) {
    if (w.force || !(members & w.alive & ~w.m)) {
        w.force = false;
        return true;
    }
    Group here{w.pc - 1, w.m};
    here.parked = true;
    w.others.push_back(here);
    w.leave(w.m);
    w.next = 0;
    return false;
}
uint32_t members(Warp &w, const Op &o) { return w.reg<uint32_t>(o.x[7])[__builtin_ctz(w.m)]; }
void name_members(Decoder &d, const Statement &s, Op &op, size_t which) {
    op.x[7] = which < s.args.size() ? d.source(s.args[which], Type::U32) : d.constant(0, 4);
}

// bar.sync and barrier.sync: the threads wait until the block's others are there too.
void wait(Warp &w, const Op &o) {
    unsigned first = unsigned(__builtin_ctz(w.m));
    Group here{w.pc, w.m};
    here.barrier = w.reg<uint32_t>(o.x[1])[first];
    here.expected = w.reg<uint32_t>(o.x[2])[first];
    here.op = &o;
    if (o.mode) here.votes = w.pred(o.x[3]) ^ (o.count ? 0 : ALL);
    w.waiting.push_back(here);
    w.leave(w.m);
}

enum : uint32_t { COUNT = 1, EVERY = 2, SOME = 3 };
void barrier(Decoder &d, const Statement &s, Op &op) {
    if (s.has("warp")) {
        name_members(d, s, op, 0);
        op.run = [](Warp &w, const Op &o) { together(w, members(w, o)); };
        return;
    }
    if (s.has("arrive") || s.has("cluster")) throw Unsupported();
    bool votes = s.has("red");
    size_t at = votes ? 1 : 0, left = s.args.size() - at - (votes ? 1 : 0);
    op.x[1] = d.source(s.arg(at), Type::U32);
    op.x[2] = left > 1 ? d.source(s.arg(at + 1), Type::U32) : d.constant(0, 4);
    if (votes) {
        op.mode = s.has("popc") ? COUNT : s.has("and") ? EVERY : SOME;
        op.x[0] = d.dest(s.arg(0), op.mode == COUNT ? Type::U32 : Type::Pred);
        std::string_view vote = s.args.back();
        op.count = vote[0] != '!';
        op.x[3] = d.source(op.count ? vote : trim(vote.substr(1)), Type::Pred);
    }
    op.run = wait;
}

std::pair<std::string_view, std::string_view> two(std::string_view text) {
    size_t bar = text.find('|');
    if (bar == std::string_view::npos) return {text, {}};
    return {trim(text.substr(0, bar)), trim(text.substr(bar + 1))};
}

enum : uint32_t { UP, DOWN, ACROSS, FROM };
void shuffle(Warp &w, const Op &o) {
    if (!together(w, members(w, o))) return;
    const uint32_t *a = w.reg<uint32_t>(o.x[2]), *b = w.reg<uint32_t>(o.x[3]), *c = w.reg<uint32_t>(o.x[4]);
    uint32_t made[LANES], inside = 0;
    for (unsigned lane = 0; lane < LANES; lane++) {
        int segment = int(c[lane] >> 8 & 31), last = int((lane & segment) | (c[lane] & 31 & ~segment)), step = int(b[lane] & 31);
        int from = int(lane);
        bool in;
        switch (o.mode) {
            case UP: from -= step; in = from >= last; break;
            case DOWN: from += step; in = from <= last; break;
            case ACROSS: from ^= step; in = from <= last; break;
            default: from = int((lane & segment) | (step & ~segment)); in = from <= last;
        }
        if (!in) from = int(lane);
        made[lane] = a[from & 31];
        inside |= uint32_t(in) << lane;
    }
    for (uint32_t m = w.m; m; m &= m - 1) w.reg<uint32_t>(o.x[0])[__builtin_ctz(m)] = made[__builtin_ctz(m)];
    if (o.x[1] != NONE) w.set_pred(o.x[1], inside);
}
void shuffles(Decoder &d, const Statement &s, Op &op) {
    auto [value, inside] = two(s.arg(0));
    op.mode = s.has("up") ? UP : s.has("down") ? DOWN : s.has("bfly") ? ACROSS : s.has("idx") ? FROM : throw Unsupported();
    op.x[0] = d.dest(value, Type::U32);
    op.x[1] = inside.empty() ? NONE : d.dest(inside, Type::Pred);
    for (unsigned i = 1; i < 4; i++) op.x[1 + i] = d.source(s.arg(i), Type::U32);
    name_members(d, s, op, 4);
    op.run = shuffle;
}

void fill(Warp &w, uint32_t place, uint32_t value) {
    for (uint32_t m = w.m; m; m &= m - 1) w.reg<uint32_t>(place)[__builtin_ctz(m)] = value;
}

enum : uint32_t { VOTE_ALL, VOTE_ANY, VOTE_SAME, BALLOT };
void vote(Warp &w, const Op &o) {
    if (!together(w, members(w, o))) return;
    uint32_t yes = (w.pred(o.x[1]) ^ (o.count ? 0 : ALL)) & w.m;
    switch (o.mode) {
        case VOTE_ALL: return w.set_pred(o.x[0], yes == w.m ? ALL : 0);
        case VOTE_ANY: return w.set_pred(o.x[0], yes ? ALL : 0);
        case VOTE_SAME: return w.set_pred(o.x[0], yes == w.m || !yes ? ALL : 0);
        default: fill(w, o.x[0], yes);
    }
}
void votes(Decoder &d, const Statement &s, Op &op) {
    op.mode = s.has("all") ? VOTE_ALL : s.has("any") ? VOTE_ANY : s.has("uni") ? VOTE_SAME : BALLOT;
    op.x[0] = d.dest(s.arg(0), op.mode == BALLOT ? Type::U32 : Type::Pred);
    std::string_view vote_on = s.arg(1);
    op.count = vote_on[0] != '!';
    op.x[1] = d.source(op.count ? vote_on : trim(vote_on.substr(1)), Type::Pred);
    name_members(d, s, op, 2);
    op.run = vote;
}

template <class T> void match(Warp &w, const Op &o) {
    if (!together(w, members(w, o))) return;
    const T *a = w.reg<T>(o.x[2]);
    uint32_t made[LANES] = {};
    for (uint32_t m = w.m; m; m &= m - 1)
        for (uint32_t n = w.m; n; n &= n - 1)
            if (a[__builtin_ctz(m)] == a[__builtin_ctz(n)]) made[__builtin_ctz(m)] |= 1u << __builtin_ctz(n);
    bool all = made[__builtin_ctz(w.m)] == w.m;
    for (uint32_t m = w.m; m; m &= m - 1) {
        unsigned i = unsigned(__builtin_ctz(m));
        w.reg<uint32_t>(o.x[0])[i] = !o.mode ? made[i] : all ? w.m : 0;
    }
    if (o.x[1] != NONE) w.set_pred(o.x[1], all ? ALL : 0);
}
void matches(Decoder &d, const Statement &s, Op &op) {
    auto [value, same] = two(s.arg(0));
    op.mode = s.has("all");
    op.x[0] = d.dest(value, Type::U32);
    op.x[1] = same.empty() ? NONE : d.dest(same, Type::Pred);
    Type type = s.type();
    op.x[2] = d.source(s.arg(1), type);
    name_members(d, s, op, 2);
    op.run = width(type) == 8 ? match<uint64_t> : match<uint32_t>;
}

template <class T, class F> void reduce(Warp &w, const Op &o) {
    if (!together(w, members(w, o))) return;
    const T *a = w.reg<T>(o.x[1]);
    T sum = a[__builtin_ctz(w.m)];
    for (uint32_t m = w.m & (w.m - 1); m; m &= m - 1) sum = F()(sum, a[__builtin_ctz(m)]);
    fill(w, o.x[0], uint32_t(sum));
}
template <class T, class F> Handler reduction(F) { return reduce<T, F>; }
void reductions(Decoder &d, const Statement &s, Op &op) {
    Type type = s.type();
    if (type != Type::U32 && type != Type::S32) throw Unsupported();
    op.x[0] = d.dest(s.arg(0), Type::U32);
    op.x[1] = d.source(s.arg(1), Type::U32);
    name_members(d, s, op, 2);
    op.run = for_integer(type, [&](auto t) -> Handler {
        using T = decltype(t);
        if constexpr (sizeof(T) == 4) {
            if (s.has("add")) return reduction<T>([](T a, T b) { return T(uint32_t(a) + uint32_t(b)); });
            if (s.has("min")) return reduction<T>([](T a, T b) { return a < b ? a : b; });
            if (s.has("max")) return reduction<T>([](T a, T b) { return a > b ? a : b; });
            if (s.has("and")) return reduction<T>([](T a, T b) { return a & b; });
            if (s.has("or")) return reduction<T>([](T a, T b) { return a | b; });
            if (s.has("xor")) return reduction<T>([](T a, T b) { return a ^ b; });
        }
        throw Unsupported();
    });
}

}  // namespace

void add_control(Selects &selects) {
    selects["mov"] = move;
    selects["bra"] = branch;
    selects["brx"] = branch_indexed;
    selects["call"] = call;
    selects["ret"] = come_back;
    selects["exit"] = [](Decoder &, const Statement &, Op &op) { op.run = leave; };
    selects["trap"] = [](Decoder &, const Statement &, Op &op) {
        op.run = [](Warp &w, const Op &o) { w.fail(o, 719, unsigned(__builtin_ctz(w.m)), "a trap"); };
    };
    for (auto name : {"bar", "barrier"}) selects[name] = barrier;
    selects["shfl"] = shuffles;
    selects["vote"] = votes;
    selects["match"] = matches;
    selects["redux"] = reductions;
    selects["activemask"] = [](Decoder &d, const Statement &s, Op &op) {
        op.x[0] = d.dest(s.arg(0), Type::U32);
        op.run = [](Warp &w, const Op &o) { fill(w, o.x[0], w.m); };
    };
    for (auto name : {"nanosleep", "pmevent", "griddepcontrol"})
        selects[name] = [](Decoder &, const Statement &, Op &op) { op.run = [](Warp &, const Op &) {}; };
}

}  // namespace rig
