// relay: a lossy, slow link between two network namespaces, in user space.
//
// Opens a TUN device in each of two namespaces and carries IPv4 packets between them. What becomes of a packet is read from a
// file for each direction, 8 bytes a packet: its latency in nanoseconds, or -1 if it is lost. `peer fates` writes them, from
// Stormglass's engine, a script and a seed. TCP keeps its order per flow (4-tuple and direction), UDP does not.
//
//   relay NS_A NS_B FATES_A_TO_B FATES_B_TO_A [--log FILE] [--grain US]
//
// With a grain, packets arrive at whole multiples of it only.
//
// Standard input takes lines: "cut MS" (both ways, also what is under way; prints the CLOCK_MONOTONIC times of its begin and
// end on standard output). The end of standard input ends the relay. Prints "ready" when the devices are there and
// a line of counts at the end.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define MTU 2048
#define PACKETS_MAX 65536
#define FLOWS 65536

typedef struct { uint64_t due, order; int to; uint16_t len; uint8_t bytes[MTU]; } Packet;

static Packet *heap[PACKETS_MAX];
static int count;
static Packet *spare[PACKETS_MAX];
static int spares;
static uint64_t last_due[FLOWS];
static uint64_t order, late_sum, late_max, carried, lost, cut_lost, overflow;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}

static FILE *fates[2];
/// The next packet's latency in nanoseconds, or -1.
static int64_t fate(int from) {
    int64_t ns;
    if (fread(&ns, sizeof ns, 1, fates[from]) != 1) { fprintf(stderr, "relay: the fates of direction %d have run out\n", from); exit(1); }
    return ns;
}

static int before(Packet *a, Packet *b) { return a->due < b->due || (a->due == b->due && a->order < b->order); }
static void push(Packet *p) {
    int i = count++;
    while (i && before(p, heap[(i - 1) / 2])) { heap[i] = heap[(i - 1) / 2]; i = (i - 1) / 2; }
    heap[i] = p;
}
static Packet *pop(void) {
    Packet *top = heap[0], *last = heap[--count];
    int i = 0;
    for (;;) {
        int c = 2 * i + 1;
        if (c >= count) break;
        if (c + 1 < count && before(heap[c + 1], heap[c])) c++;
        if (!before(heap[c], last)) break;
        heap[i] = heap[c];
        i = c;
    }
    heap[i] = last;
    return top;
}

static int open_tun(const char *ns, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", ns);
    int home = open("/proc/self/ns/net", O_RDONLY), there = open(path, O_RDONLY);
    if (there < 0 || setns(there, CLONE_NEWNET)) { perror(path); exit(1); }
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    struct ifreq r = {0};
    r.ifr_flags = IFF_TUN | IFF_NO_PI;
    strncpy(r.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &r)) { perror("tun"); exit(1); }
    if (setns(home, CLONE_NEWNET)) { perror("setns home"); exit(1); }
    close(home), close(there);
    return fd;
}

int main(int argc, char **argv) {
    if (argc < 5) { fprintf(stderr, "usage: relay NS_A NS_B FATES_A_TO_B FATES_B_TO_A [--log FILE] [--grain US]\n"); return 2; }
    FILE *log = NULL;
    uint64_t grain = 1;
    for (int i = 0; i < 2; i++)
        if (!(fates[i] = fopen(argv[3 + i], "rb"))) { perror(argv[3 + i]); return 1; }
    for (int i = 5; i < argc; i++) {
        if (!strcmp(argv[i], "--log") && i + 1 < argc) log = fopen(argv[++i], "w");
        else if (!strcmp(argv[i], "--grain") && i + 1 < argc && atol(argv[i + 1]) > 0) grain = atol(argv[++i]) * 1000;
        else { fprintf(stderr, "unknown option %s\n", argv[i]); return 2; }
    }
    prctl(PR_SET_TIMERSLACK, 1);
    struct sched_param sp = {.sched_priority = 60};
    sched_setscheduler(0, SCHED_FIFO, &sp); // little work, and late packets are wrong packets
    mlockall(MCL_CURRENT | MCL_FUTURE);
    int tun[2] = {open_tun(argv[1], "tw0"), open_tun(argv[2], "tw0")};
    fcntl(0, F_SETFL, O_NONBLOCK);
    puts("ready"), fflush(stdout);
    uint64_t cut_until = 0, started = now_ns();
    char line[256];
    size_t held = 0;
    for (;;) {
        struct pollfd fds[3] = {{tun[0], POLLIN, 0}, {tun[1], POLLIN, 0}, {0, POLLIN, 0}};
        struct timespec wait = {1, 0};
        if (count) {
            uint64_t now = now_ns(), left = heap[0]->due > now ? heap[0]->due - now : 0;
            wait.tv_sec = left / 1000000000, wait.tv_nsec = left % 1000000000;
        }
        ppoll(fds, 3, &wait, NULL);
        uint64_t now = now_ns();
        if (fds[2].revents) {
            ssize_t n = read(0, line + held, sizeof line - 1 - held);
            if (n == 0) break;
            if (n > 0) held += n;
            line[held] = 0;
            for (char *end; (end = strchr(line, '\n'));) {
                double value;
                if (sscanf(line, "cut %lf", &value) == 1) {
                    cut_until = now + (uint64_t)(value * 1e6);
                    cut_lost += count;
                    while (count) spare[spares++] = heap[--count];
                    printf("cut %.6f %.6f\n", now / 1e9, cut_until / 1e9), fflush(stdout);
                }
                held -= end + 1 - line;
                memmove(line, end + 1, held + 1);
            }
        }
        for (int from = 0; from < 2; from++) {
            while (count < PACKETS_MAX - 1) {
                Packet *p = spares ? spare[--spares] : malloc(sizeof *p);
                ssize_t n = read(tun[from], p->bytes, MTU);
                if (n <= 0) { spare[spares++] = p; break; }
                uint8_t *b = p->bytes;
                if (n < 20 || b[0] >> 4 != 4) { spare[spares++] = p; continue; }
                now = now_ns();
                int ihl = (b[0] & 15) * 4, proto = b[9], total = b[2] << 8 | b[3];
                int tcp = proto == 6, flags = tcp ? b[ihl + 13] : 0;
                int data = tcp ? total - ihl - (b[ihl + 12] >> 4) * 4 : total - ihl;
                int64_t latency = fate(from);
                int gone = latency < 0, cut = now < cut_until;
                uint64_t due = now + (gone ? 0 : (uint64_t)latency);
                due = (due + grain - 1) / grain * grain;
                if (tcp) {
                    uint32_t ports, src, dst;
                    memcpy(&ports, b + ihl, 4), memcpy(&src, b + 12, 4), memcpy(&dst, b + 16, 4);
                    uint32_t h = (ports * 0x9e3779b1u ^ src * 0x85ebca6bu ^ dst * 0xc2b2ae35u) >> 16 ^ ports >> 3;
                    uint64_t *last = &last_due[h % FLOWS];
                    if (!gone && !cut) { if (due < *last) due = *last; *last = due; }
                }
                if (log) {
                    uint32_t seq = 0, ack = 0;
                    if (tcp) memcpy(&seq, b + ihl + 4, 4), memcpy(&ack, b + ihl + 8, 4);
                    fprintf(log, "%.6f %c %d>%d %s%s%s%s%s len=%d seq=%u ack=%u %s %.3f\n", now / 1e9, "AB"[from],
                            b[ihl] << 8 | b[ihl + 1], b[ihl + 2] << 8 | b[ihl + 3], tcp ? "" : "U", flags & 2 ? "S" : "", flags & 1 ? "F" : "",
                            flags & 4 ? "R" : "", flags & 16 ? "." : "", data, ntohl(seq), ntohl(ack),
                            cut ? "CUT" : gone ? "LOST" : "ok", (due - now) / 1e6);
                }
                if (cut || gone) { cut ? cut_lost++ : lost++; spare[spares++] = p; continue; }
                p->due = due, p->order = order++, p->to = !from, p->len = n;
                push(p);
            }
        }
        now = now_ns();
        while (count && heap[0]->due <= now) {
            Packet *p = pop();
            uint64_t late = now - p->due;
            late_sum += late;
            if (late > late_max) late_max = late;
            if (write(tun[p->to], p->bytes, p->len) < 0) overflow++;
            carried++;
            spare[spares++] = p;
        }
    }
    printf("carried %lu lost %lu cut %lu refused %lu; late on average %.0f us, at most %.0f us; %.0f packets/s\n", carried, lost,
           cut_lost, overflow, carried ? late_sum / 1e3 / carried : 0, late_max / 1e3, carried / ((now_ns() - started) / 1e9));
    if (log) fclose(log);
}
