/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* balancectl: the table of its commands, and what holds for all of them. */

#include "config.h"

#include <fcntl.h>
#include <signal.h>

#include "balancectl/options.h"
#include "balancectl/print.h"
#include "balancectl/verbs.h"
#include "base/macro.h"

enum {
        STATUS_USAGE = 2, /* EXIT_FAILURE is 1 */
};

#define CONVERSES (OPTION(SOCKET) | OPTION(TIMEOUT))
#define PRINTS    (OPTION(JSON) | OPTION(J))

static const struct verb verbs[] = {
        {"status", "Show how balancerd is", OPERAND_NONE, CONVERSES | PRINTS, verb_status},
        {"cpus", "List the online CPUs", OPERAND_NONE, CONVERSES | PRINTS | OPTION(NO_LEGEND),
         verb_cpus},
        {"threads", "List threads, or show the thread TID", OPERAND_MAYBE_TID,
         CONVERSES | PRINTS | OPTION(NO_LEGEND) | OPTION(ALL) | OPTION(ALL_TASKS), verb_threads},
        {"monitor", "Show moves and notices as they happen", OPERAND_NONE,
         CONVERSES | PRINTS | OPTION(NO_LEGEND) | OPTION(COUNT), verb_monitor},
        {"history", "List the last moves, or those of the thread TID", OPERAND_MAYBE_TID,
         CONVERSES | PRINTS | OPTION(NO_LEGEND) | OPTION(COUNT), verb_history},
        {"explain", "Say why the thread TID is where it is", OPERAND_TID,
         CONVERSES | PRINTS | OPTION(NO_LEGEND) | OPTION(ALL_TASKS), verb_explain},
        {"reload", "Make balancerd read its configuration again", OPERAND_NONE, CONVERSES | PRINTS,
         verb_reload},
        {"check", "Check the configuration without balancerd", OPERAND_NONE, OPTION(CONFIG_DIR),
         verb_check},
        {.name = NULL},
};

/* Whoever starts us without standard streams has the socket get their numbers: what is printed
 * would be sent to the daemon. What is opened here cannot be written to, so that it is told. */
static void occupy_standard_streams(void)
{
        int fd;

        do
                fd = open("/dev/null", O_RDONLY | O_NOCTTY);
        while (fd >= 0 && fd <= STDERR_FILENO);
        if (fd >= 0)
                close(fd);
}

static int run(const struct request *request)
{
        if (request->help)
                request_help(request, verbs);
        else if (request->version)
                printf("balancectl %s\n", PACKAGE_VERSION);
        else
                return request->verb->run(request);
        return 0;
}

int main(int argc, char **argv)
{
        struct request request;
        int r;

        occupy_standard_streams();
        (void)signal(SIGPIPE, SIG_IGN);
        if (request_parse(&request, verbs, argc, argv) < 0) {
                fprintf(stderr, "Try \"balancectl --help\".\n");
                return STATUS_USAGE;
        }
        r = run(&request);
        return flush_output() < 0 || r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
