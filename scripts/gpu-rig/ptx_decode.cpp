// See ptx_decode.h. A call is decoded as the instructions of the function that is called, with registers of their own
// for each place that it is called from: then a call needs nothing at run time, and lanes that part in it meet again
// like all others. PTX's parameters of calls are bytes of the thread's local memory.
#include "ptx_decode.h"

#include <algorithm>

namespace rig {
namespace {

const Selects &selects() {
    static const Selects all = [] {
        Selects made;
        add_integer(made);
        add_float(made);
        add_convert(made);
        add_memory(made);
        add_control(made);
        return made;
    }();
    return all;
}

void unsupported(Warp &warp, const Op &op) { warp.fail(op, 801, NONE, "the rig does not know this instruction"); }

}  // namespace

void Decoder::branch_to(std::string_view label) {
    frame->jumps.push_back({uint32_t(code.ops.size()), frame->scope, label, NONE});
}

void Decoder::branch_to_end() { branch_to({}); }

void Decoder::branch_table(std::string_view name) {
    for (int scope = frame->scope; scope >= 0; scope = scopes[scope].parent) {
        auto found = scopes[scope].tables.find(name);
        if (found == scopes[scope].tables.end()) continue;
        for (std::string_view label : split(found->second)) {
            frame->jumps.push_back({0, frame->scope, label, uint32_t(code.tables.size())});
            code.tables.push_back(0);
        }
        return;
    }
    throw Unsupported();
}

void Decoder::resolve(Frame &of) {
    for (const Jump &jump : of.jumps) {
        uint32_t target = uint32_t(code.ops.size());
        bool known = jump.label.empty();
        for (int scope = jump.scope; scope >= 0 && !known; scope = scopes[scope].parent) {
            auto found = scopes[scope].labels.find(jump.label);
            if (found != scopes[scope].labels.end()) target = found->second, known = true;
        }
        if (!known) throw BadPtx("no label " + std::string(jump.label));
        (jump.table == NONE ? code.ops[jump.op].target : code.tables[jump.table]) = target;
    }
}

// "call (results), name, (parameters)": the names of the parameters become names of the function's own.
void Decoder::call(const Statement &statement, Op &) {
    size_t at = 0;
    std::vector<std::string_view> results, params;
    auto list = [](std::string_view text) { return split(trim(text.substr(1, text.size() - 2))); };
    if (!statement.arg(0).empty() && statement.arg(0)[0] == '(') results = list(statement.args[at++]);
    auto called = module.functions.find(statement.arg(at++));
    if (called == module.functions.end()) throw Unsupported();
    if (at < statement.args.size() && statement.args[at][0] == '(') params = list(statement.args[at]);
    const Function &function = *called->second;
    if (function.body.empty() || depth > 16 || params.size() != function.params.size() ||
        results.size() != function.results.size())
        throw Unsupported();
    Frame inner{false, open(-1), {}};
    auto bind = [&](const std::vector<Param> &names, const std::vector<std::string_view> &values) {
        for (size_t i = 0; i < names.size(); i++) {
            Name found;
            const Name *name = find(values[i], found);
            if (!name || !name->variable) throw Unsupported();
            scopes[inner.scope].names[names[i].name] = *name;
        }
    };
    bind(function.params, params);
    bind(function.results, results);
    Frame *outer = frame;
    depth++;
    body(function.body, inner);
    depth--;
    frame = outer;
}

void Decoder::directive(std::string_view text, std::string_view label) {
    text = trim(text);
    size_t end = 1;
    while (end < text.size() && std::isalpha(static_cast<unsigned char>(text[end]))) end++;
    std::string_view name = text.substr(0, end), rest = text.substr(end);
    if (name == ".reg") registers(rest);
    else if (name == ".shared") variable(Space::Shared, rest);
    else if (name == ".local") variable(Space::Local, rest);
    else if (name == ".param") variable(Space::Param, rest);
    else if (name == ".branchtargets") scopes[frame->scope].tables[label] = trim(rest);
    else if (name != ".pragma" && name != ".callprototype") throw BadPtx("not known: " + std::string(text));
}

void Decoder::instruction(std::string_view text) {
    Statement statement;
    statement.text = trim(text);
    Cursor in{statement.text};
    if (in.take('@')) {
        statement.guard_not = in.take('!');
        statement.guard = in.next_word();
    }
    in.skip();
    size_t start = in.at;
    while (in.at < in.text.size() && !space(in.text[in.at])) in.at++;
    std::string_view name = in.text.substr(start, in.at - start);
    for (size_t at = 0; at <= name.size();) {
        size_t dot = std::min(name.find('.', at), name.size());
        statement.op.push_back(name.substr(at, dot - at));
        at = dot + 1;
    }
    statement.args = split(in.text.substr(in.at));

    Op op;
    op.text = uint32_t(code.texts.size());
    code.texts.push_back(statement.text);
    op.guard_not = statement.guard_not;
    size_t jumps = frame->jumps.size();
    try {
        if (!statement.guard.empty()) op.guard = source(statement.guard, Type::Pred);
        auto select = selects().find(statement.op[0]);
        if (select == selects().end()) throw Unsupported();
        select->second(*this, statement, op);
    } catch (const Unsupported &) {
        frame->jumps.resize(jumps);
        op.run = unsupported;
    }
    // A call that was decoded has added its instructions itself.
    if (op.run) code.ops.push_back(op);
}

void Decoder::body(std::string_view text, Frame &of) {
    frame = &of;
    int outermost = of.scope;
    Cursor in{text};
    std::string_view label;
    while (!in.end()) {
        char c = in.peek();
        if (c == '{') {
            in.at++;
            of.scope = open(of.scope);
        } else if (c == '}') {
            in.at++;
            if (of.scope == outermost) throw BadPtx("a } too many");
            of.scope = scopes[of.scope].parent;
        } else if (c == ';') {
            in.at++;
        } else if (c == '.') {
            size_t start = in.at;
            std::string_view word = in.next_word();
            if (word == ".loc" || word == ".file") {
                in.until('\n');
                continue;
            }
            in.at = start;
            directive(in.until(';'), label);
        } else {
            size_t start = in.at;
            std::string_view word = in.next_word();
            if (!word.empty() && in.peek() == ':' && text.substr(in.at, 2) != "::") {
                in.at++;
                label = word;
                scopes[of.scope].labels[word] = uint32_t(code.ops.size());
            } else {
                in.at = start;
                instruction(in.until(';'));
            }
        }
    }
    of.scope = outermost;
    resolve(of);
}

void Decoder::function(const Function &function) {
    Frame outer{true, open(-1), {}};
    for (const Param &param : function.params) {
        Name name;
        name.variable = true;
        name.space = Space::Param;
        name.address = param.offset;
        scopes[outer.scope].names[param.name] = name;
    }
    body(function.body, outer);
    // A function may end without a return.
    frame = &outer;
    instruction("exit");
    code.dynamic_shared = (code.static_shared + 15) / 16 * 16;
    for (uint32_t place : dynamic_constants) {
        unsigned bytes = place & CONSTANT ? 8 : 4;
        for (unsigned lane = 0; lane < LANES; lane++) {
            uint64_t value = 0;
            unsigned char *at = &code.constants[(place & ~CONSTANT) + lane * bytes];
            std::memcpy(&value, at, bytes);
            value += code.dynamic_shared;
            std::memcpy(at, &value, bytes);
        }
    }
    code.constants.resize(code.constants.size() + 64);
}

const Code &Function::decoded() {
    std::lock_guard guard(lock);
    if (!code) {
        auto made = std::make_unique<Code>();
        Decoder(*made, *module).function(*this);
        code = std::move(made);
    }
    return *code;
}

}  // namespace rig
