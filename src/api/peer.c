/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "api/peer.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/macro.h"

/* Most users are in no more groups than that. */
#define N_USUAL 32U

static bool contains(const gid_t *groups, size_t n, gid_t group)
{
        for (size_t i = 0; i < n; i++)
                if (groups[i] == group)
                        return true;
        return false;
}

/* SO_PEERGROUPS says -ERANGE, and how much room it needs, where there are more groups than room. */
static int has_group(int fd, gid_t group, bool *ret)
{
        gid_t usual[N_USUAL];
        _cleanup_free_ gid_t *many = NULL;
        socklen_t size = sizeof(usual);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, usual, &size) == 0) {
                *ret = contains(usual, size / sizeof(*usual), group);
                return 0;
        }
        if (errno != ERANGE)
                return -errno;
        many = malloc(size);
        if (!many)
                return -ENOMEM;
        /* The groups of a connected peer do not change any more. */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, many, &size) < 0)
                return -errno;
        *ret = contains(many, size / sizeof(*many), group);
        return 0;
}

int peer_read(int fd, gid_t group, struct peer *ret)
{
        struct ucred credentials;
        socklen_t size = sizeof(credentials);
        bool member = false;
        int r;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
                return -errno;
        if (group != GID_NONE && credentials.uid != 0 && credentials.gid != group) {
                r = has_group(fd, group, &member);
                if (r < 0)
                        return r;
        }
        *ret = (struct peer){
                .uid = credentials.uid,
                .pid = credentials.pid,
                .privileged = credentials.uid == 0 || member ||
                              (group != GID_NONE && credentials.gid == group),
        };
        return 0;
}
