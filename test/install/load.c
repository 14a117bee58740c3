// SPDX-License-Identifier: MIT
// A host of plugins: loads use.c as a plugin, runs it on a thread, unloads it, and only then lets
// the thread end, and forks. Twice. Linked to nothing of ours: what it needs comes with the plugin.

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Keys: (a) set by the one that has got so far */
struct visit {
    int (*use)(void);   /* constant */
    int status;         /* written before `used` */
    _Atomic int used;   /* (a) the plugin has been called */
    _Atomic int unload; /* (a) it is gone */
};

static void *visitor(void *arg)
{
    struct visit *v = arg;
    v->status = v->use();
    atomic_store(&v->used, 1);
    while (!atomic_load(&v->unload))
        usleep(1000);
    return NULL; /* destructors of what the plugin has left for this thread run from here on */
}

static int visit(const char *path)
{
    void *plugin = dlopen(path, RTLD_NOW);
    if (!plugin) {
        fprintf(stderr, "%s\n", dlerror());
        return 3;
    }
    struct visit v = {.use = (int (*)(void))dlsym(plugin, "use_main")};
    pthread_t thread;
    if (!v.use || pthread_create(&thread, NULL, visitor, &v) != 0)
        return 2;
    while (!atomic_load(&v.used))
        usleep(1000);
    dlclose(plugin);
    atomic_store(&v.unload, 1);
    pthread_join(thread, NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    int ended = -1;
    waitpid(child, &ended, 0);
    return ended != 0 ? 2 : v.status;
}

int main(int argc, char **argv)
{
    for (int i = 0; i < 2; i++) {
        int status = argc == 2 ? visit(argv[1]) : 2;
        if (status != 0)
            return status;
    }
    return 0;
}
