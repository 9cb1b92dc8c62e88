/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "model/move.h"

#include <stdlib.h>

const char *move_reason_to_string(enum move_reason reason)
{
        switch (reason) {
        case MOVE_BALANCE:
                return "balance";
        case MOVE_CHAIN:
                return "chain";
        case MOVE_STUCK:
                return "stuck";
        case MOVE_ROTATE:
                return "rotate";
        }
        abort();
}
