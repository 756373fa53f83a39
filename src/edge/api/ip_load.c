/* SPDX-License-Identifier: Apache-2.0
 * Reading the list files of IP sets. */
#include "edge/api/ip_load.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "edge/state/ip_list.h"

static int read_all(int fd, const char *path, size_t size, uint8_t **ret_text, size_t *ret_n,
                    struct pc_why *why)
{
    size_t n = 0, cap = size + 1; /* one more, so that a file that grows is noticed */
    uint8_t *text = malloc(cap);
    ssize_t got = 1;
    if (!text)
        return pc_fail(why, -ENOMEM, "no memory to read %s", path);
    while (n < cap && (got = read(fd, text + n, cap - n)) > 0)
        n += (size_t)got;
    int rc = 0;
    if (got < 0)
        rc = pc_fail(why, -errno, "cannot read %s: %s", path, pc_strerror(errno));
    else if (n == cap)
        rc = pc_fail(why, -EAGAIN, "%s grows while it is read: replace it by renaming", path);
    if (rc < 0) {
        free(text);
        return rc;
    }
    *ret_text = text;
    *ret_n = n;
    return 0;
}

static int read_list(const char *path, uint8_t **ret_text, size_t *ret_n, struct pc_why *why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return pc_fail(why, -errno, "cannot open %s: %s", path, pc_strerror(errno));
    int rc;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        rc = pc_fail(why, -EINVAL, "%s is not a regular file", path);
    else if ((uint64_t)st.st_size > PC_IP_LIST_BYTES_MAX)
        rc = pc_fail(why, PC_E_TOO_LARGE, "%s is larger than %u bytes", path, PC_IP_LIST_BYTES_MAX);
    else
        rc = read_all(fd, path, (size_t)st.st_size, ret_text, ret_n, why);
    close(fd);
    return rc;
}

static int source_of(const struct pc_config_ip_set *each, struct pc_ip_set_source *ret,
                     uint8_t **ret_text, struct pc_why *why)
{
    struct pc_why inner;
    uint8_t *text = NULL;
    size_t n = 0;
    int rc = each->file && each->file[0] ? read_list(each->file, &text, &n, &inner) : 0;
    if (rc < 0)
        return pc_fail(why, rc, "IP set %s: %.440s", each->name, inner.text);
    *ret_text = text;
    *ret = (struct pc_ip_set_source){
        .name = each->name,
        .otherwise_deny = each->otherwise == PC_IP_DENY,
        .allow = each->allow.v,
        .allow_n = each->allow.n,
        .deny = each->deny.v,
        .deny_n = each->deny.n,
        .list = pc_bytes_of(text, n),
        .list_name = each->file,
    };
    return 0;
}

int pc_ip_load(const struct pc_config *c, struct pc_ip_configured **ret_c, struct pc_why *why)
{
    struct pc_ip_set_source sources[PC_CONFIG_IP_SETS_MAX];
    uint8_t *texts[PC_CONFIG_IP_SETS_MAX] = {NULL};
    int rc = 0;
    PC_ASSERT(c->ip_set_count <= PC_CONFIG_IP_SETS_MAX);
    for (unsigned i = 0; i < c->ip_set_count && rc == 0; i++)
        rc = source_of(&c->ip_sets[i], &sources[i], &texts[i], why);
    if (rc == 0)
        rc = pc_ip_configured_new(sources, c->ip_set_count, ret_c, why);
    for (unsigned i = 0; i < c->ip_set_count; i++)
        free(texts[i]);
    return rc;
}
