/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel/netlink.h"

#include <errno.h>
#include <stddef.h>
#include <netlink/errno.h>

#include "base/macro.h"

int netlink_errno(int error)
{
        static const struct {
                int nle, number;
        } table[] = {
                {NLE_NOMEM, ENOMEM},
                {NLE_PERM, EPERM},
                {NLE_NOACCESS, EACCES},
                {NLE_AGAIN, EAGAIN},
                {NLE_INTR, EINTR},
                {NLE_PROTO_MISMATCH, EPROTONOSUPPORT},
                {NLE_AF_NOSUPPORT, EPROTONOSUPPORT},
                {NLE_OBJ_NOTFOUND, ENOENT},
        };

        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (error == -table[i].nle)
                        return -table[i].number;
        return -EIO;
}
