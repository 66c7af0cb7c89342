/* Reads of files below a folder that fail with EIO, as those of a disk with a fault do. To be
   preloaded; what it fails is told by the environment of the program:

   READ_ERRORS_BELOW  the folder
   READ_ERRORS_OF     only files with this in their path
   READ_ERRORS_AFTER  so many reads of them succeed first
   READ_ERRORS_TOLD   a file in which each failed read leaves the path of its file, a line each */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *below, *of, *told;
static long after;
static atomic_long reads;

__attribute__((constructor)) static void settings(void)
{
    const char *number = getenv("READ_ERRORS_AFTER");
    below = getenv("READ_ERRORS_BELOW");
    of = getenv("READ_ERRORS_OF");
    told = getenv("READ_ERRORS_TOLD");
    after = number ? atol(number) : 0;
}

static int fails(int file)
{
    char link[64], path[4096];
    if (!below)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 2);
    if (length <= 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, below, strlen(below)) != 0 || (of && !strstr(path, of)))
        return 0;
    if (atomic_fetch_add(&reads, 1) < after)
        return 0;
    int out = told ? open(told, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (out >= 0) {
        path[length] = '\n';
        if (write(out, path, length + 1) < 0)
            abort();
        close(out);
    }
    errno = EIO;
    return 1;
}

#define READ(name, parameters, arguments)                                      \
    ssize_t name parameters                                                    \
    {                                                                          \
        static ssize_t(*real) parameters;                                      \
        if (fails(file))                                                       \
            return -1;                                                         \
        if (!real)                                                             \
            real = (ssize_t(*) parameters)dlsym(RTLD_NEXT, #name);             \
        return real arguments;                                                 \
    }

READ(read, (int file, void *to, size_t bytes), (file, to, bytes))
READ(readv, (int file, const struct iovec *to, int count), (file, to, count))
READ(pread, (int file, void *to, size_t bytes, off_t at), (file, to, bytes, at))
READ(pread64, (int file, void *to, size_t bytes, off64_t at), (file, to, bytes, at))
READ(preadv, (int file, const struct iovec *to, int count, off_t at), (file, to, count, at))
READ(preadv64, (int file, const struct iovec *to, int count, off64_t at), (file, to, count, at))
