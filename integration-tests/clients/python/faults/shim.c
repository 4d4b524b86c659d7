/* Put before the C library in the node's process alone (LD_PRELOAD); each part works only where its variable is set.
 *
 * FAULTS_BOOT_ID  a file to read instead of the kernel's boot id
 * FAULTS_FSYNC    a file; while it exists, the next sync of a file whose path begins with the file's content fails once
 *                 with EIO, and the file is removed
 * FAULTS_CLOCK    a file of 8 bytes: seconds by which the wall clock is ahead, changed while the node runs
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

int open64(const char *path, int flags, ...) {
  static int (*real)(const char *, int, ...);
  va_list rest;
  va_start(rest, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if (!real) real = next("open64");
  const char *boot = getenv("FAULTS_BOOT_ID");
  if (boot && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) path = boot;
  return real(path, flags, mode);
}

static int sync_fails(int fd) {
  const char *order = getenv("FAULTS_FSYNC");
  if (!order || access(order, F_OK) != 0) return 0;
  char wanted[4096] = "", link[64], path[4096] = "";
  int file = open(order, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t length = read(file, wanted, sizeof wanted - 1);
  close(file);
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (length <= 0 || readlink(link, path, sizeof path - 1) <= 0) return 0;
  /* Who removes the file is the one that fails. */
  return strncmp(path, wanted, (size_t)length) == 0 && unlink(order) == 0;
}

int fsync(int fd) {
  static int (*real)(int);
  if (!real) real = next("fsync");
  return sync_fails(fd) ? (errno = EIO, -1) : real(fd);
}

int fdatasync(int fd) {
  static int (*real)(int);
  if (!real) real = next("fdatasync");
  return sync_fails(fd) ? (errno = EIO, -1) : real(fd);
}

static int64_t seconds_ahead(void) {
  static volatile int64_t *ahead;
  if (!ahead) {
    const char *name = getenv("FAULTS_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *map = file < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    static int64_t none;
    ahead = map == MAP_FAILED ? &none : map;
  }
  return *ahead;
}

int clock_gettime(clockid_t id, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = next("clock_gettime");
  int answer = real(id, at);
  if (answer == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += seconds_ahead();
  return answer;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
