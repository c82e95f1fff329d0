/* A program that forgets to sync, for LD_PRELOAD: files, folders or data (NOSYNC). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int forgets(const char *what)
{
    const char *forgotten = getenv("NOSYNC");

    return forgotten && strcmp(forgotten, what) == 0;
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    struct stat st;

    return fstat(fd, &st) == 0 && forgets(S_ISDIR(st.st_mode) ? "folders" : "files") ? 0 : real(fd);
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

    return forgets("data") ? 0 : real(fd);
}
