/* The stop flag: signal handlers only write it, loops only read it. */
#include "base/stop.h"

#include "base/io.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t stop_signal;

static void on_stop(int number)
{
    if (number == SIGINT && stop_signal == SIGINT)
        fx_output_die(number); /* asked twice: end now */
    if (stop_signal == 0 || number == SIGPIPE)
        stop_signal = number;
}

void fx_stop_catch(void)
{
    static const int caught[] = { SIGTERM, SIGUSR1, SIGINT, SIGPIPE, SIGHUP };
    struct sigaction action = { .sa_handler = on_stop }; /* no SA_RESTART: blocked reads wake up */

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) {
        struct sigaction old;
        /* Under nohup a terminal may go. */
        if (caught[i] != SIGHUP ||
            (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN))
            sigaction(caught[i], &action, NULL);
    }
}

bool fx_stop_requested(void)
{
    return stop_signal != 0;
}

int fx_stop_signal(void)
{
    return stop_signal;
}
