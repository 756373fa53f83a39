/* SPDX-License-Identifier: Apache-2.0
 * The complete list of metrics. A family F(name, type, scope, help) is followed by its series:
 * S(ID, labels) is one slot; V(ID, size) is a row of slots whose label texts the edge passes in
 * (struct pc_metrics_names) because it owns those names. Scope ALL sums over threads, CORE writes
 * one line per core with the label core. Included by metrics.h. */
#ifndef PC_BASE_METRICS_TABLE_H
#define PC_BASE_METRICS_TABLE_H

#define PC_METRICS_DECISIONS_MAX     64
#define PC_METRICS_RESP_COMMANDS_MAX 32

/* clang-format off */
#define PC_METRICS(F, S, V) \
  F("portcullis_decisions_total", COUNTER, ALL, "Decisions by result and reason") \
    V(DECISIONS, PC_METRICS_DECISIONS_MAX) \
  F("portcullis_shadow_decisions_total", COUNTER, ALL, "Decisions of routes in shadow mode that would have refused, by reason") \
    V(SHADOW_DECISIONS, PC_METRICS_DECISIONS_MAX) \
  F("portcullis_http_responses_total", COUNTER, ALL, "HTTP responses by status class") \
    S(HTTP_1XX, "class=\"1xx\"") S(HTTP_2XX, "class=\"2xx\"") S(HTTP_3XX, "class=\"3xx\"") \
    S(HTTP_4XX, "class=\"4xx\"") S(HTTP_5XX, "class=\"5xx\"") \
  F("portcullis_http_refused_total", COUNTER, ALL, "HTTP requests refused before they were routed, by status") \
    S(HTTP_REFUSED_400, "status=\"400\"") S(HTTP_REFUSED_408, "status=\"408\"") \
    S(HTTP_REFUSED_413, "status=\"413\"") S(HTTP_REFUSED_414, "status=\"414\"") \
    S(HTTP_REFUSED_431, "status=\"431\"") S(HTTP_REFUSED_501, "status=\"501\"") \
    S(HTTP_REFUSED_503, "status=\"503\"") S(HTTP_REFUSED_505, "status=\"505\"") \
  F("portcullis_resp_commands_total", COUNTER, ALL, "RESP commands by name") \
    V(RESP_COMMANDS, PC_METRICS_RESP_COMMANDS_MAX) \
  F("portcullis_resp_errors_total", COUNTER, ALL, "RESP commands answered with an error") \
    S(RESP_ERRORS, "") \
  F("portcullis_throttle_total", COUNTER, ALL, "CL.THROTTLE that took something, by result") \
    S(THROTTLE_ALLOWED, "result=\"allowed\"") S(THROTTLE_REFUSED, "result=\"refused\"") \
  F("portcullis_throttle_keys", GAUGE, ALL, "Slots of CL.THROTTLE's table in use") \
    S(THROTTLE_KEYS, "") \
  F("portcullis_throttle_evictions_total", COUNTER, ALL, "Keys of CL.THROTTLE that owed nothing and made room for others") \
    S(THROTTLE_EVICTED, "") \
  F("portcullis_throttle_no_room_total", COUNTER, ALL, "CL.THROTTLE refused because there was no room for its key") \
    S(THROTTLE_NO_ROOM, "") \
  F("portcullis_connections_open", GAUGE, ALL, "Connections open now, by protocol") \
    S(CONNECTIONS_OPEN_HTTP, "protocol=\"http\"") S(CONNECTIONS_OPEN_RESP, "protocol=\"resp\"") \
  F("portcullis_core_connections_open", GAUGE, CORE, "Connections open now on each core") \
    S(CORE_CONNECTIONS_OPEN, "") \
  F("portcullis_connections_accepted_total", COUNTER, ALL, "Connections accepted, by protocol") \
    S(CONNECTIONS_ACCEPTED_HTTP, "protocol=\"http\"") S(CONNECTIONS_ACCEPTED_RESP, "protocol=\"resp\"") \
  F("portcullis_connections_closed_total", COUNTER, ALL, "Connections closed, by reason") \
    S(CONNECTIONS_CLOSED_NORMAL, "reason=\"normal\"") S(CONNECTIONS_CLOSED_IDLE, "reason=\"idle\"") S(CONNECTIONS_CLOSED_TIMEOUT, "reason=\"timeout\"") \
    S(CONNECTIONS_CLOSED_PROTOCOL, "reason=\"protocol\"") S(CONNECTIONS_CLOSED_ERROR, "reason=\"error\"") \
    S(CONNECTIONS_CLOSED_SHUTDOWN, "reason=\"shutdown\"") \
  F("portcullis_connections_refused_total", COUNTER, ALL, "Connections refused, by reason") \
    S(CONNECTIONS_REFUSED_LIMIT, "reason=\"limit\"") S(CONNECTIONS_REFUSED_OVERLOAD, "reason=\"overload\"") \
    S(CONNECTIONS_REFUSED_RESOURCES, "reason=\"resources\"") \
  F("portcullis_proxy_headers_total", COUNTER, ALL, "PROXY protocol headers of connections, by result") \
    S(PROXY_TAKEN, "result=\"taken\"") S(PROXY_UNTRUSTED, "result=\"untrusted\"") \
    S(PROXY_MALFORMED, "result=\"malformed\"") S(PROXY_TIMEOUT, "result=\"timeout\"") \
  F("portcullis_received_bytes_total", COUNTER, ALL, "Bytes read from connections") \
    S(BYTES_IN, "") \
  F("portcullis_sent_bytes_total", COUNTER, ALL, "Bytes written to connections") \
    S(BYTES_OUT, "") \
  F("portcullis_token_cache_lookups_total", COUNTER, ALL, "Lookups in the verified-token caches, by result") \
    S(TOKEN_CACHE_HIT, "result=\"hit\"") S(TOKEN_CACHE_MISS, "result=\"miss\"") \
    S(TOKEN_CACHE_FAILURE_HIT, "result=\"failure_hit\"") S(TOKEN_CACHE_STALE, "result=\"stale\"") \
  F("portcullis_token_cache_entries", GAUGE, ALL, "Tokens remembered by the verified-token caches") \
    S(TOKEN_CACHE_ENTRIES, "") \
  F("portcullis_token_cache_bytes", GAUGE, ALL, "Memory of the verified-token caches: taken by entries, and reserved for all") \
    S(TOKEN_CACHE_BYTES_USED, "kind=\"used\"") S(TOKEN_CACHE_BYTES_RESERVED, "kind=\"reserved\"") \
  F("portcullis_token_cache_evicted_total", COUNTER, ALL, "Good tokens forgotten because the cache is too small") \
    S(TOKEN_CACHE_EVICTED, "") \
  F("portcullis_signatures_verified_total", COUNTER, ALL, "Signature verifications, by result") \
    S(SIGNATURES_VALID, "result=\"valid\"") S(SIGNATURES_INVALID, "result=\"invalid\"") \
  F("portcullis_signature_budget_refusals_total", COUNTER, ALL, "Verifications refused for want of budget, by whose it was") \
    S(BUDGET_REFUSED_CORE, "scope=\"core\"") S(BUDGET_REFUSED_CLIENT, "scope=\"client\"") \
  F("portcullis_revocation_checks_total", COUNTER, ALL, "Revocation look-ups of decisions, by result") \
    S(REVOCATION_CLEAR, "result=\"clear\"") S(REVOCATION_REVOKED, "result=\"revoked\"") \
  /* In the order of enum pc_kind, revoke before clear: slot MUTATIONS_TOKEN_REVOKE + (kind - 1) * 2 + (op - 1). */ \
  F("portcullis_mutations_total", COUNTER, ALL, "Mutations acknowledged, by kind and operation") \
    S(MUTATIONS_TOKEN_REVOKE, "kind=\"token\",op=\"revoke\"") S(MUTATIONS_TOKEN_CLEAR, "kind=\"token\",op=\"clear\"") \
    S(MUTATIONS_SESSION_REVOKE, "kind=\"session\",op=\"revoke\"") S(MUTATIONS_SESSION_CLEAR, "kind=\"session\",op=\"clear\"") \
    S(MUTATIONS_FAMILY_REVOKE, "kind=\"family\",op=\"revoke\"") S(MUTATIONS_FAMILY_CLEAR, "kind=\"family\",op=\"clear\"") \
    S(MUTATIONS_SUBJECT_REVOKE, "kind=\"subject\",op=\"revoke\"") S(MUTATIONS_SUBJECT_CLEAR, "kind=\"subject\",op=\"clear\"") \
    S(MUTATIONS_CLIENT_REVOKE, "kind=\"client\",op=\"revoke\"") S(MUTATIONS_CLIENT_CLEAR, "kind=\"client\",op=\"clear\"") \
    S(MUTATIONS_KEY_REVOKE, "kind=\"key\",op=\"revoke\"") S(MUTATIONS_KEY_CLEAR, "kind=\"key\",op=\"clear\"") \
    S(MUTATIONS_ISSUER_REVOKE, "kind=\"issuer\",op=\"revoke\"") S(MUTATIONS_ISSUER_CLEAR, "kind=\"issuer\",op=\"clear\"") \
    S(MUTATIONS_ALL_REVOKE, "kind=\"all\",op=\"revoke\"") S(MUTATIONS_ALL_CLEAR, "kind=\"all\",op=\"clear\"") \
    S(MUTATIONS_FLAG_SET, "kind=\"flag\",op=\"set\"") S(MUTATIONS_FLAG_UNSET, "kind=\"flag\",op=\"unset\"") \
    S(MUTATIONS_IP_RULE_SET, "kind=\"ip_rule\",op=\"set\"") S(MUTATIONS_IP_RULE_UNSET, "kind=\"ip_rule\",op=\"unset\"") \
    S(MUTATIONS_ADMIN_NOTE, "kind=\"admin\",op=\"note\"") \
  F("portcullis_mutations_refused_total", COUNTER, ALL, "Mutations refused, by reason") \
    S(MUTATIONS_REFUSED_QUEUE, "reason=\"queue_full\"") S(MUTATIONS_REFUSED_READ_ONLY, "reason=\"read_only\"") \
    S(MUTATIONS_REFUSED_OUTBOX, "reason=\"outbox_full\"") \
  F("portcullis_revocation_entries", GAUGE, ALL, "Entries in the revocation tables") \
    S(REVOCATION_ENTRIES_ABSOLUTE, "table=\"absolute\"") S(REVOCATION_ENTRIES_CUTOFF, "table=\"cutoff\"") \
    S(REVOCATION_ENTRIES_CLEARED, "table=\"cleared\"") S(REVOCATION_ENTRIES_BROAD, "table=\"broad\"") \
  F("portcullis_revocation_slots", GAUGE, ALL, "Slots of the revocation tables") \
    S(REVOCATION_SLOTS_ABSOLUTE, "table=\"absolute\"") S(REVOCATION_SLOTS_CUTOFF, "table=\"cutoff\"") \
  F("portcullis_revocation_bytes", GAUGE, ALL, "Memory of the revocation tables") \
    S(REVOCATION_BYTES_ABSOLUTE, "table=\"absolute\"") S(REVOCATION_BYTES_CUTOFF, "table=\"cutoff\"") \
  F("portcullis_revocation_rebuilds_total", COUNTER, ALL, "Segments of the revocation tables rebuilt") \
    S(REVOCATION_REBUILDS_ABSOLUTE, "table=\"absolute\"") S(REVOCATION_REBUILDS_CUTOFF, "table=\"cutoff\"") \
  F("portcullis_revocations_expired_total", COUNTER, ALL, "Entries removed because they had expired") \
    S(REVOCATIONS_EXPIRED, "") \
  F("portcullis_revocation_removal_stopped", GAUGE, ALL, "1 while removal waits because the clock stepped") \
    S(REMOVAL_STOPPED, "") \
  F("portcullis_journal_batches_total", COUNTER, ALL, "Batches appended to the journal") \
    S(JOURNAL_BATCHES, "") \
  F("portcullis_journal_records_total", COUNTER, ALL, "Records appended to the journal") \
    S(JOURNAL_RECORDS, "") \
  F("portcullis_journal_appended_bytes_total", COUNTER, ALL, "Bytes appended to the journal") \
    S(JOURNAL_BYTES, "") \
  F("portcullis_journal_size_bytes", GAUGE, ALL, "Bytes of the journal's segments on disk") \
    S(JOURNAL_SIZE_BYTES, "") \
  F("portcullis_journal_failed", GAUGE, ALL, "1 after a write or sync failed: mutations are refused until a restart") \
    S(JOURNAL_FAILED, "") \
  F("portcullis_snapshots_total", COUNTER, ALL, "Snapshots, by result") \
    S(SNAPSHOTS_WRITTEN, "result=\"written\"") S(SNAPSHOTS_FAILED, "result=\"failed\"") \
  F("portcullis_snapshot_last_timestamp_seconds", GAUGE, ALL, "When the last snapshot was completed") \
    S(SNAPSHOT_LAST_SECONDS, "") \
  F("portcullis_credentials_total", COUNTER, ALL, "Credentials of administrators, by what became of them") \
    S(CREDENTIALS_ACCEPTED, "outcome=\"accepted\"") S(CREDENTIALS_REFUSED, "outcome=\"refused\"") \
    S(CREDENTIALS_LIMITED, "outcome=\"limited\"") \
  F("portcullis_audit_lines_total", COUNTER, ALL, "Lines written to audit.jsonl") \
    S(AUDIT_LINES, "") \
  F("portcullis_audit_behind", GAUGE, ALL, "Positions of the journal that have no line in audit.jsonl yet") \
    S(AUDIT_BEHIND, "") \
  F("portcullis_audit_failing", GAUGE, ALL, "1 while audit.jsonl cannot be written: the journal keeps its records") \
    S(AUDIT_FAILING, "") \
  F("portcullis_audit_failures_total", COUNTER, ALL, "Attempts to write audit.jsonl that failed") \
    S(AUDIT_FAILURES, "") \
  F("portcullis_ip_rules", GAUGE, ALL, "IP rules, by where they come from; dormant ones are of sets not configured") \
    S(IP_RULES_CONFIGURED, "source=\"configured\"") S(IP_RULES_RUNTIME, "source=\"runtime\"") \
    S(IP_RULES_DORMANT, "source=\"dormant\"") \
  F("portcullis_ip_rules_bytes", GAUGE, ALL, "Memory of the IP rules") \
    S(IP_BYTES_CONFIGURED, "source=\"configured\"") S(IP_BYTES_RUNTIME, "source=\"runtime\"") \
  F("portcullis_writer_queue_full_total", COUNTER, ALL, "Times a core found its queue to the writer full") \
    S(WRITER_QUEUE_FULL, "") \
  F("portcullis_loop_turns_total", COUNTER, CORE, "Turns of the event loop") \
    S(LOOP_TURNS, "") \
  F("portcullis_loop_sleeps_total", COUNTER, CORE, "Turns that found nothing to do and slept") \
    S(LOOP_SLEEPS, "") \
  F("portcullis_loop_completions_total", COUNTER, CORE, "io_uring completions handled") \
    S(LOOP_COMPLETIONS, "") \
  F("portcullis_loop_receives_total", COUNTER, CORE, "Receives that brought bytes") \
    S(LOOP_RECEIVES, "") \
  F("portcullis_loop_receives_without_buffer_total", COUNTER, CORE, "Receives that found all lent buffers in use and were begun again") \
    S(LOOP_NO_BUFFERS, "") \
  F("portcullis_loop_sends_total", COUNTER, CORE, "Sends submitted") \
    S(LOOP_SENDS, "") \
  F("portcullis_loop_short_sends_total", COUNTER, CORE, "Sends of which the kernel took a part") \
    S(LOOP_SHORT_SENDS, "") \
  F("portcullis_loop_output_full_total", COUNTER, CORE, "Times that reading from a connection stopped because its client takes no answers") \
    S(LOOP_OUTPUT_FULL, "") \
  F("portcullis_loop_messages_total", COUNTER, CORE, "Messages from other threads handled") \
    S(LOOP_MESSAGES, "") \
  F("portcullis_loop_buffer_bytes", GAUGE, CORE, "Memory of input and output buffers, in use and kept") \
    S(LOOP_BUFFER_BYTES, "") \
  F("portcullis_loop_queue_delay_seconds", GAUGE_NS, CORE, "Time that completions wait for their core, smoothed") \
    S(LOOP_QUEUE_DELAY_NS, "") \
  F("portcullis_shed_total", COUNTER, ALL, "Requests shed because a core's queue delay was too long") \
    S(SHED, "") \
  F("portcullis_event_streams_open", GAUGE, ALL, "Streams of /v1/events open now") \
    S(EVENT_STREAMS_OPEN, "") \
  F("portcullis_event_streams_ended_total", COUNTER, ALL, "Streams of /v1/events that ended, by reason") \
    S(EVENT_STREAMS_GONE, "reason=\"peer\"") S(EVENT_STREAMS_SLOW, "reason=\"slow\"") \
    S(EVENT_STREAMS_CREDENTIAL, "reason=\"credential\"") S(EVENT_STREAMS_SHUTDOWN, "reason=\"shutdown\"") \
  F("portcullis_event_streams_refused_total", COUNTER, ALL, "Streams of /v1/events refused because events.max_streams was reached") \
    S(EVENT_STREAMS_REFUSED, "") \
  F("portcullis_events_total", COUNTER, ALL, "Events added to the histories that streams are served from") \
    S(EVENTS_FLAGS, "history=\"flags\"") S(EVENTS_REVOCATIONS, "history=\"revocations\"") \
  F("portcullis_event_history_events", GAUGE, ALL, "Events a client can still resume from") \
    S(EVENT_HISTORY_FLAGS, "history=\"flags\"") S(EVENT_HISTORY_REVOCATIONS, "history=\"revocations\"") \
  F("portcullis_event_history_bytes", GAUGE, ALL, "Memory of both histories") \
    S(EVENT_HISTORY_BYTES, "") \
  F("portcullis_events_sent_total", COUNTER, ALL, "Events written to streams, by kind") \
    S(EVENTS_SENT_FLAG, "event=\"flag\"") S(EVENTS_SENT_FLAGS, "event=\"flags\"") \
    S(EVENTS_SENT_REVOCATION, "event=\"revocation\"") S(EVENTS_SENT_RESET, "event=\"reset\"") \
  F("portcullis_trust_generation", GAUGE, ALL, "Generation of issuers and keys in use") \
    S(TRUST_GENERATION, "") \
  F("portcullis_jwks_reloads_total", COUNTER, ALL, "Key files read, by result") \
    S(JWKS_RELOADED, "result=\"ok\"") S(JWKS_REFUSED, "result=\"refused\"") \
  F("portcullis_config_reloads_total", COUNTER, ALL, "Configuration reloads, by result") \
    S(CONFIG_RELOADED, "result=\"ok\"") S(CONFIG_REFUSED, "result=\"refused\"") \
  F("portcullis_flag_reloads_total", COUNTER, ALL, "Flag file reloads, by result") \
    S(FLAGS_RELOADED, "result=\"ok\"") S(FLAGS_REFUSED, "result=\"refused\"") \
  /* In the order of enum pc_flag_source. */ \
  F("portcullis_flags", GAUGE, ALL, "Flags, by where their value comes from") \
    S(FLAGS_DEFAULT, "source=\"default\"") S(FLAGS_FILE, "source=\"file\"") \
    S(FLAGS_ADMIN, "source=\"admin\"") S(FLAGS_ENVIRONMENT, "source=\"environment\"") \
  F("portcullis_flags_bytes", GAUGE, ALL, "Memory of the flags' snapshot") \
    S(FLAGS_BYTES, "") \
  F("portcullis_flag_values_ignored", GAUGE, ALL, "Runtime values whose type is no longer their flag's") \
    S(FLAGS_IGNORED, "") \
  F("portcullis_maintenance", GAUGE, ALL, "1 while the flag maintenance.mode_enabled is true") \
    S(MAINTENANCE, "") \
  F("portcullis_log_lines_dropped_total", COUNTER, ALL, "Log lines dropped because a queue was full") \
    S(LOG_DROPPED, "") \
  F("portcullis_ready", GAUGE, ALL, "1 when recovery is complete and decisions are answered") \
    S(READY, "")

/* F(name, scale, first, last, help): le runs over the powers of two 2^first … 2^last of the
 * recorded unit; scale NS shows them in seconds, ONE as they are. */
#define PC_HISTOGRAMS(F, S) \
  F("portcullis_request_duration_seconds", NS, 9, 34, "From the first byte of a request to its answer being queued, by protocol") \
    S(REQUEST_HTTP, "protocol=\"http\"") S(REQUEST_RESP, "protocol=\"resp\"") \
  F("portcullis_mutation_duration_seconds", NS, 14, 34, "From a core's queue to acknowledged") \
    S(MUTATION, "") \
  F("portcullis_journal_sync_duration_seconds", NS, 14, 34, "Time of a sync of the journal") \
    S(JOURNAL_SYNC, "") \
  F("portcullis_journal_batch_records", ONE, 0, 14, "Records in a batch of the journal") \
    S(JOURNAL_BATCH, "") \
  F("portcullis_snapshot_duration_seconds", NS, 20, 38, "Time to write a snapshot") \
    S(SNAPSHOT, "")
/* clang-format on */

#endif
