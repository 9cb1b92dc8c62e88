/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A process's number alone means its first thread, which those who meant the process should know.
 */

#include <jansson.h>

#include "balancectl/session.h"

/* Says so on standard error where that is what was shown (THREAD, of the interface's type of that
 * name) and the process has other threads. What it asks for is not read to its end: SESSION is of
 * no use afterwards. */
void mates_tell(const struct request *request, struct session *session, const json_t *thread);
