// SPDX-License-Identifier: MIT
/*
 * What a command says of its progress, on a terminal and elsewhere.
 */
#include "support/progress.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/check.h"

/* Takes the place of stderr; what is written there can be read at `read_fd`. */
struct listener {
    int read_fd;
    int stderr_fd; /* as it was */
    char text[4096];
    size_t len;
};

static void listen_at(struct listener *l, int read_fd, int write_fd)
{
    *l = (struct listener){.read_fd = read_fd, .stderr_fd = dup(STDERR_FILENO)};
    REQUIRE(l->stderr_fd >= 0 && write_fd >= 0);
    REQUIRE(fcntl(read_fd, F_SETFL, O_NONBLOCK) == 0);
    REQUIRE(dup2(write_fd, STDERR_FILENO) == STDERR_FILENO);
    close(write_fd);
}

static void listen_at_terminal(struct listener *l)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    REQUIRE(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    listen_at(l, terminal, open(ptsname(terminal), O_RDWR | O_NOCTTY));
}

static void stop_listening(struct listener *l)
{
    dup2(l->stderr_fd, STDERR_FILENO);
    close(l->stderr_fd);
    close(l->read_fd);
}

/* Whether something with these words has been written by now. */
static bool hears(struct listener *l, const char *words)
{
    if (l->len == sizeof(l->text) - 1)
        l->len = 0; /* nobody writes to who does not read */
    ssize_t got = read(l->read_fd, l->text + l->len, sizeof(l->text) - 1 - l->len);
    if (got > 0)
        l->len += (size_t)got;
    return strstr(l->text, words) != NULL;
}

/* Says it once more, until it has been drawn: terminals are written to at most ten times a second,
 * and what is written arrives a moment later. */
static bool draws(struct listener *l, double done, const char *words)
{
    progress_share(done, "part %d", 7);
    return hears(l, words) && strstr(l->text, " s left: part 7\033[?7h");
}

TEST(share_is_of_all_parts_and_a_line_is_written_over)
{
    struct listener l;
    listen_at_terminal(&l);
    progress_plan(4);
    CHECK_WITHIN(60000, draws(&l, 0.5, "\r\033[K\033[?7l 12 %, some "));
    progress_next();
    progress_next();
    CHECK_WITHIN(60000, draws(&l, 0.5, "\r\033[K\033[?7l 62 %, some "));
    progress_end();
    stop_listening(&l);
}

TEST(nothing_is_drawn_where_lines_stay)
{
    struct listener l;
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    listen_at(&l, ends[0], ends[1]);
    progress_plan(1);
    progress("what is being done");
    progress_share(0, "begun just now");
    progress_next();
    progress_share(0, "begun without a plan");
    progress_end();
    bool heard = hears(&l, "");
    stop_listening(&l);
    CHECK(heard && l.len == 0);
}
