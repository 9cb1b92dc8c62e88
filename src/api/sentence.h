/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Why a thread is where it is, in words. */

#include "engine/inspect.h"

#define SENTENCE_SIZE 320

/* SO_FAR: how long it ran and waited since its birth, for want of shares; NULL: not known. */
void sentence_explain(const struct thread_view *view, const struct kernel_counters *so_far,
                      char ret_text[static SENTENCE_SIZE]);
