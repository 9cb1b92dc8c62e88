/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stage.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sim/kernel.h"

static void require(int r)
{
        if (r < 0) {
                (void)fprintf(stderr, "stage: %s\n", strerror(-r));
                abort();
        }
}

static void add(struct stage *stage, struct task_spec spec)
{
        spec.parent = -1;
        spec.home_node = TASK_NO_HOME;
        require(workload_add(&stage->workload, &spec));
}

static void make_machine(struct stage *stage)
{
        static const struct topology_seed seeds[] = {
                {.id = 0, .core = 0, .capacity = 1},
                {.id = 1, .core = 1, .capacity = 1},
        };

        workload_init(&stage->workload, 1);
        require(topology_new(&stage->topology, seeds, ARRAY_SIZE(seeds)));
        for (unsigned i = 0; i < STAGE_HOGS; i++)
                add(stage, (struct task_spec){.kind = TASK_HOG, .work = NSEC_PER_SEC, .cpu = 0});
        for (unsigned i = 0; i < STAGE_SLEEPERS; i++)
                add(stage, (struct task_spec){.kind = TASK_SLEEPER,
                                              .work = NSEC_PER_MSEC,
                                              .pause = 10 * NSEC_PER_SEC,
                                              .cpu = i % 2});
        require(machine_new(&stage->machine, stage->topology, &stage->workload, NULL));
        require(sim_kernel_new(&stage->kernel, stage->machine, NULL));
}

static void on_decision(const struct decision *decision, void *userdata)
{
        struct stage *stage = userdata;

        (void)decision;
        if (stage->server)
                monitor_tell_decision(&stage->server->monitor);
}

static void on_notice(const struct notice *notice, void *userdata)
{
        struct stage *stage = userdata;

        stage->n_notices++;
        stage->last_kind = notice->kind;
        stage->last_tgid = notice->tgid;
        (void)snprintf(stage->last_notice, sizeof(stage->last_notice), "%s", notice->detail);
        if (stage->server)
                monitor_tell_notice(&stage->server->monitor, notice);
}

/* It observes: then it needs no ledger. */
static void make_balancer(struct stage *stage)
{
        struct balancer_options options = {
                .observe = true,
                .on_decision = on_decision,
                .userdata = stage,
        };

        settings_init(&options.settings);
        require(balancer_new(&stage->balancer, stage->kernel, NULL, &options));
}

static int reload(struct api_fault *ret_fault, void *userdata)
{
        const struct stage *stage = userdata;

        if (stage->reload_result == -EBADMSG)
                *ret_fault = (struct api_fault){
                        .file = strdup("/etc/balancerd.json"),
                        .line = 3,
                        .expected = strdup("a number"),
                };
        return stage->reload_result;
}

static const char *const *configuration(void *userdata)
{
        static const char *const files[] = {"/etc/balancerd.json", NULL};

        (void)userdata;
        return files;
}

/* With a name of the kernel's choice, that nobody knows. */
static int listen_somewhere(void)
{
        const struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address.sun_family)) < 0 ||
            listen(fd, 16) < 0)
                require(-errno);
        return fd;
}

struct stage *stage_new(void)
{
        const struct api_settings settings = {.connections_per_user = 4, .group = GID_NONE};
        struct stage *stage = calloc(1, sizeof(*stage));
        struct api_host host = {
                .reload = reload,
                .configuration = configuration,
                .on_notice = on_notice,
                .userdata = stage,
        };

        if (!stage)
                abort();
        make_machine(stage);
        make_balancer(stage);
        stage->next_at = stage->kernel->ops->now(stage->kernel);
        stage_tick(stage);
        host.balancer = stage->balancer;
        require(sd_event_new(&stage->event));
        require(server_new(&stage->server, stage->event, listen_somewhere(), &host, &settings));
        return stage;
}

void stage_free(struct stage *stage)
{
        if (!stage)
                return;
        server_free(TAKE_PTR(stage->server));
        sd_event_unref(stage->event);
        require(balancer_free(stage->balancer));
        kernel_free(stage->kernel);
        machine_free(stage->machine);
        workload_done(&stage->workload);
        topology_free(stage->topology);
        free(stage);
}

int stage_connect(struct stage *stage, const struct peer *peer)
{
        struct user *user;
        unsigned limit;
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
                require(-errno);
        if (limits_admit(&stage->server->limits, peer, 1000, server_now(stage->server), &user,
                         &limit) != ADMISSION_GRANTED)
                require(-EBUSY);
        require(connection_new(stage->server, ends[0], peer, user,
                               clock_now_nsec(CLOCK_THREAD_CPUTIME_ID)));
        return ends[1];
}

void stage_run(struct stage *stage)
{
        int r;

        do {
                r = sd_event_run(stage->event, 0);
                require(r);
        } while (r > 0);
}

/* The ring is the balancer's to write, hence the detour. */
void stage_add_decision(struct stage *stage, const struct decision *decision)
{
        decisions_add((struct decisions *)(uintptr_t)balancer_decisions(stage->balancer), decision);
}

void stage_tick(struct stage *stage)
{
        while (stage->kernel->ops->now(stage->kernel) < stage->next_at)
                require(machine_step(stage->machine));
        require(balancer_tick(stage->balancer, &stage->next_at));
}
