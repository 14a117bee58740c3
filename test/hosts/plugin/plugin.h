/* SPDX-License-Identifier: MIT */
/*
 * What the plugin gives to its host: a table of numbers behind a cache that lies in the plugin.
 */
#ifndef NIGH_TEST_HOSTS_PLUGIN_H
#define NIGH_TEST_HOSTS_PLUGIN_H

struct plugin {
    int (*open)(const char *uri);               /* 0 or < 0 */
    int (*is_fresh)(void);
    long (*read)(const char *key);              /* the number, or < 0 */
    int (*tell)(const char *key);               /* after a commit: 0 told, 1 queued, < 0 */
    void (*close)(void);
};

/* The rows are the host's. Exported as "plugin_table". */
typedef long (*plugin_row_fn)(const char *key);
typedef const struct plugin *(*plugin_table_fn)(plugin_row_fn row);

#endif
