// SPDX-License-Identifier: MIT
/*
 * Asking the system. What it does not tell is left out.
 */
#include "support/provenance.h"

#include <nigh/nigh.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "support/json.h"

#define TEXT_MAX 512

/* The value of "model name : ...", which x86 has. */
static bool take_model(char *ret, size_t size)
{
    char line[TEXT_MAX];
    bool found = false;
    FILE *in = fopen("/proc/cpuinfo", "re");
    while (in && !found && fgets(line, sizeof(line), in)) {
        const char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        found = value;
        if (found)
            snprintf(ret, size, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
    }
    if (in)
        fclose(in);
    return found;
}

static int cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
                                                        : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

const char *provenance_machine(void)
{
    static char text[TEXT_MAX];
    char model[TEXT_MAX / 4];
    struct utsname name;
    double bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    if (uname(&name) != 0)
        return "unknown";
    if (!take_model(model, sizeof(model)))
        snprintf(model, sizeof(model), "%s", name.machine);
    snprintf(text, sizeof(text), "%s, %d CPU%s, %.0f GiB, %s %s", model, cpus(),
             cpus() == 1 ? "" : "s", bytes / 0x1p30, name.sysname, name.release);
    return text;
}

const char *provenance_build(void)
{
    static char text[TEXT_MAX];
    const char *revision = getenv("NIGH_REVISION"); /* by perf/run */
    snprintf(text, sizeof(text), "%d.%d.%d%s%.64s%s", NIGH_VERSION_MAJOR, NIGH_VERSION_MINOR,
             NIGH_VERSION_PATCH, revision && revision[0] ? " (" : "", revision ? revision : "",
             revision && revision[0] ? ")" : "");
    return text;
}

const char *provenance_date(void)
{
    static char text[TEXT_MAX];
    time_t now = time(NULL);
    struct tm utc;
    if (!gmtime_r(&now, &utc) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &utc))
        return "unknown";
    return text;
}

void provenance_json(FILE *out, const char *before)
{
    const struct {
        const char *name, *text;
    } all[] = {{"machine", provenance_machine()},
               {"build", provenance_build()},
               {"date", provenance_date()}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        fprintf(out, "%s\"%s\": ", before, all[i].name);
        json_text(out, all[i].text);
    }
}
