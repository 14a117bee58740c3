// SPDX-License-Identifier: MIT
// Passwords: found, tried, replaced, wiped.
//
// A file is read when its state (device, number, size, times) is another than it was; what is in it
// is compared with what is known, so a touched file changes nothing.

#include "l2/login.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "l2/asker.h"

#define LOOK_NS NS_PER_S
#define ANSWER_NS (20 * NS_PER_MS) /* between looks for the host's answer, within LOOK_NS */
#define AGAIN_NS (10 * NS_PER_S) /* after a refusal, to a server that is logged in to */

struct secret {
    char text[URI_PASSWORD_MAX];
    uint64_t number;     /* 0: there is none */
    uint64_t refused_ns; /* 0: it was not */
};

/* Keys: (r) who refreshes; else see link.h. (q) is `lock`. */
struct login {
    struct env *env;      /* (c) */
    const char *what;     /* (c) */
    char file[LOGIN_FILE_MAX]; /* (c) "": there is none */
    struct asker *asker;  /* (c) of the host's function; NULL: there is none */
    char user[URI_USER_MAX]; /* (c) */
    pthread_mutex_t lock; /* leaf */
    struct secret now;    /* (q) accepted last; or the only one there is */
    struct secret next;   /* (q) found since */
    uint64_t numbers;     /* (q) given to passwords so far */
    struct outage trouble; /* why the source gives none; its key (i) is (r) */
    struct stat seen;     /* (r) the file, when it was read last */
    uint64_t due_ns;      /* (r) */
    uint64_t ask_ns;      /* (r) when the host is asked next */
};

static bool may_change(const struct login *l)
{
    return l->file[0] || l->asker;
}

/* ---- candidates ---- */

/* Makes a password a candidate, unless it is known. */
static void find(struct login *l, const char *text)
{
    pthread_mutex_lock(&l->lock);
    struct secret *to = l->now.number ? &l->next : &l->now;
    bool is_now = l->now.number && strcmp(l->now.text, text) == 0;
    bool is_next = l->next.number && strcmp(l->next.text, text) == 0;
    if (is_now || !is_next)
        explicit_bzero(&l->next, sizeof(l->next)); /* another one takes its place, or none */
    if (!is_now && !is_next) {
        snprintf(to->text, sizeof(to->text), "%s", text);
        to->number = ++l->numbers;
        to->refused_ns = 0;
    }
    pthread_mutex_unlock(&l->lock);
}

static void trouble(struct login *l, const char *source, const char *why, uint64_t now_ns)
{
    char text[L2_PROBLEM_BYTES];
    snprintf(text, sizeof(text), "%s %.120s: %s", l->what, source, why);
    outage_note(&l->trouble, text, now_ns);
    if (!outage_is_news(&l->trouble, text))
        return;
    if (LOG(l->env->log, NIGH_LOG_WARN, "no password is found, the one before it goes on: %s",
            text))
        outage_told(&l->trouble, text);
    else /* the line was held back: the next look tells it */
        memset(&l->seen, 0, sizeof(l->seen));
}

/* Takes what a source has given: text[0 .. len), which is wiped. */
static void consider(struct login *l, const char *source, char *text, size_t size, size_t len,
                     uint64_t now_ns)
{
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    if (len == 0)
        trouble(l, source, "it is empty", now_ns);
    else if (len >= URI_PASSWORD_MAX)
        trouble(l, source, "it is too long", now_ns);
    else if (memchr(text, '\0', len) || memchr(text, '\n', len))
        trouble(l, source, "it is not one line of text", now_ns);
    else {
        text[len] = '\0';
        find(l, text);
        outage_end(&l->trouble, now_ns);
    }
    explicit_bzero(text, size);
}

/* ---- sources ---- */

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void read_file(struct login *l, uint64_t now_ns)
{
    char text[URI_PASSWORD_MAX + 2];
    struct stat is;
    int fd = open(l->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &is) != 0) {
        trouble(l, l->file, strerrordesc_np(errno), now_ns);
        memset(&l->seen, 0, sizeof(l->seen));
    } else if (!is_same_file(&is, &l->seen)) {
        ssize_t n = read(fd, text, sizeof(text));
        l->seen = is;
        if (n < 0)
            trouble(l, l->file, strerrordesc_np(errno), now_ns);
        else
            consider(l, l->file, text, sizeof(text), (size_t)n, now_ns);
    }
    if (fd >= 0)
        close(fd);
}

/* Takes what the host has said, or lets people know why it has said nothing. Returns whether an
 * answer may come any moment. */
static bool heed_host(struct login *l, bool waits, uint64_t now_ns)
{
    static const char *const troubles[] = {
        [ASKER_NONE] = "it has none",
        [ASKER_STANDS] = "it has not returned",
        [ASKER_NO_THREAD] = "there is no thread to ask it on",
    };
    static const char source[] = "(the host's function)";
    char text[URI_PASSWORD_MAX] = "";
    enum asker_answer answer = asker_take(l->asker, waits, text);
    if (answer == ASKER_PASSWORD)
        consider(l, source, text, sizeof(text), strnlen(text, sizeof(text)), now_ns);
    else if (answer != ASKER_NOTHING)
        trouble(l, source, troubles[answer], now_ns);
    explicit_bzero(text, sizeof(text));
    return answer == ASKER_NOTHING;
}

/* Takes the answer to what was asked before, and asks anew if it is time. `waits`: at once, and
 * that answer is wanted, too. */
static void ask_host(struct login *l, bool waits, uint64_t now_ns)
{
    bool awaited = heed_host(l, false, now_ns);
    if (waits || now_ns >= l->ask_ns) {
        l->ask_ns = now_ns + LOOK_NS;
        asker_ask(l->asker);
        awaited = heed_host(l, waits, now_ns);
    }
    l->due_ns = awaited ? now_ns + ANSWER_NS : l->ask_ns;
}

void login_refresh(struct login *l, bool at_once, uint64_t now_ns)
{
    if (!l || !may_change(l) || (!at_once && now_ns < l->due_ns))
        return;
    if (l->asker) {
        ask_host(l, at_once, now_ns);
        return;
    }
    l->due_ns = now_ns + LOOK_NS;
    read_file(l, now_ns);
}

uint64_t login_due_ns(const struct login *l)
{
    return l && may_change(l) ? l->due_ns : CLOCK_NEVER_NS;
}

/* ---- what is configured ---- */

static bool has_file(const struct l2_login *login)
{
    return login->file && login->file[0];
}

int login_check(const struct l2_config *config)
{
    const struct l2_login *both[] = {&config->login, &config->sentinel_login};
    const struct l2_login *s = &config->sentinel_login;
    bool has_password = s->password && s->password[0];
    for (size_t i = 0; i < ARRAY_COUNT(both); i++)
        if (both[i]->file && strlen(both[i]->file) >= LOGIN_FILE_MAX)
            return error_note(NIGH_EOPTION, "redis.%spassword_file: the path is too long",
                              i ? "sentinel_" : "");
    if (has_password && has_file(s))
        return error_note(NIGH_EOPTION, "redis.sentinel_password_file: not with "
                                        "redis.sentinel_password");
    if (has_password && strlen(s->password) >= URI_PASSWORD_MAX)
        return error_note(NIGH_EOPTION, "redis.sentinel_password: it is too long");
    if (s->user && strlen(s->user) >= URI_USER_MAX)
        return error_note(NIGH_EOPTION, "redis.sentinel_user: it is too long");
    if (s->user && s->user[0] && !has_password && !has_file(s))
        return error_note(NIGH_EOPTION, "redis.sentinel_user: it needs redis.sentinel_password or "
                                        "redis.sentinel_password_file");
    return 0;
}

const char *login_check_uri(const struct l2_config *config, const struct uri *uri)
{
    const struct l2_login *login = &config->login;
    int sources = uri->has_password + has_file(login) + (login->fn != NULL);
    if (sources > 1)
        return "the password comes from one place: the URI, redis.password_file or the host";
    if (uri->user[0] && sources == 0)
        return "a user name needs a password (user:password@), or redis.password_file";
    return NULL;
}

/* ---- life ---- */

struct login *login_create(struct env *env, const struct l2_login *config, const char *what)
{
    struct login *l = mem_alloc_zero(env->mem, sizeof(*l));
    if (!l)
        return NULL;
    l->env = env;
    l->what = config->fn ? "redis_password" : what;
    snprintf(l->file, sizeof(l->file), "%s", config->file ? config->file : "");
    snprintf(l->user, sizeof(l->user), "%s", config->user ? config->user : "");
    pthread_mutex_init(&l->lock, NULL);
    outage_init(&l->trouble, "", 0);
    if (config->password)
        find(l, config->password);
    if (config->fn)
        l->asker = asker_create(config->fn, config->arg, env->own_threads);
    if (!config->fn || l->asker)
        return l;
    login_destroy(l);
    return NULL;
}

void login_destroy(struct login *l)
{
    if (!l)
        return;
    struct mem *mem = l->env->mem;
    if (!asker_leave(l->asker))
        LOG(l->env->log, NIGH_LOG_ERROR,
            "closed while the host's redis_password has not returned: its thread is left");
    outage_fini(&l->trouble);
    pthread_mutex_destroy(&l->lock);
    explicit_bzero(l, sizeof(*l));
    mem_free(mem, NULL, l, sizeof(*l));
}

bool login_is_wanted(const struct login *l)
{
    return l && (may_change(l) || l->now.number); /* constant, where nothing may change */
}

/* ---- taking ---- */

static void copy(const struct login *l, const struct secret *s, struct login_words *ret)
{
    strcpy(ret->user, l->user);
    strcpy(ret->password, s->text);
    ret->number = s->number;
}

void login_take(struct login *l, struct login_words *ret)
{
    pthread_mutex_lock(&l->lock);
    struct secret *now = &l->now, *next = &l->next;
    if (now->refused_ns && next->refused_ns)
        now->refused_ns = next->refused_ns = 0; /* another round */
    copy(l, next->number && !next->refused_ns ? next : now, ret);
    pthread_mutex_unlock(&l->lock);
}

void login_take_next(struct login *l, uint64_t now_ns, struct login_words *ret)
{
    pthread_mutex_lock(&l->lock);
    const struct secret *next = &l->next;
    bool due = next->number && (!next->refused_ns || now_ns >= next->refused_ns + AGAIN_NS);
    *ret = (struct login_words){.number = 0};
    if (due)
        copy(l, next, ret);
    pthread_mutex_unlock(&l->lock);
}

void login_wipe(struct login_words *w)
{
    explicit_bzero(w, sizeof(*w));
}

void login_accepted(struct login *l, uint64_t number)
{
    pthread_mutex_lock(&l->lock);
    if (number == l->next.number) {
        l->now = l->next;
        explicit_bzero(&l->next, sizeof(l->next));
    }
    if (number == l->now.number)
        l->now.refused_ns = 0;
    pthread_mutex_unlock(&l->lock);
}

void login_refused(struct login *l, uint64_t number, uint64_t now_ns)
{
    pthread_mutex_lock(&l->lock);
    if (number == l->next.number)
        l->next.refused_ns = now_ns;
    else if (number == l->now.number)
        l->now.refused_ns = now_ns;
    pthread_mutex_unlock(&l->lock);
}

bool login_has_other(struct login *l)
{
    if (!l)
        return false;
    pthread_mutex_lock(&l->lock);
    bool other = l->next.number && (!l->next.refused_ns != !l->now.refused_ns);
    pthread_mutex_unlock(&l->lock);
    return other;
}

void login_problem_read(struct login *l, uint64_t now_ns, struct l2_problem *ret)
{
    if (l)
        outage_read(&l->trouble, now_ns, ret);
    else
        *ret = (struct l2_problem){.for_ms = 0};
}
