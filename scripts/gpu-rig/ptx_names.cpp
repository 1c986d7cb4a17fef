// The names and places of a function while it is decoded: registers, variables, constants, and the operands that an
// instruction makes of them.
#include <algorithm>

#include "ptx_decode.h"

namespace rig {
namespace {

const std::unordered_map<std::string_view, Special> SPECIALS = {
    {"%tid.x", Special::TidX}, {"%tid.y", Special::TidY}, {"%tid.z", Special::TidZ}, {"%ntid.x", Special::NtidX},
    {"%ntid.y", Special::NtidY}, {"%ntid.z", Special::NtidZ}, {"%ctaid.x", Special::CtaidX},
    {"%ctaid.y", Special::CtaidY}, {"%ctaid.z", Special::CtaidZ}, {"%nctaid.x", Special::NctaidX},
    {"%nctaid.y", Special::NctaidY}, {"%nctaid.z", Special::NctaidZ}, {"%laneid", Special::LaneId},
    {"%warpid", Special::WarpId}, {"%nwarpid", Special::NwarpId}, {"%lanemask_eq", Special::LaneEq},
    {"%lanemask_lt", Special::LaneLt}, {"%lanemask_le", Special::LaneLe}, {"%lanemask_gt", Special::LaneGt},
    {"%lanemask_ge", Special::LaneGe}, {"%smid", Special::Zero}, {"%gridid", Special::GridId}};

}  // namespace

uint32_t Decoder::reserve(unsigned width) {
    uint32_t bytes = width * LANES, place = (code.registers + 63) / 64 * 64;
    code.registers = place + bytes;
    if (code.registers >= CONSTANT) throw BadPtx("too many registers");
    return place;
}

uint32_t Decoder::scratch(unsigned width) { return reserve(width); }

uint64_t Decoder::reserve_local(uint32_t size, uint32_t align) {
    uint32_t place = (code.local + align - 1) / align * align;
    code.local = place + size;
    return place;
}

uint32_t Decoder::constant(uint64_t value, unsigned width) {
    if (width < 8) value &= (1ull << 8 * width) - 1;
    auto [known, is_new] = known_constants.try_emplace({value, width}, 0);
    if (is_new) {
        known->second = uint32_t(code.constants.size());
        code.constants.resize(code.constants.size() + std::max(64u, width * LANES));
        for (unsigned lane = 0; lane < LANES; lane++)
            std::memcpy(&code.constants[known->second + lane * width], &value, width);
    }
    return known->second | CONSTANT;
}

int Decoder::open(int parent) {
    scopes.push_back({parent, {}, {}, {}});
    return int(scopes.size()) - 1;
}

const Decoder::Name *Decoder::find(std::string_view name, Name &from_range) {
    size_t digits = name.size();
    while (digits > 0 && std::isdigit(static_cast<unsigned char>(name[digits - 1]))) digits--;
    for (int scope = frame->scope; scope >= 0; scope = scopes[scope].parent) {
        const auto &names = scopes[scope].names;
        if (auto found = names.find(name); found != names.end() && !found->second.count) return &found->second;
        if (digits == name.size()) continue;
        auto found = names.find(name.substr(0, digits));
        if (found == names.end() || !found->second.count) continue;
        uint32_t index = uint32_t(std::strtoul(std::string(name.substr(digits)).c_str(), nullptr, 10));
        if (index >= found->second.count) continue;
        from_range = found->second;
        uint32_t stride = from_range.predicate ? 4 : from_range.width * LANES;
        from_range.place += index * stride;
        return &from_range;
    }
    return nullptr;
}

// A name of the function, or a variable of the module.
const Decoder::Name *Decoder::named(std::string_view text, Name &found) {
    if (const Name *own = find(text, found)) return own;
    auto outer = module.variables.find(text);
    if (outer == module.variables.end()) return nullptr;
    const Variable &variable = outer->second;
    found = {};
    found.variable = true;
    found.space = variable.space;
    found.address = variable.address;
    if (variable.space == Space::Shared && variable.dynamic) {
        found.dynamic = true;
    } else if (variable.space == Space::Shared) {
        auto [place, is_new] = known_shared.try_emplace(std::string(text), 0);
        if (is_new) {
            place->second = (code.static_shared + variable.align - 1) / variable.align * variable.align;
            code.static_shared = place->second + variable.size;
        }
        found.address = place->second;
    }
    return &found;
}

// A constant with a variable's address.
uint32_t Decoder::symbol(const Name &name, unsigned width, int64_t offset) {
    if (!name.dynamic) return constant(name.address + offset, width);
    // Where dynamic shared memory begins is known only when all other shared memory is: set at the end.
    uint32_t place = uint32_t(code.constants.size());
    code.constants.resize(code.constants.size() + width * LANES);
    for (unsigned lane = 0; lane < LANES; lane++) std::memcpy(&code.constants[place + lane * width], &offset, width);
    dynamic_constants.push_back(place | (width == 8 ? CONSTANT : 0));
    return place | CONSTANT;
}

bool Decoder::is_register(std::string_view text) {
    Name found;
    const Name *name = find(text, found);
    return (name && !name->variable) || SPECIALS.count(text);
}

uint32_t Decoder::any(std::string_view text, Type type, uint8_t &width) {
    width = uint8_t(type == Type::Pred ? 4 : rig::width(type));
    if (auto special = SPECIALS.find(text); special != SPECIALS.end()) {
        auto [known, is_new] = known_specials.try_emplace(special->second, 0);
        if (is_new) {
            known->second = reserve(4);
            code.specials.push_back({special->second, known->second});
        }
        width = 4;
        return known->second;
    }
    Name found;
    if (const Name *name = named(text, found)) {
        if (name->variable) {
            // An address is as wide as what it is moved to; narrower ones are of shared memory.
            if (width != 4 && width != 8) throw Unsupported();
            return symbol(*name, width);
        }
        if (name->predicate != (type == Type::Pred)) throw Unsupported();
        width = name->width;
        return name->place;
    }
    if (text == "WARP_SZ") text = "32";
    if (auto value = number(text, type)) {
        if (type != Type::Pred) return constant(*value, width);
        // A mask of all lanes or none.
        return constant(*value ? ALL : 0, 4);
    }
    size_t plus = text.find('+');
    if (plus != std::string_view::npos) {
        const Name *name = named(trim(text.substr(0, plus)), found);
        auto offset = number(text.substr(plus + 1), Type::U64);
        if (name && name->variable && offset && width >= 4) return symbol(*name, width, int64_t(*offset));
    }
    throw Unsupported();
}

uint32_t Decoder::source(std::string_view text, Type type) {
    uint8_t wide;
    uint32_t place = any(text, type, wide);
    if (wide != (type == Type::Pred ? 4 : rig::width(type))) throw Unsupported();
    return place;
}

uint32_t Decoder::any_dest(std::string_view text, Type type, uint8_t &width) {
    if (text == "_") {
        width = uint8_t(std::max(2u, rig::width(type)));
        return scratch(8);
    }
    if (!is_register(text)) throw Unsupported();
    return any(text, type, width);
}

uint32_t Decoder::dest(std::string_view text, Type type) {
    uint8_t wide;
    uint32_t place = any_dest(text, type, wide);
    if (wide != (type == Type::Pred ? 4 : rig::width(type))) throw Unsupported();
    return place;
}

Space Decoder::address(std::string_view text, Space space, Op &op, unsigned operand) {
    text = trim(text);
    if (text.size() < 2 || text.front() != '[' || text.back() != ']') throw Unsupported();
    text = trim(text.substr(1, text.size() - 2));
    std::string_view base = text;
    op.immediate = 0;
    if (size_t plus = text.find('+'); plus != std::string_view::npos) {
        base = trim(text.substr(0, plus));
        auto offset = number(text.substr(plus + 1), Type::U64);
        if (!offset) throw Unsupported();
        op.immediate = *offset;
    }
    Name found;
    if (const Name *name = named(base, found); name && name->variable) {
        op.address_width = 8;
        op.x[operand] = symbol(*name, 8);
        // The parameters of an entry are in their own space, those of a call in local memory.
        if (space == Space::Param || space == Space::Generic) return name->space;
        return space;
    }
    op.x[operand] = any(base, Type::U64, op.address_width);
    if (op.address_width < 4) throw Unsupported();
    return space;
}

void Decoder::registers(std::string_view text) {
    Cursor in{text};
    Type type = Type::None;
    while (in.peek() == '.') {
        in.at++;
        size_t start = in.at;
        while (in.at < text.size() && (std::isalnum(static_cast<unsigned char>(text[in.at])))) in.at++;
        type = type_named(text.substr(start, in.at - start));
    }
    if (type == Type::None) throw BadPtx("registers: " + std::string(text));
    for (std::string_view one : split(text.substr(in.at))) {
        Name name;
        name.predicate = type == Type::Pred;
        name.width = uint8_t(name.predicate ? 4 : std::max(2u, width(type)));
        size_t angle = one.find('<');
        uint32_t count = 1;
        if (angle != std::string_view::npos) {
            auto given = number(one.substr(angle + 1, one.find('>') - angle - 1), Type::U32);
            if (!given) throw BadPtx("registers: " + std::string(text));
            count = name.count = uint32_t(*given);
            one = trim(one.substr(0, angle));
        }
        uint32_t each = name.predicate ? 4 : name.width * LANES;
        name.place = (code.registers + 63) / 64 * 64;
        code.registers = name.place + each * count;
        if (code.registers >= CONSTANT) throw BadPtx("too many registers");
        scopes[frame->scope].names[one] = name;
    }
}

void Decoder::variable(Space space, std::string_view text) {
    Cursor in{text};
    uint32_t align = 1, size = 0, vector = 1;
    while (in.peek() == '.') {
        std::string_view word = in.next_word();
        if (word == ".align") align = uint32_t(*number(in.next_word(), Type::U32));
        else if (word == ".v2") vector = 2;
        else if (word == ".v4") vector = 4;
        else size = width(type_named(word.substr(1)));
    }
    std::string_view name = in.next_word();
    size *= vector;
    align = std::max(align, size);
    Name made;
    made.variable = true;
    while (in.peek() == '[') {
        auto length = number(in.bracketed('[', ']'), Type::U32);
        if (length) size *= uint32_t(*length);
        else made.dynamic = true;
    }
    made.space = space;
    if (space == Space::Shared && !made.dynamic) {
        made.address = (code.static_shared + align - 1) / align * align;
        code.static_shared = uint32_t(made.address) + size;
    } else if (space != Space::Shared) {
        made.space = Space::Local;
        made.address = reserve_local(size, align);
    }
    scopes[frame->scope].names[name] = made;
}

}  // namespace rig
