/* SPDX-License-Identifier: MIT */
/*
 * ear.h - who hears a node's warnings, and is asked what was said.
 *
 *     forget_said();
 *     options.log = hear;
 *     CHECK_WITHIN(WORLD_PATIENCE_MS, said("is connected again") == 1); // a thread writes the log
 *
 * One for a program: it hears all nodes of it.
 */
#ifndef NIGH_TEST_EAR_H
#define NIGH_TEST_EAR_H

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <nigh/options.h>

/* Keys: (l) lock */
static struct ear {
    pthread_mutex_t lock;
    size_t len;       /* (l) */
    char said[32768]; /* (l) warnings, one a line */
} ear = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A log hook. Threads: any. */
static inline void hear(void *arg, enum nigh_log_level level, const char *message)
{
    (void)arg;
    pthread_mutex_lock(&ear.lock);
    size_t left = sizeof(ear.said) - ear.len;
    int len = level <= NIGH_LOG_WARN ? snprintf(ear.said + ear.len, left, "%s\n", message) : 0;
    ear.len += (size_t)len < left ? (size_t)len : 0;
    pthread_mutex_unlock(&ear.lock);
}

/* Returns how often. */
static inline unsigned said(const char *text)
{
    unsigned count = 0;
    pthread_mutex_lock(&ear.lock);
    for (const char *at = ear.said; (at = strstr(at, text)); at++)
        count++;
    pthread_mutex_unlock(&ear.lock);
    return count;
}

/* Returns how many begin with `start`, and have `part` in them. */
static inline unsigned said_with(const char *start, const char *part)
{
    char line[4096];
    unsigned count = 0;
    pthread_mutex_lock(&ear.lock);
    for (const char *at = ear.said, *end; (end = strchr(at, '\n')); at = end + 1) {
        snprintf(line, sizeof(line), "%.*s", (int)(end - at), at);
        count += strncmp(line, start, strlen(start)) == 0 && strstr(line, part);
    }
    pthread_mutex_unlock(&ear.lock);
    return count;
}

static inline void forget_said(void)
{
    pthread_mutex_lock(&ear.lock);
    ear.len = 0;
    ear.said[0] = '\0';
    pthread_mutex_unlock(&ear.lock);
}

#endif
