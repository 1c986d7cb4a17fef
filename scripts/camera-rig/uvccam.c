// A USB webcam that is a program: it is plugged in for as long as it runs.
//
//     uvccam [-n NAME] [-s SERIAL] [-p PORT] [-f FPS] WIDTHxHEIGHT YUYV JPEG...
//
// It plugs itself into the kernel's virtual USB host (vhci-hcd, which speaks USB/IP with it), where the kernel's own
// driver for webcams, uvcvideo, makes a /dev/videoN and a metadata node of it. It has one size, one rate and two
// formats: in YUYV it plays the picture in the file YUYV (as its bytes are to be sent), in MJPG the files JPEG in turn,
// for ever, whatever is in them. It must run as root, where /sys/devices/platform/vhci_hcd.0 is.
//
//     SIGUSR1  it freezes: answers the driver, but sends no more frames
//     SIGHUP   it hangs: answers nothing at all
//     SIGUSR2  it plays again
//     its end  the plug is pulled
//
// Sources: USB/IP, Documentation/usb/usbip_protocol.rst of Linux; USB Video Class 1.1, www.usb.org/document-library.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_JPEGS = 1024,
    MAX_WAITING = 64,           // uvcvideo has 5 reads in flight
    MAX_TRANSFER = 1 << 20,
    PAYLOAD = 16384,            // uvcvideo reads 32 packets of 512 bytes at a time
    PAYLOAD_HEADER = 2,
    FORMAT_MJPG = 1,            // the numbers of the format descriptors below
    FORMAT_YUYV = 2,
    USBIP_CMD_SUBMIT = 1,
    USBIP_CMD_UNLINK = 2,
    USBIP_RET_SUBMIT = 3,
    USBIP_RET_UNLINK = 4,
};

enum mode { PLAYING, FROZEN, HUNG };

struct bytes {
    uint8_t *data;
    size_t length;
};

// Each message starts with this, in network byte order.
struct message {
    uint32_t command, sequence, device, direction, endpoint;
    uint32_t words[5];
    uint8_t setup[8];
};

// A read of the stream that has no answer yet.
struct waiting {
    uint32_t sequence, length;
};

static const char *name = "Camrig UVC webcam", *serial = "1";
static unsigned port, fps = 30, width, height;
static struct bytes yuyv, jpegs[MAX_JPEGS];
static size_t jpeg_count;

static volatile sig_atomic_t mode = PLAYING;
static int host;                // the socket to the kernel
static uint8_t configuration[256], probe[26], buffer[MAX_TRANSFER];
static size_t configuration_length;

static void die(const char *what) {
    fprintf(stderr, "uvccam: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void refuse(const char *what, const char *why) {
    fprintf(stderr, "uvccam: %s: %s\n", what, why);
    exit(1);
}

static void on_signal(int number) {
    mode = number == SIGUSR1 ? FROZEN : number == SIGHUP ? HUNG : PLAYING;
}

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

// The socket closes when the kernel has unplugged the device.
static void receive(void *data, size_t length) {
    for (uint8_t *at = data; length > 0;) {
        ssize_t got = read(host, at, length);
        if (got <= 0) exit(got < 0);
        at += got;
        length -= got;
    }
}

static void send_all(const void *data, size_t length) {
    for (const uint8_t *at = data; length > 0;) {
        ssize_t sent = write(host, at, length);
        if (sent <= 0) exit(1);
        at += sent;
        length -= sent;
    }
}

static void reply(uint32_t command, uint32_t sequence, int32_t status, uint32_t length) {
    struct message message = {.command = htonl(command), .sequence = sequence};
    message.words[0] = htonl(status);
    message.words[1] = htonl(length);
    send_all(&message, sizeof message);
}

static struct bytes read_file(const char *path) {
    size_t most = 2 * (size_t)width * height;
    struct bytes file = {malloc(most + 1), 0};
    int fd = open(path, O_RDONLY);
    if (fd < 0 || !file.data) die(path);
    for (ssize_t got; (got = read(fd, file.data + file.length, most + 1 - file.length)) != 0; file.length += got) {
        if (got < 0) die(path);
    }
    close(fd);
    if (file.length > most) refuse(path, "longer than the largest frame, which is one of YUYV");
    return file;
}

#define LE16(x) (x) & 255, (x) >> 8 & 255
#define LE32(x) LE16(x), (x) >> 16 & 255, (x) >> 24 & 255

// Appends a descriptor: its length, then what is given.
#define DESCRIPTOR(...) append((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
static void append(const uint8_t *body, size_t length) {
    if (configuration_length + 1 + length > sizeof configuration) refuse("descriptors", "too long");
    configuration[configuration_length++] = 1 + length;
    memcpy(configuration + configuration_length, body, length);
    configuration_length += length;
}

// The configuration descriptor with all that follows it: section 3 of the video class, and of its two payload formats.
static void describe(void) {
    uint32_t interval = 10000000 / fps, size = 2 * width * height, rate = 8 * size * fps;
    DESCRIPTOR(2, LE16(0), 2, 1, 0, 0x80, 250);                                     // configuration
    DESCRIPTOR(11, 0, 2, 14, 3, 0, 0);                                              // two interfaces are one camera
    DESCRIPTOR(4, 0, 0, 0, 14, 1, 0, 0);                                            // interface 0: control
    DESCRIPTOR(0x24, 1, LE16(0x100), LE16(13 + 18 + 9), LE32(48000000), 1, 1);      // ... its header
    DESCRIPTOR(0x24, 2, 1, LE16(0x201), 0, 0, LE16(0), LE16(0), LE16(0), 3, 0, 0, 0);   // ... the sensor
    DESCRIPTOR(0x24, 3, 3, LE16(0x101), 0, 1, 0);                                   // ... which feeds the stream
    DESCRIPTOR(4, 1, 0, 1, 14, 2, 0, 0);                                            // interface 1: the stream, in bulk
    DESCRIPTOR(0x24, 1, 2, LE16(15 + 11 + 30 + 27 + 30), 0x81, 0, 3, 0, 0, 0, 1, 0, 0); // ... its header
    DESCRIPTOR(0x24, 6, FORMAT_MJPG, 1, 1, 1, 0, 0, 0, 0);
    DESCRIPTOR(0x24, 7, 1, 0, LE16(width), LE16(height), LE32(rate), LE32(rate), LE32(size), LE32(interval), 1,
               LE32(interval));
    DESCRIPTOR(0x24, 4, FORMAT_YUYV, 1, 'Y', 'U', 'Y', '2', 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113, 16, 1,
               0, 0, 0, 0);
    DESCRIPTOR(0x24, 5, 1, 0, LE16(width), LE16(height), LE32(rate), LE32(rate), LE32(size), LE32(interval), 1,
               LE32(interval));
    DESCRIPTOR(5, 0x81, 2, LE16(512), 0);                                           // ... its endpoint
    configuration[2] = configuration_length & 255;
    configuration[3] = configuration_length >> 8;

    // What is negotiated about the stream: the format is byte 2, the rest is fixed.
    const uint8_t first[sizeof probe] = {1, 0, FORMAT_MJPG, 1, LE32(interval), [18] = LE32(size), LE32(PAYLOAD)};
    memcpy(probe, first, sizeof probe);
}

static int string_descriptor(unsigned index) {
    const char *strings[] = {"", "Camrig", name, serial};
    if (index >= sizeof strings / sizeof *strings) return -EPIPE;
    size_t length = strlen(strings[index]);
    buffer[0] = 2 + 2 * length;
    buffer[1] = 3;
    for (size_t i = 0; i < length; i++) {
        buffer[2 + 2 * i] = strings[index][i];
        buffer[3 + 2 * i] = 0;
    }
    return buffer[0];
}

// Answers a request to the device in `buffer`, where its data is, too. Returns the length, or -EPIPE to refuse.
static int control(const uint8_t setup[8], uint32_t length) {
    static const uint8_t device[18] = {18, 1, LE16(0x200), 0xef, 2, 1, 64, LE16(0x1209), LE16(1), LE16(0x100),
                                       1, 2, 3, 1};
    static const uint8_t languages[4] = {4, 3, LE16(0x409)};
    unsigned type = setup[0], request = setup[1], value = setup[2] | setup[3] << 8, interface = setup[4];

    if (type == 0x80 && request == 6) {                                             // GET_DESCRIPTOR
        const uint8_t *descriptor = NULL;
        size_t size = 0;
        if (value == 0x100) {
            descriptor = device;
            size = sizeof device;
        } else if (value == 0x200) {
            descriptor = configuration;
            size = configuration_length;
        } else if (value == 0x300) {
            descriptor = languages;
            size = sizeof languages;
        } else {
            return value >> 8 == 3 ? string_descriptor(value & 255) : -EPIPE;
        }
        memcpy(buffer, descriptor, size);
        return size;
    }
    if ((type & 0x60) == 0) {                                                       // SET_CONFIGURATION, GET_STATUS ...
        memset(buffer, 0, 2);
        return type & 0x80 ? 2 : 0;
    }
    if ((type & 0x7f) == 0x21 && interface == 1 && (value == 0x100 || value == 0x200)) {    // probe and commit
        switch (request) {
        case 0x01:                                                                  // SET_CUR
            if (length >= 3) probe[2] = buffer[2] == FORMAT_YUYV ? FORMAT_YUYV : FORMAT_MJPG;
            return 0;
        case 0x85:                                                                  // GET_LEN
            buffer[0] = sizeof probe;
            buffer[1] = 0;
            return 2;
        case 0x86:                                                                  // GET_INFO: it can be read and set
            buffer[0] = 3;
            return 1;
        default:                                                                    // GET_CUR, _MIN, _MAX, _DEF
            memcpy(buffer, probe, sizeof probe);
            return sizeof probe;
        }
    }
    return -EPIPE;
}

static void plug_in(void) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) die("socketpair");
    char line[64];
    // Port, socket, a number for the device, and 3 for high speed.
    int length = snprintf(line, sizeof line, "%u %d %u 3", port, pair[1], port + 1);
    int attach = open("/sys/devices/platform/vhci_hcd.0/attach", O_WRONLY);
    if (attach < 0) die("the virtual USB host");
    // The port stays busy for a moment after a device was pulled.
    for (int64_t deadline = now_ns() + 5000000000LL; write(attach, line, length) != length; usleep(10000)) {
        if (errno != EBUSY || now_ns() > deadline) die("plugging in");
    }
    close(attach);
    close(pair[1]);
    host = pair[0];
}

static void play(void) {
    struct waiting waiting[MAX_WAITING];
    size_t waiting_count = 0, sent = 0;
    struct bytes frame = {0};
    size_t number = 0;
    uint8_t toggle = 0;
    int64_t next = now_ns();
    for (;;) {
        // Waiting reads are answered for as long as the frame lasts.
        while (mode == PLAYING && waiting_count > 0 && sent < frame.length) {
            uint32_t room = (waiting[0].length < PAYLOAD ? waiting[0].length : PAYLOAD) - PAYLOAD_HEADER;
            uint32_t part = frame.length - sent < room ? frame.length - sent : room;
            bool last = sent + part == frame.length;
            uint8_t header[PAYLOAD_HEADER] = {PAYLOAD_HEADER, 0x80 | (last ? 2 : 0) | toggle};
            reply(USBIP_RET_SUBMIT, waiting[0].sequence, 0, PAYLOAD_HEADER + part);
            send_all(header, sizeof header);
            send_all(frame.data + sent, part);
            sent += part;
            memmove(waiting, waiting + 1, --waiting_count * sizeof *waiting);
        }
        int timeout_ms = 100;
        if (mode == PLAYING && waiting_count > 0) {
            int64_t now = now_ns();
            if (now >= next) {
                frame = probe[2] == FORMAT_YUYV ? yuyv : jpegs[number++ % jpeg_count];
                sent = 0;
                toggle ^= 1;
                // A camera that was frozen does not make up for it.
                next = next + 1000000000 / fps > now ? next + 1000000000 / fps : now;
                continue;
            }
            timeout_ms = (next - now) / 1000000 + 1;
        }
        struct pollfd readable = {host, POLLIN, 0};
        if (poll(&readable, 1, timeout_ms) <= 0) continue;

        struct message message;
        receive(&message, sizeof message);
        if (ntohl(message.command) == USBIP_CMD_UNLINK) {
            // The host takes a request back. It can whatever the device does.
            for (size_t i = 0; i < waiting_count; i++) {
                if (waiting[i].sequence == message.words[0]) {
                    memmove(waiting + i, waiting + i + 1, (--waiting_count - i) * sizeof *waiting);
                    break;
                }
            }
            reply(USBIP_RET_UNLINK, message.sequence, -ECONNRESET, 0);
            sent = frame.length;
            continue;
        }
        bool in = ntohl(message.direction) == 1;
        uint32_t length = ntohl(message.words[1]);
        if (length > sizeof buffer) refuse("a request", "too long");
        if (!in) receive(buffer, length);
        if (ntohl(message.endpoint) == 0) {
            if (mode == HUNG) continue;
            int answer = control(message.setup, length);
            uint32_t size = answer < 0 ? 0 : !in ? length : (uint32_t)answer < length ? (uint32_t)answer : length;
            reply(USBIP_RET_SUBMIT, message.sequence, answer < 0 ? answer : 0, size);
            if (in) send_all(buffer, size);
        } else if (in && length > PAYLOAD_HEADER && waiting_count < MAX_WAITING) {
            waiting[waiting_count++] = (struct waiting){message.sequence, length};
        } else {
            refuse("a request", "not one of uvcvideo's");
        }
    }
}

int main(int count, char **arguments) {
    static const char usage[] = "usage: uvccam [-n NAME] [-s SERIAL] [-p PORT] [-f FPS] WIDTHxHEIGHT YUYV JPEG...";
    for (int option; (option = getopt(count, arguments, "n:s:p:f:")) != -1;) {
        switch (option) {
        case 'n': name = optarg; break;
        case 's': serial = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'f': fps = atoi(optarg); break;
        default: refuse("options", usage);
        }
    }
    arguments += optind;
    count -= optind;
    if (count < 3 || count - 2 > MAX_JPEGS) refuse("arguments", usage);
    if (sscanf(arguments[0], "%ux%u", &width, &height) != 2) refuse(arguments[0], usage);
    if (width < 2 || width % 2 || width > 4096 || height < 1 || height > 4096) refuse(arguments[0], "no size of YUYV");
    if (fps < 1 || fps > 120 || strlen(name) > 100 || strlen(serial) > 100) refuse("options", "out of bounds");
    yuyv = read_file(arguments[1]);
    if (yuyv.length != 2 * (size_t)width * height) refuse(arguments[1], "not one picture of this size");
    for (int i = 2; i < count; i++) {
        jpegs[jpeg_count++] = read_file(arguments[i]);
        if (jpegs[jpeg_count - 1].length == 0) refuse(arguments[i], "empty");
    }
    describe();
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
    signal(SIGHUP, on_signal);
    signal(SIGPIPE, SIG_IGN);
    plug_in();
    play();
}
