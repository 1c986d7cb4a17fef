// The machine that runs PTX: its instructions as they are after decoding, its warps, and what the parts of the
// interpreter say to one another.
//
// A warp of 32 lanes runs in lockstep. A register is an array of 32 values of its own width, so that one instruction is
// one loop that the compiler turns into vector instructions; a predicate is one word with a bit per lane. Lanes that
// have parted are kept as groups, and the group with the lowest program counter runs: they meet again where their ways
// do.
#pragma once
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "memory.h"

namespace rig {

constexpr unsigned LANES = 32;
constexpr uint32_t ALL = 0xffffffff;
constexpr uint32_t NONE = 0xffffffff;
// Generic addresses of shared and local memory; no address of the host looks like these.
constexpr uint64_t SHARED_WINDOW = 1ull << 60;
constexpr uint64_t LOCAL_WINDOW = 1ull << 61;
constexpr uint64_t PARAM_WINDOW = 3ull << 60;
constexpr uint64_t WINDOW_MASK = 7ull << 60;

enum class Type : uint8_t { None, U8, U16, U32, U64, S8, S16, S32, S64, F16, BF16, F32, F64, F16X2, BF16X2, Pred };
enum class Space : uint8_t { Generic, Global, Const, Shared, Local, Param };

inline unsigned width(Type type) {
    switch (type) {
        case Type::U8: case Type::S8: return 1;
        case Type::U16: case Type::S16: case Type::F16: case Type::BF16: return 2;
        case Type::U64: case Type::S64: case Type::F64: return 8;
        default: return 4;
    }
}
inline bool is_signed(Type type) { return type >= Type::S8 && type <= Type::S64; }
inline bool is_float(Type type) { return type >= Type::F16 && type <= Type::BF16X2; }
inline bool is_integer(Type type) { return type >= Type::U8 && type <= Type::S64; }
Type type_named(std::string_view name);

// An error of a launch, with the driver's number for it.
struct LaunchError : std::runtime_error {
    int code;
    LaunchError(int code, const std::string &what) : std::runtime_error(what), code(code) {}
};
// The text is not PTX, or not the PTX that this machine knows.
struct BadPtx : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Warp;
struct Op;
using Handler = void (*)(Warp &, const Op &);
using Test = uint32_t (*)(const void *, const void *);

struct Op {
    Handler run = nullptr;
    union {
        Handler inner = nullptr;  // what a handler that wraps another one calls
        Test test;                // the comparison of setp and set
    };
    uint32_t x[8] = {};           // places of the operands; the top bit says: a constant
    uint32_t guard = NONE;        // the place of the predicate
    uint32_t target = 0;          // of a branch; the first of several in Code::tables
    uint64_t immediate = 0;       // what is added to an address; otherwise the handler's own
    uint32_t mode = 0;            // a variant, or a rounding mode
    uint32_t text = 0;            // the instruction as it was written, in Code::texts
    uint8_t guard_not = 0;
    uint8_t count = 1;            // elements of a vector
    uint8_t address_width = 8;
    Type type = Type::None, from = Type::None;
    uint8_t to_width = 0, from_width = 0;
};

constexpr uint32_t CONSTANT = 0x80000000;

// Registers that the machine sets before a thread starts.
enum class Special : uint8_t {
    TidX, TidY, TidZ, NtidX, NtidY, NtidZ, CtaidX, CtaidY, CtaidZ, NctaidX, NctaidY, NctaidZ, LaneId, WarpId, NwarpId,
    LaneEq, LaneLt, LaneLe, LaneGt, LaneGe, Zero, GridId,
};

// A function that is ready to run; what it calls is part of it.
struct Code {
    std::vector<Op> ops;
    std::vector<std::string_view> texts;
    std::vector<uint32_t> tables;
    std::vector<unsigned char> constants;
    std::vector<std::pair<Special, uint32_t>> specials;
    uint32_t registers = 0;       // bytes a warp
    uint32_t static_shared = 0;   // bytes a block
    uint32_t dynamic_shared = 0;  // where the dynamic part begins
    uint32_t local = 0;           // bytes a thread
    bool global_atomics = false;  // then the blocks run one after the other, so that sums come out the same
};

struct Param {
    std::string name;
    uint32_t size, offset;
};

struct Module;
struct Function {
    Module *module = nullptr;
    std::string name;
    bool entry = false;
    std::vector<Param> params, results;
    uint32_t param_bytes = 0;
    std::string_view body;
    uint32_t max_threads = 0;
    uint32_t max_dynamic_shared = 0;
    std::mutex lock;
    std::unique_ptr<Code> code;

    // Decodes at the first call: a module has many functions that nobody calls.
    const Code &decoded();
};

struct Variable {
    Space space;
    uint64_t address = 0;         // of global and constant memory
    uint32_t size = 0, align = 1;
    bool dynamic = false;
};

struct Module {
    std::string text;
    unsigned version = 0;         // 90 is 9.0
    unsigned target = 0;          // 75 is sm_75
    std::map<std::string, std::unique_ptr<Function>, std::less<>> functions;
    std::map<std::string, Variable, std::less<>> variables;
    std::vector<uint64_t> owned;

    explicit Module(std::string text);
    ~Module();
};

struct Dim {
    uint32_t x = 1, y = 1, z = 1;
    uint64_t volume() const { return uint64_t(x) * y * z; }
};

struct Launch {
    Function *function = nullptr;
    const Code *code = nullptr;
    Dim grid, block;
    uint32_t dynamic_shared = 0;
    std::vector<unsigned char> params;
    uint64_t lane_instructions = 0;  // of all lanes, once it has run
};

struct Block {
    const Launch *launch;
    uint32_t index[3];
    unsigned char *shared;
    uint32_t shared_size;
    unsigned char *local;         // of warp 0, lane 0; a lane's bytes are together
    Range *ranges;                // allocations that were hit last, a few
};
constexpr unsigned RANGES = 64;

struct Group {
    uint32_t pc, mask;
    bool parked = false;          // waits for other lanes of the warp
    // At a barrier of the block: its number, how many threads it is for (0: all), and what they vote on.
    uint32_t barrier = 0, expected = 0, votes = 0;
    const Op *op = nullptr;
};

struct Warp {
    unsigned char *base[2];       // registers, constants
    Block *block;
    const Code *code;
    uint32_t m = 0;               // the lanes that this instruction is for
    uint32_t active = 0;          // the lanes at `pc`
    uint32_t pc = 0;              // of the next instruction
    uint32_t next = NONE;         // the lowest one of the other groups
    uint32_t alive = 0;
    uint32_t carry = 0;           // the condition code's flag
    uint32_t index = 0;
    bool force = false;           // nobody else can come: go on without
    uint64_t lane_instructions = 0;
    std::vector<Group> others, waiting;

    template <class T> T *reg(uint32_t place) {
        return reinterpret_cast<T *>(base[place >> 31] + (place & ~CONSTANT));
    }
    uint32_t &pred(uint32_t place) { return *reg<uint32_t>(place); }
    void set_pred(uint32_t place, uint32_t value) {
        uint32_t &p = pred(place);
        p = (p & ~m) | (value & m);
    }
    // Takes these lanes off the group that runs.
    void leave(uint32_t mask) {
        active &= ~mask;
        if (!active) next = 0;
    }
    bool regroup();
    [[noreturn]] void fail(const Op &op, int code, unsigned lane, const std::string &what);
};

void run(Launch &launch);
std::string text_of(const Dim &dim);

}  // namespace rig
