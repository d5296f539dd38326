/*
 * Records what a process does to the files below one folder, for LD_PRELOAD.
 *
 * POWER_LOSS_ROOT  absolute path of the folder
 * POWER_LOSS_LOG   file that the records are appended to
 * POWER_LOSS_BUSY  file that names the operation in progress (a shared mapping, so that it
 *                  survives SIGKILL): such an operation may be done and not recorded yet
 *
 * Each recorded operation runs under one lock together with its record, so that the order of the
 * records is the order of the operations. A sync is recorded and not carried out: what it would
 * have put on disk is worked out from the records.
 *
 * Calls go to the kernel directly, since the C library's own functions are the ones replaced.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC 0x504c4f47u
#define LONGEST 4096
#define TRACKED (1u << 16)
#define VECTORS 64

struct record {
    uint32_t magic;
    uint32_t kind;
    uint64_t inode;
    /* Offset of a write, new length of a truncation, or 1 for a file that was created. */
    uint64_t number;
    /* Bytes that follow: data or a path, and a second path. */
    uint64_t first;
    uint64_t second;
};

struct busy {
    uint64_t is_set;
    char first[LONGEST];
    char second[LONGEST];
};

static char root[LONGEST];
static size_t root_length;
static dev_t device;
static int log_file = -1;
static struct busy *busy;
static uint64_t tracked[TRACKED];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *what)
{
    const char *words[] = { "power loss layer: ", what, "\n" };
    for (int i = 0; i < 3; i++)
        syscall(SYS_write, 2, words[i], strlen(words[i]));
    abort();
}

__attribute__((constructor)) static void begin(void)
{
    const char *folder = getenv("POWER_LOSS_ROOT");
    const char *log = getenv("POWER_LOSS_LOG");
    const char *now = getenv("POWER_LOSS_BUSY");
    struct stat found;
    if (!folder || !log || !now || strlen(folder) >= LONGEST)
        fail("POWER_LOSS_ROOT, POWER_LOSS_LOG and POWER_LOSS_BUSY are required");
    strcpy(root, folder);
    root_length = strlen(root);
    if (stat(root, &found) != 0)
        fail("POWER_LOSS_ROOT does not exist");
    device = found.st_dev;
    int mapped = syscall(SYS_openat, AT_FDCWD, now, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (mapped < 0 || syscall(SYS_ftruncate, mapped, (off_t)sizeof *busy) != 0)
        fail("POWER_LOSS_BUSY cannot be written");
    busy = (void *)syscall(SYS_mmap, NULL, sizeof *busy, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
    if (busy == MAP_FAILED)
        fail("POWER_LOSS_BUSY cannot be mapped");
    syscall(SYS_close, mapped);
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    log_file = syscall(SYS_openat, AT_FDCWD, log, flags, 0600);
    if (log_file < 0)
        fail("POWER_LOSS_LOG cannot be written");
}

/* Writes the path below the root to `out`; returns NULL if it is outside. */
static char *below(int folder, const char *path, char *out)
{
    char whole[LONGEST], link[64];
    if (log_file < 0 || !path)
        return NULL;
    if (path[0] != '/') {
        ssize_t length;
        if (folder == AT_FDCWD)
            strcpy(link, "/proc/self/cwd");
        else
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        length = syscall(SYS_readlinkat, AT_FDCWD, link, whole, sizeof whole - 1);
        if (length < 0 || (size_t)length + strlen(path) + 2 > sizeof whole)
            return NULL;
        whole[length] = '/';
        strcpy(whole + length + 1, path);
        path = whole;
    }
    if (strncmp(path, root, root_length) != 0 || (path[root_length] && path[root_length] != '/'))
        return NULL;
    path += root_length;
    char *end = out;
    while (*path) {
        size_t part;
        while (*path == '/')
            path++;
        part = strcspn(path, "/");
        if (part && !(part == 1 && path[0] == '.')) {
            if ((size_t)(end - out) + part + 2 > LONGEST)
                return NULL;
            if (end != out)
                *end++ = '/';
            memcpy(end, path, part);
            end += part;
        }
        path += part;
    }
    *end = 0;
    return out;
}

static int is_tracked(uint64_t inode)
{
    for (uint32_t i = 0, at = inode % TRACKED; i < TRACKED; i++, at = (at + 1) % TRACKED) {
        if (tracked[at] == inode)
            return 1;
        if (!tracked[at])
            return 0;
    }
    return 0;
}

static void track(uint64_t inode)
{
    for (uint32_t i = 0, at = inode % TRACKED; i < TRACKED; i++, at = (at + 1) % TRACKED) {
        if (tracked[at] == inode)
            return;
        if (!tracked[at]) {
            tracked[at] = inode;
            return;
        }
    }
    fail("too many files");
}

/* Fills `found` if the descriptor refers to a file or folder below the root. */
static int is_ours(int fd, struct stat *found)
{
    if (log_file < 0 || fd < 0 || fstat(fd, found) != 0)
        return 0;
    if (found->st_dev != device || !(S_ISREG(found->st_mode) || S_ISDIR(found->st_mode)))
        return 0;
    pthread_mutex_lock(&lock);
    int is = is_tracked(found->st_ino);
    pthread_mutex_unlock(&lock);
    return is;
}

static void enter(const char *first, const char *second)
{
    pthread_mutex_lock(&lock);
    strcpy(busy->first, first ? first : "");
    strcpy(busy->second, second ? second : "");
    __atomic_store_n(&busy->is_set, 1, __ATOMIC_SEQ_CST);
}

static void leave(void)
{
    int kept = errno;
    __atomic_store_n(&busy->is_set, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&lock);
    errno = kept;
}

/* Records one operation on the file of a descriptor. */
static void enter_file(int fd)
{
    char link[64], path[LONGEST], relative[LONGEST];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    enter(below(AT_FDCWD, path, relative), NULL);
}

static void record_parts(uint32_t kind, uint64_t inode, uint64_t number, const struct iovec *data,
                         int count, uint64_t first, const char *second)
{
    struct iovec parts[VECTORS + 2];
    struct record head = { MAGIC, kind, inode, number, first, second ? strlen(second) : 0 };
    uint64_t left = first;
    int kept = errno, used = 0;
    parts[used++] = (struct iovec){ &head, sizeof head };
    for (int i = 0; i < count && left > 0; i++) {
        size_t part = data[i].iov_len < left ? data[i].iov_len : left;
        parts[used++] = (struct iovec){ data[i].iov_base, part };
        left -= part;
    }
    if (second)
        parts[used++] = (struct iovec){ (void *)second, strlen(second) };
    size_t whole = sizeof head + first + head.second;
    if (syscall(SYS_writev, log_file, parts, used) != (ssize_t)whole)
        fail("a record cannot be written");
    errno = kept;
}

static void record(uint32_t kind, uint64_t inode, uint64_t number, const char *first, const char *second)
{
    struct iovec data = { (void *)first, first ? strlen(first) : 0 };
    record_parts(kind, inode, number, &data, 1, data.iov_len, second);
}

static int open_recorded(int folder, const char *path, int flags, mode_t mode)
{
    char relative[LONGEST];
    struct stat found;
    if ((flags & O_TMPFILE) == O_TMPFILE || !below(folder, path, relative))
        return syscall(SYS_openat, folder, path, flags, mode);
    enter(relative, NULL);
    int was_there = fstatat(folder, path, &found, 0) == 0;
    int fd = syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && fstat(fd, &found) == 0 && (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode))) {
        track(found.st_ino);
        record('O', found.st_ino, !was_there, relative, NULL);
        if (was_there && (flags & O_TRUNC))
            record('T', found.st_ino, 0, NULL, NULL);
    }
    leave();
    return fd;
}

#define OPEN(name, ...)                                              \
    int name(__VA_ARGS__ const char *path, int flags, ...)           \
    {                                                                \
        mode_t mode = 0;                                             \
        if (flags & (O_CREAT | O_TMPFILE)) {                         \
            va_list more;                                            \
            va_start(more, flags);                                   \
            mode = va_arg(more, mode_t);                             \
            va_end(more);                                            \
        }                                                            \
        return open_recorded(FOLDER, path, flags, mode);             \
    }

#define FOLDER AT_FDCWD
OPEN(open)
OPEN(open64)
#undef FOLDER
#define FOLDER folder
OPEN(openat, int folder,)
OPEN(openat64, int folder,)

/* A negative `offset` means the current position of the descriptor. */
static ssize_t write_recorded(int fd, const struct iovec *data, int count, off_t offset, const struct stat *known)
{
    struct stat found = *known;
    off_t at = offset;
    ssize_t written;
    enter_file(fd);
    fstat(fd, &found);
    if (fcntl(fd, F_GETFL) & O_APPEND)
        at = found.st_size;
    else if (offset < 0)
        at = syscall(SYS_lseek, fd, 0, SEEK_CUR);
    if (offset < 0)
        written = syscall(SYS_writev, fd, data, count);
    else
        written = syscall(SYS_pwritev, fd, data, count, offset, 0);
    if (written > 0)
        record_parts('W', found.st_ino, at, data, count, written, NULL);
    leave();
    return written;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    struct stat found;
    struct iovec data = { (void *)bytes, length };
    return is_ours(fd, &found) ? write_recorded(fd, &data, 1, -1, &found)
                               : syscall(SYS_write, fd, bytes, length);
}

ssize_t writev(int fd, const struct iovec *data, int count)
{
    struct stat found;
    if (!is_ours(fd, &found))
        return syscall(SYS_writev, fd, data, count);
    return write_recorded(fd, data, count < VECTORS ? count : VECTORS, -1, &found);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
    struct stat found;
    struct iovec data = { (void *)bytes, length };
    return is_ours(fd, &found) ? write_recorded(fd, &data, 1, offset, &found)
                               : syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    return pwrite64(fd, bytes, length, offset);
}

ssize_t pwritev64(int fd, const struct iovec *data, int count, off64_t offset)
{
    struct stat found;
    if (!is_ours(fd, &found))
        return syscall(SYS_pwritev, fd, data, count, offset, 0);
    return write_recorded(fd, data, count < VECTORS ? count : VECTORS, offset, &found);
}

ssize_t pwritev(int fd, const struct iovec *data, int count, off_t offset)
{
    return pwritev64(fd, data, count, offset);
}

int ftruncate64(int fd, off64_t length)
{
    struct stat found;
    if (!is_ours(fd, &found))
        return syscall(SYS_ftruncate, fd, length);
    enter_file(fd);
    int done = syscall(SYS_ftruncate, fd, length);
    if (done == 0)
        record('T', found.st_ino, length, NULL, NULL);
    leave();
    return done;
}

int ftruncate(int fd, off_t length)
{
    return ftruncate64(fd, length);
}

int fsync(int fd)
{
    struct stat found;
    if (!is_ours(fd, &found))
        return syscall(SYS_fsync, fd);
    enter_file(fd);
    record('S', found.st_ino, 0, NULL, NULL);
    leave();
    return 0;
}

int fdatasync(int fd)
{
    struct stat found;
    return is_ours(fd, &found) ? fsync(fd) : syscall(SYS_fdatasync, fd);
}

/* Rejects calls that bypass the recorded ones; callers fall back to ordinary writes. */
int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    struct stat found;
    if (!is_ours(fd, &found))
        return syscall(SYS_fallocate, fd, mode, offset, length);
    errno = EOPNOTSUPP;
    return -1;
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return fallocate64(fd, mode, offset, length);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags)
{
    struct stat found;
    if (!is_ours(to, &found))
        return syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags);
    errno = ENOSYS;
    return -1;
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t length)
{
    struct stat found;
    if (!is_ours(to, &found))
        return syscall(SYS_sendfile, to, from, at, length);
    errno = ENOSYS;
    return -1;
}

ssize_t sendfile(int to, int from, off_t *at, size_t length)
{
    return sendfile64(to, from, at, length);
}

/* A rename from or to a path outside is recorded as a creation or a removal. */
static int name_recorded(int from_folder, const char *from, int to_folder, const char *to, unsigned flags, int is_link)
{
    char before[LONGEST], after[LONGEST];
    char *left = below(from_folder, from, before), *right = below(to_folder, to, after);
    int is_within = left && right;
    if (left || right)
        enter(left, right);
    int done = is_link ? syscall(SYS_linkat, from_folder, from, to_folder, to, flags)
                       : syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    if (done == 0 && is_within)
        record(is_link ? 'L' : 'N', 0, 0, before, after);
    else if (done == 0 && left && !is_link)
        record('U', 0, 0, before, NULL);
    else if (done == 0 && right)
        record('X', 0, 0, after, NULL);
    if (left || right)
        leave();
    return done;
}

int rename(const char *from, const char *to)
{
    return name_recorded(AT_FDCWD, from, AT_FDCWD, to, 0, 0);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    return name_recorded(from_folder, from, to_folder, to, flags, 0);
}

int link(const char *from, const char *to)
{
    return name_recorded(AT_FDCWD, from, AT_FDCWD, to, 0, 1);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    return name_recorded(from_folder, from, to_folder, to, flags, 1);
}

int unlinkat(int folder, const char *path, int flags)
{
    char relative[LONGEST];
    if (!below(folder, path, relative))
        return syscall(SYS_unlinkat, folder, path, flags);
    enter(relative, NULL);
    int done = syscall(SYS_unlinkat, folder, path, flags);
    if (done == 0)
        record('U', 0, 0, relative, NULL);
    leave();
    return done;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    char relative[LONGEST];
    if (!below(folder, path, relative))
        return syscall(SYS_mkdirat, folder, path, mode);
    enter(relative, NULL);
    int done = syscall(SYS_mkdirat, folder, path, mode);
    if (done == 0)
        record('D', 0, 0, relative, NULL);
    leave();
    return done;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset)
{
    struct stat found;
    if ((flags & MAP_SHARED) && (protection & PROT_WRITE) && is_ours(fd, &found)) {
        enter_file(fd);
        record('M', found.st_ino, 0, NULL, NULL);
        leave();
    }
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    return mmap64(at, length, protection, flags, fd, offset);
}
