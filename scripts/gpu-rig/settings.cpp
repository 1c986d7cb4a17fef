// See settings.h.
#include "settings.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace rig {
namespace {

// Ends the program where a variable is not a number: a test that sets a fault must not pass for want of it.
long number(const char *name, long otherwise, bool sized = false) {
    const char *text = std::getenv(name);
    if (!text || !*text) return otherwise;
    char *end;
    long value = std::strtol(text, &end, 10);
    if (sized && *end) {
        switch (*end++) {
            case 'K': value <<= 10; break;
            case 'M': value <<= 20; break;
            case 'G': value <<= 30; break;
            default: end = const_cast<char *>(" ");
        }
    }
    if (end == text || *end || value < 0) {
        complain("%s is not a number: %s", name, text);
        std::exit(2);
    }
    return value;
}

Settings read() {
    Settings s;
    s.gpus = int(number("EMOCAM_RIG_GPUS", 1));
    s.memory = size_t(number("EMOCAM_RIG_MEMORY", long(s.memory), true));
    s.lose_after = number("EMOCAM_RIG_LOSE_AFTER", -1);
    s.driver = int(number("EMOCAM_RIG_DRIVER", s.driver));
    s.capability = int(number("EMOCAM_RIG_CAPABILITY", s.capability));
    unsigned cores = std::thread::hardware_concurrency();
    s.threads = unsigned(number("EMOCAM_RIG_THREADS", cores ? cores : 1));
    if (s.threads == 0) s.threads = 1;
    return s;
}

std::FILE *trace_file() {
    static std::FILE *file = [] {
        const char *name = std::getenv("EMOCAM_RIG_TRACE");
        std::FILE *opened = name && *name ? std::fopen(name, "a") : nullptr;
        if (name && *name && !opened) {
            complain("the trace can't be written: %s", name);
            std::exit(2);
        }
        return opened;
    }();
    return file;
}

}  // namespace

const Settings &settings() {
    static const Settings read_once = read();
    return read_once;
}

bool tracing() { return trace_file() != nullptr; }

void trace(const char *format, ...) {
    std::FILE *file = trace_file();
    if (!file) return;
    char line[1024];
    va_list list;
    va_start(list, format);
    std::vsnprintf(line, sizeof line, format, list);
    va_end(list);
    // Whole lines at once, so that a test can read the file while the program runs.
    static std::mutex &lock = *new std::mutex;
    std::lock_guard guard(lock);
    std::fprintf(file, "%s\n", line);
    std::fflush(file);
}

void complain(const char *format, ...) {
    char line[2048];
    va_list list;
    va_start(list, format);
    std::vsnprintf(line, sizeof line, format, list);
    va_end(list);
    std::fprintf(stderr, "gpu-rig: %s\n", line);
}

}  // namespace rig
