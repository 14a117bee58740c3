// SPDX-License-Identifier: MIT
/*
 * The table of outcomes and errors, and the explanation that each thread keeps.
 */
#include <pthread.h>
#include <stdio.h>

#include "base/base.h"
#include "support/check.h"

TEST(every_code_has_its_own_text)
{
    static const int codes[] = {
#define X(name, value, text) name,
        NIGH_OUTCOMES(X) NIGH_ERRORS(X)
#undef X
    };
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        CHECK(strncmp(nigh_result_name(codes[i]), "NIGH_", 5) == 0);
        for (size_t k = 0; k < i; k++) {
            CHECK_NE(codes[i], codes[k]);
            CHECK(strcmp(nigh_strerror(codes[i]), nigh_strerror(codes[k])) != 0);
        }
    }
    CHECK_STR(nigh_result_name(NIGH_EBUSY), "NIGH_EBUSY");
}

/* They end lines of logs and messages: one clause, no end of its own. 0 comes from every call. */
TEST(texts_read_well_after_what_failed)
{
    static const char *const texts[] = {
#define X(name, value, text) text,
        NIGH_OUTCOMES(X) NIGH_ERRORS(X)
#undef X
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        size_t len = strlen(texts[i]);
        CHECK(len > 5 && len <= 70);
        CHECK(texts[i][len - 1] != '.' && texts[i][len - 1] != '\n');
    }
    CHECK(strncmp(nigh_strerror(NIGH_OK), "done", 4) == 0);
    CHECK_STR(nigh_result_name(NIGH_OK), "NIGH_FRESH");
    CHECK(!strstr(nigh_strerror(NIGH_OK), "of a read"));
}

/* The limits that they tell are those that hold. */
TEST(texts_tell_the_limits)
{
    char limit[16];
    snprintf(limit, sizeof(limit), " %u ", NIGH_KEY_MAX);
    CHECK(strstr(nigh_strerror(NIGH_EKEY), limit));
    snprintf(limit, sizeof(limit), " %u ", NIGH_VALUE_MAX >> 20);
    CHECK(strstr(nigh_strerror(NIGH_EVALUE), limit));
    snprintf(limit, sizeof(limit), " %u ", NIGH_TAGS_MAX);
    CHECK(strstr(nigh_strerror(NIGH_ETAGS), limit));
}

TEST(outcomes_are_not_negative_and_errors_are)
{
#define X(name, value, text) CHECK_GE(name, 0);
    NIGH_OUTCOMES(X)
#undef X
#define X(name, value, text) CHECK_LT(name, 0);
    NIGH_ERRORS(X)
#undef X
}

TEST(unknown_codes_have_a_text)
{
    CHECK_STR(nigh_strerror(12345), "unknown result");
    CHECK_STR(nigh_result_name(-12345), "unknown");
}

static void *note_of_other_thread(void *arg)
{
    (void)arg;
    CHECK_STR(nigh_options_error(), "");
    error_note(NIGH_EURI, "theirs");
    return NULL;
}

TEST(explanations_belong_to_their_thread)
{
    pthread_t other;
    CHECK_EQ(error_note(NIGH_EOPTION, "%s is %d", "l1.shards", 3), NIGH_EOPTION);
    REQUIRE(pthread_create(&other, NULL, note_of_other_thread, NULL) == 0);
    pthread_join(other, NULL);
    CHECK_STR(nigh_options_error(), "l1.shards is 3");
}

TEST(long_explanations_are_cut)
{
    char text[2 * ERROR_NOTE_BYTES];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    error_note(NIGH_EOPTION, "%s", text);
    CHECK_EQ(strlen(nigh_options_error()), ERROR_NOTE_BYTES - 1);
}
