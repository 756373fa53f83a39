/* SPDX-License-Identifier: Apache-2.0
 * The flags every server has, whatever its files say: the lowest layer. */
#include "edge/state/flags_internal.h"

#define BUILTIN(key_, type_, value_, category_, description_)                                      \
    {                                                                                              \
        .key = {(const uint8_t *)(key_), sizeof(key_) - 1},                                        \
        .value = {(const uint8_t *)(value_), sizeof(value_) - 1},                                  \
        .category = {(const uint8_t *)(category_), sizeof(category_) - 1},                         \
        .description = {(const uint8_t *)(description_), sizeof(description_) - 1},                \
        .type = PC_FLAG_##type_                                                                    \
    }

const struct flag_entry flag_builtins[FLAG_BUILTINS] = {
    BUILTIN("api.rate_limit_strict", BOOLEAN, "false", "api",
            "Halves the count and burst of every limit."),
    BUILTIN("auth.enable_2fa", BOOLEAN, "false", "auth", "Ask for a second factor at login."),
    BUILTIN("cache.ttl_seconds", INTEGER, "300", "cache",
            "How long applications may keep what they cached."),
    BUILTIN("jobs.enable_testing", BOOLEAN, "false", "jobs", "Let jobs meant for testing run."),
    BUILTIN("maintenance.mode_enabled", BOOLEAN, "false", "maintenance",
            "Answer 503 to every decision on routes that are not exempt."),
    BUILTIN("payment.enable_test_mode", BOOLEAN, "true", "payment",
            "Take payments in test mode: no money moves."),
    BUILTIN("ui.show_beta_features", BOOLEAN, "false", "ui", "Show features that are in beta."),
    BUILTIN("uploads.max_file_size_mb", INTEGER, "10", "uploads",
            "Largest file an application accepts, in megabytes."),
};

const struct flag_entry *flag_builtin_find(struct pc_bytes key)
{
    for (unsigned i = 0; i < FLAG_BUILTINS; i++)
        if (pc_bytes_eq(flag_builtins[i].key, key))
            return &flag_builtins[i];
    return NULL;
}
