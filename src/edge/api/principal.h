/* SPDX-License-Identifier: Apache-2.0
 * Who asks for something privileged, and whether they may. Runs on a core. */
#ifndef PC_API_PRINCIPAL_H
#define PC_API_PRINCIPAL_H

#include "edge/api/endpoint.h"

/* The principal of a credential: an administrator's token, or a token of the issuer named in
 * admin.issuer whose role claim says so. Role PC_ADMIN_NONE when it is neither; `ret_busy` when it
 * could not be decided now. */
void pc_principal_of(struct pc_worker *w, struct pc_bytes credential, const struct pc_ip *client,
                     struct pc_principal *ret_principal, bool *ret_busy);

/* Whether an administrator's token that gave this principal its role still would: neither revoked
 * nor expired nor of a lesser role by now. False for other principals: they must show their
 * credential again. */
bool pc_principal_stands(const struct pc_worker *w, const struct pc_principal *p);

/* Fills in call->principal and tells whether it holds the permission; if not the call is answered
 * (401, 403 or 503). */
bool pc_principal_admit(struct pc_call *call, enum pc_permission permission);

/* The credentials of "Authorization: Bearer …"; empty when there are none, or several. */
struct pc_bytes pc_bearer(const struct pc_http_request *r);

#endif
