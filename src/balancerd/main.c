/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancerd: parses its arguments, claims the machine by its ledger, and runs the service. */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/resource.h>

#include "balancerd/check.h"
#include "balancerd/news.h"
#include "balancerd/notify.h"
#include "balancerd/privileges.h"
#include "balancerd/reload.h"
#include "balancerd/rundir.h"
#include "balancerd/service.h"
#include "base/log.h"
#include "kernel/linux.h"

/* Threads that can be narrowed at one time: a record is a few hundred bytes. */
#define LEDGER_RECORDS 4096U

static const char *arg_config_dir = PACKAGE_SYSCONF, *arg_runtime_dir = PACKAGE_LOCALSTATE_RUN;
static bool arg_check, arg_observe, arg_restore;
static char **arg_sets;
static size_t arg_n_sets;

static void help(void)
{
        printf("balancerd [OPTION...]\n\n"
               "Balance threads over CPUs where the kernel does not, and give back every mask.\n\n"
               "      --check            Say what is wrong with the configuration, and end\n"
               "      --config-dir DIR   Read the configuration there [%s]\n"
               "      --observe          Decide and tell, but move nothing\n"
               "      --restore          Give back what a daemon that was killed left narrow, and "
               "end\n"
               "      --runtime-dir DIR  Keep the ledger there [%s]\n"
               "      --set KEY=VALUE    Change a setting (see balancerd.json(5))\n"
               "  -h, --help             Show this help\n"
               "      --version          Show the version\n",
               PACKAGE_SYSCONF, PACKAGE_LOCALSTATE_RUN);
}

/* Whether it can be followed; that is done together with the configuration. */
static int add_set(char *argument)
{
        _cleanup_faults_ struct faults faults = {0};
        _cleanup_free_ char *line = NULL;
        struct settings scratch;
        char **sets;
        int r;

        settings_init(&scratch);
        r = config_set(&scratch, argument, &faults, NULL);
        if (r < 0)
                return r;
        if (faults.n > 0) {
                line = fault_format(&faults.all[0]);
                fprintf(stderr, "balancerd: %s\n", line ? line : argument);
                return -EINVAL;
        }
        sets = reallocarray(arg_sets, arg_n_sets + 1, sizeof(*sets));
        if (!sets)
                return -ENOMEM;
        arg_sets = sets;
        arg_sets[arg_n_sets++] = argument;
        return 0;
}

/* Returns 1 to go on, 0 when all is done, a negative errno for bad arguments. */
static int parse_arguments(int argc, char **argv)
{
        enum {
                OPTION_CHECK = 256,
                OPTION_CONFIG_DIR,
                OPTION_OBSERVE,
                OPTION_RESTORE,
                OPTION_RUNTIME_DIR,
                OPTION_SET,
                OPTION_VERSION
        };
        static const struct option options[] = {
                {"check", no_argument, NULL, OPTION_CHECK},
                {"config-dir", required_argument, NULL, OPTION_CONFIG_DIR},
                {"help", no_argument, NULL, 'h'},
                {"observe", no_argument, NULL, OPTION_OBSERVE},
                {"restore", no_argument, NULL, OPTION_RESTORE},
                {"runtime-dir", required_argument, NULL, OPTION_RUNTIME_DIR},
                {"set", required_argument, NULL, OPTION_SET},
                {"version", no_argument, NULL, OPTION_VERSION},
                {NULL, 0, NULL, 0},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        help();
                        return 0;
                case OPTION_CHECK:
                        arg_check = true;
                        break;
                case OPTION_CONFIG_DIR:
                        arg_config_dir = optarg;
                        break;
                case OPTION_OBSERVE:
                        arg_observe = true;
                        break;
                case OPTION_RESTORE:
                        arg_restore = true;
                        break;
                case OPTION_RUNTIME_DIR:
                        arg_runtime_dir = optarg;
                        break;
                case OPTION_SET:
                        if (add_set(optarg) < 0)
                                return -EINVAL;
                        break;
                case OPTION_VERSION:
                        printf("%s\n", PACKAGE_STRING);
                        return 0;
                default:
                        return -EINVAL;
                }
        if (optind < argc) {
                fprintf(stderr, "balancerd: unexpected argument \"%s\"\n", argv[optind]);
                return -EINVAL;
        }
        return 1;
}

static int tell_no_ledger(int error)
{
        if (error == -EBUSY)
                log_error("another balancerd owns this machine (%s/" RUNDIR_PRIVATE
                          "/ledger is locked)",
                          arg_runtime_dir);
        else if (error == -EBADMSG)
                log_error("%s/" RUNDIR_PRIVATE
                          "/ledger is no ledger of this version; it is left alone",
                          arg_runtime_dir);
        else
                log_error_errno(error, "cannot open %s/" RUNDIR_PRIVATE "/ledger", arg_runtime_dir);
        return error;
}

static int share_ledger(const struct ledger *ledger, int dir_fd)
{
        _cleanup_close_ int fd = ledger_open_unlocked(ledger);
        int r;

        r = fd < 0 ? fd : rundir_give_to_owner(dir_fd, fd);
        return r < 0 ? log_error_errno(r, "cannot give the ledger to the owner of its folder") : 0;
}

static int open_ledger(struct ledger **ret)
{
        _cleanup_(ledger_freep) struct ledger *ledger = NULL;
        _cleanup_close_ int dir_fd = -1, sys_fd = -1;
        int r;

        sys_fd = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir_fd = rundir_open_private(arg_runtime_dir);
        if (dir_fd < 0)
                return dir_fd;
        r = ledger_open(&ledger, dir_fd, LEDGER_RECORDS, ledger_width(sys_fd));
        if (r < 0)
                return tell_no_ledger(r);
        r = share_ledger(ledger, dir_fd);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(ledger);
        return 0;
}

/* Gives back what an earlier daemon left. Says nothing where there was nothing to do. */
static int restore(struct kernel *kernel, struct ledger *ledger)
{
        struct ledger_report report;
        int r;

        r = ledger_restore(ledger, kernel, &report);
        if (report.n_restored + report.n_children + report.n_damaged + report.n_failed > 0 ||
            arg_restore)
                news_tell_restored(&report);
        if (r < 0)
                return log_error_errno(r, "cannot give back every mask");
        return report.n_failed > 0 ? -EPERM : 0;
}

/* What the ledger of an earlier daemon holds, if that is no longer the one in the folder. */
static void restore_stored(struct kernel *kernel, struct notify *notify)
{
        _cleanup_(ledger_freep) struct ledger *ledger = NULL;
        _cleanup_close_ int fd = notify_take_ledger(notify);
        int r;

        if (fd < 0)
                return;
        r = ledger_open_stored(&ledger, fd);
        if (r == -EBUSY || r == -ENODATA)
                return;
        if (r < 0)
                (void)log_error_errno(r, "cannot use the ledger that the service manager kept");
        else
                (void)restore(kernel, ledger);
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

static struct config_source config_source(void)
{
        return (struct config_source){
                .dir = arg_config_dir,
                .sets = arg_sets,
                .n_sets = arg_n_sets,
        };
}

static int check(void)
{
        const struct config_source source = config_source();

        return check_config(&source);
}

static int run(void)
{
        _cleanup_(kernel_freep) struct kernel *kernel = NULL;
        _cleanup_(notify_freep) struct notify *notify = NULL;
        _cleanup_(ledger_freep) struct ledger *ledger = NULL;
        _cleanup_close_ int runtime_fd = -1;
        _cleanup_config_ struct config config = {0};
        const struct config_source source = config_source();
        struct service_options options = {
                .source = &source,
                .config = &config,
                .observe = arg_observe,
        };
        int r;

        /* Nobody who stops reading what is said ends a process that has masks to give back. */
        (void)signal(SIGPIPE, SIG_IGN);
        raise_descriptor_limit();
        r = arg_restore ? 0 : configure(&config, &source);
        if (r < 0)
                return r;
        r = notify_new(&notify);
        if (r < 0)
                return log_error_errno(r, "cannot take what the service manager passed");
        r = linux_kernel_new(&kernel, NULL);
        if (r < 0)
                return log_error_errno(r, "cannot open /proc and /sys");
        r = open_ledger(&ledger);
        if (r < 0)
                return r;
        r = restore(kernel, ledger);
        if (arg_restore)
                return r;
        restore_stored(kernel, notify);
        store_ledger(notify, ledger);
        runtime_fd = rundir_open(arg_runtime_dir);
        if (runtime_fd < 0)
                return runtime_fd;
        drop_privileges(kernel, &config.settings);
        options.notify = notify;
        options.runtime_fd = runtime_fd;
        r = service_run(kernel, ledger, &options);
        if (r == -EBUSY)
                _exit(EXIT_FAILURE); /* without freeing what a stuck thread still uses */
        /* Children of the last moves may still be on their way into the world. */
        if (ledger_count(ledger) > 0)
                log_info("balancerd: waiting, 10 seconds at most, for children that may be born "
                         "narrow; SIGINT or SIGTERM leaves them to \"balancerd --restore\"");
        return MIN(r, restore(kernel, ledger));
}

int main(int argc, char **argv)
{
        int r;

        r = parse_arguments(argc, argv);
        if (r < 0)
                fprintf(stderr, "Try \"balancerd --help\".\n");
        if (r > 0 && arg_check)
                r = check();
        else if (r > 0) {
                log_init(LOG_INFO);
                r = run();
        }
        free(arg_sets);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
