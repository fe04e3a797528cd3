/*
 * The crash handler: on SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT prints the signal, the node
 * whose plugin was running on the thread and the stack to stderr, then lets the signal kill the
 * process as it would have.
 */
#ifndef HOST_CRASH_H
#define HOST_CRASH_H

/* Once, at the start of the process. */
void crash_handler_install(void);

#endif /* HOST_CRASH_H */
