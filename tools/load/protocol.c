/* SPDX-License-Identifier: Apache-2.0
 * What the parsers of answers share: bytes gathered over several receives. */
#include <stdlib.h>
#include <string.h>

#include "load/protocol.h"

enum { GATHER_ROOM_FIRST = 4096 };

bool ld_gather_add(struct ld_gather *g, const uint8_t *p, size_t n, size_t limit)
{
    if (n > limit || g->bytes > limit - n)
        return false;
    if (n == 0)
        return true;
    if (g->bytes + n > g->room) {
        size_t room = g->room ? g->room : GATHER_ROOM_FIRST;
        while (room < g->bytes + n)
            room *= 2;
        uint8_t *grown = realloc(g->p, room);
        if (!grown)
            return false;
        g->p = grown;
        g->room = room;
    }
    memcpy(g->p + g->bytes, p, n);
    g->bytes += n;
    return true;
}

void ld_parser_reset(struct ld_parser *parser)
{
    free(parser->head.p);
    free(parser->body.p);
    *parser = (struct ld_parser){0};
}
