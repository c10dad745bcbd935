/* killat N HALF PROGRAM [ARG...]
 *
 * Runs a program and kills it (SIGKILL) when it is about to make its N-th call that changes a file
 * system: all threads are counted together. With HALF = 1 and a write of some pages as that call,
 * half of them are written first: the kernel may end a write at the end of a page. With N = 0
 * nothing is killed. The numbers of the calls that were made (x86-64) are printed on standard error
 * after "killat:" when SIGTERM comes, or when the program ended.
 *
 * A seccomp filter stops the program at these calls only, so it runs about as fast as without. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "written for x86-64"
#endif

static const int calls[] = {
    SYS_open,     SYS_openat,   SYS_creat,     SYS_mkdir,     SYS_mkdirat,  SYS_rename,
    SYS_renameat, SYS_renameat2, SYS_write,    SYS_pwrite64,  SYS_writev,   SYS_pwritev,
    SYS_pwritev2, SYS_fsync,    SYS_fdatasync, SYS_sync_file_range, SYS_ftruncate, SYS_truncate,
    SYS_fallocate, SYS_link,    SYS_linkat,    SYS_unlink,    SYS_unlinkat, SYS_rmdir,
    SYS_symlink,  SYS_symlinkat, SYS_chmod,    SYS_fchmod,    SYS_fchmodat, SYS_copy_file_range,
};
#define CALLS ((int)(sizeof calls / sizeof *calls))

#define PAGE 4096
#define SHOWN 8192
#define THREADS 4096

static long long counted;
static int shown[SHOWN];
static pid_t child;
static volatile pid_t threads[THREADS];
static volatile int known;
static volatile sig_atomic_t over;

static void filter(void) {
    struct sock_filter code[CALLS + 3];
    int at = 0;
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                              offsetof(struct seccomp_data, nr));
    for (int i = 0; i < CALLS; i++) {
        /* To the last statement; the one before it lets everything else through. */
        code[at] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i],
                                                CALLS + 1 - at, 0);
        at++;
    }
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog program = {.len = (unsigned short)at, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("killat: seccomp");
        _exit(126);
    }
}

/* Whether a call changes files: not a write to a socket, a pipe or the log, no opening to read. */
static int changes(pid_t thread, const struct user_regs_struct *regs) {
    char link[64], path[4096];
    ssize_t length;
    switch (regs->orig_rax) {
    case SYS_open:
        return (regs->rsi & O_CREAT) != 0;
    case SYS_openat:
        return (regs->rdx & O_CREAT) != 0;
    case SYS_write: case SYS_pwrite64: case SYS_writev: case SYS_pwritev: case SYS_pwritev2:
    case SYS_fsync: case SYS_fdatasync: case SYS_sync_file_range: case SYS_ftruncate:
    case SYS_fallocate: case SYS_fchmod:
        if (regs->rdi <= 2)
            return 0;
        snprintf(link, sizeof link, "/proc/%d/fd/%d", thread, (int)regs->rdi);
        length = readlink(link, path, sizeof path);
        return length > 0 && path[0] == '/' && strncmp(path, "/dev/", 5) && strncmp(path, "/proc/", 6);
    default:
        return 1;
    }
}

/* Kills the program and all that it started. */
static void stop(int number) {
    (void)number;
    over = 1;
    for (int i = 0; i < known; i++)
        kill(threads[i], SIGKILL);
}

static void know(pid_t thread) {
    for (int i = 0; i < known; i++)
        if (threads[i] == thread)
            return;
    if (known < THREADS) {
        threads[known] = thread;
        known++;
    }
}

/* Its number may be another's from now on. */
static void forget(pid_t thread) {
    for (int i = 0; i < known; i++)
        if (threads[i] == thread) {
            threads[i] = threads[known - 1];
            known--;
            return;
        }
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "killat N HALF PROGRAM [ARG...]\n");
        return 2;
    }
    long long when = atoll(argv[1]);
    int half = atoi(argv[2]);
    child = fork();
    if (child == 0) {
        /* Whoever ends the tracer ends the program. */
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        filter();
        execvp(argv[3], argv + 3);
        perror("killat: exec");
        _exit(127);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("killat: fork");
        return 126;
    }
    know(child);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SETOPTIONS, child, 0, options)) {
        perror("killat: ptrace");
        kill(child, SIGKILL);
        return 126;
    }
    ptrace(PTRACE_CONT, child, 0, 0);
    /* Until no thread of it is left. */
    for (;;) {
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0 && errno != EINTR)
            break;
        if (thread < 0)
            continue;
        if (!WIFSTOPPED(status)) {
            forget(thread);
            continue;
        }
        know(thread);
        if (over) {
            kill(thread, SIGKILL);
            continue;
        }
        int signal = WSTOPSIG(status), event = status >> 16;
        if (event == PTRACE_EVENT_SECCOMP) {
            struct user_regs_struct regs;
            signal = 0;
            if (!ptrace(PTRACE_GETREGS, thread, 0, &regs) && changes(thread, &regs)) {
                if (counted < SHOWN)
                    shown[counted] = (int)regs.orig_rax;
                counted++;
                if (counted == when) {
                    int writes = regs.orig_rax == SYS_write || regs.orig_rax == SYS_pwrite64;
                    if (half && writes && regs.rdx / 2 >= PAGE) {
                        regs.rdx = regs.rdx / 2 / PAGE * PAGE;
                        ptrace(PTRACE_SETREGS, thread, 0, &regs);
                        ptrace(PTRACE_SYSCALL, thread, 0, 0);
                        waitpid(thread, &status, __WALL);
                    }
                    stop(0);
                    continue;
                }
            }
        } else if (event != 0 || signal == SIGTRAP || signal == SIGSTOP) {
            signal = 0;
        }
        ptrace(PTRACE_CONT, thread, 0, signal);
    }
    fprintf(stderr, "killat:");
    for (int i = 0; i < counted && i < SHOWN; i++)
        fprintf(stderr, " %d", shown[i]);
    fprintf(stderr, "\n");
    return 0;
}
