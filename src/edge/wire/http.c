/* SPDX-License-Identifier: Apache-2.0
 * Methods, the table of known fields, and look-ups in a parsed request. Pure; any thread. */
#include "edge/wire/http.h"

#include "edge/wire/field_table.h"

static const struct pc_bytes method_names[PC_METHOD_COUNT] = {
#define METHOD_NAME(name) [PC_METHOD_##name] = {(const uint8_t *)#name, sizeof #name - 1},
    PC_HTTP_METHODS(METHOD_NAME)
#undef METHOD_NAME
};

enum pc_http_method pc_http_method_of(struct pc_bytes name)
{
    for (unsigned m = PC_METHOD_OTHER + 1; m < PC_METHOD_COUNT; m++)
        if (pc_bytes_eq(name, method_names[m]))
            return (enum pc_http_method)m;
    return PC_METHOD_OTHER;
}

_Static_assert(PC_FIELD_COUNT <= 64, "a field is a bit of a 64-bit set");

const struct pc_field_entry pc_field_entries[PC_FIELD_COUNT] = {
#define FIELD_ENTRY(id, name, first, last, repeat) [PC_FIELD_##id] = {sizeof name - 1, name},
    PC_HTTP_FIELDS(FIELD_ENTRY)
#undef FIELD_ENTRY
};

const uint8_t pc_field_slots[PC_FIELD_SLOTS] = {
#define FIELD_SLOT(id, name, first, last, repeat)                                                  \
    [PC_FIELD_SLOT(sizeof name - 1, first, last)] = PC_FIELD_##id,
    PC_HTTP_FIELDS(FIELD_SLOT)
#undef FIELD_SLOT
};

enum pc_http_field_id pc_http_field_of(struct pc_bytes name)
{
    for (unsigned id = PC_FIELD_OTHER + 1; id < PC_FIELD_COUNT; id++)
        if (pc_bytes_eq_nocase(name, pc_http_field_name((enum pc_http_field_id)id)))
            return (enum pc_http_field_id)id;
    return PC_FIELD_OTHER;
}

struct pc_bytes pc_http_field_name(enum pc_http_field_id id)
{
    PC_ASSERT(id < PC_FIELD_COUNT);
    return pc_bytes_of(pc_field_entries[id].name, pc_field_entries[id].n);
}

size_t pc_http_values(const struct pc_http_request *r, enum pc_http_field_id id,
                      struct pc_bytes *values, size_t max)
{
    size_t count = 0;
    if (!pc_http_has(r, id))
        return 0;
    for (size_t i = r->known[id]; i < r->n_fields; i++) {
        if (r->fields[i].id != id)
            continue;
        if (count < max)
            values[count] = pc_http_bytes(r, r->fields[i].value);
        count++;
    }
    return count;
}

struct pc_bytes pc_http_value_by_name(const struct pc_http_request *r, struct pc_bytes name)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (pc_bytes_eq_nocase(pc_http_bytes(r, r->fields[i].name), name))
            return pc_http_bytes(r, r->fields[i].value);
    return (struct pc_bytes){NULL, 0};
}
