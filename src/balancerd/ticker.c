/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/ticker.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "engine/pace.h"

/* How late a tick may be, so that the kernel can join wake-ups. */
#define TICK_SLACK_USEC 500U

struct ticker {
        struct ticker_options options;
        sd_event *event;
        sd_event_source *tick;
        sd_event_source *reports; /* of the mover; NULL while observing */
        sd_event_source *domains; /* other CPUs may be balanced; NULL where that is not told */
        nsec_t next_min_at;       /* no tick is brought forward to before this */
        /* What ends a quiet time early; NULL where the kernel has no such thing. */
        sd_event_source *births, *pressure;
        int error; /* what ended the loop */
};

/* Listens for the end of quiet, or not. */
static int set_alert(struct ticker *ticker, bool alert)
{
        sd_event_source *sources[] = {ticker->births, ticker->pressure};

        for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
                int r;

                if (!sources[i])
                        continue;
                r = sd_event_source_set_enabled(sources[i], alert ? SD_EVENT_ON : SD_EVENT_OFF);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A tick that is brought forward may be costly, and whoever makes and removes cgroups can ask for
 * one after the other: they take no larger share of a CPU than others. */
static void note_cost(struct ticker *ticker, nsec_t cost)
{
        nsec_t pause = (nsec_t)((double)cost / PACE_SHARE);
        nsec_t tick = ticker->options.tick;

        ticker->next_min_at =
                ticker->options.kernel->ops->now(ticker->options.kernel) + MAX(pause, tick);
}

static int tick(struct ticker *ticker)
{
        nsec_t began = ticker->options.kernel->ops->cpu_time(ticker->options.kernel), next_at;
        int r;

        r = balancer_tick(ticker->options.balancer, &next_at);
        if (r < 0)
                return log_error_errno(r, "cannot go on sampling");
        note_cost(ticker, ticker->options.kernel->ops->cpu_time(ticker->options.kernel) - began);
        r = sd_event_source_set_time(ticker->tick, next_at / NSEC_PER_USEC);
        if (r < 0)
                return log_error_errno(r, "cannot set the timer");
        notify_progress(ticker->options.notify, next_at / NSEC_PER_USEC);
        r = set_alert(ticker, balancer_is_quiet(ticker->options.balancer));
        if (r >= 0 && ticker->domains)
                r = sd_event_source_set_enabled(ticker->domains, SD_EVENT_ON);
        return r < 0 ? log_error_errno(r, "cannot wait for the kernel's events") : 0;
}

/* Ends the loop with an error that has been told. */
static int fail(struct ticker *ticker, int error)
{
        ticker->error = error;
        return sd_event_exit(ticker->event, 0);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct ticker *ticker = userdata;
        int r;

        (void)source;
        (void)usec;
        r = tick(ticker);
        return r < 0 ? fail(ticker, r) : 0;
}

/* A thread was born, or threads wait. */
static int on_alert(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        (void)fd;
        (void)revents;
        return on_tick(source, 0, userdata);
}

/* As far as may be. */
static int bring_tick_forward(struct ticker *ticker)
{
        uint64_t next_usec, min_usec = ticker->next_min_at / NSEC_PER_USEC;
        int r;

        r = sd_event_source_get_time(ticker->tick, &next_usec);
        if (r < 0)
                return r;
        return sd_event_source_set_time(ticker->tick, MIN(next_usec, min_usec));
}

/* The next tick looks at the domains, and listens again. */
static int await_domains(struct ticker *ticker)
{
        int r;

        balancer_domains_changed(ticker->options.balancer);
        r = sd_event_source_set_enabled(ticker->domains, SD_EVENT_OFF);
        return r < 0 ? r : bring_tick_forward(ticker);
}

static int on_domains(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        struct ticker *ticker = userdata;
        int r;

        (void)source;
        (void)fd;
        (void)revents;
        r = await_domains(ticker);
        return r < 0 ? fail(ticker, log_error_errno(r, "cannot set the timer")) : 0;
}

static int on_reports(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        struct ticker *ticker = userdata;
        int r;

        (void)source;
        (void)fd;
        (void)revents;
        r = balancer_collect(ticker->options.balancer);
        return r < 0 ? fail(ticker, log_error_errno(r, "cannot take the mover's reports")) : 0;
}

static int add_sources(struct ticker *ticker)
{
        int fd, r;

        r = sd_event_add_time(ticker->event, &ticker->tick, CLOCK_MONOTONIC, 0, TICK_SLACK_USEC,
                              on_tick, ticker);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(ticker->tick, SD_EVENT_ON);
        if (r < 0)
                return r;
        fd = balancer_mover_fd(ticker->options.balancer);
        if (fd >= 0) {
                r = sd_event_add_io(ticker->event, &ticker->reports, fd, EPOLLIN, on_reports,
                                    ticker);
                if (r < 0)
                        return r;
        }
        fd = ticker->options.kernel->ops->unbalanced_fd(ticker->options.kernel);
        if (fd >= 0) {
                r = sd_event_add_io(ticker->event, &ticker->domains, fd, EPOLLIN, on_domains,
                                    ticker);
                if (r < 0)
                        return r;
        }
        fd = ticker->options.kernel->ops->events_fd(ticker->options.kernel);
        if (fd >= 0) {
                r = sd_event_add_io(ticker->event, &ticker->births, fd, EPOLLIN, on_alert, ticker);
                if (r < 0)
                        return r;
        }
        fd = ticker->options.kernel->ops->pressure_fd(ticker->options.kernel);
        if (fd >= 0)
                return sd_event_add_io(ticker->event, &ticker->pressure, fd, EPOLLPRI, on_alert,
                                       ticker);
        return 0;
}

int ticker_new(struct ticker **ret, sd_event *event, const struct ticker_options *options)
{
        struct ticker *ticker;
        int r;

        ticker = calloc(1, sizeof(*ticker));
        if (!ticker)
                return -ENOMEM;
        ticker->options = *options;
        ticker->event = event;
        r = add_sources(ticker);
        if (r < 0) {
                ticker_free(ticker);
                return r;
        }
        *ret = ticker;
        return 0;
}

void ticker_free(struct ticker *ticker)
{
        if (!ticker)
                return;
        sd_event_source_disable_unref(ticker->tick);
        sd_event_source_disable_unref(ticker->reports);
        sd_event_source_disable_unref(ticker->domains);
        sd_event_source_disable_unref(ticker->births);
        sd_event_source_disable_unref(ticker->pressure);
        free(ticker);
}

int ticker_start(struct ticker *ticker)
{
        return tick(ticker);
}

int ticker_error(const struct ticker *ticker)
{
        return ticker->error;
}

int ticker_set_tick(struct ticker *ticker, nsec_t shortest)
{
        ticker->options.tick = shortest;
        return bring_tick_forward(ticker);
}
