/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as configuration file, or (first byte '!') as env file: they load or are refused with
 * words, and what loads is shown in a form that loads to the same configuration. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A path that reads as these bytes; *ret_fd is to be closed. */
static void as_file(const void *data, size_t n, char path[32], int *ret_fd)
{
    struct pc_buf b = pc_buf_of(path, 31);
    int fd = memfd_create("config", MFD_CLOEXEC);
    PC_ASSERT(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    pc_buf_fmt(&b, "/proc/self/fd/%d", fd);
    path[b.len] = 0;
    *ret_fd = fd;
}

static struct pc_config *load(const void *data, size_t n, bool env)
{
    char path[32];
    int fd;
    struct pc_config *c = NULL;
    struct pc_why why = {""};
    as_file(data, n, path, &fd);
    struct pc_config_options o = {.path = env ? NULL : path, .env_file = env ? path : NULL};
    int err = pc_config_load(&o, &c, &why);
    close(fd);
    PC_ASSERT((err == 0) == (c != NULL));
    PC_ASSERT(err == 0 || why.text[0]);
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool env = size && data[0] == '!';
    struct pc_config *c = load(data + env, size - env, env);
    if (!c)
        return 0;
    char *shown = pc_config_show(c, true);
    PC_ASSERT(shown);
    struct pc_config *again = load(shown, strlen(shown), false);
    PC_ASSERT(again && strcmp(c->hash, again->hash) == 0);
    free(shown);
    pc_config_free(again);
    pc_config_free(c);
    return 0;
}
