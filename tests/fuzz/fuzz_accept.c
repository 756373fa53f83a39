/* SPDX-License-Identifier: Apache-2.0
 * The field Accept of GET /: whatever it holds, an element that forbids text/html behind it forbids
 * it, and one that asks for JSON no less keeps to JSON. */
#include <stdlib.h>
#include <string.h>

#include "edge/api/endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool with(const uint8_t *data, size_t size, const char *more)
{
    size_t n = strlen(more);
    uint8_t *text = malloc(size + n + 1);
    PC_ASSERT(text != NULL);
    if (size)
        memcpy(text, data, size);
    memcpy(text + size, more, n);
    bool html = pc_accept_prefers_html(pc_bytes_of(text, size + n));
    free(text);
    return html;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool html = with(data, size, "");
    PC_ASSERT(!with(data, size, ",text/html;q=0"));
    PC_ASSERT(!with(data, size, ",application/json;q=1"));
    PC_ASSERT(html == with(data, size, ",image/png")); /* what it does not know changes nothing */
    PC_ASSERT(with(data, size, ",text/html,application/json;q=0.5"));
    return 0;
}
