// SPDX-License-Identifier: MIT
/*
 * A web server with a pool of threads (libmicrohttpd) that serves pages through nigh.
 *
 *     pool_server DATABASE PORT [THREADS]       port 0: any; the first line printed has its URL
 *
 *     GET /package/NAME                  the page
 *     POST /package/NAME   SUMMARY       commit a new summary (up to 1,000 bytes), tell every node
 *     GET /stats                         nigh's counters as JSON
 *
 * Options of the cache come from the environment, as in
 *
 *     NIGH_CONF=redis.uri=unix:///run/redis.sock,l1.memory=64MiB pool_server packages.db 8080 16
 *
 * Each thread serves its connections one call after the other. A hit takes a microsecond; a miss
 * keeps the thread, and so the other connections of that thread, until the page is loaded: give the
 * pool several threads per core. (An event loop that never waits: loop_server.c.)
 *
 * A page is sent from where it lies in the cache. The response has the nigh_value, and gives it
 * back when libmicrohttpd has sent the last byte.
 */
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "pages.h"

#define SUMMARY_MAX 1000
#define PATH "/package/"

struct server {
    const char *database;
    struct nigh *cache;
    struct nigh_space *pages;
};

/* The body of a POST, as far as it has come. */
struct upload {
    size_t len; /* more than SUMMARY_MAX: too long */
    char text[SUMMARY_MAX];
};

static void release_value(void *arg)
{
    struct nigh_value *value = arg;
    nigh_release(value);
    free(value);
}

/* Takes the value over; NULL: there is none. */
static enum MHD_Result send_answer(struct MHD_Connection *connection, const struct answer *a,
                                   struct nigh_value *value)
{
    struct MHD_Response *response =
        value ? MHD_create_response_from_buffer_with_free_callback_cls(
                    a->body_len, (void *)(uintptr_t)a->body, release_value, value)
              : MHD_create_response_from_buffer(a->body_len, (void *)(uintptr_t)a->body,
                                                MHD_RESPMEM_MUST_COPY);
    if (!response) {
        if (value)
            release_value(value);
        return MHD_NO; /* closes the connection */
    }
    for (int i = 0; i < a->header_count; i++)
        MHD_add_response_header(response, a->headers[i].name, a->headers[i].value);
    enum MHD_Result rc = MHD_queue_response(connection, (unsigned)a->status, response);
    MHD_destroy_response(response); /* the connection has its own reference */
    return rc;
}

static enum MHD_Result serve_page(struct server *s, struct MHD_Connection *connection,
                                  const char *name)
{
    struct nigh_value *value = malloc(sizeof(*value));
    struct answer a;
    if (!value)
        return MHD_NO;
    *value = (struct nigh_value)NIGH_VALUE_INIT;
    int outcome = nigh_fetch(s->pages, name, strlen(name), NULL, value);
    answer_read(s->cache, outcome, value,
                MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "If-None-Match"), &a);
    return send_answer(connection, &a, value);
}

static enum MHD_Result serve_update(struct server *s, struct MHD_Connection *connection,
                                    const char *name, const struct upload *upload)
{
    struct answer a;
    if (upload->len > SUMMARY_MAX)
        answer_status(413, &a);
    else
        answer_update(s->cache, s->database, name, strlen(name), upload->text, upload->len, &a);
    return send_answer(connection, &a, NULL);
}

static enum MHD_Result serve_stats(struct server *s, struct MHD_Connection *connection)
{
    struct answer a;
    char *body;
    answer_stats(s->cache, &a, &body);
    enum MHD_Result rc = send_answer(connection, &a, NULL); /* copies it */
    free(body);
    return rc;
}

static enum MHD_Result serve_status(struct MHD_Connection *connection, int status)
{
    struct answer a;
    answer_status(status, &a);
    return send_answer(connection, &a, NULL);
}

static void keep_upload(struct upload *upload, const char *data, size_t len)
{
    if (upload->len + len <= SUMMARY_MAX)
        memcpy(upload->text + upload->len, data, len);
    upload->len = upload->len + len <= SUMMARY_MAX ? upload->len + len : SUMMARY_MAX + 1;
}

/* libmicrohttpd calls this with the headers, then with each piece of the body, then once more. */
static enum MHD_Result serve(void *arg, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *data,
                             size_t *data_len, void **state)
{
    struct server *s = arg;
    struct upload *upload = *state;
    (void)version;
    if (!upload) {
        *state = calloc(1, sizeof(*upload));
        return *state ? MHD_YES : MHD_NO;
    }
    if (*data_len > 0) {
        keep_upload(upload, data, *data_len);
        *data_len = 0;
        return MHD_YES;
    }
    int get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (strncmp(url, PATH, strlen(PATH)) == 0 && get)
        return serve_page(s, connection, url + strlen(PATH));
    if (strncmp(url, PATH, strlen(PATH)) == 0 && strcmp(method, "POST") == 0)
        return serve_update(s, connection, url + strlen(PATH), upload);
    if (strcmp(url, "/stats") == 0 && get)
        return serve_stats(s, connection);
    return serve_status(connection, get ? 404 : 405);
}

static void forget_upload(void *arg, struct MHD_Connection *connection, void **state,
                          enum MHD_RequestTerminationCode why)
{
    (void)arg, (void)connection, (void)why;
    free(*state);
}

/* Serve until SIGINT or SIGTERM, which are blocked in all threads. */
static int run(struct server *s, int port, unsigned threads, const sigset_t *end)
{
    int signal_number;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, (uint16_t)port, NULL, NULL, serve, s,
        MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_NOTIFY_COMPLETED, forget_upload, NULL,
        MHD_OPTION_CONNECTION_TIMEOUT, 60u, MHD_OPTION_END);
    if (!daemon) {
        perror("pool_server: cannot listen");
        return 1;
    }
    printf("http://127.0.0.1:%u/\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    sigwait(end, &signal_number);
    MHD_stop_daemon(daemon); /* releases all values: before nigh_close() */
    return 0;
}

int main(int argc, char **argv)
{
    struct server s = {.database = argc > 1 ? argv[1] : NULL};
    struct nigh_space_options options = NIGH_SPACE_OPTIONS_INIT;
    sigset_t end;
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: %s DATABASE PORT [THREADS]\n", argv[0]);
        return 2;
    }
    sigemptyset(&end);
    sigaddset(&end, SIGINT);
    sigaddset(&end, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &end, NULL); /* threads inherit it */
    options.schema = "1"; /* of the values: a new layout gets the next one */
    int status = 1;
    if (pages_create(s.database) == 0) {
        int rc = nigh_open(NULL, &s.cache);
        if (rc == 0)
            rc = nigh_space_open(s.cache, "pages", &options, pages_load, NULL, argv[1], &s.pages);
        if (rc == 0)
            status = run(&s, atoi(argv[2]), argc > 3 ? (unsigned)atoi(argv[3]) : 8, &end);
        else
            fprintf(stderr, "pool_server: %s: %s\n", nigh_strerror(rc), nigh_options_error());
        nigh_close(s.cache);
    }
    return status;
}
