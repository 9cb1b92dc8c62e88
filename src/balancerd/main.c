/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancerd: parses its arguments, claims the machine by its ledger, and runs the service. */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "balancerd/arguments.h"
#include "balancerd/check.h"
#include "balancerd/news.h"
#include "balancerd/notify.h"
#include "balancerd/privileges.h"
#include "balancerd/reload.h"
#include "balancerd/rundir.h"
#include "balancerd/service.h"
#include "base/log.h"
#include "kernel/linux.h"

/* Exit status where the command line or the configuration was refused, EX_CONFIG of sysexits.h: it
 * would be the next time, too, so the unit starts nothing then (RestartPreventExitStatus=). */
#define EXIT_REFUSED 78

/* Threads that can be narrowed at one time: a record is a few hundred bytes. */
#define LEDGER_RECORDS 4096U

static int tell_no_ledger(int error, const char *runtime_dir)
{
        if (error == -EBUSY)
                log_error("another balancerd owns this machine (%s/" RUNDIR_PRIVATE
                          "/ledger is locked)",
                          runtime_dir);
        else if (error == -EBADMSG)
                log_error("%s/" RUNDIR_PRIVATE
                          "/ledger is no ledger of this version; it is left alone",
                          runtime_dir);
        else
                log_error_errno(error, "cannot open %s/" RUNDIR_PRIVATE "/ledger", runtime_dir);
        return error;
}

static int share_ledger(const struct ledger *ledger, int dir_fd)
{
        _cleanup_close_ int fd = ledger_open_unlocked(ledger);
        int r;

        r = fd < 0 ? fd : rundir_give_to_owner(dir_fd, fd);
        return r < 0 ? log_error_errno(r, "cannot give the ledger to the owner of its folder") : 0;
}

static int open_ledger(const char *runtime_dir, struct ledger **ret)
{
        _cleanup_(ledger_freep) struct ledger *ledger = NULL;
        _cleanup_close_ int dir_fd = -1, sys_fd = -1;
        int r;

        sys_fd = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir_fd = rundir_open_private(runtime_dir);
        if (dir_fd < 0)
                return dir_fd;
        r = ledger_open(&ledger, dir_fd, LEDGER_RECORDS, ledger_width(sys_fd));
        if (r < 0)
                return tell_no_ledger(r, runtime_dir);
        r = share_ledger(ledger, dir_fd);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(ledger);
        return 0;
}

/* Gives back what an earlier daemon left. Where there was nothing to do that is said only if it is
 * ASKED for. */
static int restore(struct kernel *kernel, struct ledger *ledger, bool asked)
{
        struct ledger_report report;
        int r;

        r = ledger_restore(ledger, kernel, &report);
        if (report.n_restored + report.n_children + report.n_damaged + report.n_failed > 0 || asked)
                news_tell_restored(&report);
        if (r < 0)
                return log_error_errno(r, "cannot give back every mask");
        return report.n_failed > 0 ? -EPERM : 0;
}

/* What the ledger of an earlier daemon holds, if that is no longer the one in the folder. Returns
 * an error where that ledger is the only place that still tells what is to be given back. */
static int restore_stored(struct kernel *kernel, struct notify *notify)
{
        _cleanup_(ledger_freep) struct ledger *ledger = NULL;
        _cleanup_close_ int fd = notify_take_ledger(notify);
        int r;

        if (fd < 0)
                return 0;
        r = ledger_open_stored(&ledger, fd);
        if (r == -EBUSY || r == -ENODATA)
                return 0;
        if (r >= 0)
                return restore(kernel, ledger, false);
        (void)log_error_errno(r, "cannot use the ledger that the service manager kept");
        return 0;
}

static void store_ledger(struct notify *notify, const struct ledger *ledger)
{
        _cleanup_close_ int fd = ledger_open_unlocked(ledger);

        if (fd < 0)
                (void)log_error_errno(fd, "cannot give the ledger to the service manager");
        else
                notify_store_ledger(notify, fd);
}

/* Descriptors are kept on threads: as many as the administrator permits. */
static void raise_descriptor_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* News of births, which some kernels give to CAP_NET_ADMIN alone, are subscribed to once; taskstats
 * need it for every question. */
static void drop_privileges(struct kernel *kernel, const struct settings *settings)
{
        int r;

        (void)kernel->ops->events_fd(kernel);
        if (settings->taskstats)
                return;
        r = privileges_drop_net_admin();
        if (r < 0)
                (void)log_error_errno(r, "cannot give up CAP_NET_ADMIN");
}

static struct config_source config_source(const struct arguments *arguments)
{
        return (struct config_source){
                .dir = arguments->config_dir,
                .must_exist = arguments->names_config_dir,
                .sets = arguments->sets,
                .n_sets = arguments->n_sets,
        };
}

/* Where the service reads another folder, who may read this one says nothing. */
static int check(const struct arguments *arguments)
{
        const struct config_source source = config_source(arguments);
        bool as_owner = arguments->names_runtime_dir || !arguments->names_config_dir;

        return check_config(&source, as_owner ? arguments->runtime_dir : NULL);
}

/* All that a run and a restoration need of this machine. */
struct claim {
        struct kernel *kernel;
        struct ledger *ledger;
};

static void claim_done(struct claim *claim)
{
        ledger_free(claim->ledger);
        kernel_free(claim->kernel);
}
#define _cleanup_claim_ _cleanup_(claim_done)

static int claim_machine(struct claim *claim, const char *runtime_dir)
{
        int r;

        r = linux_kernel_new(&claim->kernel, NULL);
        if (r < 0)
                return log_error_errno(r, "cannot open /proc and /sys");
        return open_ledger(runtime_dir, &claim->ledger);
}

static int restore_only(const struct arguments *arguments)
{
        _cleanup_claim_ struct claim claim = {0};
        int r;

        r = claim_machine(&claim, arguments->runtime_dir);
        return r < 0 ? r : restore(claim.kernel, claim.ledger, true);
}

/* From what an earlier daemon left to what is left at the end. */
static int serve(const struct claim *claim, const struct service_options *options)
{
        int r;

        (void)restore(claim->kernel, claim->ledger, false);
        if (restore_stored(claim->kernel, options->notify) == 0)
                store_ledger(options->notify, claim->ledger);
        drop_privileges(claim->kernel, &options->config->settings);
        r = service_run(claim->kernel, claim->ledger, options);
        if (r == -EBUSY) {
                log_flush();
                _exit(EXIT_FAILURE); /* without freeing what a stuck thread still uses */
        }
        /* Children of the last moves may still be on their way into the world. */
        if (ledger_count(claim->ledger) > 0)
                log_info("waiting, 10 seconds at most, for children that may be born narrow; "
                         "SIGINT or SIGTERM leaves them to \"balancerd --restore\"");
        return MIN(r, restore(claim->kernel, claim->ledger, false));
}

/* Returns 0, EXIT_REFUSED or a negative errno. */
static int run(const struct arguments *arguments)
{
        _cleanup_(notify_freep) struct notify *notify = NULL;
        _cleanup_close_ int runtime_fd = -1;
        _cleanup_claim_ struct claim claim = {0};
        _cleanup_config_ struct config config = {0};
        const struct config_source source = config_source(arguments);
        int r;

        raise_descriptor_limit();
        r = configure(&config, &source);
        if (r < 0)
                return r == -EBADMSG ? EXIT_REFUSED : r;
        r = notify_new(&notify);
        if (r < 0)
                return log_error_errno(r, "cannot take what the service manager passed");
        r = claim_machine(&claim, arguments->runtime_dir);
        if (r < 0)
                return r;
        runtime_fd = rundir_open(arguments->runtime_dir);
        if (runtime_fd < 0)
                return runtime_fd;
        return serve(&claim, &(struct service_options){
                                     .source = &source,
                                     .config = &config,
                                     .observe = arguments->observe,
                                     .notify = notify,
                                     .runtime_fd = runtime_fd,
                             });
}

static int act(const struct arguments *arguments)
{
        int r;

        /* Nobody who stops reading what is said ends a process that has masks to give back. */
        (void)signal(SIGPIPE, SIG_IGN);
        log_init(LOG_INFO);
        r = arguments->mode == MODE_RESTORE ? restore_only(arguments) : run(arguments);
        log_flush();
        return r;
}

int main(int argc, char **argv)
{
        _cleanup_arguments_ struct arguments arguments = {0};
        int r;

        r = arguments_parse(&arguments, argc, argv);
        if (r < 0) {
                fprintf(stderr, "Try \"balancerd --help\".\n");
                return EXIT_REFUSED;
        }
        if (r > 0)
                r = arguments.mode == MODE_CHECK ? check(&arguments) : act(&arguments);
        return r < 0 ? EXIT_FAILURE : r;
}
