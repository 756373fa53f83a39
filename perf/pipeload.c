/* SPDX-License-Identifier: Apache-2.0
 * A closed-loop load generator for HTTP/1.1 and RESP on one io_uring: each connection keeps a
 * fixed number of requests outstanding and sends one more for every answer. It reads every status
 * and counts the unexpected ones: a fast wrong answer is no result. One thread.
 *
 * Requests come from a file, used in turn, each connection starting elsewhere:
 *
 *     <bytes> <expected>\n<bytes of request>   <bytes> <expected>\n ...
 *
 * expected is what the answer begins with: the status ("200") for HTTP, the first line (":0",
 * "+OK") for RESP, or "*" for anything. Each run of twelve '@' in a request is replaced by twelve
 * digits of a counter (-s gives its start; -e replaces what is expected), so that ten million
 * different keys need no file of ten million. Answers to HTTP requests must have Content-Length or
 * no body. */
#include <fcntl.h>
#include <getopt.h>
#include <liburing.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "perf.h"

enum {
    CONNECTIONS_MAX = 4096,
    DEPTH_MAX = 1024,
    RING_ENTRIES = 4096,
    BUFFERS = 1024, /* power of two */
    BUFFER_BYTES = 32768,
    BUFFER_GROUP = 1,
    BATCH_MAX = 512,
    CARRY_BYTES = 16384, /* the longest header block of an answer */
    COUNTER_DIGITS = 12,
    WRONG_SHOWN_MAX = 5,
    /* Latencies: 64 linear steps to each power of two of nanoseconds. */
    STEP_BITS = 6,
    HISTOGRAM_SLOTS = (64 - STEP_BITS) << STEP_BITS,
};

enum operation { OP_RECV, OP_SEND, OP_TIMER };

struct request {
    const uint8_t *bytes;
    uint32_t size;
    char expected[20];
};

struct connection {
    int fd;
    bool sending;
    uint32_t next_request; /* the next one to send */
    uint32_t next_answer;  /* the request whose answer comes next */
    unsigned credit;       /* requests that may be sent now */
    unsigned in_flight;    /* sent, not answered */
    uint8_t *out;          /* the requests of the send in flight */
    size_t out_bytes, out_done;
    int64_t sent_ns[DEPTH_MAX]; /* ring: when each unanswered one was sent */
    unsigned first_sent;
    size_t body_left;   /* of the answer being read */
    size_t carry_bytes; /* start of an answer whose header is not complete */
    uint8_t carry[CARRY_BYTES];
};

struct load {
    struct io_uring ring;
    struct io_uring_buf_ring *buffers;
    uint8_t *memory;
    struct request *requests;
    uint32_t request_count, request_bytes_max;
    bool resp, templated;
    unsigned connections, depth;
    uint64_t requests_wanted; /* 0: until the time is over */
    double warm_s, run_s;
    const char *host, *unix_path, *expected; /* expected: instead of the file's */
    int port;
    uint64_t counter, to_send;
    bool measuring, stopping;
    int64_t now_ns, start_ns, end_ns;
    uint64_t answered, total, wrong, wrong_shown; /* total: with those of the warm-up */
    uint64_t histogram[HISTOGRAM_SLOTS];
    struct connection *conns;
};

/* --- the file of requests ---------------------------------------------------------------- */

static void add_request(struct load *l, const uint8_t *bytes, unsigned long size,
                        const char *expected, size_t expected_bytes)
{
    if (expected_bytes >= sizeof(l->requests->expected))
        die("expected answer too long", EINVAL);
    if ((l->request_count & (l->request_count - 1)) == 0) {
        size_t room = l->request_count ? 2 * (size_t)l->request_count : 1;
        l->requests = realloc(l->requests, room * sizeof(*l->requests));
        if (!l->requests)
            die("requests", ENOMEM);
    }
    struct request *r = &l->requests[l->request_count++];
    *r = (struct request){.bytes = bytes, .size = (uint32_t)size};
    memcpy(r->expected, expected, expected_bytes);
    l->request_bytes_max = (uint32_t)pc_max_u64(l->request_bytes_max, size);
    if (memmem(bytes, size, "@@@@@@@@@@@@", COUNTER_DIGITS))
        l->templated = true;
}

static void load_requests(struct load *l, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        die(path, errno);
    const char *p = mmap(NULL, (size_t)st.st_size + 1, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        die(path, errno);
    close(fd);
    for (const char *end = p + st.st_size; p < end;) {
        char *after;
        unsigned long size = strtoul(p, &after, 10);
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        if (!line_end || *after != ' ' || size == 0 || size > (size_t)(end - line_end - 1))
            die(path, EINVAL);
        add_request(l, (const uint8_t *)line_end + 1, size, after + 1,
                    (size_t)(line_end - after - 1));
        p = line_end + 1 + size;
    }
    if (l->request_count == 0)
        die(path, ENODATA);
}

/* --- sending ----------------------------------------------------------------------------- */

static struct io_uring_sqe *new_sqe(struct load *l, enum operation op, unsigned index)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&l->ring);
    if (!sqe) {
        io_uring_submit(&l->ring);
        sqe = io_uring_get_sqe(&l->ring);
    }
    if (!sqe)
        die("submission queue", ENOSPC);
    io_uring_prep_nop(sqe);
    sqe->user_data = (uint64_t)op | (uint64_t)index << 8;
    return sqe;
}

static void submit_send(struct load *l, struct connection *c)
{
    struct io_uring_sqe *sqe = new_sqe(l, OP_SEND, (unsigned)(c - l->conns));
    const uint64_t data = sqe->user_data;
    io_uring_prep_send(sqe, c->fd, c->out + c->out_done, c->out_bytes - c->out_done, MSG_NOSIGNAL);
    sqe->user_data = data;
    c->sending = true;
}

static void fill_in_counter(struct load *l, uint8_t *p, size_t n)
{
    uint8_t *end = p + n;
    while ((p = memmem(p, (size_t)(end - p), "@@@@@@@@@@@@", COUNTER_DIGITS))) {
        uint64_t value = l->counter++;
        for (int i = COUNTER_DIGITS - 1; i >= 0; i--, value /= 10)
            p[i] = (uint8_t)('0' + value % 10);
        p += COUNTER_DIGITS;
    }
}

static void append_request(struct load *l, struct connection *c)
{
    const struct request *r = &l->requests[c->next_request];
    uint8_t *to = c->out + c->out_bytes;
    memcpy(to, r->bytes, r->size);
    if (l->templated)
        fill_in_counter(l, to, r->size);
    c->out_bytes += r->size;
    c->next_request = (c->next_request + 1) % l->request_count;
    c->sent_ns[(c->first_sent + c->in_flight) % l->depth] = l->now_ns;
    c->in_flight++;
    c->credit--;
}

/* Everything the connection may send now, in one send. */
static void send_more(struct load *l, struct connection *c)
{
    if (c->sending || l->stopping)
        return;
    c->out_bytes = c->out_done = 0;
    for (; c->credit > 0 && l->to_send > 0; l->to_send--)
        append_request(l, c);
    if (c->out_bytes)
        submit_send(l, c);
}

/* --- answers ----------------------------------------------------------------------------- */

static unsigned slot_of(uint64_t ns)
{
    if (ns < 1u << (STEP_BITS + 1))
        return (unsigned)ns;
    unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - STEP_BITS;
    return (shift << STEP_BITS) + (unsigned)(ns >> shift);
}

static double slot_us(unsigned slot)
{
    unsigned shift = slot >> STEP_BITS ? (slot >> STEP_BITS) - 1 : 0;
    return (double)((uint64_t)(slot - (shift << STEP_BITS)) << shift) / 1000.0;
}

static void check_answer(struct load *l, struct connection *c, const char *got, size_t got_bytes)
{
    const char *expected = l->expected ? l->expected : l->requests[c->next_answer].expected;
    const size_t n = strlen(expected);
    if (strcmp(expected, "*") == 0 || (got_bytes >= n && memcmp(got, expected, n) == 0))
        return;
    l->wrong++;
    if (l->wrong_shown++ < WRONG_SHOWN_MAX)
        fprintf(stderr, "expected %s, got %.*s\n", expected, (int)got_bytes, got);
}

static void answer_done(struct load *l, struct connection *c, const char *got, size_t got_bytes)
{
    if (c->in_flight == 0)
        die("an answer nobody asked for", EPROTO);
    check_answer(l, c, got, got_bytes);
    l->total++;
    if (l->measuring) {
        l->histogram[slot_of((uint64_t)(l->now_ns - c->sent_ns[c->first_sent]))]++;
        l->answered++;
    }
    c->first_sent = (c->first_sent + 1) % l->depth;
    c->in_flight--;
    c->credit++;
    c->next_answer = (c->next_answer + 1) % l->request_count;
}

/* One complete header block at p: its size, and the size of the body; 0 if it is not complete. */
static size_t http_header(const char *p, size_t n, size_t *ret_body)
{
    const char *line = p, *end = p + n, *nl;
    *ret_body = 0;
    while ((nl = memchr(line, '\n', (size_t)(end - line)))) {
        if (nl - line <= 1)
            return (size_t)(nl + 1 - p);
        if ((*line | 0x20) == 'c' && nl - line > 15 &&
            strncasecmp(line, "content-length:", 15) == 0)
            *ret_body = strtoul(line + 15, NULL, 10);
        line = nl + 1;
    }
    return 0;
}

/* One reply line; a bulk string's bytes count as body, the lines of an array of numbers as header.
 */
static size_t resp_header(const char *p, size_t n, size_t *ret_body)
{
    const char *end = p + n, *line = memchr(p, '\n', n);
    if (!line++)
        return 0;
    for (long i = *p == '*' ? strtol(p + 1, NULL, 10) : 0; i > 0; i--)
        if (!(line = memchr(line, '\n', (size_t)(end - line))) || !line++)
            return 0;
    long bulk = *p == '$' ? strtol(p + 1, NULL, 10) : -1;
    *ret_body = bulk >= 0 ? (size_t)bulk + 2 : 0;
    return (size_t)(line - p);
}

/* The answer that begins at p, if its header is here: how many bytes of header there were. */
static size_t take_header(struct load *l, struct connection *c, const char *p, size_t n)
{
    size_t body = 0;
    size_t header = l->resp ? resp_header(p, n, &body) : http_header(p, n, &body);
    if (header == 0)
        return 0;
    const size_t from = l->resp ? 0 : pc_min_u64(9, header);
    answer_done(l, c, p + from, l->resp ? header - 2 : pc_min_u64(3, header - from));
    c->body_left = body;
    return header;
}

/* Joins what was left of the last chunk with the start of this one; returns what it took of p. */
static size_t finish_carry(struct load *l, struct connection *c, const char *p, size_t n)
{
    const size_t before = c->carry_bytes;
    const size_t part = pc_min_u64(n, CARRY_BYTES - before);
    memcpy(c->carry + before, p, part);
    c->carry_bytes += part;
    const size_t header = take_header(l, c, (char *)c->carry, c->carry_bytes);
    if (header == 0) {
        if (c->carry_bytes == CARRY_BYTES)
            die("header block of an answer", EMSGSIZE);
        return part;
    }
    c->carry_bytes = 0;
    return header - before;
}

static void parse_chunk(struct load *l, struct connection *c, const char *p, size_t n)
{
    while (n > 0) {
        size_t step;
        if (c->body_left) {
            step = pc_min_u64(n, c->body_left);
            c->body_left -= step;
        } else if (c->carry_bytes || !(step = take_header(l, c, p, n))) {
            step = finish_carry(l, c, p, n);
        }
        p += step;
        n -= step;
    }
}

/* --- the loop ---------------------------------------------------------------------------- */

static void arm_recv(struct load *l, unsigned index)
{
    struct io_uring_sqe *sqe = new_sqe(l, OP_RECV, index);
    const uint64_t data = sqe->user_data;
    io_uring_prep_recv(sqe, l->conns[index].fd, NULL, 0, 0);
    sqe->ioprio |= IORING_RECV_MULTISHOT;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    sqe->user_data = data;
}

static void give_back(struct load *l, unsigned id)
{
    io_uring_buf_ring_add(l->buffers, l->memory + (size_t)id * BUFFER_BYTES, BUFFER_BYTES,
                          (unsigned short)id, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(l->buffers, 1);
}

static void on_recv(struct load *l, const struct io_uring_cqe *cqe, unsigned index)
{
    struct connection *c = &l->conns[index];
    if (cqe->res <= 0 && cqe->res != -ENOBUFS)
        die("the server closed a connection", cqe->res ? cqe->res : EPIPE);
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        parse_chunk(l, c, (const char *)l->memory + (size_t)id * BUFFER_BYTES, (size_t)cqe->res);
        give_back(l, id);
        send_more(l, c);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        arm_recv(l, index);
}

static void on_send(struct load *l, const struct io_uring_cqe *cqe, unsigned index)
{
    struct connection *c = &l->conns[index];
    if (cqe->res <= 0)
        die("send", cqe->res ? cqe->res : EPIPE);
    c->sending = false;
    c->out_done += (size_t)cqe->res;
    if (c->out_done < c->out_bytes)
        submit_send(l, c);
    else
        send_more(l, c);
}

static void arm_timer(struct load *l, double seconds)
{
    static struct __kernel_timespec ts;
    ts = (struct __kernel_timespec){(long long)seconds,
                                    (long long)((seconds - (double)(long long)seconds) * 1e9)};
    struct io_uring_sqe *sqe = new_sqe(l, OP_TIMER, 0);
    const uint64_t data = sqe->user_data;
    io_uring_prep_timeout(sqe, &ts, 0, 0);
    sqe->user_data = data;
}

static void begin_measuring(struct load *l)
{
    l->measuring = true;
    l->start_ns = l->now_ns;
    if (!l->requests_wanted)
        arm_timer(l, l->run_s);
}

static void on_timer(struct load *l)
{
    if (!l->measuring) {
        begin_measuring(l);
        return;
    }
    l->end_ns = l->now_ns;
    l->stopping = true;
}

static void dispatch(struct load *l, const struct io_uring_cqe *cqe)
{
    const unsigned index = (unsigned)(cqe->user_data >> 8);
    switch ((enum operation)(cqe->user_data & 0xff)) {
    case OP_RECV: on_recv(l, cqe, index); break;
    case OP_SEND: on_send(l, cqe, index); break;
    case OP_TIMER: on_timer(l); break;
    }
}

static void run(struct load *l)
{
    struct io_uring_cqe *cqes[BATCH_MAX];
    l->now_ns = pc_clock_mono_ns();
    l->to_send = l->requests_wanted ? l->requests_wanted : UINT64_MAX;
    if (l->requests_wanted || l->warm_s <= 0)
        begin_measuring(l);
    else
        arm_timer(l, l->warm_s);
    for (unsigned i = 0; i < l->connections; i++) {
        arm_recv(l, i);
        send_more(l, &l->conns[i]);
    }
    while (!l->stopping) {
        int err = io_uring_submit_and_wait(&l->ring, 1);
        if (err < 0 && err != -EINTR)
            die("io_uring_enter", err);
        l->now_ns = pc_clock_mono_ns();
        unsigned n = io_uring_peek_batch_cqe(&l->ring, cqes, BATCH_MAX);
        for (unsigned i = 0; i < n && !l->stopping; i++)
            dispatch(l, cqes[i]);
        io_uring_cq_advance(&l->ring, n);
        if (l->requests_wanted && l->answered == l->requests_wanted) {
            l->end_ns = l->now_ns;
            l->stopping = true;
        }
    }
}

/* --- set-up and report ------------------------------------------------------------------- */

static int connect_to(const struct load *l)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->port)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(l->unix_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket", errno);
    if (l->unix_path)
        snprintf(un.sun_path, sizeof(un.sun_path), "%s", l->unix_path);
    else if (inet_pton(AF_INET, l->host, &in.sin_addr) != 1)
        die(l->host, EINVAL);
    int err = l->unix_path ? connect(fd, (struct sockaddr *)&un, sizeof(un))
                           : connect(fd, (struct sockaddr *)&in, sizeof(in));
    if (err < 0)
        die("connect", errno);
    if (!l->unix_path)
        no_delay(fd);
    return fd;
}

static void set_up_connections(struct load *l)
{
    l->conns = calloc(l->connections, sizeof(*l->conns));
    if (!l->conns)
        die("connections", ENOMEM);
    for (unsigned i = 0; i < l->connections; i++) {
        struct connection *c = &l->conns[i];
        c->fd = connect_to(l);
        c->credit = l->depth;
        c->next_request = (uint32_t)((uint64_t)i * l->request_count / l->connections);
        c->next_answer = c->next_request;
        c->out = malloc((size_t)l->depth * l->request_bytes_max);
        if (!c->out)
            die("connections", ENOMEM);
    }
}

static void set_up_ring(struct load *l)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = 4 * RING_ENTRIES};
    int err = io_uring_queue_init_params(RING_ENTRIES, &l->ring, &params);
    if (err < 0)
        die("io_uring", err);
    void *ring_memory = NULL;
    l->memory = malloc((size_t)BUFFERS * BUFFER_BYTES);
    if (!l->memory || posix_memalign(&ring_memory, 4096, BUFFERS * sizeof(struct io_uring_buf)))
        die("buffers", ENOMEM);
    l->buffers = ring_memory;
    io_uring_buf_ring_init(l->buffers);
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)ring_memory, .ring_entries = BUFFERS, .bgid = BUFFER_GROUP};
    err = io_uring_register_buf_ring(&l->ring, &reg, 0);
    if (err < 0)
        die("io_uring_register_buf_ring", err);
    for (unsigned i = 0; i < BUFFERS; i++)
        give_back(l, i);
}

static double quantile_us(const struct load *l, double q)
{
    const double target = q * (double)l->answered;
    double seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++) {
        seen += (double)l->histogram[i];
        if (seen >= target && seen > 0)
            return slot_us(i);
    }
    return 0;
}

static void report(const struct load *l)
{
    const double seconds = (double)(l->end_ns - l->start_ns) / 1e9;
    printf("{\"requests\":%llu,\"seconds\":%.6f,\"rate\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"p999_us\":%.1f,\"wrong\":%llu,\"total\":%llu,\"counter\":%llu}\n",
           (unsigned long long)l->answered, seconds, (double)l->answered / seconds,
           quantile_us(l, 0.5), quantile_us(l, 0.99), quantile_us(l, 0.999),
           (unsigned long long)l->wrong, (unsigned long long)l->total,
           (unsigned long long)l->counter);
}

static __attribute__((noreturn)) void usage(void)
{
    fputs("usage: perf-pipeload [-r] [-h HOST] -P PORT | -u SOCKET  [-c CONNECTIONS] [-p DEPTH]\n"
          "                     [-w WARM_SECONDS] [-d SECONDS | -n REQUESTS] [-s COUNTER]\n"
          "                     [-e EXPECTED] FILE\n",
          stderr);
    _exit(2);
}

static void parse_options(struct load *l, int argc, char **argv)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
    for (int opt; (opt = getopt(argc, argv, "rh:P:u:c:p:w:d:n:s:e:")) != -1;)
        switch (opt) {
        case 'r': l->resp = true; break;
        case 'h': l->host = optarg; break;
        case 'P': l->port = (int)strtol(optarg, NULL, 10); break;
        case 'u': l->unix_path = optarg; break;
        case 'c': l->connections = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'p': l->depth = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'w': l->warm_s = strtod(optarg, NULL); break;
        case 'd': l->run_s = strtod(optarg, NULL); break;
        case 'n': l->requests_wanted = strtoull(optarg, NULL, 10); break;
        case 'e': l->expected = optarg; break;
        case 's': l->counter = strtoull(optarg, NULL, 10); break;
        default: usage();
        }
    if (optind != argc - 1 || (!l->port && !l->unix_path) || l->connections < 1 ||
        l->connections > CONNECTIONS_MAX || l->depth < 1 || l->depth > DEPTH_MAX)
        usage();
}

int main(int argc, char **argv)
{
    static struct load l = {
        .connections = 64, .depth = 1, .warm_s = 0.5, .run_s = 3, .host = "127.0.0.1"};
    parse_options(&l, argc, argv);
    load_requests(&l, argv[optind]);
    set_up_ring(&l);
    set_up_connections(&l);
    run(&l);
    report(&l);
    return l.wrong ? 3 : 0;
}
