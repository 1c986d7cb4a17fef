// A module: which functions and variables its text has. Their bodies are decoded when they are called.
#include <algorithm>
#include <charconv>

#include "ptx_text.h"

namespace rig {

Type type_named(std::string_view name) {
    static const std::unordered_map<std::string_view, Type> types = {
        {"u8", Type::U8}, {"u16", Type::U16}, {"u32", Type::U32}, {"u64", Type::U64}, {"s8", Type::S8},
        {"s16", Type::S16}, {"s32", Type::S32}, {"s64", Type::S64}, {"b8", Type::U8}, {"b16", Type::U16},
        {"b32", Type::U32}, {"b64", Type::U64}, {"f16", Type::F16}, {"bf16", Type::BF16}, {"f32", Type::F32},
        {"f64", Type::F64}, {"f16x2", Type::F16X2}, {"bf16x2", Type::BF16X2}, {"pred", Type::Pred}};
    auto found = types.find(name);
    return found == types.end() ? Type::None : found->second;
}

namespace {

std::string without_comments(const std::string &text) {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] == '"') {
            size_t end = text.find('"', i + 1);
            if (end == std::string::npos) throw BadPtx("a string without an end");
            out.append(text, i, end + 1 - i);
            i = end;
        } else if (text.compare(i, 2, "//") == 0) {
            while (i < text.size() && text[i] != '\n') i++;
            out += '\n';
        } else if (text.compare(i, 2, "/*") == 0) {
            i = text.find("*/", i + 2);
            if (i == std::string::npos) throw BadPtx("a comment without an end");
            i++;
            out += ' ';
        } else {
            out += text[i];
        }
    }
    return out;
}

uint32_t whole(std::string_view text) {
    text = trim(text);
    uint32_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) throw BadPtx("not a number: " + std::string(text));
    return value;
}

// "name[4][2]" after what the type is.
void dimensions(Cursor &in, Variable &variable, uint32_t element) {
    variable.size = element;
    while (in.peek() == '[') {
        std::string_view length = trim(in.bracketed('[', ']'));
        if (length.empty()) variable.dynamic = true;
        else variable.size *= whole(length);
    }
}

struct Parser {
    Module &module;
    Cursor in;

    // Parameters, each laid out where its alignment lets it be.
    std::vector<Param> parameters(std::string_view list, uint32_t &bytes) {
        std::vector<Param> params;
        bytes = 0;
        for (std::string_view one : split(list)) {
            if (one.empty()) continue;
            Cursor words{one};
            std::string_view name;
            uint32_t align = 0, element = 0, vector = 1;
            while (!words.end() && words.peek() != '[') {
                std::string_view word = words.next_word();
                if (word.empty()) throw BadPtx("a parameter: " + std::string(one));
                if (word == ".align") align = whole(words.next_word());
                else if (word == ".v2") vector = 2;
                else if (word == ".v4") vector = 4;
                else if (Type type = type_named(word.substr(word[0] == '.')); word[0] == '.' && type != Type::None)
                    element = width(type);
                else if (word[0] != '.') name = word;
            }
            Variable variable{Space::Param};
            dimensions(words, variable, element * vector);
            if (!align) align = std::max(1u, element * vector);
            bytes = (bytes + align - 1) / align * align;
            params.push_back({std::string(name), variable.size, bytes});
            bytes += variable.size;
        }
        return params;
    }

    void function(bool entry) {
        auto made = std::make_unique<Function>();
        made->module = &module;
        made->entry = entry;
        uint32_t ignored;
        if (in.peek() == '(') made->results = parameters(in.bracketed('(', ')'), ignored);
        made->name = in.next_word();
        if (in.peek() == '(') made->params = parameters(in.bracketed('(', ')'), made->param_bytes);
        while (in.peek() == '.') {
            std::string_view directive = in.next_word();
            if (directive == ".maxntid" || directive == ".reqntid") {
                made->max_threads = whole(in.next_word());
                while (in.take(',')) made->max_threads *= whole(in.next_word());
            } else if (directive == ".pragma") {
                in.until(';');
            } else {
                while (in.peek() != '{' && in.peek() != '.' && in.peek() != ';') in.at++;
            }
        }
        bool has_body = in.peek() == '{';
        if (has_body) made->body = in.bracketed('{', '}');
        else in.take(';');
        auto &known = module.functions[made->name];
        if (!known || has_body) known = std::move(made);
    }

    void initialise(Variable &variable, Type type, std::string_view text) {
        unsigned char *host = find(variable.address, variable.size).host(variable.address);
        text = trim(text);
        std::string flat(text);
        std::replace_if(flat.begin(), flat.end(), [](char c) { return c == '{' || c == '}'; }, ' ');
        uint32_t at = 0;
        for (std::string_view one : split(flat)) {
            if (one.empty()) continue;
            auto value = number(one, type);
            if (!value) {
                // The address of another variable, perhaps as generic(name).
                if (one.substr(0, 8) == "generic(") one = trim(one.substr(8, one.size() - 9));
                auto other = module.variables.find(one);
                if (other == module.variables.end()) throw BadPtx("an initial value: " + std::string(one));
                value = other->second.address;
            }
            if (at + width(type) > variable.size) throw BadPtx("too many initial values");
            std::memcpy(host + at, &*value, width(type));
            at += width(type);
        }
    }

    void variable(Space space) {
        Variable made{space};
        Type type = Type::None;
        uint32_t vector = 1;
        std::string_view name;
        while (in.peek() == '.') {
            std::string_view word = in.next_word();
            if (word == ".align") made.align = whole(in.next_word());
            else if (word == ".attribute") in.bracketed('(', ')');
            else if (word == ".v2") vector = 2;
            else if (word == ".v4") vector = 4;
            else type = type_named(word.substr(1));
        }
        if (type == Type::None) throw BadPtx("a variable without a type");
        name = in.next_word();
        dimensions(in, made, width(type) * vector);
        made.align = std::max(made.align, width(type));
        std::string_view value;
        if (in.take('=')) value = in.until(';');
        else in.expect(';');
        if (space == Space::Global || space == Space::Const) {
            made.address = allocate(0, std::max(made.size, 1u), Kind::Module);
            if (!made.address) throw LaunchError(2, "no memory for " + std::string(name));
            module.owned.push_back(made.address);
            // Unlike allocated memory, variables begin as zeros.
            std::memset(find(made.address, made.size).host(made.address), 0, made.size);
            initialise(made, type, value);
        }
        module.variables[std::string(name)] = made;
    }

    void parse() {
        while (!in.end()) {
            std::string_view word = in.next_word();
            if (word == ".version") {
                std::string_view number = in.next_word();
                size_t dot = number.find('.');
                if (dot == std::string_view::npos) throw BadPtx("a version: " + std::string(number));
                module.version = whole(number.substr(0, dot)) * 10 + whole(number.substr(dot + 1));
            } else if (word == ".target") {
                std::string_view target = in.next_word();
                if (target.substr(0, 3) != "sm_") throw BadPtx("a target: " + std::string(target));
                target.remove_prefix(3);
                while (!target.empty() && std::isalpha(static_cast<unsigned char>(target.back()))) target.remove_suffix(1);
                module.target = whole(target);
                while (in.take(',')) in.next_word();
            } else if (word == ".address_size") {
                if (in.next_word() != "64") throw BadPtx("addresses that are not of 64 bits");
            } else if (word == ".entry" || word == ".func") {
                function(word == ".entry");
            } else if (word == ".global") {
                variable(Space::Global);
            } else if (word == ".const") {
                variable(Space::Const);
            } else if (word == ".shared") {
                variable(Space::Shared);
            } else if (word == ".file" || word == ".loc") {
                in.until('\n');
            } else if (word == ".section") {
                in.until('{');
                in.at--;
                in.bracketed('{', '}');
            } else if (word == ".pragma" || word == ".alias") {
                in.until(';');
            } else if (word != ".visible" && word != ".extern" && word != ".weak" && word != ".common") {
                throw BadPtx("not known: " + std::string(in.text.substr(in.at, 40)));
            }
        }
        if (!module.version) throw BadPtx("no .version");
    }
};

}  // namespace

Module::Module(std::string source) : text(without_comments(source)) {
    try {
        Parser{*this, {text}}.parse();
    } catch (...) {
        for (uint64_t address : owned) release(address, Kind::Module);
        throw;
    }
}

Module::~Module() {
    for (uint64_t address : owned) release(address, Kind::Module);
}

}  // namespace rig
