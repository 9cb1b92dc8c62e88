/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancectl check: the daemon's own check of its configuration, which needs no running daemon. */

#include <errno.h>
#include <signal.h>

#include "balancectl/verbs.h"
#include "base/macro.h"

/* The process becomes balancerd, which says all there is to say. */
int verb_check(const struct request *request)
{
        const char *path = getenv("BALANCERD_PATH");

        if (!path || !*path)
                path = PACKAGE_SBINDIR "/balancerd";
        (void)signal(SIGPIPE, SIG_DFL);
        (void)execl(path, "balancerd", "--check", request->config_dir ? "--config-dir" : NULL,
                    request->config_dir, NULL);
        fprintf(stderr, "balancectl: cannot run %s: %m\n", path);
        return -errno;
}
