/* SPDX-License-Identifier: Apache-2.0
 * See flags_load.h. */
#include "edge/api/flags_load.h"

#include <stdlib.h>

#include "edge/api/load_file.h"

int pc_flags_load(const struct pc_config *c, struct pc_flag_layer **ret_layer, struct pc_why *why)
{
    const char *path = c->flags.file;
    struct pc_why inner = {{0}};
    uint8_t *text = NULL;
    size_t n = 0;
    if (!path || !path[0])
        return pc_flag_layer_parse_file_text(PC_LIT("{}"), ret_layer, why);
    int rc = pc_load_file(path, PC_FLAG_FILE_BYTES_MAX, &text, &n, &inner);
    if (rc < 0)
        return pc_fail(why, rc, "flags.file: %.480s", inner.text);
    rc = pc_flag_layer_parse_file_text(pc_bytes_of(text, n), ret_layer, &inner);
    free(text);
    return rc < 0 ? pc_fail(why, rc, "flags.file: %.200s: %.280s", path, inner.text) : 0;
}
