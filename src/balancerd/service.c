/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "balancerd/service.h"

#include <errno.h>
#include <signal.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "balancerd/news.h"
#include "balancerd/reload.h"
#include "balancerd/serving.h"
#include "balancerd/ticker.h"
#include "base/log.h"
#include "engine/balancer.h"
#include "engine/inspect.h"

/* What systemctl(1) and the line of readiness say. */
struct status {
        unsigned n_threads;
        char *unbalanced; /* a list of CPUs */
        char text[256];
};

static void status_done(struct status *status)
{
        free(status->unbalanced);
}
#define _cleanup_status_ _cleanup_(status_done)

struct service {
        struct kernel *kernel;
        struct balancer *balancer;
        const struct config_source *source;
        struct config *config;
        bool observe;
        struct notify *notify;
        struct serving *serving;
        struct news *news;
        sd_event *event;
        struct ticker *ticker;
        bool has_signals; /* they are blocked */
        bool refused;     /* the last reload was */
};

static void on_decision(const struct decision *decision, void *userdata)
{
        const struct service *service = userdata;

        news_tell_decision(service->news, decision);
        serving_tell_decision(service->serving);
}

static void on_notice(const struct notice *notice, void *userdata)
{
        const struct service *service = userdata;

        news_tell_notice(notice);
        serving_tell_notice(service->serving, notice);
}

static int on_end(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        struct service *service = userdata;
        struct journal_entry fields;

        journal_entry_init(&fields);
        journal_addf(&fields, "BALANCERD_SIGNAL", "SIG%s", sigabbrev_np((int)info->ssi_signo));
        news_tell(NEWS_ENDING, LOG_INFO, &fields, "ending on SIG%s, giving back every mask",
                  sigabbrev_np((int)info->ssi_signo));
        notify_stopping(service->notify);
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* The moves that are under way are told while those who monitor are still there. */
static int on_loop_end(sd_event_source *source, void *userdata)
{
        const struct service *service = userdata;

        (void)source;
        balancer_stop(service->balancer);
        serving_finish(service->serving);
        return 0;
}

static int on_counts(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        struct service *service = userdata;
        struct balancer_counts c;

        (void)source;
        (void)info;
        balancer_get_counts(service->balancer, &c);
        log_info("counts: threads=%u hot=%u handles=%u ticks=%llu full_passes=%llu samples=%llu "
                 "events=%llu rescans=%llu plans=%llu moved=%llu asleep=%llu foreign=%llu "
                 "failed=%llu",
                 c.n_threads, c.n_hot, c.n_handles, (unsigned long long)c.n_ticks,
                 (unsigned long long)c.n_full_passes, (unsigned long long)c.n_samples,
                 (unsigned long long)c.n_events, (unsigned long long)c.n_rescans,
                 (unsigned long long)c.n_plans, (unsigned long long)c.n_moved,
                 (unsigned long long)c.n_asleep, (unsigned long long)c.n_foreign,
                 (unsigned long long)c.n_failed);
        return 0;
}

static int read_status(const struct service *service, struct status *ret)
{
        _cleanup_(balancer_state_done) struct balancer_state state = {0};
        char *list;
        int r;

        r = balancer_inspect(service->balancer, &state);
        if (r < 0)
                return r;
        r = cpuset_format_list(&state.unbalanced, &list);
        if (r < 0)
                return r;
        *ret = (struct status){.n_threads = state.counts.n_threads, .unbalanced = list};
        (void)snprintf(ret->text, sizeof(ret->text),
                       "%u threads, CPUs without kernel balancing: %s%s%s", ret->n_threads,
                       *list ? list : "none",
                       service->observe ? "; observing only, nothing is moved" : "",
                       service->refused ? "; the last reload was refused" : "");
        return 0;
}

static void apply_settings(struct service *service)
{
        const struct settings *settings = &service->config->settings;
        int r;

        balancer_set_settings(service->balancer, settings);
        serving_configure(service->serving, settings);
        /* The next tick may have been far off. Where that fails the settings are in effect all the
         * same, if later. */
        r = ticker_set_tick(service->ticker, settings->balance.tick);
        if (r < 0)
                (void)log_error_errno(r, "cannot set the timer");
}

/* As reconfigure() does. */
static int reload(struct service *service, struct faults *ret_faults)
{
        _cleanup_status_ struct status status = {0};
        int r;

        notify_reloading(service->notify);
        r = reconfigure(service->config, service->source, ret_faults);
        service->refused = r < 0;
        if (r == 0)
                apply_settings(service);
        /* The manager waits for readiness, whatever came of it. */
        (void)read_status(service, &status);
        notify_ready(service->notify, status.text);
        return r;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        struct service *service = userdata;
        _cleanup_faults_ struct faults faults = {0};

        (void)source;
        (void)info;
        (void)reload(service, &faults);
        return 0;
}

/* Signals are blocked before the balancer starts its threads, which inherit that. */
static int add_signals(struct service *service)
{
        static const struct {
                int signal;
                sd_event_signal_handler_t handler;
        } signals[] = {{SIGTERM, on_end},
                       {SIGINT, on_end},
                       {SIGQUIT, on_end},
                       {SIGUSR1, on_counts},
                       {SIGHUP, on_hangup}};
        sigset_t blocked;

        sigemptyset(&blocked);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                sigaddset(&blocked, signals[i].signal);
        if (sigprocmask(SIG_BLOCK, &blocked, NULL) < 0)
                return -errno;
        service->has_signals = true;
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
                int r = sd_event_add_signal(service->event, NULL, signals[i].signal,
                                            signals[i].handler, service);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int on_reload_call(struct api_fault *ret_fault, void *userdata)
{
        struct service *service = userdata;
        _cleanup_faults_ struct faults faults = {0};
        struct fault *first;
        int r;

        r = reload(service, &faults);
        if (r != -EBADMSG)
                return r;
        first = &faults.all[0];
        *ret_fault = (struct api_fault){
                .file = TAKE_PTR(first->file),
                .line = first->line,
                .column = first->column,
                .pointer = TAKE_PTR(first->pointer),
                .expected = TAKE_PTR(first->expected),
        };
        return r;
}

static const char *const *configuration(void *userdata)
{
        const struct service *service = userdata;

        return (const char *const *)service->config->files;
}

static int serve(struct service *service, int runtime_fd)
{
        const struct api_host host = {
                .balancer = service->balancer,
                .reload = on_reload_call,
                .configuration = configuration,
                .on_notice = on_notice,
                .userdata = service,
        };
        const struct serving_options options = {
                .runtime_fd = runtime_fd,
                .notify = service->notify,
                .settings = &service->config->settings,
        };

        return serving_new(&service->serving, service->event, &host, &options);
}

static int make_ticker(struct service *service)
{
        const struct ticker_options options = {
                .kernel = service->kernel,
                .balancer = service->balancer,
                .notify = service->notify,
                .tick = service->config->settings.balance.tick,
        };

        return ticker_new(&service->ticker, service->event, &options);
}

static int start(struct service *service, struct ledger *ledger,
                 const struct service_options *options)
{
        const struct balancer_options balancer_options = {
                .settings = options->config->settings,
                .observe = options->observe,
                .n_workers = 1,
                .on_decision = on_decision,
                .on_notice = on_notice,
                .userdata = service,
                .main_tid = gettid(),
        };
        int r;

        r = news_new(&service->news);
        if (r < 0)
                return log_error_errno(r, "cannot make the news");
        r = sd_event_new(&service->event);
        if (r < 0)
                return log_error_errno(r, "cannot make an event loop");
        r = add_signals(service);
        if (r < 0)
                return log_error_errno(r, "cannot take signals");
        r = balancer_new(&service->balancer, service->kernel, ledger, &balancer_options);
        if (r < 0)
                return log_error_errno(r, "cannot start balancing");
        r = make_ticker(service);
        if (r < 0)
                return log_error_errno(r, "cannot set up the event loop");
        r = serve(service, options->runtime_fd);
        if (r < 0)
                return r;
        r = sd_event_add_exit(service->event, NULL, on_loop_end, service);
        if (r < 0)
                return log_error_errno(r, "cannot make an event loop");
        r = notify_watch(service->notify, service->event);
        if (r < 0)
                return log_error_errno(r, "cannot feed the watchdog");
        return ticker_start(service->ticker);
}

static int tell_ready(const struct service *service)
{
        _cleanup_status_ struct status status = {0};
        struct journal_entry fields;
        int r;

        r = read_status(service, &status);
        if (r < 0)
                return r;
        journal_entry_init(&fields);
        journal_addf(&fields, "BALANCERD_THREADS", "%u", status.n_threads);
        journal_addf(&fields, "BALANCERD_UNBALANCED_CPUS", "%s", status.unbalanced);
        news_tell(NEWS_READY, LOG_INFO, &fields, "ready: %s", status.text);
        notify_ready(service->notify, status.text);
        return 0;
}

static int run(struct service *service, struct ledger *ledger,
               const struct service_options *options)
{
        int r;

        r = start(service, ledger, options);
        if (r < 0)
                return r;
        r = tell_ready(service);
        if (r < 0)
                return log_error_errno(r, "cannot start");
        r = sd_event_loop(service->event);
        if (r < 0)
                return log_error_errno(r, "the event loop failed");
        return ticker_error(service->ticker);
}

/* From now on SIGINT and SIGTERM end the process at once, as they do others. Those that came
 * together with the first (timeout(1) sends two) do not count; a second SIGHUP is usual. */
static void give_back_signals(const struct service *service)
{
        const struct timespec now = {0};
        sigset_t ending;

        if (!service->has_signals)
                return;
        sigemptyset(&ending);
        sigaddset(&ending, SIGINT);
        sigaddset(&ending, SIGTERM);
        while (sigtimedwait(&ending, NULL, &now) >= 0)
                ;
        (void)sigprocmask(SIG_UNBLOCK, &ending, NULL);
}

int service_run(struct kernel *kernel, struct ledger *ledger, const struct service_options *options)
{
        struct service service = {
                .kernel = kernel,
                .source = options->source,
                .config = options->config,
                .observe = options->observe,
                .notify = options->notify,
        };
        int r;

        r = run(&service, ledger, options);
        serving_free(TAKE_PTR(service.serving));
        ticker_free(service.ticker);
        sd_event_unref(service.event);
        if (balancer_free(service.balancer) == -EBUSY) {
                log_error("a move is stuck in the kernel: \"balancerd --restore\" gives back its "
                          "mask once it is through");
                return -EBUSY;
        }
        news_free(service.news);
        give_back_signals(&service);
        return r;
}
