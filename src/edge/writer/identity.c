/* SPDX-License-Identifier: Apache-2.0
 * Reading and making the identity file of identity.h. */
#include "edge/writer/identity.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/random.h"
#include "base/secret.h"

#define NODE_LINE "node="
#define KEY_LINE  "\nfingerprint_key="
#define FILE_SIZE (sizeof NODE_LINE - 1 + 16 + sizeof KEY_LINE - 1 + 32 + 1)
#define PATH_SIZE 4096

static int parse(const char *path, struct pc_bytes text, struct pc_identity *ret,
                 struct pc_why *why)
{
    struct pc_identity id = {0};
    uint8_t node[8];
    const size_t key_at = sizeof NODE_LINE - 1 + 16;
    if ((text.n != FILE_SIZE && text.n != FILE_SIZE - 1) ||
        memcmp(text.p, NODE_LINE, sizeof NODE_LINE - 1) != 0 ||
        memcmp(text.p + key_at, KEY_LINE, sizeof KEY_LINE - 1) != 0 ||
        pc_hex_decode(pc_bytes_of(text.p + sizeof NODE_LINE - 1, 16), node, 8) < 0 ||
        pc_hex_decode(pc_bytes_of(text.p + key_at + sizeof KEY_LINE - 1, 32), id.fingerprint_key,
                      16) < 0)
        return pc_fail(why, PC_E_DAMAGED,
                       "%s is not an identity file: restore it from the backup of this directory",
                       path);
    for (int i = 0; i < 8; i++)
        id.node = id.node << 8 | node[i];
    *ret = id;
    return 0;
}

static int write_whole(int fd, const char *text, size_t n)
{
    ssize_t done = write(fd, text, n);
    if (done < 0)
        return -errno;
    if ((size_t)done != n)
        return -ENOSPC;
    return fsync(fd) < 0 ? -errno : 0;
}

static int sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

/* Writes a complete file under another name and links it: whoever comes second finds the first. */
static int create(const char *data_dir, const char *path)
{
    char temporary[PATH_SIZE + 64], text[FILE_SIZE + 1];
    uint8_t random[24];
    pc_random_bytes(random, sizeof random);
    random[0] |= 1;
    char *at = text;
    memcpy(at, NODE_LINE, sizeof NODE_LINE - 1);
    pc_hex_encode(random, 8, at + sizeof NODE_LINE - 1);
    at += sizeof NODE_LINE - 1 + 16;
    memcpy(at, KEY_LINE, sizeof KEY_LINE - 1);
    pc_hex_encode(random + 8, 16, at + sizeof KEY_LINE - 1);
    text[FILE_SIZE - 1] = '\n';
    /* Not the process id: in a container the next start has the same, and must not trip over what a
     * crash left. */
    snprintf(temporary, sizeof temporary, "%s.%016" PRIx64 ".tmp", path, pc_random_u64());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int rc = write_whole(fd, text, FILE_SIZE);
    close(fd);
    if (rc == 0 && link(temporary, path) < 0 && errno != EEXIST)
        rc = -errno;
    unlink(temporary);
    pc_wipe(text, sizeof text);
    pc_wipe(random, sizeof random);
    return rc < 0 ? rc : sync_directory(data_dir);
}

int pc_identity_load(const char *data_dir, struct pc_identity *ret_identity, struct pc_why *why)
{
    char path[PATH_SIZE];
    struct pc_secret secret;
    if (snprintf(path, sizeof path, "%s/identity", data_dir) >= (int)sizeof path)
        return pc_fail(why, -ENAMETOOLONG, "data_dir is too long");
    if (mkdir(data_dir, 0700) < 0 && errno != EEXIST)
        return pc_fail(why, -errno, "cannot create the data directory %s: %s", data_dir,
                       pc_strerror(errno));
    if (access(path, F_OK) < 0) {
        int rc = create(data_dir, path);
        if (rc < 0)
            return pc_fail(why, rc, "cannot create %s: %s", path, pc_strerror(rc));
    }
    int rc = pc_secret_read(path, &secret, why);
    if (rc < 0)
        return rc;
    rc = parse(path, pc_secret_bytes(&secret), ret_identity, why);
    pc_wipe(&secret, sizeof secret);
    return rc;
}
