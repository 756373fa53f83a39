/* SPDX-License-Identifier: Apache-2.0
 * Compiling a configuration: limit policies, IP sets with their list files, logged outcomes, then
 * the routes, which refer to all of them. Main thread. */
#include "edge/api/settings.h"

#include "edge/api/decision_codes.h"
#include "edge/api/ip_load.h"
#include "edge/api/settings_private.h"

static int compile_log_codes(struct pc_settings *s, struct pc_why *why)
{
    const struct pc_words *words = &s->config->log.decisions_reasons;
    _Static_assert(PC_DECISION_CODES <= 64, "a bit for every code");
    s->log_codes = 0;
    for (unsigned i = 0; i < words->n; i++) {
        enum pc_decision_code code;
        if (pc_decision_code_of(pc_bytes_str(words->v[i]), &code) < 0)
            return pc_fail(why, -EINVAL, "log.decisions_reasons: no decision has the code %s",
                           words->v[i]);
        s->log_codes |= UINT64_C(1) << code;
    }
    return 0;
}

int pc_settings_compile(struct pc_settings *s, const struct pc_config *running,
                        const struct pc_settings *old, unsigned cores, const uint8_t secret[16],
                        struct pc_why *why)
{
    int rc = compile_log_codes(s, why);
    s->demands_from = old ? old->demands_from + old->config->route_count : 1;
    if (rc == 0)
        rc = pc_policies_compile(s->config, old ? old->policies : NULL, cores, secret, &s->policies,
                                 why);
    if (rc == 0)
        rc = pc_ip_load(s->config, &s->ip_configured, why);
    if (rc == 0)
        rc = pc_settings_compile_routes(s, running, why);
    return rc;
}

void pc_settings_free_compiled(struct pc_settings *s)
{
    pc_settings_free_routes(s);
    pc_policies_free(s->policies);
    pc_ip_configured_free(s->ip_configured);
    s->policies = NULL;
    s->ip_configured = NULL;
}
