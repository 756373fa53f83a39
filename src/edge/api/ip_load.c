/* SPDX-License-Identifier: Apache-2.0
 * Reading the list files of IP sets. */
#include "edge/api/ip_load.h"

#include <stdlib.h>

#include "edge/api/load_file.h"
#include "edge/state/ip_list.h"

static int source_of(const struct pc_config_ip_set *each, struct pc_ip_set_source *ret,
                     uint8_t **ret_text, struct pc_why *why)
{
    struct pc_why inner;
    uint8_t *text = NULL;
    size_t n = 0;
    int rc = each->file && each->file[0]
                 ? pc_load_file(each->file, PC_IP_LIST_BYTES_MAX, &text, &n, &inner)
                 : 0;
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
