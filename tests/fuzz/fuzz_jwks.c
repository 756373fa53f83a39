/* SPDX-License-Identifier: Apache-2.0
 * Any text as a key set: refused with a reason, or a set whose keys hold what jwk.h says. */
#include "edge/jose/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_set(const struct pc_jwks *set)
{
    struct pc_bytes data = PC_LIT("data");
    static const uint8_t sig[256];
    PC_ASSERT(set->count <= PC_JWKS_KEYS_MAX);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct pc_key *key = set->keys[i];
        PC_ASSERT(key->algorithms && strlen(key->thumbprint) == PC_THUMBPRINT_CHARS);
        PC_ASSERT(key->type == PC_KEY_SECRET || !(key->algorithms & PC_ALGS_HMAC));
        PC_ASSERT(key->kid.n <= PC_KID_MAX);
        enum pc_alg alg = (enum pc_alg)__builtin_ctz(key->algorithms);
        PC_ASSERT(!pc_key_verify(key, alg, data, pc_bytes_of(sig, 32)));
        for (uint32_t k = 0; k < i; k++)
            PC_ASSERT(key->kid.n == 0 || !pc_bytes_eq(key->kid, set->keys[k]->kid) ||
                      !(key->algorithms & set->keys[k]->algorithms));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pc_jwks *set = NULL;
    struct pc_why why = {""};
    struct pc_issuer_settings s;
    struct pc_trust *t = NULL;
    int rc = pc_jwks_parse(pc_bytes_of(data, size), true, NULL, NULL, &set, &why);
    PC_ASSERT((rc == 0 && set) || (rc < 0 && !set && why.text[0]));
    if (rc)
        return 0;
    check_set(set);
    pc_issuer_settings_init(&s, PC_LIT("i"));
    struct pc_trust_source source = {&s, set};
    if (pc_trust_build(&source, 1, &t, NULL) == 0)
        pc_trust_seal(t, NULL);
    pc_trust_free(t);
    pc_jwks_free(set);
    return 0;
}
