/*
 * lib/json's parser of documents against simdjson: random texts, most of them damaged, must be
 * accepted or refused by both, and hold the same values. What simdjson leaves to its caller
 * (duplicate keys) or limits otherwise (integers beyond 64 bits, numbers beyond double in the
 * whole text) is left out of the comparison.
 *
 * usage: json_simdjson [ROUNDS [SEED]]
 */
#include <cstdio>
#include <cstdlib>
#include <random>
#include <simdjson.h>
#include <string>

extern "C" {
#include "json/doc.h"
}

namespace dom = simdjson::dom;

static std::mt19937_64 source;

static size_t below(size_t n) {
    return source() % n;
}

static std::string number_text() {
    static const char *const odd[] = {"0",
                                      "-0",
                                      "1e5",
                                      "-1.5E+10",
                                      "0.1",
                                      "1e-320",
                                      "2e308",
                                      "5e-324",
                                      "123456789012345678",
                                      "-9223372036854775808",
                                      "18446744073709551615",
                                      "0.30000000000000004",
                                      "9007199254740993.0",
                                      "1.7976931348623157e308",
                                      "2.2250738585072012e-308"};
    switch (below(4)) {
    case 0:
        return odd[below(sizeof odd / sizeof *odd)];
    case 1:
        return std::to_string(static_cast<int64_t>(source()) >> below(60));
    case 2: {
        char text[64];
        snprintf(text, sizeof text, "%.*g", static_cast<int>(below(18)) + 1,
                 static_cast<double>(source()) *
                     std::pow(10.0, static_cast<int>(below(600)) - 320));
        return text;
    }
    default: {
        std::string text = std::to_string(below(1000)) + ".";
        for (size_t i = below(25) + 1; i > 0; i--) {
            text += static_cast<char>('0' + below(10));
        }
        return text;
    }
    }
}

static std::string string_text() {
    static const char *const parts[] = {"a",
                                        "key",
                                        "\\n",
                                        "\\u00e9",
                                        "\\ud83d\\ude00",
                                        "\xc3\xa9",
                                        "\xe6\x97\xa5",
                                        "\xf0\x9f\x98\x80",
                                        "\\\"",
                                        "\\\\",
                                        "0123456789abcdef",
                                        " ",
                                        "\\/",
                                        "\\u0000"};
    std::string text = "\"";
    for (size_t i = below(6); i > 0; i--) {
        text += parts[below(sizeof parts / sizeof *parts)];
    }
    return text + "\"";
}

static std::string space() {
    static const char *const runs[] = {"", "", "", " ", "\t", "\r\n"};
    return runs[below(6)];
}

static std::string value_text(int depth) {
    size_t kind = below(depth > 0 ? 8 : 5);
    static const char *const words[] = {"true", "false", "null"};
    if (kind < 3) {
        return kind == 0 ? words[below(3)] : kind == 1 ? number_text() : string_text();
    }
    if (kind < 5) {
        return kind == 3 ? number_text() : string_text();
    }
    bool object = kind == 5 || depth > 3;
    std::string text = object ? "{" : "[";
    size_t n = below(5);
    for (size_t i = 0; i < n; i++) {
        text += i > 0 ? "," + space() : space();
        if (object) {
            text += "\"k" + std::to_string(i) + "\"" + space() + ":" + space();
        }
        text += value_text(depth - 1) + space();
    }
    return text + (object ? "}" : "]");
}

static void damage(std::string &text) {
    static const std::string bits[] = {"\"",
                                       "\\",
                                       "{",
                                       "}",
                                       "[",
                                       "]",
                                       ",",
                                       ":",
                                       "0",
                                       "-",
                                       ".",
                                       "e",
                                       std::string(1, '\0'),
                                       "\x01",
                                       "\xff",
                                       "\xc3",
                                       "\xed\xa0\x80",
                                       "\xf4\x90\x80\x80",
                                       "\\u12",
                                       "\\ud800",
                                       "nul",
                                       "tru",
                                       " ",
                                       "+"};
    for (size_t i = below(3) + 1; i > 0 && !text.empty(); i--) {
        size_t at = below(text.size());
        switch (below(4)) {
        case 0:
            text.erase(at, below(4) + 1);
            break;
        case 1:
            text.resize(at);
            break;
        case 2:
            text[at] = static_cast<char>(source());
            break;
        default:
            text.insert(at, bits[below(sizeof bits / sizeof *bits)]);
        }
    }
}

static bool same_number(const slj_node &node, dom::element other) {
    slj_number number;
    slj_scan_number(node.text, &number);
    bool whole = memchr(node.text, '.', node.bytes) == nullptr &&
                 memchr(node.text, 'e', node.bytes) == nullptr &&
                 memchr(node.text, 'E', node.bytes) == nullptr;
    if (whole) {
        int64_t mine = 0, theirs = 0;
        uint64_t large = 0;
        if (slj_number_to_i64(&number, &mine) == SLJ_INTEGER_OK) {
            return other.get(theirs) == simdjson::SUCCESS && mine == theirs;
        }
        const char *text = reinterpret_cast<const char *>(node.text);
        return other.get(large) == simdjson::SUCCESS && strtoull(text, nullptr, 10) == large;
    }
    double mine = 0, theirs = 0;
    return slj_number_to_double(&number, &mine) && other.get(theirs) == simdjson::SUCCESS &&
           memcmp(&mine, &theirs, sizeof mine) == 0;
}

static bool same(const slj_doc &doc, uint32_t index, dom::element other) {
    const slj_node &node = doc.nodes[index];
    switch (node.kind) {
    case SLJ_NULL:
        return other.is_null();
    case SLJ_FALSE:
    case SLJ_TRUE: {
        bool value = false;
        return other.get(value) == simdjson::SUCCESS && value == (node.kind == SLJ_TRUE);
    }
    case SLJ_NUMBER:
        return same_number(node, other);
    case SLJ_STRING: {
        std::string_view text;
        return other.get(text) == simdjson::SUCCESS && text.size() == node.bytes &&
               memcmp(text.data(), node.text, node.bytes) == 0;
    }
    case SLJ_ARRAY: {
        dom::array items;
        if (other.get(items) != simdjson::SUCCESS || items.size() != node.count) {
            return false;
        }
        uint32_t i = index + 1;
        for (dom::element item : items) {
            if (!same(doc, i, item)) {
                return false;
            }
            i = doc.nodes[i].end;
        }
        return true;
    }
    default: {
        dom::object members;
        if (other.get(members) != simdjson::SUCCESS || members.size() != node.count) {
            return false;
        }
        uint32_t key = index + 1;
        for (dom::key_value_pair member : members) {
            const slj_node &name = doc.nodes[key];
            if (member.key.size() != name.bytes ||
                memcmp(member.key.data(), name.text, name.bytes) != 0 ||
                !same(doc, key + 1, member.value)) {
                return false;
            }
            key = doc.nodes[key + 1].end;
        }
        return true;
    }
    }
}

/* Numbers that simdjson refuses for their size, and we accept until a column wants them. */
static bool holds_odd_number(const slj_doc &doc) {
    for (size_t i = 0; i < doc.n; i++) {
        if (doc.nodes[i].kind != SLJ_NUMBER) {
            continue;
        }
        slj_number number;
        double value;
        slj_scan_number(doc.nodes[i].text, &number);
        bool whole = number.exponent == 0;
        if (number.inexact || !slj_number_to_double(&number, &value) ||
            (whole && (number.mantissa > INT64_MAX))) {
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv) {
    size_t rounds = argc > 1 ? strtoul(argv[1], nullptr, 10) : 200000;
    source.seed(argc > 2 ? strtoull(argv[2], nullptr, 10) : 1);
    dom::parser parser;
    slj_doc doc = {};
    size_t passed = 0, failed = 0, accepted = 0;
    doc.reader.max_depth = 256;
    doc.reader.reject_duplicates = true;
    for (size_t i = 0; i < rounds; i++) {
        std::string text = space() + value_text(4) + space();
        if (below(2) == 0) {
            damage(text);
        }
        bool mine = slj_doc_parse(&doc, text.data(), text.size());
        dom::element other;
        simdjson::error_code code = parser.parse(text).get(other);
        if (!mine && doc.reader.reason == SL_JSON_DUPLICATE_KEY) {
            continue;
        }
        bool theirs = code == simdjson::SUCCESS;
        bool good = mine == theirs || (mine && holds_odd_number(doc));
        good = good && (!mine || !theirs || same(doc, 0, other));
        passed += good;
        failed += !good;
        accepted += mine;
        if (!good && failed <= 10) {
            printf("DISAGREES: lib/json %s, simdjson %s: %s\n",
                   mine ? "accepts" : sl_json_reason_name(doc.reader.reason),
                   simdjson::error_message(code), text.c_str());
        }
    }
    slj_doc_free(&doc);
    printf("%zu of them accepted\n%zu passed, %zu failed\n", accepted, passed, failed);
    return failed == 0 ? 0 : 1;
}
