/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/macro.h"

int rundir_open(const char *path)
{
        int fd;

        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                return log_error_errno(-errno, "cannot make the runtime directory %s", path);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return log_error_errno(-errno, "cannot open the runtime directory %s", path);
        return fd;
}

int rundir_open_private(const char *path)
{
        _cleanup_close_ int dir_fd = -1, fd = -1;
        int r;

        dir_fd = rundir_open(path);
        if (dir_fd < 0)
                return dir_fd;
        if (mkdirat(dir_fd, RUNDIR_PRIVATE, 0700) < 0 && errno != EEXIST)
                return log_error_errno(-errno, "cannot make the folder %s/" RUNDIR_PRIVATE, path);
        fd = openat(dir_fd, RUNDIR_PRIVATE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return log_error_errno(-errno, "cannot open the folder %s/" RUNDIR_PRIVATE, path);
        r = rundir_give_to_owner(dir_fd, fd);
        if (r < 0)
                return log_error_errno(
                        r, "cannot give the folder %s/" RUNDIR_PRIVATE " to the owner of %s", path,
                        path);
        return TAKE_FD(fd);
}

int rundir_give_to_owner(int dir_fd, int fd)
{
        struct stat dir, file;

        if (geteuid() != 0)
                return 0;
        if (fstat(dir_fd, &dir) < 0 || fstat(fd, &file) < 0)
                return -errno;
        if (file.st_uid == dir.st_uid)
                return 0;
        return fchown(fd, dir.st_uid, dir.st_gid) < 0 ? -errno : 0;
}
