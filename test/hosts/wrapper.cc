// SPDX-License-Identifier: MIT
/*
 * A host in C++ that uses nigh.hpp: values that move and release themselves, loaders that are
 * lambdas and throw, a queue whose completions outlive their poll, and what outlives its cache.
 */
#include <poll.h>

#include <stdio.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <nigh/nigh.hpp>

extern "C" {
#include "support/check.h"
}

namespace {

#define PATIENCE_MS 20000

using nighpp::value;

static_assert(std::is_nothrow_move_constructible<value>::value, "a value moves");
static_assert(std::is_nothrow_move_assignable<value>::value, "a value moves");
static_assert(!std::is_copy_constructible<value>::value, "and is not copied: it is a right");
static_assert(!std::is_copy_constructible<nighpp::cache>::value, "nor is a cache");
static_assert(!std::is_move_assignable<nighpp::cache>::value, "and moves to a new one only");
static_assert(std::is_nothrow_destructible<nighpp::cache>::value, "it closes");
static_assert(std::is_trivially_copyable<nighpp::space>::value, "a space is a name for one");

/* ---- values ---- */

static void note_held(void *arg, nigh_log_level, const char *message)
{
    sscanf(message, "closed while values are held: %d", static_cast<int *>(arg));
}

/* One is kept on purpose: of a value that was released twice none would seem to be left. */
TEST(a_value_that_moves_is_released_once)
{
    nigh_options options = NIGH_OPTIONS_INIT;
    nigh_value left;
    int held = 0;
    options.log = note_held;
    options.log_arg = &held;
    {
        nighpp::cache cache("l1.memory=16MiB", options);
        auto s = cache.open("s", [](nighpp::fill fill) { return fill.value(fill.key()); });
        s.fetch("a");
        value first = s.fetch("a");
        left = s.fetch("a").take();
        value second = std::move(first);
        CHECK(second && second.bytes() == "a");
        std::vector<value> kept;
        for (int i = 0; i < 9; i++)
            kept.push_back(s.fetch("a")); // moves all when it grows
        kept[0] = std::move(second);
        std::thread([held = std::move(kept)] { CHECK(held[0].bytes() == "a"); }).join();
    }
    CHECK_EQ(held, 1);
}

TEST(what_a_value_moved_from_has_left_is_a_miss)
{
    nighpp::cache cache("l1.memory=16MiB");
    auto s = cache.open("s", [](nighpp::fill fill) { return fill.value(fill.key()); });
    value first = s.fetch("a"), second = std::move(first);
    CHECK(!first);
    CHECK_EQ(first.outcome(), NIGH_MISS);
    first = std::move(second);
    CHECK(first && first.bytes() == "a");
    CHECK(!second);
    nigh_value raw = first.take();
    CHECK(!first);
    nigh_release(&raw);
}

TEST(many_values_come_in_the_order_of_their_keys)
{
    nigh_options options = NIGH_OPTIONS_INIT;
    int held = 0;
    options.log = note_held;
    options.log_arg = &held;
    {
        nighpp::cache cache("l1.memory=16MiB", options);
        auto s = cache.open("s", [](nighpp::fill fill) {
            if (fill.key() == "worse")
                throw std::runtime_error("on this thread");
            return fill.key() == "bad" ? 7 : fill.value(fill.key());
        });
        CHECK_EQ(s.put("put", "before"), 0);
        auto values = s.fetch_many({{"a", 1}, {"put", 3}, {"bad", 3}, {"", 0}});
        CHECK(values.size() == 4 && values[0].bytes() == "a" && values[1].bytes() == "before");
        CHECK_EQ(values[2].outcome(), NIGH_ELOADER);
        CHECK_EQ(values[3].outcome(), NIGH_EKEY);
        bool thrown = false;
        try {
            s.fetch_many({{"a", 1}, {"worse", 5}});
        } catch (const std::runtime_error &) {
            thrown = true;
        }
        CHECK(thrown);
    }
    CHECK_EQ(held, 0); /* what had come before that is released */
}

static int commit(void *arg, const nigh_write_op *op)
{
    *static_cast<std::string *>(arg) = std::string(static_cast<const char *>(op->value),
                                                   op->value_len);
    return 0;
}

TEST(a_space_that_was_opened_with_a_writer_writes)
{
    nighpp::cache cache("l1.memory=16MiB");
    std::string origin;
    nighpp::space s{};
    CHECK_EQ(nigh_space_open(cache.raw(), "s", nullptr, nullptr, commit, &origin, &s.raw), 0);
    CHECK_EQ(s.write("a", "committed"), 0);
    CHECK(origin == "committed");
}

TEST(a_fill_is_answered_later)
{
    nighpp::cache cache("l1.memory=16MiB");
    nighpp::queue queue(cache.raw());
    std::atomic<nigh_fill *> name{nullptr};
    auto s = cache.open("s", [&](nighpp::fill fill) {
        nighpp::fill put_off{};
        int rc = fill.defer(put_off);
        name = put_off.raw;
        return rc;
    });
    CHECK_EQ(s.fetch_async(queue, "a", nullptr).outcome(), NIGH_PENDING);
    CHECK_WITHIN(PATIENCE_MS, name.load());
    nighpp::fill later{name};
    CHECK(later.key() == "a");
    CHECK_EQ(later.value("late"), 0);
    value v;
    void *arg;
    CHECK_EQ(queue.poll(v, arg, PATIENCE_MS), 1);
    CHECK(v && v.bytes() == "late");
}

TEST(outcomes_are_those_of_the_calls)
{
    nighpp::cache cache("l1.memory=16MiB");
    nighpp::space s = cache.open("s", [](nighpp::fill fill) {
        if (fill.key() == "absent")
            return fill.absent();
        return fill.key() == "bad" ? 7 : fill.value(fill.key());
    });
    CHECK_EQ(s.fetch("there").outcome(), NIGH_FRESH);
    CHECK_EQ(s.fetch("absent").outcome(), NIGH_ABSENT);
    CHECK(!s.fetch("absent"));
    CHECK_EQ(s.fetch("bad").outcome(), NIGH_ELOADER);
    CHECK_EQ(nigh_load_error(), 7);
    CHECK_EQ(s.fetch("").outcome(), NIGH_EKEY);
    CHECK_EQ(value().outcome(), NIGH_MISS);
    CHECK_EQ(s.invalidate("there"), NIGH_OK);
    CHECK_EQ(s.invalidate(""), NIGH_EKEY);
    CHECK_EQ(nigh_stats_value(cache.raw(), "s", "load"), 3);
}

TEST(a_failure_ends_what_the_loader_has_deferred)
{
    nigh_fill *later = nullptr;
    nighpp::cache cache("l1.memory=16MiB");
    auto s = cache.open("s", [&](nighpp::fill fill) {
        return nigh_fill_defer(fill.raw, &later) == 0 ? 7 : 1;
    });
    CHECK_EQ(s.fetch("a").outcome(), NIGH_ELOADER);
    CHECK_EQ(nigh_load_error(), 7);
    CHECK_EQ(nigh_fill_absent(later), NIGH_EINVAL);
    CHECK(nighpp::fill{later}.key().empty());
}

TEST(what_cannot_be_opened_throws_and_says_why)
{
    int code = 0;
    try {
        nighpp::cache cache("l1.memory=much");
    } catch (const nighpp::error &e) {
        code = e.code;
        CHECK(std::string_view(e.what()).find("l1.memory=much") != std::string_view::npos);
    }
    CHECK_EQ(code, NIGH_EOPTION);
    nighpp::cache cache("l1.memory=16MiB");
    code = 0;
    try {
        cache.open("a:b", [](nighpp::fill fill) { return fill.absent(); });
    } catch (const nighpp::error &e) {
        code = e.code;
    }
    CHECK_EQ(code, NIGH_EINVAL);
}

/* ---- loaders ---- */

TEST(a_loader_that_throws_throws_through_the_fetch)
{
    nighpp::cache cache("l1.memory=16MiB,space.error_ttl=none");
    nighpp::space s = cache.open("s", [](nighpp::fill fill) -> int {
        throw std::runtime_error(std::string(fill.key()));
    });
    bool caught = false;
    try {
        s.fetch("k");
    } catch (const std::runtime_error &e) {
        caught = std::string_view(e.what()) == "k";
    }
    CHECK(caught);
}

/* Counts its copies that live. */
struct counted {
    std::shared_ptr<int> life;
};

TEST(a_loader_lives_as_long_as_its_cache)
{
    auto life = std::make_shared<int>(0);
    std::weak_ptr<int> watch = life;
    {
        nighpp::cache first("l1.memory=16MiB");
        nighpp::space s = first.open("s", [held = counted{std::move(life)}](nighpp::fill fill) {
            ++*held.life;
            return fill.value("v");
        });
        nighpp::cache second = std::move(first); // and its spaces with it
        CHECK_EQ(s.fetch("k").outcome(), NIGH_FRESH);
        CHECK_EQ(*watch.lock(), 1);
    }
    CHECK(watch.expired());
}

/* ---- queues ---- */

TEST(a_miss_completes_on_the_queue_with_its_argument)
{
    nighpp::cache cache("l1.memory=16MiB");
    nighpp::space s = cache.open("s", [](nighpp::fill fill) { return fill.value(fill.key()); });
    nighpp::queue queue(cache.raw());
    value done;
    int tag = 0;
    void *arg = nullptr;
    CHECK_EQ(queue.poll(done, arg), 0);
    CHECK_EQ(s.fetch_async(queue, "k", &tag).outcome(), NIGH_PENDING);
    pollfd fd = {queue.fd(), POLLIN, 0};
    CHECK_EQ(poll(&fd, 1, PATIENCE_MS), 1);
    CHECK_EQ(queue.poll(done, arg), 1);
    CHECK(arg == &tag);
    CHECK(done && done.bytes() == "k");
    CHECK_EQ(s.fetch_async(queue, "k", &tag).outcome(), NIGH_FRESH); // now it is there
}

TEST(a_queue_may_close_after_its_cache)
{
    std::unique_ptr<nighpp::queue> queue;
    {
        nighpp::cache cache("l1.memory=16MiB");
        queue = std::make_unique<nighpp::queue>(cache.raw());
    }
    value done;
    void *arg = nullptr;
    CHECK_EQ(queue->poll(done, arg), NIGH_ECLOSED);
}

} // namespace
