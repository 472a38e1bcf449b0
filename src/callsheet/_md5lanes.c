/* MD5 (RFC 1321) of many messages at once: of files, or of bytes in memory.
 *
 * MD5 is serial: each of its steps waits for the one before, and a core idles most of the time. Messages are
 * independent, so each gets a lane of a vector register and all advance by one instruction stream. Rules:
 *
 *  - A lane streams one file through a small buffer of its own, or goes along one message in memory, and takes the next
 *    when it is done: memory and open files are bounded by the lanes, whatever the sizes and number of files.
 *  - `variants` lists the kernels for each kind of CPU; a pass uses the narrowest one that has room for the
 *    active lanes, down to the scalar one when a single long file is left.
 *  - The GIL is not held while files are opened and read, and messages hashed.
 *  - Needs vector extensions (gcc, clang) and a little-endian CPU. Elsewhere the build fails, and
 *    `callsheet.hashing` does without.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if !defined(__GNUC__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "needs gcc or clang, and a little-endian CPU"
#endif

enum {
    BLOCK_BYTES = 64,
    /* Measured on Zen 4: 16 KiB takes a tenth longer (system calls), 48 to 128 KiB are the same. */
    BUFFER_BYTES = 64 * 1024,
    /* The last bytes of a message, its 0x80, zeros and length: at most one block more than the buffer. */
    PADDED_BYTES = BUFFER_BYTES + BLOCK_BYTES,
    MAX_LANES = 32,
};

/* Reading goes on for this long before Ctrl-C is looked for. */
static const uint64_t SIGNAL_CHECK_BYTES = UINT64_C(256) << 20;

/* What can go wrong with a file besides an errno; all errnos are positive. */
enum { NOT_REGULAR = -1, CHANGED = -2 };

/* What became of a message: `error` is 0, an errno, NOT_REGULAR or CHANGED; the rest holds only if it is 0. */
struct outcome {
    int error;
    int64_t size_bytes;
    int64_t mtime_ns;
    uint32_t digest[4];
};

/* A message on its way: `blocks` blocks at `data` are ready to be hashed. `padded` is set once its end is among them.
 * A file comes through the buffer; of what is in memory (`memory`, and no `fd`), only the end does. */
struct lane {
    uint32_t state[4];
    const uint8_t *data;
    size_t blocks;
    bool padded;
    int fd;
    const uint8_t *memory;
    uint64_t read_bytes;
    struct outcome *outcome;
    uint8_t *buffer;
};

/* ---- Kernels ------------------------------------------------------------------------------------------- */

/* Each lane's next `blocks` blocks go into its state. A lane may stand there more than once: all of its copies
 * compute the same. */
typedef void kernel_function(struct lane *const lanes[], size_t blocks);

/* RFC 1321, 3.4. The sum in G may be an OR as well: it keeps the newest value, x, out of one operation. */
#define F(x, y, z) ((((y) ^ (z)) & (x)) ^ (z))
#define G(x, y, z) (((x) & (z)) + ((y) & ~(z)))
#define H(x, y, z) ((x) ^ (y) ^ (z))
#define I(x, y, z) ((y) ^ ((x) | ~(z)))

#define STEP(function, a, b, c, d, k, s, t)                                                                      \
    for (int g = 0; g < groups; g++) {                                                                           \
        a[g] += words[g][k] + UINT32_C(t);                                                                       \
        a[g] += function(b[g], c[g], d[g]);                                                                      \
        a[g] = ((a[g] << (s)) | (a[g] >> (32 - (s)))) + b[g];                                                    \
    }

/* Four steps: the words `k0`... and the constants `t0`... of RFC 1321, each round with its four shifts. */
#define ROUND(function, s0, s1, s2, s3, k0, t0, k1, t1, k2, t2, k3, t3)                                          \
    STEP(function, a, b, c, d, k0, s0, t0)                                                                       \
    STEP(function, d, a, b, c, k1, s1, t1)                                                                       \
    STEP(function, c, d, a, b, k2, s2, t2)                                                                       \
    STEP(function, b, c, d, a, k3, s3, t3)

#define ALL_ROUNDS                                                                                               \
    ROUND(F, 7, 12, 17, 22, 0, 0xd76aa478, 1, 0xe8c7b756, 2, 0x242070db, 3, 0xc1bdceee)                          \
    ROUND(F, 7, 12, 17, 22, 4, 0xf57c0faf, 5, 0x4787c62a, 6, 0xa8304613, 7, 0xfd469501)                          \
    ROUND(F, 7, 12, 17, 22, 8, 0x698098d8, 9, 0x8b44f7af, 10, 0xffff5bb1, 11, 0x895cd7be)                        \
    ROUND(F, 7, 12, 17, 22, 12, 0x6b901122, 13, 0xfd987193, 14, 0xa679438e, 15, 0x49b40821)                      \
    ROUND(G, 5, 9, 14, 20, 1, 0xf61e2562, 6, 0xc040b340, 11, 0x265e5a51, 0, 0xe9b6c7aa)                          \
    ROUND(G, 5, 9, 14, 20, 5, 0xd62f105d, 10, 0x02441453, 15, 0xd8a1e681, 4, 0xe7d3fbc8)                         \
    ROUND(G, 5, 9, 14, 20, 9, 0x21e1cde6, 14, 0xc33707d6, 3, 0xf4d50d87, 8, 0x455a14ed)                          \
    ROUND(G, 5, 9, 14, 20, 13, 0xa9e3e905, 2, 0xfcefa3f8, 7, 0x676f02d9, 12, 0x8d2a4c8a)                         \
    ROUND(H, 4, 11, 16, 23, 5, 0xfffa3942, 8, 0x8771f681, 11, 0x6d9d6122, 14, 0xfde5380c)                        \
    ROUND(H, 4, 11, 16, 23, 1, 0xa4beea44, 4, 0x4bdecfa9, 7, 0xf6bb4b60, 10, 0xbebfbc70)                         \
    ROUND(H, 4, 11, 16, 23, 13, 0x289b7ec6, 0, 0xeaa127fa, 3, 0xd4ef3085, 6, 0x04881d05)                         \
    ROUND(H, 4, 11, 16, 23, 9, 0xd9d4d039, 12, 0xe6db99e5, 15, 0x1fa27cf8, 2, 0xc4ac5665)                        \
    ROUND(I, 6, 10, 15, 21, 0, 0xf4292244, 7, 0x432aff97, 14, 0xab9423a7, 5, 0xfc93a039)                         \
    ROUND(I, 6, 10, 15, 21, 12, 0x655b59c3, 3, 0x8f0ccc92, 10, 0xffeff47d, 1, 0x85845dd1)                        \
    ROUND(I, 6, 10, 15, 21, 8, 0x6fa87e4f, 15, 0xfe2ce6e0, 6, 0xa3014314, 13, 0x4e0811a1)                        \
    ROUND(I, 6, 10, 15, 21, 4, 0xf7537e82, 11, 0xbd3af235, 2, 0x2ad7d2bb, 9, 0xeb86d391)

/* A kernel for `GROUPS` vectors of type V side by side: two hide each other's latency.
 * LOAD(out, data, offset) takes four words from each of a vector's lanes and makes them four vectors. */
#define KERNEL(NAME, TARGET, V, LOAD, GROUPS)                                                                    \
    TARGET static void NAME(struct lane *const lanes[], size_t blocks)                                           \
    {                                                                                                            \
        enum { groups = GROUPS, width = sizeof(V) / sizeof(uint32_t), count = groups * width };                  \
        const uint8_t *data[count];                                                                              \
        uint32_t state[4][count];                                                                                \
        for (int i = 0; i < count; i++) {                                                                        \
            data[i] = lanes[i]->data;                                                                            \
            for (int j = 0; j < 4; j++) {                                                                        \
                state[j][i] = lanes[i]->state[j];                                                                \
            }                                                                                                    \
        }                                                                                                        \
        V a[groups], b[groups], c[groups], d[groups];                                                            \
        memcpy(a, state[0], sizeof a);                                                                           \
        memcpy(b, state[1], sizeof b);                                                                           \
        memcpy(c, state[2], sizeof c);                                                                           \
        memcpy(d, state[3], sizeof d);                                                                           \
        for (size_t offset = 0; offset < blocks * BLOCK_BYTES; offset += BLOCK_BYTES) {                          \
            V words[groups][16], a0[groups], b0[groups], c0[groups], d0[groups];                                 \
            for (int g = 0; g < groups; g++) {                                                                   \
                for (size_t k = 0; k < 16; k += 4) {                                                                \
                    LOAD(&words[g][k], &data[g * width], offset + 4 * k);                                        \
                }                                                                                                \
                a0[g] = a[g], b0[g] = b[g], c0[g] = c[g], d0[g] = d[g];                                          \
            }                                                                                                    \
            ALL_ROUNDS                                                                                           \
            for (int g = 0; g < groups; g++) {                                                                   \
                a[g] += a0[g], b[g] += b0[g], c[g] += c0[g], d[g] += d0[g];                                      \
            }                                                                                                    \
        }                                                                                                        \
        memcpy(state[0], a, sizeof a);                                                                           \
        memcpy(state[1], b, sizeof b);                                                                           \
        memcpy(state[2], c, sizeof c);                                                                           \
        memcpy(state[3], d, sizeof d);                                                                           \
        for (int i = 0; i < count; i++) {                                                                        \
            for (int j = 0; j < 4; j++) {                                                                        \
                lanes[i]->state[j] = state[j][i];                                                                \
            }                                                                                                    \
        }                                                                                                        \
    }

#define INLINE static inline __attribute__((always_inline))
#define ANY_CPU

typedef uint32_t vector4 __attribute__((vector_size(16)));

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE(x, y, i, j, k, l) __builtin_shufflevector(x, y, i, j, k, l)
#endif
#endif
#ifndef SHUFFLE
#define SHUFFLE(x, y, i, j, k, l) __builtin_shuffle(x, y, (vector4){i, j, k, l})
#endif

INLINE void load1(uint32_t out[4], const uint8_t *const data[1], size_t offset)
{
    memcpy(out, data[0] + offset, 16);
}

INLINE void load4(vector4 out[4], const uint8_t *const data[4], size_t offset)
{
    vector4 row[4];
    for (int i = 0; i < 4; i++) {
        memcpy(&row[i], data[i] + offset, 16);
    }
    vector4 ab = SHUFFLE(row[0], row[1], 0, 4, 1, 5), cd = SHUFFLE(row[2], row[3], 0, 4, 1, 5);
    out[0] = SHUFFLE(ab, cd, 0, 1, 4, 5);
    out[1] = SHUFFLE(ab, cd, 2, 3, 6, 7);
    ab = SHUFFLE(row[0], row[1], 2, 6, 3, 7), cd = SHUFFLE(row[2], row[3], 2, 6, 3, 7);
    out[2] = SHUFFLE(ab, cd, 0, 1, 4, 5);
    out[3] = SHUFFLE(ab, cd, 2, 3, 6, 7);
}

KERNEL(hash1, ANY_CPU, uint32_t, load1, 1)
KERNEL(hash4, ANY_CPU, vector4, load4, 1)
KERNEL(hash8, ANY_CPU, vector4, load4, 2)

#ifdef __x86_64__
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512vl")))

typedef uint32_t vector8 __attribute__((vector_size(32)));
typedef uint32_t vector16 __attribute__((vector_size(64)));

#define LOAD_128(i) _mm_loadu_si128((const __m128i *)(data[i] + offset))

/* Transposes 4 x 4 words within each 128 bits of four registers. */
#define TRANSPOSE(register, prefix)                                                                              \
    register ab = prefix##_unpacklo_epi32(row[0], row[1]), cd = prefix##_unpacklo_epi32(row[2], row[3]);         \
    out[0] = (__typeof__(*out))prefix##_unpacklo_epi64(ab, cd);                                                  \
    out[1] = (__typeof__(*out))prefix##_unpackhi_epi64(ab, cd);                                                  \
    ab = prefix##_unpackhi_epi32(row[0], row[1]), cd = prefix##_unpackhi_epi32(row[2], row[3]);                  \
    out[2] = (__typeof__(*out))prefix##_unpacklo_epi64(ab, cd);                                                  \
    out[3] = (__typeof__(*out))prefix##_unpackhi_epi64(ab, cd);

AVX2 INLINE void load8(vector8 out[4], const uint8_t *const data[8], size_t offset)
{
    __m256i row[4];
    for (int i = 0; i < 4; i++) {
        row[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(LOAD_128(i)), LOAD_128(i + 4), 1);
    }
    TRANSPOSE(__m256i, _mm256)
}

AVX512 INLINE void load16(vector16 out[4], const uint8_t *const data[16], size_t offset)
{
    __m512i row[4];
    for (int i = 0; i < 4; i++) {
        row[i] = _mm512_castsi128_si512(LOAD_128(i));
        row[i] = _mm512_inserti32x4(row[i], LOAD_128(i + 4), 1);
        row[i] = _mm512_inserti32x4(row[i], LOAD_128(i + 8), 2);
        row[i] = _mm512_inserti32x4(row[i], LOAD_128(i + 12), 3);
    }
    TRANSPOSE(__m512i, _mm512)
}

KERNEL(hash8_avx2, AVX2, vector8, load8, 1)
KERNEL(hash16_avx2, AVX2, vector8, load8, 2)
KERNEL(hash8_avx512, AVX512, vector8, load8, 1)
KERNEL(hash16_avx512, AVX512, vector16, load16, 1)
KERNEL(hash32_avx512, AVX512, vector16, load16, 2)
#endif

struct kernel {
    kernel_function *hash;
    size_t lanes;
};

/* The kernels of one instruction set, narrowest first, ended by an empty one. The scalar one is the fastest for
 * a single lane (0.76 GB/s); from two lanes on every vector is faster (0.4 to 0.55 GB/s in each). */
struct variant {
    const char *name;
    struct kernel kernels[5];
};

/* Best first. */
static const struct variant variants[] = {
#ifdef __x86_64__
    {"avx512", {{hash1, 1}, {hash8_avx512, 8}, {hash16_avx512, 16}, {hash32_avx512, MAX_LANES}}},
    {"avx2", {{hash1, 1}, {hash8_avx2, 8}, {hash16_avx2, 16}}},
#endif
    {"portable", {{hash1, 1}, {hash4, 4}, {hash8, 8}}},
};

enum { VARIANTS = sizeof variants / sizeof *variants };

static bool supported(const struct variant *variant)
{
#ifdef __x86_64__
    if (strcmp(variant->name, "avx512") == 0) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
    }
    if (strcmp(variant->name, "avx2") == 0) {
        return __builtin_cpu_supports("avx2");
    }
#endif
    (void)variant;
    return true;
}

/* The narrowest kernel with room for `active` lanes, else the widest. */
static struct kernel choose_kernel(const struct variant *variant, size_t active)
{
    const struct kernel *kernel = variant->kernels;
    while (kernel->lanes < active && kernel[1].hash) {
        kernel++;
    }
    return *kernel;
}

/* ---- Lanes --------------------------------------------------------------------------------------------- */

static void reset_state(struct lane *lane)
{
    static const uint32_t initial[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    memcpy(lane->state, initial, sizeof initial);
}

/* Ends the message of `message_bytes`, the last `filled` of which are in the buffer. Returns the bytes there now. */
static size_t pad(uint8_t *buffer, size_t filled, uint64_t message_bytes)
{
    uint64_t message_bits = message_bytes * 8;
    size_t padded = (filled + 1 + sizeof message_bits + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    memset(buffer + filled, 0, padded - filled);
    buffer[filled] = 0x80;
    memcpy(buffer + padded - sizeof message_bits, &message_bits, sizeof message_bits);
    return padded;
}

/* Reads until the lane's buffer is full or the file ends; the lane then has at least one block.
 * Returns 0 or an error. */
static int refill(struct lane *lane)
{
    size_t filled = 0;
    bool ended = false;
    while (filled < BUFFER_BYTES && !ended) {
        ssize_t got = read(lane->fd, lane->buffer + filled, BUFFER_BYTES - filled);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno;
        }
        filled += (size_t)got;
        lane->read_bytes += (uint64_t)got;
        ended = got == 0;
    }
    /* Also what ends the reading of a file that grows as fast as it is read. */
    if (lane->read_bytes > (uint64_t)lane->outcome->size_bytes) {
        return CHANGED;
    }
    if (ended) {
        filled = pad(lane->buffer, filled, lane->read_bytes);
    }
    lane->padded = ended;
    lane->data = lane->buffer;
    lane->blocks = filled / BLOCK_BYTES;
    return 0;
}

/* Makes what memory has left of the message ready: its whole blocks, then its padded end. */
static void advance(struct lane *lane)
{
    uint64_t left = (uint64_t)lane->outcome->size_bytes - lane->read_bytes;
    lane->data = lane->memory + lane->read_bytes;
    lane->blocks = (size_t)(left / BLOCK_BYTES);
    lane->read_bytes += lane->blocks * BLOCK_BYTES;
    if (lane->blocks == 0) {
        memcpy(lane->buffer, lane->data, (size_t)left);
        lane->data = lane->buffer;
        lane->blocks = pad(lane->buffer, (size_t)left, lane->read_bytes + left) / BLOCK_BYTES;
        lane->padded = true;
    }
}

/* Size and modification time of an open file. Returns 0 or an error. */
static int observe(int fd, struct outcome *outcome)
{
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return NOT_REGULAR;
    }
#ifdef __APPLE__
    struct timespec modified = status.st_mtimespec;
#else
    struct timespec modified = status.st_mtim;
#endif
    outcome->size_bytes = status.st_size;
    outcome->mtime_ns = (int64_t)modified.tv_sec * 1000000000 + modified.tv_nsec;
    return 0;
}

/* Whether the file whose bytes were all read is still the one that was opened. Returns 0 or an error. */
static int check_unchanged(const struct lane *lane)
{
    struct outcome now = {0};
    int error = observe(lane->fd, &now);
    if (error) {
        return error;
    }
    const struct outcome *before = lane->outcome;
    bool same = now.size_bytes == before->size_bytes && now.mtime_ns == before->mtime_ns &&
                lane->read_bytes == (uint64_t)before->size_bytes;
    return same ? 0 : CHANGED;
}

static void leave(const struct lane *lane)
{
    if (!lane->memory) {
        close(lane->fd);
    }
}

static void finish(struct lane *lane, int error)
{
    leave(lane);
    lane->outcome->error = error;
    memcpy(lane->outcome->digest, lane->state, sizeof lane->state);
}

/* Opens a file for the lane and has the kernel fetch it: files that are not in memory are then read side by side.
 * Returns 0 or an error; the file is then closed. */
static int begin(struct lane *lane, const char *path, struct outcome *outcome)
{
    if (!path) {
        return EINVAL;
    }
    do {
        /* O_NONBLOCK: opening a FIFO must not wait for its writer. */
        lane->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    } while (lane->fd < 0 && errno == EINTR);
    if (lane->fd < 0) {
        return errno;
    }
    int error = observe(lane->fd, outcome);
    if (error) {
        close(lane->fd);
        return error;
    }
#ifdef POSIX_FADV_WILLNEED /* A fifth faster from a disk, 3 % slower from memory. */
    posix_fadvise(lane->fd, 0, 0, POSIX_FADV_WILLNEED);
#endif
    *lane = (struct lane){.fd = lane->fd, .buffer = lane->buffer, .outcome = outcome};
    reset_state(lane);
    return 0;
}

/* ---- The schedule -------------------------------------------------------------------------------------- */

/* The messages of one call; those before `next` have been begun. They are files, whose path is NULL if it names no file
 * at all; or, if there are no paths, in memory, and the outcomes have their sizes. */
struct queue {
    const char **paths;
    const uint8_t **memory;
    struct outcome *outcomes;
    size_t count;
    size_t next;
};

/* Takes a message in memory into the lane. */
static void begin_in_memory(struct lane *lane, const uint8_t *memory, struct outcome *outcome)
{
    *lane = (struct lane){.memory = memory, .buffer = lane->buffer, .outcome = outcome};
    reset_state(lane);
}

/* Begins the next message, of files the next one that can be opened. False if there is none, or none for now: a process that has no file
 * descriptor left goes on with the `active` lanes that it has. */
static bool begin_next(struct queue *queue, struct lane *lane, size_t active)
{
    while (queue->next < queue->count) {
        struct outcome *outcome = &queue->outcomes[queue->next];
        if (!queue->paths) {
            begin_in_memory(lane, queue->memory[queue->next++], outcome);
            return true;
        }
        int error = begin(lane, queue->paths[queue->next], outcome);
        if ((error == EMFILE || error == ENFILE) && active > 0) {
            return false;
        }
        queue->next++;
        if (!error) {
            return true;
        }
        outcome->error = error;
    }
    return false;
}

/* Whether the lane has blocks to be hashed, after taking more if need be; if not, its message is finished. */
static bool prepare(struct lane *lane)
{
    if (lane->blocks > 0) {
        return true;
    }
    bool complete = lane->padded;
    int error = 0;
    if (!lane->memory) {
        error = complete ? check_unchanged(lane) : refill(lane);
    } else if (!complete) {
        advance(lane);
    }
    if (complete || error) {
        finish(lane, error);
        return false;
    }
    return true;
}

/* Moves the lanes that have blocks to be hashed before the others, and returns their number. */
static size_t prepare_all(struct lane *lanes[], size_t active)
{
    for (size_t i = 0; i < active;) {
        if (prepare(lanes[i])) {
            i++;
        } else {
            struct lane *idle = lanes[i];
            lanes[i] = lanes[--active];
            lanes[active] = idle;
        }
    }
    return active;
}

/* Hashes as many blocks as every one of the `active` lanes has. Returns the bytes hashed. */
static uint64_t pass(const struct variant *variant, struct lane *const lanes[], size_t active)
{
    struct kernel kernel = choose_kernel(variant, active);
    struct lane *all[MAX_LANES];
    size_t blocks = lanes[0]->blocks;
    for (size_t i = 0; i < kernel.lanes; i++) {
        all[i] = lanes[i < active ? i : 0];
        blocks = all[i]->blocks < blocks ? all[i]->blocks : blocks;
    }
    kernel.hash(all, blocks);
    for (size_t i = 0; i < active; i++) {
        lanes[i]->data += blocks * BLOCK_BYTES;
        lanes[i]->blocks -= blocks;
    }
    return (uint64_t)active * blocks * BLOCK_BYTES;
}

/* Runs Python's signal handlers. Returns 0, or -1 if one raised. Called and left with the GIL released. */
static int check_signals(PyThreadState **thread)
{
    PyEval_RestoreThread(*thread);
    int error = PyErr_CheckSignals();
    *thread = PyEval_SaveThread();
    return error;
}

/* Hashes all messages of the queue in the `width` lanes. Called and left with the GIL held, which is released meanwhile.
 * Returns 0, or -1 if a signal handler raised: the exception is set, and every file is closed. */
static int hash_queue(struct queue *queue, const struct variant *variant, struct lane *lanes[], size_t width)
{
    size_t active = 0;
    uint64_t unchecked_bytes = 0;
    int error = 0;
    PyThreadState *thread = PyEval_SaveThread();
    while (!error) {
        while (active < width && begin_next(queue, lanes[active], active)) {
            active++;
        }
        if (active == 0) {
            break;
        }
        size_t ready = prepare_all(lanes, active);
        if (ready < active) {
            active = ready;
            continue; /* The next files come into the free lanes first. */
        }
        unchecked_bytes += pass(variant, lanes, active);
        if (unchecked_bytes >= SIGNAL_CHECK_BYTES) {
            unchecked_bytes = 0;
            error = check_signals(&thread);
        }
    }
    while (active > 0) {
        leave(lanes[--active]);
    }
    PyEval_RestoreThread(thread);
    return error;
}

/* hash_queue() with the lanes that it needs. Returns 0, or -1 with an exception set. */
static int hash_in_lanes(struct queue *queue, const struct variant *variant)
{
    size_t width = choose_kernel(variant, queue->count).lanes;
    void *buffers;
    if (posix_memalign(&buffers, BLOCK_BYTES, width * PADDED_BYTES)) {
        PyErr_NoMemory();
        return -1;
    }
    struct lane lanes[MAX_LANES] = {0};
    struct lane *order[MAX_LANES];
    for (size_t i = 0; i < width; i++) {
        lanes[i].buffer = (uint8_t *)buffers + i * PADDED_BYTES;
        order[i] = &lanes[i];
    }
    int error = hash_queue(queue, variant, order, width);
    free(buffers);
    return error;
}

/* ---- Python -------------------------------------------------------------------------------------------- */

/* The digest as 32 hex digits. */
static PyObject *hex_of(const struct outcome *outcome)
{
    static const char digits[] = "0123456789abcdef";
    char hex[2 * sizeof outcome->digest];
    const uint8_t *digest = (const uint8_t *)outcome->digest;
    for (size_t i = 0; i < sizeof outcome->digest; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    return PyUnicode_FromStringAndSize(hex, (Py_ssize_t)sizeof hex);
}

/* The tuple of one outcome; see `hash_files`. */
static PyObject *outcome_as_tuple(const struct outcome *outcome)
{
    if (outcome->error) {
        return Py_BuildValue("(iiis)", outcome->error, 0, 0, "");
    }
    return Py_BuildValue("(iLLN)", 0, (long long)outcome->size_bytes, (long long)outcome->mtime_ns,
                         hex_of(outcome));
}

static PyObject *outcomes_as_list(const struct outcome *outcomes, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *tuple = outcome_as_tuple(&outcomes[i]);
        if (!tuple || PyList_SetItem(list, (Py_ssize_t)i, tuple) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* The path as the file system spells it, a bytes object; None if it can't be spelt there (NUL, lone surrogate).
 * NULL with an exception set if it is no path at all. */
static PyObject *encode_path(PyObject *path)
{
    PyObject *encoded = NULL;
    if (PyUnicode_FSConverter(path, &encoded)) {
        return encoded;
    }
    if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
        return NULL;
    }
    PyErr_Clear();
    return Py_NewRef(Py_None);
}

static PyObject *encode_paths(PyObject *paths)
{
    Py_ssize_t count = PyList_Size(paths);
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list && i < count; i++) {
        PyObject *path = PyList_GetItem(paths, i);
        PyObject *encoded = path ? encode_path(path) : NULL;
        if (!encoded || PyList_SetItem(list, i, encoded) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* Hashes the files of a list of encode_paths(). */
static PyObject *hash_encoded(PyObject *encoded, const struct variant *variant)
{
    PyObject *list = NULL;
    size_t count = (size_t)PyList_Size(encoded);
    /* PyMem_Calloc answers a request for nothing with something. */
    struct queue queue = {
        .paths = PyMem_Calloc(count, sizeof *queue.paths),
        .outcomes = PyMem_Calloc(count, sizeof *queue.outcomes),
        .count = count,
    };
    if (!queue.paths || !queue.outcomes) {
        PyErr_NoMemory();
    } else {
        for (size_t i = 0; i < count; i++) {
            PyObject *path = PyList_GetItem(encoded, (Py_ssize_t)i);
            queue.paths[i] = path == Py_None ? NULL : PyBytes_AsString(path);
        }
        if (hash_in_lanes(&queue, variant) == 0) {
            list = outcomes_as_list(queue.outcomes, count);
        }
    }
    PyMem_Free(queue.paths);
    PyMem_Free(queue.outcomes);
    return list;
}

/* The variant of this name that this CPU has, the best one for NULL. NULL with an exception set if there is none. */
static const struct variant *find_variant(const char *name)
{
    for (size_t i = 0; i < VARIANTS; i++) {
        if (supported(&variants[i]) && (!name || strcmp(name, variants[i].name) == 0)) {
            return &variants[i];
        }
    }
    PyErr_Format(PyExc_ValueError, "this CPU has no variant %s", name);
    return NULL;
}

PyDoc_STRVAR(hash_files_doc,
             "hash_files(paths, variant=None, /)\n--\n\n"
             "One tuple (error, size_bytes, mtime_ns, md5) per path of the list, in its order.\n\n"
             "`error` is 0, an errno, NOT_REGULAR, or CHANGED if size or modification time changed meanwhile;\n"
             "the rest holds only if it is 0. `md5` is 32 hex digits. A path that can't name a file is EINVAL.\n"
             "`variant` is one of VARIANTS, the first by default.");

static PyObject *hash_files(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *paths;
    const char *name = NULL;
    if (!PyArg_ParseTuple(arguments, "O!|z:hash_files", &PyList_Type, &paths, &name)) {
        return NULL;
    }
    const struct variant *variant = find_variant(name);
    PyObject *encoded = variant ? encode_paths(paths) : NULL;
    if (!encoded) {
        return NULL;
    }
    PyObject *list = hash_encoded(encoded, variant);
    Py_DECREF(encoded);
    return list;
}

/* The hex digits of the digests of all messages. */
static PyObject *digests_as_list(const struct outcome *outcomes, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *digest = hex_of(&outcomes[i]);
        if (!digest || PyList_SetItem(list, (Py_ssize_t)i, digest) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* Hashes `count` messages, whose views are held meanwhile. */
static PyObject *hash_views(const Py_buffer *views, size_t count, const struct variant *variant)
{
    PyObject *list = NULL;
    struct queue queue = {
        .memory = PyMem_Calloc(count, sizeof *queue.memory),
        .outcomes = PyMem_Calloc(count, sizeof *queue.outcomes),
        .count = count,
    };
    if (!queue.memory || !queue.outcomes) {
        PyErr_NoMemory();
    } else {
        for (size_t i = 0; i < count; i++) {
            queue.memory[i] = views[i].len ? views[i].buf : (const void *)"";
            queue.outcomes[i].size_bytes = views[i].len;
        }
        if (hash_in_lanes(&queue, variant) == 0) {
            list = digests_as_list(queue.outcomes, count);
        }
    }
    PyMem_Free(queue.memory);
    PyMem_Free(queue.outcomes);
    return list;
}

PyDoc_STRVAR(hash_buffers_doc,
             "hash_buffers(buffers, variant=None, /)\n--\n\n"
             "The MD5, 32 hex digits, of the bytes of each buffer of the list. Nobody may change them meanwhile.\n"
             "`variant` is as for `hash_files`.");

static PyObject *hash_buffers(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *buffers;
    const char *name = NULL;
    if (!PyArg_ParseTuple(arguments, "O!|z:hash_buffers", &PyList_Type, &buffers, &name)) {
        return NULL;
    }
    const struct variant *variant = find_variant(name);
    size_t count = (size_t)PyList_Size(buffers), held = 0;
    Py_buffer *views = variant ? PyMem_Calloc(count, sizeof *views) : NULL;
    if (!views) {
        return variant ? PyErr_NoMemory() : NULL;
    }
    while (held < count) {
        PyObject *buffer = PyList_GetItem(buffers, (Py_ssize_t)held);
        if (!buffer || PyObject_GetBuffer(buffer, &views[held], PyBUF_SIMPLE) < 0) {
            break;
        }
        held++;
    }
    PyObject *list = held == count ? hash_views(views, count, variant) : NULL;
    while (held > 0) {
        PyBuffer_Release(&views[--held]);
    }
    PyMem_Free(views);
    return list;
}

/* Whether `kernel` computes in each of its lanes what the scalar kernel computes. */
static bool agrees_with_scalar(struct kernel kernel)
{
    enum { blocks = 2 };
    uint8_t data[blocks * BLOCK_BYTES + MAX_LANES];
    struct lane lanes[MAX_LANES], expected[MAX_LANES];
    struct lane *pointers[MAX_LANES] = {0};
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * i + 7 * i);
    }
    for (size_t i = 0; i < kernel.lanes; i++) {
        lanes[i] = (struct lane){.data = data + i};
        reset_state(&lanes[i]);
        expected[i] = lanes[i];
        pointers[i] = &expected[i];
        hash1(&pointers[i], blocks);
        pointers[i] = &lanes[i];
    }
    kernel.hash(pointers, blocks);
    for (size_t i = 0; i < kernel.lanes; i++) {
        if (memcmp(lanes[i].state, expected[i].state, sizeof lanes[i].state) != 0) {
            return false;
        }
    }
    return true;
}

/* Whether what the compiler made of the kernels is MD5: a wrong hash would be worse than a slow one. */
static bool self_test(void)
{
    static const uint8_t md5_of_abc[16] = {0x90, 0x01, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0,
                                           0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f, 0x72};
    uint8_t message[BLOCK_BYTES] = "abc";
    pad(message, 3, 3);
    struct lane lane = {.data = message}, *pointer = &lane;
    reset_state(&lane);
    hash1(&pointer, 1);
    bool right = memcmp(lane.state, md5_of_abc, sizeof md5_of_abc) == 0;
    for (size_t i = 0; i < VARIANTS; i++) {
        for (const struct kernel *kernel = variants[i].kernels; supported(&variants[i]) && kernel->hash; kernel++) {
            right = right && agrees_with_scalar(*kernel);
        }
    }
    return right;
}

/* Adds `value` and gives up the reference to it. */
static int add(PyObject *module, const char *name, PyObject *value)
{
    int error = value ? PyModule_AddObjectRef(module, name, value) : -1;
    Py_XDECREF(value);
    return error;
}

static PyObject *supported_names(void)
{
    PyObject *names = PyList_New(0);
    for (size_t i = 0; names && i < VARIANTS; i++) {
        if (supported(&variants[i])) {
            PyObject *name = PyUnicode_FromString(variants[i].name);
            if (!name || PyList_Append(names, name) < 0) {
                Py_CLEAR(names);
            }
            Py_XDECREF(name);
        }
    }
    return names;
}

static int initialize(PyObject *module)
{
    if (!self_test()) {
        PyErr_SetString(PyExc_ImportError, "_md5lanes was compiled into something that is not MD5");
        return -1;
    }
    if (add(module, "VARIANTS", supported_names()) < 0 || PyModule_AddIntMacro(module, NOT_REGULAR) < 0 ||
        PyModule_AddIntMacro(module, CHANGED) < 0 || PyModule_AddIntMacro(module, BUFFER_BYTES) < 0) {
        return -1;
    }
    return 0;
}

static PyMethodDef methods[] = {
    {"hash_files", hash_files, METH_VARARGS, hash_files_doc},
    {"hash_buffers", hash_buffers, METH_VARARGS, hash_buffers_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)initialize},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "callsheet._md5lanes",
    .m_doc = "MD5 of many files or buffers at once, one in each lane of a vector register.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__md5lanes(void)
{
    return PyModuleDef_Init(&definition);
}
