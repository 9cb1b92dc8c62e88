/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macro.h"

/* glibc has no functions of its own for the two system calls. */
int privileges_drop_net_admin(void)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
        struct __user_cap_data_struct *set = &sets[CAP_TO_INDEX(CAP_NET_ADMIN)];

        if (syscall(SYS_capget, &header, sets) < 0)
                return -errno;
        set->effective &= ~CAP_TO_MASK(CAP_NET_ADMIN);
        set->permitted &= ~CAP_TO_MASK(CAP_NET_ADMIN);
        /* The kernel lowers the ambient set with it. */
        set->inheritable &= ~CAP_TO_MASK(CAP_NET_ADMIN);
        return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

/* The folder's group is that of the service (RuntimeDirectory= of systemd.exec(5)). */
static int become(const struct stat *folder, const char *name)
{
        int r = name ? initgroups(name, folder->st_gid) : setgroups(1, &folder->st_gid);

        if (r < 0 || setresgid(folder->st_gid, folder->st_gid, folder->st_gid) < 0 ||
            setresuid(folder->st_uid, folder->st_uid, folder->st_uid) < 0)
                return -errno;
        return 0;
}

int privileges_become_owner(const char *path, char ret[static LOGIN_NAME_MAX])
{
        const struct passwd *user;
        struct stat folder;
        int r;

        if (geteuid() != 0 || stat(path, &folder) < 0 || folder.st_uid == 0)
                return 0;
        /* cppcheck-suppress getpwuidCalled ; no thread has been started */
        user = getpwuid(folder.st_uid);
        r = become(&folder, user ? user->pw_name : NULL);
        if (r < 0)
                return r;
        if (user)
                (void)snprintf(ret, LOGIN_NAME_MAX, "%s", user->pw_name);
        else
                (void)snprintf(ret, LOGIN_NAME_MAX, "%u", folder.st_uid);
        return 1;
}
