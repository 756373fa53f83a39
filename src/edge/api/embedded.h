/* SPDX-License-Identifier: Apache-2.0
 * Files of this folder that the build turns into arrays (tools/embed.cmake). Constant. */
#ifndef PC_API_EMBEDDED_H
#define PC_API_EMBEDDED_H

#include <stddef.h>

extern const unsigned char pc_openapi_json[];
extern const size_t pc_openapi_json_n;
extern const unsigned char pc_index_html[];
extern const size_t pc_index_html_n;

#endif
