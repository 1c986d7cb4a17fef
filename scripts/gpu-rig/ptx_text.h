// Reading PTX's text: words, balanced brackets, numbers.
#pragma once
#include <cctype>
#include <cstdint>
#include <cstring>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ptx.h"

namespace rig {

inline bool space(char c) { return std::isspace(static_cast<unsigned char>(c)); }
inline bool word(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}
inline std::string_view trim(std::string_view text) {
    while (!text.empty() && space(text.front())) text.remove_prefix(1);
    while (!text.empty() && space(text.back())) text.remove_suffix(1);
    return text;
}

struct Cursor {
    std::string_view text;
    size_t at = 0;

    void skip() {
        while (at < text.size() && space(text[at])) at++;
    }
    bool end() {
        skip();
        return at >= text.size();
    }
    char peek() {
        skip();
        return at < text.size() ? text[at] : '\0';
    }
    bool take(char c) {
        if (peek() != c) return false;
        at++;
        return true;
    }
    void expect(char c) {
        if (!take(c)) throw BadPtx(std::string("expected ") + c + " at: " + std::string(text.substr(at, 60)));
    }
    // A name, a number, or a directive with its dot.
    std::string_view next_word() {
        skip();
        size_t start = at;
        while (at < text.size() && word(text[at])) at++;
        return text.substr(start, at - start);
    }
    // What is between brackets that open here, without them.
    std::string_view bracketed(char open, char close) {
        expect(open);
        size_t start = at;
        for (int depth = 1; at < text.size(); at++) {
            if (text[at] == '"') {
                while (++at < text.size() && text[at] != '"') {}
            } else if (text[at] == open) {
                depth++;
            } else if (text[at] == close && --depth == 0) {
                return text.substr(start, at++ - start);
            }
        }
        throw BadPtx(std::string("no ") + close);
    }
    // Up to this character, which is taken too.
    std::string_view until(char c) {
        size_t start = at;
        while (at < text.size() && text[at] != c) at++;
        std::string_view found = text.substr(start, at - start);
        if (at < text.size()) at++;
        return found;
    }
};

// Parts of a list, at commas that are in no brackets.
inline std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> parts;
    int depth = 0;
    size_t start = 0;
    for (size_t i = 0; i < text.size(); i++) {
        char c = text[i];
        if (c == '{' || c == '(' || c == '[') depth++;
        if (c == '}' || c == ')' || c == ']') depth--;
        if (c == ',' && depth == 0) {
            parts.push_back(trim(text.substr(start, i - start)));
            start = i + 1;
        }
    }
    std::string_view last = trim(text.substr(start));
    if (!last.empty() || !parts.empty()) parts.push_back(last);
    return parts;
}

// The bits of a number as it stands in PTX, for a value of this type.
inline std::optional<uint64_t> number(std::string_view text, Type type) {
    std::string s(trim(text));
    if (s.empty()) return {};
    auto bits = [](auto value) {
        uint64_t word = 0;
        std::memcpy(&word, &value, sizeof value);
        return word;
    };
    char *end;
    if (s.size() > 2 && s[0] == '0' && (s[1] == 'f' || s[1] == 'F')) {
        uint32_t word = uint32_t(std::strtoul(s.c_str() + 2, &end, 16));
        if (*end) return {};
        float value;
        std::memcpy(&value, &word, 4);
        return type == Type::F64 ? bits(double(value)) : word;
    }
    if (s.size() > 2 && s[0] == '0' && (s[1] == 'd' || s[1] == 'D')) {
        uint64_t word = std::strtoull(s.c_str() + 2, &end, 16);
        if (*end) return {};
        double value;
        std::memcpy(&value, &word, 8);
        return type == Type::F32 ? bits(float(value)) : word;
    }
    bool negative = s[0] == '-';
    const char *digits = s.c_str() + negative;
    if (!std::isdigit(static_cast<unsigned char>(*digits))) return {};
    bool binary = digits[0] == '0' && (digits[1] == 'b' || digits[1] == 'B');
    uint64_t whole = binary ? std::strtoull(digits + 2, &end, 2) : std::strtoull(digits, &end, 0);
    if (*end == 'U') end++;
    if (*end == '.' || *end == 'e' || *end == 'E') {
        double value = std::strtod(s.c_str(), &end);
        if (*end) return {};
        return type == Type::F64 ? bits(value) : bits(float(value));
    }
    if (*end) return {};
    if (type == Type::F64) return bits(negative ? -double(whole) : double(whole));
    if (type == Type::F32) return bits(negative ? -float(whole) : float(whole));
    return negative ? 0 - whole : whole;
}

}  // namespace rig
