/* SPDX-License-Identifier: Apache-2.0
 * Threads verify tokens while another replaces the snapshot again and again: keys and settings are
 * shared by counted references, and a snapshot in use must stay whole. The real server publishes by
 * RCU; here a lock and a counter stand in, so that only trust.c and key.c are under test. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/jose/jwt.h"
#include "support/mint.h"

#define READERS 3
#define SWAPS   300
#define ISS     "https://issuer.example"

struct shared {
    pthread_mutex_t lock;
    struct pc_trust *now; /* under lock */
    struct pc_bytes tokens[2];
    bool done;            /* under lock */
    unsigned verdicts[2]; /* under lock: accepted, key revoked */
};

/* A private clone of the present snapshot; NULL at the end. */
static struct pc_trust *take(struct shared *s)
{
    struct pc_trust *t = NULL;
    pthread_mutex_lock(&s->lock);
    if (!s->done) {
        int rc = pc_trust_clone(s->now, &t);
        PC_ASSERT(rc == 0);
        pc_trust_seal(t, s->now);
        PC_ASSERT(t->generation == s->now->generation); /* I2 */
    }
    pthread_mutex_unlock(&s->lock);
    return t;
}

static void *read_loop(void *arg)
{
    struct shared *s = arg;
    struct pc_jwt_scratch *scratch = malloc(sizeof *scratch);
    struct pc_trust *t;
    PC_ASSERT(scratch);
    for (unsigned i = 0; (t = take(s)); i++) {
        struct pc_claims c;
        bool revoked = t->keys[i % 2].revoked;
        enum pc_token_error err = pc_jwt_verify(t, s->tokens[i % 2], scratch, &c);
        PC_ASSERT(err == (revoked ? PC_TOKEN_KEY_REVOKED : PC_TOKEN_OK)); /* I3 */
        pc_trust_free(t);
        pthread_mutex_lock(&s->lock);
        s->verdicts[revoked]++;
        pthread_mutex_unlock(&s->lock);
    }
    free(scratch);
    return NULL;
}

/* Revokes and restores the keys by turns. */
static void swap(struct shared *s, unsigned i)
{
    struct pc_trust *draft;
    PC_ASSERT(pc_trust_clone(s->now, &draft) == 0);
    struct pc_bytes thumbprint = pc_bytes_str(draft->keys[i % 2].key->thumbprint);
    unsigned named =
        pc_trust_set_key_revoked(draft, PC_LIT(ISS), thumbprint, !draft->keys[i % 2].revoked);
    PC_ASSERT(named == 1);
    pc_trust_seal(draft, s->now);
    PC_ASSERT(draft->generation == s->now->generation + 1);
    pthread_mutex_lock(&s->lock);
    struct pc_trust *old = s->now;
    s->now = draft;
    pthread_mutex_unlock(&s->lock);
    pc_trust_free(old);
}

static void a_snapshot_in_use_stays_whole_while_others_replace_it(void **state)
{
    static uint8_t memory[2][2048];
    struct mint_key *keys[2] = {mint_key_new(PC_ALG_RS256, "rsa"), mint_key_new(PC_ALG_HS256, "s")};
    struct pc_issuer_settings settings;
    struct shared s = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t readers[READERS];
    uint8_t claims[512];
    struct pc_buf c = pc_buf_of(claims, sizeof claims);
    (void)state;
    pc_issuer_settings_init(&settings, PC_LIT(ISS));
    settings.algorithms = PC_ALGS_ASYMMETRIC | PC_ALGS_HMAC;
    settings.allow_secrets = true;
    s.now = mint_trust(&settings, (const struct mint_key *const *)keys, 2);
    mint_claims(&c, ISS, "alice", "j1", 1700000000, NULL);
    for (int i = 0; i < 2; i++) {
        struct pc_buf b = pc_buf_of(memory[i], sizeof memory[i]);
        mint_token(&b, keys[i], i ? PC_ALG_HS256 : PC_ALG_RS256, (char *)claims);
        s.tokens[i] = pc_bytes_of(b.p, b.len);
    }
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_loop, &s), 0);
    bool both = false;
    for (unsigned i = 0; i < SWAPS || !both; i++) {
        swap(&s, i);
        pthread_mutex_lock(&s.lock);
        both = s.verdicts[0] > 100 && s.verdicts[1] > 100;
        pthread_mutex_unlock(&s.lock);
    }
    pthread_mutex_lock(&s.lock);
    s.done = true;
    pthread_mutex_unlock(&s.lock);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    pc_trust_free(s.now);
    for (int i = 0; i < 2; i++)
        mint_key_free(keys[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_in_use_stays_whole_while_others_replace_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
