// What the environment asks of the rig, and the file that says what was done. `run` explains the variables.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace rig {

struct Settings {
    int gpus = 1;
    size_t memory = size_t(2) << 30;
    long lose_after = -1;         // launches; negative: never
    int driver = 13000;
    int capability = 90;
    unsigned threads = 1;
};

const Settings &settings();
// A line of the trace, if there is one.
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool tracing();
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace rig
