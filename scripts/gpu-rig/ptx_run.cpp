// Running a launch: warps, the barriers of a block, and blocks on the machine's cores.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <new>
#include <thread>

#include "ptx.h"
#include "settings.h"

namespace rig {

std::string text_of(const Dim &d) {
    return std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z);
}

void Warp::fail(const Op &op, int code_, unsigned lane, const std::string &what) {
    const Launch &launch = *block->launch;
    if (lane == NONE) lane = unsigned(__builtin_ctz(m));
    uint32_t thread = index * LANES + lane;
    Dim at{thread % launch.block.x, thread / launch.block.x % launch.block.y, thread / launch.block.x / launch.block.y};
    Dim where{block->index[0], block->index[1], block->index[2]};
    throw LaunchError(code_, "kernel " + launch.function->name + ": " + what + ", thread " + text_of(at) + " of block " +
                                 text_of(where) + ", at: " + std::string(code->texts[op.text]));
}

// Takes the lanes with the lowest program counter; those that have met become one group. False if nobody can go on.
bool Warp::regroup() {
    if (active) others.push_back({pc, active});
    active = 0;
    if (others.empty()) return false;
    uint32_t lowest = NONE;
    for (const Group &group : others)
        if (!group.parked) lowest = std::min(lowest, group.pc);
    if (lowest == NONE) {
        for (const Group &group : others) lowest = std::min(lowest, group.pc);
        force = true;
    }
    pc = lowest;
    next = NONE;
    size_t kept = 0;
    for (const Group &group : others) {
        if (group.pc == pc) {
            active |= group.mask;
        } else {
            next = std::min(next, group.pc);
            others[kept++] = group;
        }
    }
    others.resize(kept);
    return true;
}

namespace {

void run_warp(Warp &warp) {
    const Op *ops = warp.code->ops.data();
    uint64_t count = 0;
    for (;;) {
        if (warp.pc >= warp.next && !warp.regroup()) break;
        const Op &op = ops[warp.pc++];
        uint32_t m = warp.active;
        if (op.guard != NONE) {
            uint32_t p = warp.pred(op.guard);
            m &= op.guard_not ? ~p : p;
            if (!m) continue;
        }
        warp.m = m;
        count += unsigned(__builtin_popcount(m));
        op.run(warp, op);
    }
    warp.lane_instructions += count;
}

// What a thread of the host needs to run blocks, kept from one to the next.
struct Worker {
    std::vector<unsigned char> memory;
    std::vector<Warp> warps;
    Range ranges[RANGES];
    unsigned char *registers = nullptr, *shared = nullptr, *local = nullptr, *constants = nullptr;
    uint64_t lane_instructions = 0;

    void prepare(const Launch &launch) {
        const Code &code = *launch.code;
        size_t count = (launch.block.volume() + LANES - 1) / LANES;
        auto round = [](size_t bytes) { return (bytes + 255) / 256 * 256; };
        size_t each = round(code.registers), shared_bytes = round(code.dynamic_shared + launch.dynamic_shared);
        size_t local_bytes = round(size_t(code.local) * count * LANES), constant_bytes = round(code.constants.size());
        memory.resize(256 + each * count + shared_bytes + local_bytes + constant_bytes);
        auto *at = reinterpret_cast<unsigned char *>((reinterpret_cast<uintptr_t>(memory.data()) + 255) / 256 * 256);
        registers = at;
        shared = at + each * count;
        local = shared + shared_bytes;
        constants = local + local_bytes;
        std::memcpy(constants, code.constants.data(), code.constants.size());
        warps.resize(count);
        for (size_t i = 0; i < count; i++) {
            warps[i].base[0] = registers + i * each;
            warps[i].base[1] = constants;
            warps[i].code = &code;
            warps[i].index = uint32_t(i);
        }
        for (Range &range : ranges) range = {};
    }

    void start(Warp &warp, Block &block) {
        const Launch &launch = *block.launch;
        uint64_t threads = launch.block.volume(), first = uint64_t(warp.index) * LANES;
        uint32_t lanes = uint32_t(std::min<uint64_t>(LANES, threads - first));
        warp.block = &block;
        warp.active = warp.alive = lanes == LANES ? ALL : (1u << lanes) - 1;
        warp.pc = 0;
        warp.next = NONE;
        warp.carry = 0;
        warp.force = false;
        warp.others.clear();
        warp.waiting.clear();
        const Dim &size = launch.block;
        for (auto [special, place] : warp.code->specials) {
            uint32_t *r = warp.reg<uint32_t>(place);
            for (unsigned i = 0; i < LANES; i++) {
                uint32_t thread = uint32_t(first) + i;
                switch (special) {
                    case Special::TidX: r[i] = thread % size.x; break;
                    case Special::TidY: r[i] = thread / size.x % size.y; break;
                    case Special::TidZ: r[i] = thread / size.x / size.y; break;
                    case Special::NtidX: r[i] = size.x; break;
                    case Special::NtidY: r[i] = size.y; break;
                    case Special::NtidZ: r[i] = size.z; break;
                    case Special::CtaidX: r[i] = block.index[0]; break;
                    case Special::CtaidY: r[i] = block.index[1]; break;
                    case Special::CtaidZ: r[i] = block.index[2]; break;
                    case Special::NctaidX: r[i] = launch.grid.x; break;
                    case Special::NctaidY: r[i] = launch.grid.y; break;
                    case Special::NctaidZ: r[i] = launch.grid.z; break;
                    case Special::LaneId: r[i] = i; break;
                    case Special::WarpId: r[i] = warp.index; break;
                    case Special::NwarpId: r[i] = uint32_t(warps.size()); break;
                    case Special::LaneEq: r[i] = 1u << i; break;
                    case Special::LaneLt: r[i] = (1u << i) - 1; break;
                    case Special::LaneLe: r[i] = (2u << i) - 1; break;
                    case Special::LaneGt: r[i] = ~((2u << i) - 1); break;
                    case Special::LaneGe: r[i] = ~((1u << i) - 1); break;
                    case Special::Zero: case Special::GridId: r[i] = 0; break;
                }
            }
        }
    }

    // Lets the threads go whose barrier is complete. False if there is none.
    bool release() {
        struct Count { uint32_t threads = 0, expected = 0, votes = 0; };
        std::map<uint32_t, Count> barriers;
        uint32_t alive = 0;
        for (Warp &warp : warps) {
            alive += uint32_t(__builtin_popcount(warp.alive));
            for (const Group &group : warp.waiting) {
                Count &count = barriers[group.barrier];
                count.threads += uint32_t(__builtin_popcount(group.mask));
                count.votes += uint32_t(__builtin_popcount(group.mask & group.votes));
                count.expected = group.expected;
            }
        }
        bool any = false;
        for (auto &[number, count] : barriers) {
            if (count.threads < (count.expected ? count.expected : alive)) continue;
            any = true;
            for (Warp &warp : warps) {
                size_t kept = 0;
                for (const Group &group : warp.waiting) {
                    if (group.barrier != number) {
                        warp.waiting[kept++] = group;
                        continue;
                    }
                    warp.m = group.mask;
                    const Op &op = *group.op;
                    if (op.mode == 1)
                        for (uint32_t m = group.mask; m; m &= m - 1) warp.reg<uint32_t>(op.x[0])[__builtin_ctz(m)] = count.votes;
                    else if (op.mode)
                        warp.set_pred(op.x[0], (op.mode == 2 ? count.votes == count.threads : count.votes > 0) ? ALL : 0);
                    warp.others.push_back({group.pc, group.mask});
                    warp.next = 0;
                }
                warp.waiting.resize(kept);
            }
        }
        return any;
    }

    void run_block(const Launch &launch, uint64_t number) {
        Block block{&launch, {uint32_t(number % launch.grid.x), uint32_t(number / launch.grid.x % launch.grid.y),
                              uint32_t(number / launch.grid.x / launch.grid.y)},
                    shared, launch.code->dynamic_shared + launch.dynamic_shared, local, ranges};
        // What nobody has written is not a number here either.
        std::memset(shared, 0xff, block.shared_size);
        for (Warp &warp : warps) start(warp, block);
        for (;;) {
            bool alive = false;
            for (Warp &warp : warps) {
                if (warp.active || !warp.others.empty()) run_warp(warp);
                alive |= warp.alive != 0;
            }
            if (!alive) break;
            if (!release()) {
                for (Warp &warp : warps) {
                    if (warp.waiting.empty()) continue;
                    warp.m = warp.waiting[0].mask;
                    warp.fail(*warp.waiting[0].op, 719, NONE, "a barrier that not all threads of the block come to");
                }
            }
        }
        for (Warp &warp : warps) {
            lane_instructions += warp.lane_instructions;
            warp.lane_instructions = 0;
        }
    }
};

// Threads that help with a launch and otherwise wait for the next one. They are there as long as the program.
class Pool {
public:
    // Runs `work` on this thread and on `others` more, to the end of them all.
    void run(size_t others, const std::function<void()> &work) {
        {
            std::lock_guard guard(lock);
            while (threads < others) {
                std::thread([this] { help(); }).detach();
                threads++;
            }
            job = &work;
            wanted = running = others;
        }
        start.notify_all();
        work();
        std::unique_lock guard(lock);
        done.wait(guard, [&] { return running == 0; });
    }

private:
    std::mutex lock;
    std::condition_variable start, done;
    const std::function<void()> *job = nullptr;
    size_t threads = 0, wanted = 0, running = 0;

    void help() {
        std::unique_lock guard(lock);
        for (;;) {
            start.wait(guard, [&] { return wanted > 0; });
            wanted--;
            const std::function<void()> &work = *job;
            guard.unlock();
            work();
            guard.lock();
            if (--running == 0) done.notify_all();
        }
    }
};

}  // namespace

void run(Launch &launch) {
    launch.code = &launch.function->decoded();
    uint64_t blocks = launch.grid.volume();
    std::atomic<uint64_t> next{0}, instructions{0};
    std::atomic<bool> failed{false};
    std::mutex lock;
    std::unique_ptr<LaunchError> error;
    std::function<void()> work = [&] {
        static thread_local Worker worker;
        try {
            worker.lane_instructions = 0;
            worker.prepare(launch);
            for (uint64_t i; !failed && (i = next++) < blocks;) worker.run_block(launch, i);
            instructions += worker.lane_instructions;
        } catch (const LaunchError &e) {
            std::lock_guard guard(lock);
            if (!error) error = std::make_unique<LaunchError>(e);
            failed = true;
        } catch (const std::bad_alloc &) {
            std::lock_guard guard(lock);
            if (!error) error = std::make_unique<LaunchError>(2, "kernel " + launch.function->name + ": no memory of the host");
            failed = true;
        }
    };
    // A few threads of the device are not worth a second processor.
    bool alone = launch.code->global_atomics || blocks * launch.block.volume() <= 2048;
    uint64_t threads = alone ? 1 : std::min<uint64_t>(settings().threads, blocks);
    static Pool &pool = *new Pool;
    pool.run(threads - 1, work);
    launch.lane_instructions = instructions;
    if (error) throw *error;
}

}  // namespace rig
