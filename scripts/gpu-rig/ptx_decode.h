// Decoding: from the text of a function to instructions that can run.
#pragma once
#include <functional>

#include "ptx_text.h"

namespace rig {

// An instruction that the machine does not know. It fails when it is run, not before.
struct Unsupported {};

struct Statement {
    std::string_view text, guard;
    bool guard_not = false;
    std::vector<std::string_view> op;    // "ld.global.f32" in its parts
    std::vector<std::string_view> args;

    bool has(std::string_view part) const {
        for (size_t i = 1; i < op.size(); i++)
            if (op[i] == part) return true;
        return false;
    }
    // The types that it names, in order.
    Type type(unsigned which = 0) const {
        for (size_t i = 1; i < op.size(); i++)
            if (Type found = type_named(op[i]); found != Type::None && which-- == 0) return found;
        throw Unsupported();
    }
    std::string_view arg(size_t which) const {
        if (which >= args.size()) throw Unsupported();
        return args[which];
    }
};

class Decoder {
public:
    Code &code;
    Module &module;

    Decoder(Code &code, Module &module) : code(code), module(module) {}
    void function(const Function &function);

    // The place of an operand. The register must be as wide as the type.
    uint32_t source(std::string_view text, Type type);
    uint32_t dest(std::string_view text, Type type);
    // The place of a register of any width, or of a number; and how wide it is.
    uint32_t any(std::string_view text, Type type, uint8_t &width);
    uint32_t any_dest(std::string_view text, Type type, uint8_t &width);
    uint32_t constant(uint64_t value, unsigned width);
    uint32_t scratch(unsigned width);
    bool is_register(std::string_view text);
    // "[%rd1+4]": sets the place of the address, its width and what is added. A name says which space it is in.
    Space address(std::string_view text, Space space, Op &op, unsigned operand);
    // The index of an instruction that is not known yet; set when the function ends.
    void branch_to(std::string_view label);
    void branch_table(std::string_view name);
    void call(const Statement &statement, Op &op);
    bool is_entry() const { return frame->entry; }
    void branch_to_end();

private:
    struct Name {
        bool variable = false;
        // A register, or the first of several.
        uint32_t place = 0, count = 0;
        uint8_t width = 0;
        bool predicate = false;
        // A variable.
        Space space = Space::Local;
        uint64_t address = 0;
        bool dynamic = false;
    };
    struct Scope {
        int parent;
        std::unordered_map<std::string_view, Name> names;
        std::unordered_map<std::string_view, uint32_t> labels;
        std::unordered_map<std::string_view, std::string_view> tables;
    };
    struct Jump {
        uint32_t op;
        int scope;
        std::string_view label;  // empty: the end of the function
        uint32_t table;          // an entry of Code::tables; NONE: the op's target
    };
    // A function, or one of its calls.
    struct Frame {
        bool entry;
        int scope;
        std::vector<Jump> jumps;
    };

    std::vector<Scope> scopes;
    Frame *frame = nullptr;
    int depth = 0;
    std::map<std::pair<uint64_t, unsigned>, uint32_t> known_constants;
    std::map<Special, uint32_t> known_specials;
    std::map<std::string, uint32_t, std::less<>> known_shared;
    std::vector<uint32_t> dynamic_constants;

    void body(std::string_view text, Frame &frame);
    void directive(std::string_view text, std::string_view label);
    void registers(std::string_view text);
    void variable(Space space, std::string_view text);
    void instruction(std::string_view text);
    void resolve(Frame &frame);
    int open(int parent);
    const Name *find(std::string_view name, Name &from_range);
    uint32_t symbol(const Name &name, unsigned width, int64_t offset = 0);
    const Name *named(std::string_view text, Name &found);
    uint32_t reserve(unsigned width);
    uint64_t reserve_local(uint32_t size, uint32_t align);
};

using Select = void (*)(Decoder &, const Statement &, Op &);
using Selects = std::unordered_map<std::string_view, Select>;
// Each part of the interpreter adds the instructions that it knows.
void add_integer(Selects &);
void add_float(Selects &);
void add_convert(Selects &);
void add_memory(Selects &);
void add_control(Selects &);

}  // namespace rig
