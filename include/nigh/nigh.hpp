/* SPDX-License-Identifier: MIT */
/*
 * nigh for C++17: values that release themselves, handles that close, loaders that are lambdas.
 *
 *     nighpp::cache cache("l1.memory=64MiB");
 *     nighpp::space users = cache.open("users", [&](nighpp::fill fill) {
 *         return fill.value(database.read(fill.key())); // a failure: any other int, or throw
 *     });
 *     if (nighpp::value ada = users.fetch("ada")) send(ada.bytes()); // fresh or stale
 *     users.invalidate("ada"); // after the commit
 *
 * Calls return what those of C return; `raw` is the object of C, for all that has no method here.
 * What opens throws nighpp::error, and a fetch what its loader has thrown on the calling thread.
 */
#ifndef NIGH_NIGH_HPP
#define NIGH_NIGH_HPP

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <nigh/nigh.h>

namespace nighpp {
struct error : std::runtime_error {
    const int code;
    explicit error(int rc)
        : runtime_error(std::string(nigh_strerror(rc)) + ": " + nigh_options_error()), code(rc) {}
    static void unless_0(int rc) { if (rc != 0) throw error(rc); }
};

/* Holds what a read brought, and the right to its bytes. Release it before the cache closes. */
class value {
    int outcome_ = NIGH_MISS;
    nigh_value raw_ = NIGH_VALUE_INIT;
public:
    value() noexcept = default;
    value(int outcome, nigh_value owned) noexcept : outcome_(outcome), raw_(owned) {}
    value(value &&v) noexcept : outcome_(v.outcome_), raw_(v.take()) {}
    value &operator=(value &&v) noexcept { return swap(v), *this; }
    ~value() { nigh_release(&raw_); }
    void swap(value &v) noexcept { std::swap(raw_, v.raw_), std::swap(outcome_, v.outcome_); }
    nigh_value take() noexcept { return outcome_ = NIGH_MISS, std::exchange(raw_, nigh_value{}); }
    int outcome() const noexcept { return outcome_; } /* below 0: an error */
    explicit operator bool() const noexcept { return outcome_ >= 0 && outcome_ <= NIGH_STALE; }
    const char *data() const noexcept { return static_cast<const char *>(raw_.data); }
    std::string_view bytes() const noexcept { return {data(), raw_.len}; }
    const nigh_value *raw() const noexcept { return &raw_; }
};

/* A key to load, to be answered once. */
struct fill {
    nigh_fill *raw;
    std::string_view key() const noexcept
    {
        size_t len = 0; /* 0 for a deferred fill that is over */
        return {static_cast<const char *>(nigh_fill_key(raw, &len)), len}; /* left to right */
    }
    int defer(fill &later) noexcept { return nigh_fill_defer(raw, &later.raw); }
    int value(std::string_view v) noexcept { return nigh_fill_value(raw, v.data(), v.size()); }
    int absent() noexcept { return nigh_fill_absent(raw); }
    int tag(const std::string &name) noexcept { return nigh_fill_add_tag(raw, name.c_str()); }
};

/* A completion queue, for a loop that waits for fd(). It closes before or after its cache. */
class queue {
    std::unique_ptr<nigh_queue, void (*)(nigh_queue *)> raw_{nullptr, nigh_queue_close};
public:
    explicit queue(nigh *cache)
    { nigh_queue *q = nullptr; error::unless_0(nigh_queue_open(cache, &q)); raw_.reset(q); }
    nigh_queue *raw() const noexcept { return raw_.get(); }
    int fd() const noexcept { return nigh_queue_fd(raw()); }
    /* Take one, if there is one: returns 1, or 0. */
    int poll(value &ret, void *&ret_arg, uint32_t timeout_ms = 0) noexcept
    {
        nigh_completion done = {};
        int n = nigh_queue_poll(raw(), &done, 1, timeout_ms);
        if (n == 1) ret = value(done.outcome, done.value), ret_arg = done.arg;
        return n;
    }
};

/* A space, which belongs to its cache: a copy is the same space. */
struct space {
    nigh_space *raw;
    using view = std::string_view;
    value fetch(view k, const nigh_call *call = nullptr) /* braces: from left to right */
    { nigh_value v = {}; return {nigh_fetch(raw, k.data(), k.size(), call, &v), v}; }
    /* A value for each key. Throws if the call as a whole fails, or a loader throws in it. */
    std::vector<value> fetch_many(const std::vector<nigh_key> &k, const nigh_call *call = nullptr)
    {
        std::vector<value> ret(k.size());
        std::vector<nigh_value> v(k.size());
        std::vector<int> rc(k.size());
        auto own = [&] { for (size_t i = 0; i < rc.size(); i++) ret[i] = value(rc[i], v[i]); };
        auto raws = v.data();
        try { error::unless_0(nigh_fetch_many(raw, k.data(), k.size(), call, raws, rc.data())); }
        catch (...) { own(); throw; }
        return own(), std::move(ret);
    }
    /* With NIGH_PENDING the answer comes to the queue, with `arg`. */
    value fetch_async(const queue &q, view k, void *arg) noexcept
    {
        nigh_value v = {};
        return {nigh_fetch_async(q.raw(), raw, k.data(), k.size(), nullptr, arg, &v, nullptr), v};
    }
    int put(view k, view v, const nigh_call *call = nullptr) noexcept
    { return nigh_put(raw, k.data(), k.size(), v.data(), v.size(), call); }
    int write(view k, view v, const nigh_call *call = nullptr) /* through the writer of `raw` */
    { return nigh_write(raw, k.data(), k.size(), v.data(), v.size(), call); }
    int invalidate(view k) noexcept { return nigh_invalidate(raw, k.data(), k.size(), nullptr); }
};

/* A cache and its loaders, each of which lives until its last call has returned. */
class cache {
    struct task : std::enable_shared_from_this<task> { std::function<int(fill)> load; };
    std::vector<std::shared_ptr<task>> tasks_; /* go after the cache has closed */
    std::unique_ptr<nigh, void (*)(nigh *)> raw_{nullptr, nigh_close};
    static int run(void *arg, nigh_fill *const fills[], size_t n)
    {
        auto running = static_cast<task *>(arg)->shared_from_this();
        for (size_t i = 0; n > 1 && i < n; i++)
            if (int rc = running->load(fill{fills[i]})) nigh_fill_error(fills[i], rc);
        return n > 1 ? 0 : running->load(fill{fills[0]}); /* ends what it has deferred, too */
    }
public:
    cache(cache &&) = default; /* but none is assigned: its loaders would go before it closes */
    explicit cache(const char *conf = "", nigh_options options = NIGH_OPTIONS_INIT)
    {
        nigh *c = nullptr;
        error::unless_0(nigh_options_parse(&options, conf));
        error::unless_0(nigh_open(&options, &c));
        raw_.reset(c);
    }
    nigh *raw() const noexcept { return raw_.get(); }
    space open(const char *name, std::function<int(fill)> load)
    {
        tasks_.push_back(std::make_shared<task>());
        tasks_.back()->load = std::move(load);
        nigh_space *s = nullptr;
        int rc = nigh_space_open(raw(), name, nullptr, run, nullptr, tasks_.back().get(), &s);
        return rc == 0 ? space{s} : throw error(rc);
    }
};
}
#endif
