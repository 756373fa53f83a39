/* SPDX-License-Identifier: Apache-2.0
 * What a client of /v1/events asks for: a query, a newline, the field Last-Event-ID. An id that was
 * understood is written as it would be, and read again. */
#include <string.h>

#include "edge/api/event_wish.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_back(const struct pc_event_id *id)
{
    uint8_t text[PC_EVENT_ID_MAX + 32];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_event_wish again;
    struct pc_why why;
    pc_event_id_write(&b, id);
    PC_ASSERT(!b.overflow && b.len <= PC_EVENT_ID_MAX);
    int rc = pc_event_wish_read(PC_LIT(""), pc_bytes_of(b.p, b.len), &again, &why);
    PC_ASSERT(rc == 0 && again.resume && again.sane);
    PC_ASSERT(again.id.epoch == id->epoch && memcmp(again.id.at, id->at, sizeof id->at) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t n = end ? (size_t)(end - data) : size;
    struct pc_bytes field = end ? pc_bytes_of(end + 1, size - n - 1) : pc_bytes_of(NULL, 0);
    struct pc_event_wish wish = {.streams = 99};
    struct pc_why why = {{0}};
    int rc = pc_event_wish_read(pc_bytes_of(data, n), field, &wish, &why);
    if (rc < 0) {
        PC_ASSERT(why.text[0] && wish.streams == 99); /* said why, and left alone */
        return 0;
    }
    PC_ASSERT(wish.streams < 1u << PC_STREAMS);
    PC_ASSERT(!wish.sane || wish.resume);
    if (wish.sane)
        read_back(&wish.id);
    return 0;
}
