// What programs ask about their surroundings: each prints what it was told, and then that it is done.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

// Makes a terminal, has a child that it controls write to it, and looks whether anything is left of it.
static void terminal(void) {
    char line[64] = "", *name;
    int status, other, master = posix_openpt(O_RDWR | O_NOCTTY);
    struct stat seen, named;
    if (open("/dev/tty", O_RDWR) >= 0 || errno != ENXIO)
        perror("/dev/tty without a terminal");
    if (master < 0 || grantpt(master) || unlockpt(master) || !(name = ptsname(master)))
        return perror("a terminal");
    if (fork() == 0) {
        setsid();
        int slave = open(name, O_RDWR | O_NOCTTY);
        if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) || !isatty(slave) || fstat(slave, &seen) || stat(name, &named))
            return perror(name);
        if (strcmp(ttyname(slave), name) || seen.st_rdev != named.st_rdev || seen.st_ino != named.st_ino)
            puts("another name");
        int own = open("/dev/tty", O_RDWR);
        if (own < 0 || write(own, "hello\n", 6) != 6)
            perror("/dev/tty");
        printf("%o %d %d\n", seen.st_mode, seen.st_uid, tcgetpgrp(own) == getpid());
        fflush(stdout);
        _exit(0);
    }
    wait(&status);
    if (read(master, line, sizeof line - 1) < 0)
        perror("read");
    printf("%s", line);
    // Another one has another number, and that of this is not known any more once both sides are closed.
    close(master);
    other = posix_openpt(O_RDWR | O_NOCTTY);
    char *next = other < 0 ? "none" : ptsname(other);
    if (strcmp(next, name) && access(name, F_OK) == 0)
        puts("left");
    if (unlockpt(other) || open(next, O_RDWR | O_NOCTTY) < 0)
        perror(next);
    // No other of this machine can be seen.
    for (int number = 0; number < 64; number++) {
        char path[32];
        snprintf(path, sizeof path, "/dev/pts/%d", number);
        if (strcmp(path, next) && strcmp(path, name) && open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK) >= 0)
            puts(path);
    }
}

static void say(int (*ask)(int, struct sockaddr *, socklen_t *), int socket) {
    struct sockaddr_un address = {0};
    socklen_t length = sizeof address;
    if (ask(socket, (struct sockaddr *)&address, &length))
        printf("%s\n", errno == ENOTCONN ? "not connected" : strerror(errno));
    else if (length == sizeof address.sun_family)
        puts("without a name");
    else
        printf("%d %s%s\n", length, address.sun_path[0] ? "" : "@", address.sun_path + !address.sun_path[0]);
}

// Names of Unix sockets, of their own and of whom they are connected to.
static void addresses(void) {
    const char *names[] = {"/tmp/listens", "relative", "\0abstract"};
    mkdir("/tmp", 0777);
    for (int index = 0; index < 3; index++) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        memcpy(address.sun_path, names[index], 12);
        socklen_t length = sizeof address.sun_family + (index == 2 ? 9 : strlen(names[index]) + 1);
        int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
        say(getsockname, server);
        if (bind(server, (struct sockaddr *)&address, length) || listen(server, 1))
            perror("bind");
        say(getsockname, server);
        say(getpeername, client);
        if (connect(client, (struct sockaddr *)&address, length))
            perror("connect");
        say(getsockname, client);
        say(getpeername, client);
        int accepted = accept(server, NULL, NULL);
        say(getsockname, accepted);
        say(getpeername, accepted);
    }
}

static struct sockaddr_un named(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    return address;
}

static int message_socket(const char *path) {
    struct sockaddr_un address = named(path);
    int made = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (made < 0 || (*path && bind(made, (void *)&address, sizeof address)))
        perror(path);
    return made;
}

// Prints what came, and from whom.
static void next(int socket) {
    char text[64] = "";
    struct sockaddr_un from = {0};
    socklen_t length = sizeof from;
    ssize_t got = recvfrom(socket, text, sizeof text - 1, 0, (void *)&from, &length);
    printf("%zd %s from %s\n", got, text, length > 2 ? from.sun_path : "nobody");
}

// Messages to names, with and without a connection.
static void messages(void) {
    mkdir("/dev", 0755);
    struct sockaddr_un log = named("/dev/messages"), other = named("other"), gone = named("/gone"), none = named("/none");
    int server = message_socket("/dev/messages"), client = message_socket("other"), nobody = message_socket("");
    struct stat seen;
    printf("%d\n", stat("/dev/messages", &seen) == 0 && S_ISSOCK(seen.st_mode));
    say(getsockname, server);
    if (sendto(nobody, "one", 3, 0, (void *)&log, sizeof log) != 3)
        perror("sendto");
    next(server);
    struct iovec parts[] = {{"tw", 2}, {"o", 1}};
    struct msghdr message = {.msg_name = &log, .msg_namelen = sizeof log, .msg_iov = parts, .msg_iovlen = 2};
    if (sendmsg(client, &message, 0) != 3)
        perror("sendmsg");
    next(server);
    if (sendto(server, "answer", 6, 0, (void *)&other, sizeof other) != 6)
        perror("answer");
    next(client);
    // As loggers do it.
    if (connect(nobody, (void *)&log, sizeof log) || send(nobody, "three", 5, MSG_NOSIGNAL) != 5 ||
        write(nobody, "four", 4) != 4)
        perror("connection");
    say(getpeername, nobody);
    next(server);
    char text[8] = "";
    struct iovec room = {text, 2};
    struct msghdr wanted = {.msg_iov = &room, .msg_iovlen = 1};
    ssize_t length = recvmsg(server, &wanted, 0);
    printf("%zd %s %d\n", length, text, wanted.msg_flags == MSG_TRUNC);
    // With a name and a connection.
    if (connect(client, (void *)&log, sizeof log) || send(client, "five", 4, 0) != 4)
        perror("both");
    next(server);
    // Somebody waits until something comes.
    if (fork() == 0) {
        usleep(10000);
        _exit(sendto(message_socket(""), "six", 3, 0, (void *)&log, sizeof log) != 3);
    }
    next(server);
    wait(NULL);
    printf("%d", recv(server, text, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    printf("%d", sendto(client, "x", 1, 0, (void *)&none, sizeof none) == -1 && errno == ENOENT);
    close(message_socket("/gone"));
    printf("%d", sendto(client, "x", 1, 0, (void *)&gone, sizeof gone) == -1 && errno == ECONNREFUSED);
    printf("%d", connect(message_socket(""), (void *)&gone, sizeof gone) == -1 && errno == ECONNREFUSED);
    int again = socket(AF_UNIX, SOCK_DGRAM, 0);
    printf("%d\n", bind(again, (void *)&log, sizeof log) == -1 && errno == EADDRINUSE);
}

// The files that this program has mapped.
static void maps(void) {
    char line[4096], last[4096] = "";
    FILE *file = fopen("/proc/self/maps", "r");
    while (file && fgets(line, sizeof line, file)) {
        char *path = strchr(line, '/');
        if (path && strcmp(path, last))
            printf("%s", strcpy(last, path));
    }
}

int main(int count, char **words) {
    char *what = count == 2 ? words[1] : "";
    if (!strcmp(what, "terminal"))
        terminal();
    else if (!strcmp(what, "addresses"))
        addresses();
    else if (!strcmp(what, "messages"))
        messages();
    else if (!strcmp(what, "maps"))
        maps();
    else
        return 9;
    puts("done");
    return 0;
}
