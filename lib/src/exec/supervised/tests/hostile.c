// A program that tries to get out of its root: hostile ATTEMPT PID DIRECTORY
//
// PID is a process outside, DIRECTORY one of the machine's that holds: `secret`, `program`, `socket`, `messages`. Says
// "contained", or what it got.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int outside;
static char *directory;

static char *beside(const char *name) {
    char *path;
    if (asprintf(&path, "%s/%s", directory, name) < 0)
        exit(9);
    return path;
}

static void escaped(const char *how) {
    printf("escaped: %s\n", how);
    fflush(stdout);
    _exit(1);
}

static void refused(const char *what, long result) {
    if (result >= 0)
        escaped(what);
}

// Nothing that an attempt opens may say what the secret says.
static void look(int fd, const char *how) {
    char text[64] = "";
    if (fd < 0)
        return;
    if (read(fd, text, sizeof text - 1) > 0 && strstr(text, "secret"))
        escaped(how);
    close(fd);
}

static void paths(void) {
    const char *ways[] = {
        "%s", "/proc/self/root%s", "/proc/1/root%s", "/proc/self/cwd/../../../../../../../..%s",
        "/../../../../../../../../../..%s", "/proc/self/task/../../../..%s", "/dev/fd/../../../../..%s",
        "/proc/self/fd/0/../../..%s", "/proc/thread-self/root%s", "/proc/self/map_files/../../../..%s",
    };
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        char path[8192];
        snprintf(path, sizeof path, ways[way], beside("secret"));
        look(open(path, O_RDONLY), path);
        struct open_how how = {.flags = O_RDONLY};
        look(syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how), path);
    }
    char path[8192];
    snprintf(path, sizeof path, "/proc/%d/root%s", outside, beside("secret"));
    look(open(path, O_RDONLY), path);
    snprintf(path, sizeof path, "/../../../..%s", beside("secret"));
    symlink(path, "/way");
    look(open("/way", O_RDONLY), "a symbolic link");
}

static void working_directory(void) {
    char path[8192];
    // Where the process really is must not be where it seems to be.
    for (int up = 0; up < 12; up++) {
        chdir("..");
        look(open(beside("secret") + 1, O_RDONLY), "parents of the working directory");
    }
    refused("a host directory", chdir(directory));
    snprintf(path, sizeof path, "/proc/%d/cwd", outside);
    refused("another's directory", chdir(path));
    mkdir("/cell", 0755);
    int root = open("/", O_RDONLY | O_DIRECTORY);
    chroot("/cell");
    fchdir(root);
    for (int up = 0; up < 12; up++)
        chdir("..");
    look(open(beside("secret") + 1, O_RDONLY), "out of a chroot");
}

static void other_calls(void) {
    long result;
    char *path = beside("secret");
#ifdef __x86_64__
    char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    strcpy(low, path);
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(5), "b"(low), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
    refused("open of 32 bits", result);
    refused("open of x32", syscall(0x40000002, path, O_RDONLY));
    refused("execve of x32", syscall(0x40000208, path, NULL, NULL));
#endif
    char buffer[256] = "";
    refused("io_uring", syscall(SYS_io_uring_setup, 8, buffer));
    refused("clone3", syscall(SYS_clone3, buffer, 64));
    refused("userfaultfd", syscall(SYS_userfaultfd, 0));
    refused("bpf", syscall(SYS_bpf, 0, buffer, 64));
    refused("perf_event_open", syscall(SYS_perf_event_open, buffer, outside, -1, -1, 0));
    refused("name_to_handle_at", syscall(SYS_name_to_handle_at, AT_FDCWD, path, buffer, buffer + 128, 0));
    refused("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, buffer, O_RDONLY));
    refused("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    refused("mount", syscall(SYS_mount, directory, "/", NULL, 4096, NULL));
    refused("pivot_root", syscall(SYS_pivot_root, "/", "/"));
    refused("unshare", unshare(CLONE_NEWUSER));
    refused("setns", setns(open("/proc/self/ns/mnt", O_RDONLY), 0));
    refused("namespaces", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    refused("an untraced child", syscall(SYS_clone, 0x00800000 | SIGCHLD, 0, 0, 0, 0));
    refused("a sibling", syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0));
    refused("keyctl", syscall(SYS_keyctl, 0, -3, 0, 0, 0));
    refused("a listener", syscall(SYS_seccomp, 1, 1 << 3, &(struct { unsigned short n; void *f; }){0}));
}

static void processes(void) {
    char byte = 0;
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    refused("ptrace", ptrace(PTRACE_SEIZE, outside, 0, 0));
    refused("process_vm_readv", process_vm_readv(outside, &here, 1, &there, 1, 0));
    refused("process_vm_writev", process_vm_writev(outside, &here, 1, &there, 1, 0));
    refused("pidfd_open", syscall(SYS_pidfd_open, outside, 0));
    refused("pidfd_getfd", syscall(SYS_pidfd_getfd, 0, 0, 0));
    refused("kcmp", syscall(SYS_kcmp, outside, outside, 0, 0, 0));
    struct rlimit limit = {1, 1};
    refused("prlimit", prlimit(outside, RLIMIT_NOFILE, &limit, NULL));
    refused("setpriority", setpriority(PRIO_PROCESS, outside, 19));
    refused("setpriority of a user", setpriority(PRIO_USER, 0, 19));
    refused("sched_setaffinity", sched_setaffinity(outside, sizeof limit, (cpu_set_t *)&limit));
    const char *files[] = {"mem", "environ", "maps", "fd/0", "root", "cwd", "exe", "stat", "task", "ns/user", "status"};
    for (size_t file = 0; file < sizeof files / sizeof *files; file++) {
        char path[256];
        snprintf(path, sizeof path, "/proc/%d/%s", outside, files[file]);
        refused(path, open(path, O_RDONLY));
    }
}

static void signals(void) {
    refused("kill", kill(outside, SIGKILL));
    refused("tkill", syscall(SYS_tkill, outside, SIGKILL));
    refused("tgkill", syscall(SYS_tgkill, outside, outside, SIGKILL));
    union sigval value = {0};
    refused("sigqueue", sigqueue(outside, SIGKILL, value));
    refused("its group", kill(-getpgid(outside), SIGKILL));
    kill(-1, SIGKILL);
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    refused("F_SETOWN", fcntl(pair[0], F_SETOWN, outside));
    struct { int type, pid; } owner = {1, outside};
    refused("F_SETOWN_EX", fcntl(pair[0], 15, &owner));
}

static volatile int over;
static char flipped[4096];

static void *flip(void *other) {
    size_t length = strlen(other) + 1;
    while (!over) {
        memcpy(flipped, "/own\0", 5);
        memcpy(flipped, other, length);
    }
    return NULL;
}

static void racing_open(void) {
    pthread_t thread;
    close(open("/own", O_WRONLY | O_CREAT, 0644));
    strcpy(flipped, "/own");
    pthread_create(&thread, NULL, flip, beside("secret"));
    for (int round = 0; round < 3000; round++) {
        look(open(flipped, O_RDONLY), "a path that changes");
        struct stat stat_;
        if (stat(flipped, &stat_) == 0 && stat_.st_size)
            escaped("stat of a path that changes");
    }
    over = 1;
    pthread_join(thread, NULL);
}

static void *place;

static void *scribble(void *program) {
    size_t length = strlen(program) + 1;
    while (!over)
        memcpy(place, program, length);
    return NULL;
}

// The supervisor puts the path of a program where the kernel put the name of this one.
static void racing_exec(void) {
    pthread_t thread;
    char *stack = (char *)getauxval(AT_EXECFN);
    for (place = NULL; !place; stack++)
        if (!strncmp(stack, "./././", 6) || !strncmp(stack, ".///", 4))
            place = stack;
    pthread_create(&thread, NULL, scribble, beside("program"));
    for (int round = 0; round < 100; round++) {
        pid_t child = vfork();
        if (!child) {
            execl("/bin/busybox", "busybox", "true", NULL);
            _exit(3);
        }
        int status;
        waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 42)
            escaped("another program was executed");
    }
    over = 1;
    pthread_join(thread, NULL);
}

static void connect_all(int type, const char *how) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *names[] = {"socket", "messages"};
    for (int name = 0; name < 2; name++) {
        int fd = socket(AF_UNIX, type, 0);
        strncpy(address.sun_path, beside(names[name]), sizeof address.sun_path - 1);
        refused(how, connect(fd, (void *)&address, sizeof address));
        refused(how, sendto(fd, "x", 1, MSG_NOSIGNAL, (void *)&address, sizeof address));
        // Without a name in the file system; the test has one of its process's number.
        memset(address.sun_path, 0, sizeof address.sun_path);
        int length = snprintf(address.sun_path + 1, 100, "rbuild-test-%d", outside);
        refused(how, connect(fd, (void *)&address, sizeof(short) + 1 + length));
    }
}

static struct sockaddr_un either = {.sun_family = AF_UNIX};

static void *rename_either(void *unused) {
    char *path = beside("messages");
    for (int round = 0; round < 200000; round++)
        strcpy(either.sun_path, round & 1 ? path : "/own");
    return unused;
}

// Whoever sends them, and however: nobody outside gets any.
static void messages(struct sockaddr_un *address) {
    struct sockaddr_un own = {.sun_family = AF_UNIX, .sun_path = "/own"};
    int sockets[3];
    for (int at = 0; at < 3; at++)
        sockets[at] = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (bind(sockets[1], (void *)&own, sizeof own) || connect(sockets[2], (void *)&own, sizeof own))
        escaped("no messages of its own");
    struct iovec part = {"x", 1};
    struct mmsghdr many = {.msg_hdr = {address, sizeof *address, &part, 1, NULL, 0, 0}};
    for (int at = 0; at < 3; at++) {
        refused("a message", sendto(sockets[at], "x", 1, 0, (void *)address, sizeof *address));
        refused("a message in parts", sendmsg(sockets[at], &many.msg_hdr, 0));
        refused("many messages", sendmmsg(sockets[at], &many, 1, 0));
    }
    pthread_t other;
    pthread_create(&other, NULL, rename_either, NULL);
    for (int round = 0; round < 500; round++) {
        sendto(sockets[round % 3], "x", 1, MSG_DONTWAIT, (void *)&either, sizeof either);
        many.msg_hdr.msg_name = &either;
        sendmsg(sockets[round % 3], &many.msg_hdr, MSG_DONTWAIT);
    }
    pthread_join(other, NULL);
}

static void sockets(void) {
    connect_all(SOCK_STREAM, "a socket");
    connect_all(SOCK_DGRAM, "a socket for messages");
    connect_all(SOCK_RAW, "a raw socket");
    connect_all(SOCK_SEQPACKET, "a socket for packets");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, beside("messages"), sizeof address.sun_path - 1);
    for (int type = 1; type <= 5; type++) {
        int pair[2];
        if (socketpair(AF_UNIX, type, 0, pair) < 0)
            continue;
        if (sendto(pair[0], "x", 1, MSG_NOSIGNAL, (void *)&address, sizeof address) == 1) {
            // It went to the other end, or else.
            char byte;
            if (recv(pair[1], &byte, 1, MSG_DONTWAIT) != 1)
                escaped("a message to a name");
        }
        refused("a connection of its own", connect(pair[0], (void *)&address, sizeof address));
    }
    messages(&address);
    refused("vsock", socket(40, SOCK_STREAM, 0));
    refused("packets", socket(AF_PACKET, SOCK_RAW, 0));
    refused("crypto", socket(38, SOCK_SEQPACKET, 0));
}

static void shared_memory(void) {
    // All that the machine has; the test has made one.
    for (int number = 0; number < 70000; number += number < 200 ? 1 : 32768 - 200)
        if (shmat(number, NULL, 0) != (void *)-1)
            escaped("shared memory");
    refused("by its key", shmget(outside, 1, 0));
    refused("a queue", syscall(SYS_mq_open, "/queue", O_CREAT | O_RDWR, 0600, NULL));
    int own = shmget(outside, 4096, IPC_CREAT | 0600);
    void *memory = shmat(own, NULL, 0);
    if (own < 0 || memory == (void *)-1 || shmget(outside, 1, 0) != own || *(char *)memory)
        escaped("no memory of its own");
}

static void devices(void) {
    const char *files[] = {"/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/kvm", "/dev/fuse",
                           "/proc/kcore", "/proc/sysrq-trigger", "/proc/keys"};
    for (size_t file = 0; file < sizeof files / sizeof *files; file++)
        if (open(files[file], O_RDWR) >= 0)
            escaped(files[file]);
    for (int number = 0; number < 64; number++) {
        char terminal[32];
        snprintf(terminal, sizeof terminal, "/dev/pts/%d", number);
        if (open(terminal, O_RDWR | O_NOCTTY | O_NONBLOCK) >= 0)
            escaped(terminal);
    }
    for (int minor = 0; minor < 10; minor++) {
        unlink("/device");
        if (!mknod("/device", S_IFCHR | 0600, 1 << 8 | minor) && open("/device", O_RDWR) >= 0)
            escaped("a device of its own");
    }
    if (open("/proc/sys/kernel/core_pattern", O_WRONLY) >= 0 || open("/sys/power/state", O_WRONLY) >= 0)
        escaped("settings of the machine");
}

static void shared_files(void) {
    int fd = open("/bin/busybox", O_RDONLY);
    int flags = 0x80;
    refused("flags of a file", ioctl(fd, 0x40086602, &flags));
    refused("a lease", fcntl(fd, F_SETLEASE, F_RDLCK));
    refused("a writable mapping",
            mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
    fchmod(fd, 0777);
    futimens(fd, NULL);
    int other = open("/proc/self/fd/3", O_RDWR);
    if (other >= 0 && pwrite(other, "X", 1, 0) != 1)
        escaped("a file that cannot be written");
    int writable = open("/bin/busybox", O_RDWR);
    pwrite(writable, "XXXX", 4, 0);
    truncate("/bin/busybox", 10);
}

static void wild_pointers(void) {
    char *hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(hole + 4096, 4096);
    memset(hole, 'a', 4096);
    void *pointers[] = {NULL, (void *)1, (void *)-1, (void *)-4096, hole + 4095, hole + 4096, (void *)0x7fffffffffff};
    for (size_t at = 0; at < sizeof pointers / sizeof *pointers; at++)
        for (long number = 0; number < 460; number++) {
            if (number == SYS_exit || number == SYS_exit_group || number == SYS_rt_sigreturn || number == SYS_fork ||
                number == SYS_vfork || number == SYS_clone || number == SYS_pause || number == SYS_munmap ||
                number == SYS_mmap || number == SYS_brk || number == SYS_mprotect || number == SYS_mremap ||
                number == SYS_rt_sigsuspend || number == SYS_rt_sigtimedwait || number == SYS_close ||
                number == SYS_close_range || number == SYS_kill || number == SYS_tkill || number == SYS_alarm ||
                number == SYS_select || number == SYS_poll || number == SYS_ppoll || number == SYS_pselect6 ||
                number == SYS_setitimer || number == SYS_arch_prctl || number == SYS_seccomp || number == SYS_read ||
                number == SYS_dup2 || number == SYS_dup3 || number == SYS_futex || number == SYS_prctl ||
                number == SYS_setrlimit || number == SYS_prlimit64 || number == SYS_madvise ||
                number == SYS_set_tid_address || number == SYS_rt_sigprocmask || number == SYS_rt_sigaction ||
                number == SYS_sigaltstack || number == SYS_set_robust_list || number == SYS_remap_file_pages ||
                number == SYS_shmat || number == SYS_rseq || number == SYS_mlockall ||
                // uretprobe and uprobe: the kernel does not ask filters about these.
                number == 335 || number == 336)
                continue;
            syscall(number, pointers[at], pointers[at], pointers[at], pointers[at], pointers[at], pointers[at]);
        }
}

static void descriptors(void) {
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    int root = open("/", O_RDONLY | O_DIRECTORY);
    char control[CMSG_SPACE(sizeof(int))] = "", byte = 'x';
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &root, sizeof root);
    if (sendmsg(pair[0], &message, 0) != 1 || recvmsg(pair[1], &message, 0) != 1)
        escaped("no descriptors can be sent");
    int got;
    memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof got);
    char path[8192] = "../../../../../../../..";
    strcat(path, beside("secret"));
    look(openat(got, path, O_RDONLY), "a directory that was sent");
    snprintf(path, sizeof path, "/proc/self/fd/%d/../../../../../..%s", got, beside("secret"));
    look(open(path, O_RDONLY), "through /proc/self/fd");
    // Nothing of the supervisor's is open here.
    for (int fd = 3; fd < 1024; fd++) {
        if (fd == pair[0] || fd == pair[1] || fd == root || fd == got)
            continue;
        refused("a descriptor that nobody opened", fcntl(fd, F_GETFD));
    }
}

static void nameless_program(void) {
    int program = open("/proc/self/exe", O_RDONLY), copy = memfd_create("copy", 0);
    char buffer[65536];
    for (ssize_t length; (length = read(program, buffer, sizeof buffer)) > 0;)
        if (write(copy, buffer, length) != length)
            escaped("no copy");
    char number[16];
    sprintf(number, "%d", outside);
    char *arguments[] = {"hostile", "paths", number, directory, NULL};
    syscall(SYS_execveat, copy, "", arguments, environ, AT_EMPTY_PATH);
    escaped("a program without a name does not run");
}

static void secrets_of_memory(void) {
    // Nothing of the supervisor's memory is left after exec, and nobody takes the right to look at this process.
    prctl(PR_SET_DUMPABLE, 0);
    look(open("/own2", O_CREAT | O_RDWR, 0600), "none");
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", getppid());
    refused("its parent's memory", open(path, O_RDWR));
    if (getenv("SECRET"))
        escaped("the environment");
}

static void bomb(void) {
    for (int generation = 0; generation < 6; generation++) {
        fork();
        fork();
    }
    if (getpid() % 3 == 0)
        setsid();
    if (getpid() % 5 == 0)
        signal(SIGTERM, SIG_IGN);
    alarm(600);
    for (;;)
        pause();
}

static void fork_bomb(void) {
    if (!fork())
        bomb();
    usleep(50000);
}

int main(int count, char **words) {
    static const struct { const char *name; void (*attempt)(void); } attempts[] = {
        {"paths", paths}, {"working_directory", working_directory}, {"other_calls", other_calls},
        {"processes", processes}, {"signals", signals}, {"racing_open", racing_open}, {"racing_exec", racing_exec},
        {"sockets", sockets}, {"shared_memory", shared_memory}, {"devices", devices}, {"shared_files", shared_files},
        {"wild_pointers", wild_pointers}, {"descriptors", descriptors}, {"nameless_program", nameless_program},
        {"secrets_of_memory", secrets_of_memory}, {"fork_bomb", fork_bomb},
    };
    if (count != 4)
        return 9;
    outside = atoi(words[2]);
    directory = words[3];
    for (size_t at = 0; at < sizeof attempts / sizeof *attempts; at++)
        if (!strcmp(attempts[at].name, words[1])) {
            attempts[at].attempt();
            puts("contained");
            return 0;
        }
    return 9;
}
