// What programs do with files beyond opening them: each prints what it saw, and then that it is done.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int put(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (file < 0 || write(file, text, strlen(text)) < 0)
        perror(path);
    return close(file);
}

// Prints what has happened, and is empty afterwards.
static void happened(int instance) {
    static const char *names[] = {"accessed", "modified", "attributes", "written", "closed", "opened", "from",
                                  "to", "made", "removed", "self removed", "self moved"};
    char buffer[4096] __attribute__((aligned(8)));
    ssize_t length = read(instance, buffer, sizeof buffer);
    for (char *at = buffer; at < buffer + length;) {
        struct inotify_event *event = (void *)at;
        for (int bit = 0; bit < 12; bit++)
            if (event->mask & 1 << bit)
                printf("%s %s\n", names[bit], event->len ? event->name : "itself");
        if (event->mask & IN_IGNORED)
            puts("over");
        at += sizeof *event + event->len;
    }
}

static void watches(void) {
    int one = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), other = inotify_init1(IN_NONBLOCK);
    mkdir("/w", 0755);
    unsigned changes = IN_CREATE | IN_DELETE | IN_MOVE | IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE;
    int directory = inotify_add_watch(one, "/w", changes);
    // It was there before, and nobody had written to it yet.
    int file = inotify_add_watch(other, "/lower", IN_MODIFY | IN_DELETE_SELF);
    if (one < 0 || directory < 1 || file < 1 || inotify_add_watch(one, "/w", changes) != directory)
        perror("watches");
    put("/w/a", "text");
    chmod("/w/a", 0600);
    rename("/w/a", "/w/b");
    unlink("/w/b");
    happened(one);
    put("/lower", "more");
    happened(other);
    if (inotify_rm_watch(other, file))
        perror("no watch any more");
    put("/lower", "more");
    happened(other);
    printf("%d", inotify_add_watch(one, "/none", changes) == -1 && errno == ENOENT);
    printf("%d", inotify_add_watch(one, "/lower", changes | IN_ONLYDIR) == -1 && errno == ENOTDIR);
    printf("%d", inotify_add_watch(one, "/lower", 0) == -1 && errno == EINVAL);
    printf("%d", inotify_add_watch(0, "/lower", changes) == -1 && errno == EINVAL);
    printf("%d", inotify_add_watch(99, "/lower", changes) == -1 && errno == EBADF);
    printf("%d", inotify_rm_watch(one, 99) == -1 && errno == EINVAL);
    printf("%d", inotify_init1(1) == -1 && errno == EINVAL);
    printf("%d", inotify_add_watch(one, "/proc/self/status", changes) > 0);
    printf("%d\n", fanotify_init(0, 0) == -1 && errno == EPERM);
    // A user may have few, but any number after one another.
    for (int round = 0; round < 200; round++) {
        int instance = inotify_init();
        if (instance < 0 || inotify_add_watch(instance, "/w", changes) < 1)
            return perror("again");
        close(instance);
    }
}

static void bounds(void) {
    int directory, self;
    mkdir("/t", 0755);
    mkdir("/t/in", 0755);
    put("/t/f", "inner");
    put("/f", "outer");
    symlink("/f", "/t/absolute");
    symlink("f", "/t/relative");
    symlink("../f", "/t/out");
    symlink("../f", "/t/in/up");
    symlink("/proc/self/cwd/f", "/t/magic");
    directory = open("/t", O_RDONLY | O_DIRECTORY);
    self = open("/proc/self", O_RDONLY | O_DIRECTORY);
    int ways[] = {0, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV};
    const char *paths[] = {"f", "/f", "in/../f", "../f", "in/../../f", "absolute", "relative", "out", "in/up", "magic",
                           "/../f", "in/../../../t/f", "/proc/version", "cwd", "exe"};
    for (int way = 0; way < 6; way++) {
        for (int path = 0; path < 15; path++) {
            struct open_how how = {.resolve = ways[way]};
            int file = syscall(SYS_openat2, path < 13 ? directory : self, paths[path], &how, sizeof how);
            char text[8] = "";
            if (file < 0)
                strcpy(text, errno == EXDEV ? "XDEV" : errno == ELOOP ? "LOOP" : errno == ENOENT ? "NOENT" : "?");
            else if (read(file, text, 5) < 0 || path > 11)
                strcpy(text, "ok");
            printf("%s%c", text, path < 14 ? ' ' : '\n');
            close(file);
        }
    }
    struct open_how wrong[] = {
        {.resolve = RESOLVE_BENEATH | RESOLVE_IN_ROOT}, {.resolve = 1 << 20}, {.mode = 0600}, {.flags = 1ull << 40},
        {.flags = O_CREAT, .mode = 010000}, {.flags = O_PATH | O_APPEND}, {.flags = O_TMPFILE | O_RDONLY},
        {.flags = O_CREAT, .mode = 0600, .resolve = RESOLVE_CACHED},
    };
    for (int at = 0; at < 8; at++) {
        long file = syscall(SYS_openat2, directory, "f", &wrong[at], sizeof *wrong);
        printf("%d ", file < 0 ? errno : 0);
    }
    struct { struct open_how how; long more; } longer = {0}, larger = {.more = 1};
    printf("%ld ", syscall(SYS_openat2, directory, "f", &longer, sizeof longer) < 0 ? errno : 0L);
    printf("%ld ", syscall(SYS_openat2, directory, "f", &larger, sizeof larger) < 0 ? errno : 0L);
    printf("%ld ", syscall(SYS_openat2, directory, "f", &longer, 8) < 0 ? errno : 0L);
    printf("%ld\n", syscall(SYS_openat2, directory, "f", &longer, 8192) < 0 ? errno : 0L);
    struct open_how new = {.flags = O_CREAT | O_WRONLY, .mode = 0600, .resolve = RESOLVE_IN_ROOT};
    int made = syscall(SYS_openat2, directory, "/in/../../in/new", &new, sizeof new);
    printf("%d %d\n", made >= 0, access("/t/in/new", F_OK));
}

// Of files that may not be read. They are all somebody else's.
static void places(void) {
    struct stat seen;
    char text[64] = "";
    int hidden = open("/hidden", O_PATH), status = 0;
    printf("%d ", hidden >= 0 && !fstat(hidden, &seen) && seen.st_size == 6 && seen.st_mode == (S_IFREG | 0600));
    printf("%d ", read(hidden, text, 1) == -1 && errno == EBADF);
    printf("%d ", write(hidden, text, 1) == -1 && errno == EBADF);
    snprintf(text, sizeof text, "/proc/self/fd/%d", hidden);
    printf("%d\n", open(text, O_RDONLY) == -1 && errno == EACCES);
    int link = open("/link", O_PATH | O_NOFOLLOW);
    memset(text, 0, sizeof text);
    printf("%d ", link >= 0 && !fstat(link, &seen) && S_ISLNK(seen.st_mode));
    printf("%s ", readlinkat(link, "", text, sizeof text) < 0 ? strerror(errno) : text);
    char name[32], path[64] = "";
    snprintf(name, sizeof name, "/proc/self/fd/%d", link);
    printf("%s ", readlink(name, path, sizeof path) < 0 ? strerror(errno) : path);
    printf("%d\n", open("/link", O_RDONLY | O_NOFOLLOW) == -1 && errno == ELOOP);
    int directory = open("/closed", O_PATH | O_DIRECTORY);
    int inner = openat(directory, "inner", O_RDONLY);
    memset(text, 0, sizeof text);
    printf("%d %zd %s", directory >= 0, read(inner, text, sizeof text), text);
    printf("%d ", syscall(SYS_getdents64, directory, path, sizeof path) < 0);
    printf("%d ", open("/closed", O_RDONLY) == -1 && errno == EACCES);
    printf("%d\n", fchdir(directory) == 0 && access("inner", R_OK) == 0);
    fflush(stdout);
    int program = open("/program", O_PATH | O_CLOEXEC);
    char *words[] = {"program", "true", NULL};
    if (fork() == 0) {
        fexecve(program, words, words + 2);
        _exit(9);
    }
    wait(&status);
    printf("%d %d\n", program >= 0, status);
    // Any number, one after the other.
    for (int round = 0; round < 400; round++) {
        snprintf(name, sizeof name, "/tmp/%d", round);
        if (symlink("x", name) || close(open(name, O_PATH | O_NOFOLLOW)))
            return perror(name);
    }
}

// It is asked for in no word that a program is started with, by one who wants to hear of no signal.
static void root(void) {
    sigset_t all;
    int status;
    sigfillset(&all);
    mkdir("/jail", 0755);
    put("/jail/inner", "in");
    for (int round = 0; round < 3; round++) {
        if (fork() == 0) {
            if (round == 1)
                sigprocmask(SIG_BLOCK, &all, NULL);
            else if (round == 2)
                signal(SIGSYS, SIG_IGN);
            int result = chroot("/jail");
            printf("%d %d %d %d\n", result, access("/inner", F_OK), access("/lower", F_OK),
                   chroot("/none") == -1 && errno == ENOENT);
            fflush(stdout);
            kill(getpid(), SIGKILL);
        }
        wait(&status);
        printf("%d\n", WTERMSIG(status) == SIGKILL);
        fflush(stdout);
    }
    if (fork() == 0) {
        setuid(7);
        printf("%d\n", chroot("/jail") == -1 && errno == EPERM);
        fflush(stdout);
        // Otherwise the signal is what it always is.
        kill(getpid(), SIGSYS);
    }
    wait(&status);
    printf("%d\n", WTERMSIG(status) == SIGSYS);
}

int main(int count, char **words) {
    char *what = count == 2 ? words[1] : "";
    if (!strcmp(what, "watches"))
        watches();
    else if (!strcmp(what, "bounds"))
        bounds();
    else if (!strcmp(what, "places"))
        places();
    else if (!strcmp(what, "root"))
        root();
    else if (strcmp(what, "true"))
        return 9;
    if (strcmp(what, "true"))
        puts("done");
    return 0;
}
