/* A TCG plugin of QEMU: how often each block of instructions runs, and which cache lines are missed.
 *
 *   qemu-aarch64 -plugin counter.so,out=FILE,cache=SETS:WAYS[,cache=...] PROGRAM
 *
 * The program marks where to count by a system call that nothing else makes,
 * sched_get_priority_max(MARK): prepare (instrument what runs from here on, so that start-up stays
 * fast), start, stop, write. Only the thread that makes these calls is counted: what else runs is no part of
 * an inference with one thread. The caches are set-associative, LRU, write-back, inclusive, with lines of
 * 64 bytes; `cache=` is given from the first level on.
 *
 * From the mark `laps` on it counts as well, and writes what ran since the last lap: at `stop`, and wherever
 * the thread asks for the time, as a profiler does before and after each operator, or for its process, as ONNX
 * Runtime's does when it has recorded one.
 *
 * Distributions ship no qemu-plugin.h, so what is used of it is declared here. QEMU up to 8 takes version 1
 * of the interface, from 9.0 on version 2 with scoreboards, and from version 3 (9.1) on an instruction's
 * bytes are copied. One file serves all of them.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
typedef uint32_t access_info;
struct info { const char *target; struct { int min, current; } version; };
struct block;
struct instruction;
enum { NO_REGISTERS = 0, READ_AND_WRITE = 3 };

typedef void on_access(unsigned, access_info, uint64_t, void *);
typedef void on_block(plugin_id, struct block *);
typedef void on_run(unsigned, void *);
typedef void on_call(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                     uint64_t, uint64_t, uint64_t);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_block *);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct block *, on_run *, int, void *);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, on_call *);
extern void qemu_plugin_register_vcpu_mem_cb(struct instruction *, on_access *, int, int, void *);
extern void qemu_plugin_reset(plugin_id, void (*)(plugin_id));
extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern uint64_t qemu_plugin_tb_vaddr(const struct block *);
extern struct instruction *qemu_plugin_tb_get_insn(const struct block *, size_t);
extern unsigned qemu_plugin_mem_size_shift(access_info);
extern bool qemu_plugin_mem_is_store(access_info);
extern const void *qemu_plugin_insn_data(const struct instruction *);
/* from version 2 on; it only tells the version */
extern __attribute__((weak)) void *qemu_plugin_scoreboard_new(size_t);

EXPORT int qemu_plugin_version = 1;
__attribute__((constructor)) static void choose_version(void)
{
    if (qemu_plugin_scoreboard_new)
        qemu_plugin_version = 2;
}

enum { PREPARE = 0x5e01, START, STOP, WRITE, LAPS };
enum { CLOCK_GETTIME = 113, GET_PRIORITY_MAX = 125, GETTIMEOFDAY = 169, GETPID = 172 };
enum { LINE = 64, LEVELS = 3 };

typedef struct Count {
    struct Count *next;
    uint64_t address, total, before; /* the last lap */
    size_t number, length;
    uint32_t *words;
} Count;

typedef struct {
    uint64_t *lines; /* of each set the latest first: the line's number, shifted, and whether it is dirty */
    uint64_t sets, misses, written;
    unsigned ways;
} Cache;

static Count *counts;
static Cache caches[LEVELS];
static unsigned levels, counted_cpu; /* in user mode QEMU has a CPU for each thread */
static bool copies_bytes, counting, prepared, laps;
static uint64_t accesses;
static char path[4096];
static FILE *out;

static bool touch(unsigned level, uint64_t line, bool store)
{
    Cache *cache = &caches[level];
    uint64_t *set = cache->lines + (line % cache->sets) * cache->ways;
    if (set[0] >> 1 == line) {
        set[0] |= store;
        return true;
    }
    unsigned way = 1;
    while (way < cache->ways && set[way] >> 1 != line)
        way++;
    bool hit = way < cache->ways;
    uint64_t entry = hit ? set[way] | store : line << 1 | store;
    way -= !hit;
    uint64_t evicted = set[way];
    memmove(set + 1, set, way * sizeof *set);
    set[0] = entry;
    if (!hit && evicted != UINT64_MAX && evicted & 1) {
        cache->written += counting;
        if (level + 1 < levels)
            touch(level + 1, evicted >> 1, true);
    }
    return hit;
}

static void access_memory(unsigned cpu, access_info info, uint64_t address, void *data)
{
    (void)data;
    if (cpu != counted_cpu)
        return;
    uint64_t last = (address + (1u << qemu_plugin_mem_size_shift(info)) - 1) / LINE;
    bool store = qemu_plugin_mem_is_store(info);
    accesses += counting;
    for (uint64_t line = address / LINE; line <= last; line++)
        for (unsigned level = 0; level < levels && !touch(level, line, store && !level); level++)
            caches[level].misses += counting;
}

static void ran(unsigned cpu, void *data)
{
    ((Count *)data)->total += counting && cpu == counted_cpu;
}

static uint32_t word_of(const struct instruction *instruction)
{
    uint32_t word = 0;
    if (copies_bytes)
        ((size_t (*)(const struct instruction *, void *, size_t))qemu_plugin_insn_data)(instruction, &word, 4);
    else
        memcpy(&word, qemu_plugin_insn_data(instruction), 4);
    return word;
}

static void translated(plugin_id id, struct block *block)
{
    (void)id;
    Count *count = calloc(1, sizeof *count);
    count->length = qemu_plugin_tb_n_insns(block);
    count->address = qemu_plugin_tb_vaddr(block);
    count->words = malloc(count->length * sizeof *count->words);
    for (size_t i = 0; i < count->length; i++) {
        struct instruction *instruction = qemu_plugin_tb_get_insn(block, i);
        count->words[i] = word_of(instruction);
        if (levels)
            qemu_plugin_register_vcpu_mem_cb(instruction, access_memory, NO_REGISTERS, READ_AND_WRITE, NULL);
    }
    qemu_plugin_register_vcpu_tb_exec_cb(block, ran, NO_REGISTERS, count);
    count->number = counts ? counts->number + 1 : 0;
    count->next = counts;
    counts = count;
}

static bool opened(void)
{
    return out || (out = fopen(path, "w"));
}

static void write_lap(int64_t number)
{
    if (!opened())
        return;
    fprintf(out, "lap %" PRId64 " %" PRIu64, number, accesses);
    for (unsigned level = 0; level < levels; level++)
        fprintf(out, " %" PRIu64, caches[level].misses);
    fputc('\n', out);
    for (Count *count = counts; count; count = count->next)
        if (count->total != count->before) {
            fprintf(out, "ran %zu %" PRIu64 "\n", count->number, count->total - count->before);
            count->before = count->total;
        }
}

static void write_counts(void)
{
    if (!opened())
        return;
    fprintf(out, "accesses %" PRIu64 "\n", accesses);
    for (unsigned level = 0; level < levels; level++)
        fprintf(out, "cache %u %" PRIu64 " %" PRIu64 "\n", level + 1, caches[level].misses,
                caches[level].written);
    for (const Count *count = counts; count; count = count->next) {
        if (!count->total)
            continue;
        fprintf(out, "block %zu %" PRIx64 " %" PRIu64 " ", count->number, count->address, count->total);
        for (size_t i = 0; i < count->length; i++)
            fprintf(out, "%08" PRIx32, count->words[i]);
        fputc('\n', out);
    }
    fprintf(out, "end\n");
    fclose(out);
    out = NULL;
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t mark, uint64_t b, uint64_t c,
                   uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h);

static void instrument(plugin_id id)
{
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t mark, uint64_t b, uint64_t c,
                   uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    bool lap = number == CLOCK_GETTIME || number == GETTIMEOFDAY || number == GETPID;
    if (lap && laps && counting && cpu == counted_cpu)
        write_lap(number);
    if (number != GET_PRIORITY_MAX)
        return;
    if (mark == PREPARE && !prepared) {
        prepared = true;
        counted_cpu = cpu;
        qemu_plugin_reset(id, instrument); /* what was translated so far is translated anew */
    } else if (mark == START || mark == LAPS || mark == STOP) {
        if (laps && mark == STOP)
            write_lap(number);
        counting = mark != STOP;
        laps |= mark == LAPS;
    } else if (mark == WRITE) {
        write_counts();
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const struct info *info, int argc, char **argv)
{
    copies_bytes = info->version.current >= 3;
    for (int i = 0; i < argc; i++) {
        Cache *cache = &caches[levels < LEVELS ? levels : LEVELS - 1];
        if (sscanf(argv[i], "cache=%" SCNu64 ":%u", &cache->sets, &cache->ways) == 2 && cache->ways) {
            size_t size = cache->sets * cache->ways * sizeof *cache->lines;
            cache->lines = malloc(size);
            memset(cache->lines, 0xff, size);
            levels++;
        } else {
            sscanf(argv[i], "out=%4095[^\n]", path);
        }
    }
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
