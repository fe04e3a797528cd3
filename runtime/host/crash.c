/* Only async-signal-safe calls here; backtrace() is called once at the start so that its library is
 * loaded before it is needed. */
#include "host/crash.h"

#include "host/object.h"

#include <execinfo.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { STACK_FRAMES = 64, SIGNAL_STACK_BYTES = 64 * 1024 };

static void say(const char *text) {
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

static const char *signal_name(int number) {
    switch (number) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGFPE:
        return "SIGFPE";
    case SIGILL:
        return "SIGILL";
    default:
        return "SIGABRT";
    }
}

static void die(int number) {
    signal(number, SIG_DFL);
    raise(number);
}

/* Threads may crash side by side: the first one tells, the others wait for the end that it brings.
 */
static void crashed(int number) {
    static atomic_flag telling = ATOMIC_FLAG_INIT;
    static _Thread_local bool here;
    if (here) {
        die(number); /* a crash while telling */
        return;
    }
    if (atomic_flag_test_and_set(&telling)) {
        for (;;) {
            pause();
        }
    }
    here = true;
    say("sluice: crashed by ");
    say(signal_name(number));
    if (object_running != NULL) {
        say(" while node ");
        say(object_running);
        say(" was running");
    } else {
        say(" outside any node");
    }
    say("; nothing that was reported as committed is lost, a restart goes on from there. Stack:\n");
    void *frames[STACK_FRAMES];
    int n = backtrace(frames, STACK_FRAMES);
    backtrace_symbols_fd(frames, n, STDERR_FILENO);
    die(number);
}

void crash_handler_install(void) {
    void *frame[1];
    backtrace(frame, 1);
    static char stack_memory[SIGNAL_STACK_BYTES];
    const stack_t stack = {.ss_sp = stack_memory, .ss_size = sizeof(stack_memory)};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_ONSTACK | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction present;
        /* a handler that is there already (a sanitizer's) knows more than ours */
        if (sigaction(numbers[i], NULL, &present) == 0 && present.sa_handler == SIG_DFL) {
            sigaction(numbers[i], &action, NULL);
        }
    }
}
