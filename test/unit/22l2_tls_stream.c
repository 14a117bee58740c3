// SPDX-License-Identifier: MIT
// A stream over TLS and its other end, in one thread: the contract of stream.h, over sockets that
// give and take as they like, with key updates, farewells, cuts and forgeries in between.

#include "l2/tls_context.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "l2/net.h"
#include "support/certs.h"
#include "support/odd_net.h"

enum { PATIENCE_MS = 20000, TOTAL = 3 << 18, PIECE_MAX = 50000 };

static char certs[CERTS_DIR_BYTES];
static struct env env;
static struct stats stats;
static struct tls *tls;
static struct l2_net net;
static SSL_CTX *server_context;
static struct stream *client;
static SSL *server; /* on a socket that does not block */
static uint64_t dice;

/* ---- two ends ---- */

static void open_server(int fd)
{
    REQUIRE_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    server = SSL_new(server_context);
    REQUIRE(server && SSL_set_fd(server, fd));
    SSL_set_accept_state(server);
}

static void open_ends(void)
{
    int fds[2];
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    client = stream_open(tls_kind(tls), env.mem, &net, "localhost", fds[0]);
    REQUIRE(client);
    open_server(fds[1]);
}

static void close_server(void)
{
    int fd = SSL_get_fd(server);
    SSL_free(server);
    close(fd);
    server = NULL;
}

static void close_ends(void)
{
    stream_close(client, env.mem);
    if (server)
        close_server();
}

static void begin(struct l2_net over)
{
    certs_open(certs);
    net = over;
    dice = check_seed();
    REQUIRE_EQ(env_init_real(&env, true), 0);
    REQUIRE_EQ(stats_init(&stats, env.mem), 0);
    struct certs_path ca = certs_path(certs, "ca.pem");
    const struct tls_config config = {&env, &stats, {.ca = ca.text}, false};
    REQUIRE_EQ(tls_create(&config, &tls), 0);
    server_context = SSL_CTX_new(TLS_server_method());
    REQUIRE(SSL_CTX_use_certificate_file(server_context, certs_path(certs, "server.pem").text,
                                         SSL_FILETYPE_PEM));
    REQUIRE(SSL_CTX_use_PrivateKey_file(server_context, certs_path(certs, "server.key").text,
                                        SSL_FILETYPE_PEM));
    SSL_CTX_set_mode(server_context, SSL_MODE_ENABLE_PARTIAL_WRITE);
}

static void end(void)
{
    SSL_CTX_free(server_context);
    tls_destroy(tls);
    stats_fini(&stats);
    env_fini(&env);
    certs_close(certs);
}

static int agreed;

/* A step of each. */
static bool agree(void)
{
    if (agreed == 0)
        agreed = tls_kind(tls)->agree(client);
    SSL_do_handshake(server);
    return agreed != 0 && (agreed < 0 || SSL_is_init_finished(server));
}

static void open_agreed(void)
{
    open_ends();
    agreed = 0;
    REQUIRE(CHECK_WITHIN(PATIENCE_MS, agree()));
    REQUIRE_EQ(agreed, 1);
}

/* ---- bytes ---- */

static unsigned char byte_at(size_t i)
{
    return (unsigned char)(i * 31 + i / 251);
}

struct way {
    size_t sent, got;
};

static size_t piece(size_t left)
{
    return 1 + check_random(&dice) % u64_min(left, PIECE_MAX);
}

/* Gives the stream bytes, each time from another place, as much as before and more. */
static void send_some(struct way *way)
{
    static size_t refused;
    size_t left = TOTAL - way->sent;
    size_t len = left == 0 ? 0 : u64_max(piece(left), u64_min(refused, left));
    if (len == 0)
        return;
    unsigned char *data = malloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = byte_at(way->sent + i);
    long n = stream_write(client, data, len);
    memset(data, 0, len);
    free(data);
    REQUIRE(n > 0 || n == -EAGAIN);
    way->sent += n > 0 ? (size_t)n : 0;
    refused = n > 0 ? 0 : len;
}

static void check_bytes(struct way *way, const unsigned char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        REQUIRE_EQ(data[i], byte_at(way->got + i));
    way->got += len;
}

static unsigned char buffer[PIECE_MAX];

/* Reads as who drives does: only when the stream holds something or the socket is ready. */
static void receive_some(struct way *way)
{
    struct pollfd fd = {.fd = client->fd, .events = client->read_waits & L2_FOR_ROOM ? POLLOUT : 0};
    fd.events |= client->read_waits & L2_FOR_INPUT ? POLLIN : 0;
    if (!client->holds && poll(&fd, 1, 0) == 0)
        return;
    long n = stream_read(client, buffer, piece(PIECE_MAX));
    REQUIRE(n > 0 || n == -EAGAIN);
    if (n > 0)
        check_bytes(way, buffer, (size_t)n);
}

static void serve_some(struct way *up, struct way *down)
{
    size_t n = 0;
    static unsigned char data[PIECE_MAX];
    if (SSL_read_ex(server, data, piece(PIECE_MAX), &n))
        check_bytes(up, data, n);
    size_t left = u64_min(TOTAL - down->sent, 16384); /* the same again, if it was not taken */
    for (size_t i = 0; i < left; i++)
        data[i] = byte_at(down->sent + i);
    if (left > 0 && SSL_write_ex(server, data, left, &n))
        down->sent += n;
}

static bool is_over(const struct way *up, const struct way *down)
{
    return up->got == TOTAL && down->got == TOTAL;
}

static bool exchange(struct way *up, struct way *down)
{
    send_some(up);
    serve_some(up, down);
    receive_some(down);
    return is_over(up, down);
}

TEST(bytes_come_whole_whatever_the_sockets_do)
{
    begin(odd_net());
    for (int i = 0; i < 3; i++) {
        struct way up = {0}, down = {0};
        open_agreed();
        CHECK_WITHIN(PATIENCE_MS, exchange(&up, &down));
        close_ends();
    }
    CHECK_EQ(stats_read(&stats, STATS_L2_TLS), 3);
    CHECK_EQ(stats_read(&stats, STATS_L2_TLS_RESUMED), 2);
    end();
}

TEST(who_sleeps_on_the_socket_misses_nothing)
{
    struct way up = {0}, down = {0};
    begin(net_kernel);
    open_agreed();
    CHECK_WITHIN(PATIENCE_MS, exchange(&up, &down));
    close_ends();
    end();
}

TEST(keys_are_updated_in_between)
{
    struct way up = {0}, down = {0};
    unsigned rounds = 0;
    begin(odd_net());
    open_agreed();
    REQUIRE_EQ(SSL_version(server), TLS1_3_VERSION);
    do {
        /* not while a write is pending: OpenSSL's own rule */
        if (++rounds % 50 == 0)
            SSL_key_update(server, SSL_KEY_UPDATE_REQUESTED);
    } while (!exchange(&up, &down) && rounds < 1000000);
    CHECK(is_over(&up, &down));
    CHECK(rounds > 50);
    close_ends();
    end();
}

/* ---- ends ---- */

static bool reads(long wanted)
{
    long n = stream_read(client, buffer, sizeof(buffer));
    return n == wanted;
}

TEST(a_farewell_and_a_cut_are_ends)
{
    begin(net_kernel);
    open_agreed();
    SSL_shutdown(server);
    CHECK_WITHIN(PATIENCE_MS, reads(0));
    CHECK(reads(0)); /* it stays so */
    close_ends();
    open_agreed();
    close_server();
    CHECK_WITHIN(PATIENCE_MS, reads(0));
    CHECK(reads(0));
    CHECK_EQ(stream_write(client, "x", 1), -EPIPE);
    close_ends();
    end();
}

TEST(our_farewell_is_heard)
{
    begin(net_kernel);
    open_agreed();
    stream_close(client, env.mem);
    size_t n;
    CHECK(!SSL_read_ex(server, buffer, 1, &n));
    CHECK_EQ(SSL_get_error(server, 0), SSL_ERROR_ZERO_RETURN);
    close_server();
    end();
}

/* The number of a stream that is disowned is somebody else's. */
TEST(who_is_disowned_says_nothing)
{
    begin(net_kernel);
    open_agreed();
    int fd = client->fd;
    while (recv(SSL_get_fd(server), buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
        ;
    stream_disown(client, env.mem);
    CHECK_EQ(recv(SSL_get_fd(server), buffer, 1, MSG_DONTWAIT), -1);
    CHECK_EQ(errno, EAGAIN);
    close(fd);
    close_server();
    end();
}

TEST(what_is_forged_fails_for_good)
{
    static const char record[] = "\x17\x03\x03\x00\x20 32 bytes that nobody has encrypted";
    begin(net_kernel);
    open_agreed();
    REQUIRE_EQ(write(SSL_get_fd(server), record, sizeof(record) - 1), sizeof(record) - 1);
    CHECK_WITHIN(PATIENCE_MS, reads(STREAM_FAILED));
    check_note("%s", client->problem);
    CHECK(client->problem[0] != '\0');
    CHECK(reads(STREAM_FAILED));
    CHECK_EQ(stream_write(client, "x", 1), STREAM_FAILED);
    close_ends();
    end();
}

TEST(a_cut_in_the_middle_of_the_handshake_is_told)
{
    begin(net_kernel);
    open_ends();
    CHECK_EQ(tls_kind(tls)->agree(client), 0);
    CHECK_EQ(client->read_waits, L2_FOR_INPUT);
    CHECK_EQ(client->write_waits, L2_FOR_INPUT);
    CHECK(!client->holds);
    CHECK(recv(SSL_get_fd(server), buffer, sizeof(buffer), MSG_DONTWAIT) > 0);
    close_server();
    CHECK_EQ(tls_kind(tls)->agree(client), STREAM_FAILED);
    CHECK_STR(client->problem, "closed by the server before its end");
    close_ends();
    end();
}

TEST(plain_text_is_no_handshake)
{
    begin(net_kernel);
    open_ends();
    CHECK_EQ(tls_kind(tls)->agree(client), 0);
    REQUIRE_EQ(write(SSL_get_fd(server), "-ERR unknown command\r\n", 22), 22);
    CHECK_EQ(tls_kind(tls)->agree(client), STREAM_FAILED);
    CHECK_STR(client->problem, "wrong version number (is it a port for TLS?)");
    close_ends();
    end();
}

/* ---- beside the host's own use of OpenSSL ---- */

#define HOSTS ERR_PACK(ERR_LIB_USER, 0, 77)

TEST(errors_of_the_host_stay_in_its_queue)
{
    begin(net_kernel);
    open_agreed();
    while (stream_read(client, buffer, sizeof(buffer)) != -EAGAIN)
        ; /* sessions come by now */
    ERR_clear_error();
    ERR_raise(ERR_LIB_USER, 77);
    CHECK(reads(-EAGAIN));
    CHECK_EQ(stream_write(client, "x", 1), 1);
    CHECK_EQ(ERR_peek_last_error(), HOSTS);
    REQUIRE_EQ(write(SSL_get_fd(server), "\x17\x03\x03\x00\x01x", 6), 6);
    CHECK_WITHIN(PATIENCE_MS, reads(STREAM_FAILED));
    CHECK_EQ(ERR_get_error(), HOSTS);
    CHECK_EQ(ERR_get_error(), 0);
    close_ends();
    end();
}
