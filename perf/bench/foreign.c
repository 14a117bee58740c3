// SPDX-License-Identifier: MIT
/*
 * Two pipes and a file.
 */
#include "bench/foreign.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/keys.h"
#include "support/fail.h"
#include "support/folder.h"

#define WORDS_MAX 12u

struct foreign {
    const char *name;
    char *path; /* of the file */
    pid_t pid;
    FILE *to, *from;
    uint64_t count, at;
    unsigned threads;
};

/* ---- the file ---- */

static void write_file(const char *path, uint32_t entries, uint32_t value_bytes,
                       const struct sequence *sequence)
{
    FILE *out = fopen(path, "we");
    uint32_t head[4] = {entries, value_bytes, (uint32_t)sequence->length, 0};
    if (!out)
        fail("cannot write %s", path);
    fwrite(head, sizeof(head), 1, out);
    for (uint32_t i = 0; i < entries; i++) {
        struct step step = {0};
        key_make(i, &step);
        fwrite(&step, sizeof(step), 1, out);
    }
    fwrite(sequence->steps, sizeof(*sequence->steps), sequence->length, out);
    if (ferror(out) || fclose(out) != 0)
        fail("cannot write %s: is there room?", path);
}

/* ---- the process ---- */

static void become(const char *const *argv, char *path, const int *to, const int *from)
{
    char *words[WORDS_MAX + 2] = {0};
    unsigned count = 0;
    for (; argv[count] && count < WORDS_MAX; count++)
        words[count] = must_print("%s", argv[count]);
    words[count] = path;
    dup2(to[0], STDIN_FILENO);
    dup2(from[1], STDOUT_FILENO);
    unsetenv("MALLOC_CONF"); /* is about our allocator */
    execvp(words[0], words);
    _exit(127);
}

static void start(struct foreign *f, const char *const *argv)
{
    int to[2], from[2];
    /* No child has another's pipe, or that one would never see the end of it. */
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0 || (f->pid = fork()) < 0)
        fail("cannot start %s: %m", f->name);
    if (f->pid == 0)
        become(argv, f->path, to, from);
    close(to[0]);
    close(from[1]);
    f->to = fdopen(to[1], "w");
    f->from = fdopen(from[0], "r");
    if (!f->to || !f->from)
        fail("fdopen: %m");
}

struct foreign *foreign_open(const char *name, const char *const *argv, uint32_t entries,
                             uint32_t value_bytes, const struct sequence *sequence)
{
    static const char *folder;
    char line[64];
    struct foreign *f = must_alloc(1, sizeof(*f));
    folder = folder ? folder : folder_create("nigh-peers");
    signal(SIGPIPE, SIG_IGN); /* one that has died is noticed by what it does not answer */
    f->name = name;
    f->path = must_print("%s/%s", folder, name);
    write_file(f->path, entries, value_bytes, sequence);
    start(f, argv);
    bool is_ready = fgets(line, sizeof(line), f->from) && strcmp(line, "ready\n") == 0;
    unlink(f->path);
    if (is_ready)
        return f;
    foreign_close(f);
    return NULL;
}

void foreign_close(struct foreign *f)
{
    fclose(f->to);
    fclose(f->from);
    waitpid(f->pid, NULL, 0);
    free(f->path);
    free(f);
}

void foreign_set(struct foreign *f, uint64_t count, unsigned threads)
{
    f->count = count;
    f->threads = threads;
}

double foreign_round(void *arg)
{
    struct foreign *f = arg;
    char line[64];
    long long cpu_ns, wrong;
    fprintf(f->to, "%llu %llu %u\n", (unsigned long long)f->at, (unsigned long long)f->count,
            f->threads);
    fflush(f->to);
    if (!fgets(line, sizeof(line), f->from) || sscanf(line, "%lld %lld", &cpu_ns, &wrong) != 2)
        fail("%s has ended", f->name);
    if (wrong)
        fail("%s: a lookup gave no value, or a wrong one", f->name);
    f->at += f->count;
    return (double)cpu_ns / (double)f->count;
}
