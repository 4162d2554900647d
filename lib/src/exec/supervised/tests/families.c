// Programs that have threads and children: families WHAT

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *echo[] = {"sh", "-c", "cd /bin && echo executed", NULL};
static char *quiet[] = {"true", NULL}, *script[] = {"sh", "/bin/script", NULL};

static void *stat_often(void *unused) {
    struct stat found;
    for (int round = 0; round < 500; round++)
        if (stat("/bin", &found) || getuid() || found.st_uid)
            abort();
    return unused;
}

static void *stat_forever(void *unused) {
    for (;;)
        stat_often(unused);
}

static void *execute(void *unused) {
    usleep(2000);
    execv("/bin/sh", echo);
    abort();
    return unused;
}

static void *spawn_often(void *unused) {
    for (int round = 0; round < 25; round++) {
        pid_t child;
        int status = -1;
        if (posix_spawn(&child, round % 5 ? "/bin/true" : "/bin/script", NULL, NULL, quiet, environ))
            abort();
        if (waitpid(child, &status, 0) != child || status)
            abort();
        // What was in registers and memory before a failed exec is there afterwards.
        char missing[] = "/bin/missing";
        if (execv(missing, quiet) != -1 || errno != ENOENT || strcmp(missing, "/bin/missing"))
            abort();
    }
    return unused;
}

static void in_threads(void *(*work)(void *)) {
    pthread_t threads[4];
    for (int at = 0; at < 4; at++)
        pthread_create(&threads[at], NULL, work, NULL);
    for (int at = 0; at < 4; at++)
        pthread_join(threads[at], NULL);
}

static void vforks(void) {
    for (int round = 0; round < 50; round++) {
        pid_t child = vfork();
        if (!child) {
            // Paths are read from this memory first, and then from that of the program.
            struct stat found;
            if (stat("/bin", &found))
                _exit(8);
            execv(round % 2 ? "/bin/sh" : "/bin/missing", script);
            _exit(7);
        }
        int status;
        waitpid(child, &status, 0);
        if (WEXITSTATUS(status) != (round % 2 ? 0 : 7))
            abort();
    }
}

static void executed_by_a_thread(void) {
    pthread_t thread;
    stat_often(NULL);
    for (int at = 0; at < 3; at++)
        pthread_create(&thread, NULL, stat_forever, NULL);
    pthread_create(&thread, NULL, execute, NULL);
    for (;;)
        pause();
}

static volatile sig_atomic_t interrupted;

static void handle(int signal) { interrupted += signal == SIGALRM; }

static void stops(void) {
    int status;
    pid_t child = fork();
    if (!child)
        stat_forever(NULL);
    kill(child, SIGSTOP);
    if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP)
        abort();
    kill(child, SIGCONT);
    if (waitpid(child, &status, WCONTINUED) != child || !WIFCONTINUED(status))
        abort();
    kill(child, SIGTERM);
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM)
        abort();
    struct sigaction action = {.sa_handler = handle};
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    if (pause() != -1 || errno != EINTR || interrupted != 1)
        abort();
}

// A child that its parent leaves, with signals in between.
static void orphans(void) {
    for (int round = 0; round < 20; round++)
        if (!fork()) {
            if (!fork()) {
                signal(SIGTERM, SIG_IGN);
                setsid();
                stat_forever(NULL);
            }
            kill(getpid(), SIGKILL);
        }
    for (int round = 0; round < 20; round++)
        wait(NULL);
}

int main(int count, char **words) {
    char *what = count == 2 ? words[1] : "";
    if (!strcmp(what, "threads"))
        in_threads(stat_often);
    else if (!strcmp(what, "spawns"))
        in_threads(spawn_often);
    else if (!strcmp(what, "vforks"))
        vforks();
    else if (!strcmp(what, "thread-executes"))
        executed_by_a_thread();
    else if (!strcmp(what, "stops"))
        stops();
    else if (!strcmp(what, "orphans"))
        orphans();
    else if (!strcmp(what, "ids"))
        printf("%d %d %d %d %ld\n", getuid(), geteuid(), getgid(), getegid(), getauxval(AT_SECURE));
    else if (!strcmp(what, "networks"))
        printf("%d %d %d\n", socket(AF_INET, SOCK_STREAM, 0) >= 0, socket(AF_NETLINK, SOCK_RAW, 0) >= 0,
               socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
    else
        return 9;
    puts("done");
    return 0;
}
