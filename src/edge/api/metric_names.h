/* SPDX-License-Identifier: Apache-2.0
 * Labels of the metrics whose names this layer owns. */
#ifndef PC_API_METRIC_NAMES_H
#define PC_API_METRIC_NAMES_H

#include "base/metrics.h"

void pc_metric_names(struct pc_metrics_names *ret_names);

#endif
