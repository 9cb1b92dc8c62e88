/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Why a thread is where it is, in words. */

#include "engine/inspect.h"

#define SENTENCE_SIZE 320

void sentence_explain(const struct thread_view *view, char ret_text[static SENTENCE_SIZE]);
