/* Faults on the way to the disk. Calls that change a folder are counted; the n-th of them kills the
 * process, after half of what it was to write, or finds the disk full, as all after it do.
 *
 * Preloaded (LD_PRELOAD), so Arrow's, PyTorch's and Rust's writes are seen as Python's are. Not seen
 * are those through stdio buffers (fwrite), memory maps, and system calls that do without the C
 * library, such as the rename of safetensors. Removing is counted, and always works: a full disk does
 * not forbid it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, KILL, FULL };
#define POINTS 16384
static char folder[PATH_MAX], points[POINTS][160];
static long wanted;
static int kind;
static atomic_long count;

/* Start counting: `path` has no links in it; the point `n` is the first one that fails, 0: none. */
void faults_arm(const char *path, long n, int what) {
  wanted = n, kind = what, count = 0;
  snprintf(folder, sizeof folder, "%s", path);
}
void faults_disarm(void) { folder[0] = 0; }
long faults_count(void) { return count; }
const char *faults_point(long n) { return points[(n - 1) % POINTS]; }

static const char *inside(const char *path) {
  size_t size = strlen(folder);
  int ours = size && !strncmp(path, folder, size) && (path[size] == '/' || !path[size]);
  return ours ? path + size : NULL;
}

/* The part of a path behind the folder; NULL: it is not in there. */
static const char *of_fd(int fd) {
  static _Thread_local char found[PATH_MAX];
  char link[40];
  if (!folder[0]) return NULL;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, found, sizeof found - 1);
  found[size < 0 ? 0 : size] = 0;
  return inside(found);
}
static const char *of_path(int dir, const char *path) {
  static _Thread_local char given[PATH_MAX], found[PATH_MAX + NAME_MAX];
  if (!folder[0] || !path) return NULL;
  if (path[0] == '/') snprintf(given, sizeof given, "%s", path);
  else if (dir == AT_FDCWD) snprintf(given, sizeof given, "./%s", path);
  else snprintf(given, sizeof given, "/proc/self/fd/%d/%s", dir, path);
  char *name = strrchr(given, '/');
  *name++ = 0;
  if (!realpath(given[0] ? given : "/", found)) return NULL;
  snprintf(found + strlen(found), NAME_MAX, "/%s", name);
  return inside(found);
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}
/* Count a call; 0: let it happen, 1: it fails, -1: it is the one to die in. */
static int point(const char *call, const char *path) {
  if (!path) return 0;
  long n = ++count;
  snprintf(points[(n - 1) % POINTS], sizeof points[0], "%s %s", call, *path ? path + 1 : ".");
  if (kind == KILL && n == wanted) return -1;
  return kind == FULL && wanted && n >= wanted;
}
static int fails(const char *call, const char *path, int needs_room) {
  int found = point(call, path);
  if (found < 0) die();
  if (found && needs_room) errno = ENOSPC;
  return found && needs_room;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRAP(type, name, declared, passed, path, needs_room) \
  type name declared { return fails(#name, path, needs_room) ? (type)-1 : REAL(name) passed; }
#define WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)
#define WRAP_OPEN(name, dir, declared, passed) \
  int name declared { \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    if (flags & WRITES && fails(#name, of_path(dir, path), 1)) return -1; \
    return REAL(name) passed; \
  }
#define WRAP_FOPEN(name) \
  FILE *name(const char *path, const char *mode) { \
    if (strpbrk(mode, "wa+") && fails(#name, of_path(AT_FDCWD, path), 1)) return NULL; \
    return REAL(name)(path, mode); \
  }
#define WRAP_WRITE(name, declared, passed, half) \
  ssize_t name declared { \
    int found = point(#name, of_fd(fd)); \
    if (found < 0) { \
      if (size > 1) REAL(name) half; \
      die(); \
    } \
    if (found) errno = ENOSPC; \
    return found ? -1 : REAL(name) passed; \
  }

WRAP_OPEN(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(openat, dir, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
WRAP_OPEN(openat64, dir, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
WRAP_FOPEN(fopen)
WRAP_FOPEN(fopen64)
WRAP(int, creat, (const char *p, mode_t m), (p, m), of_path(AT_FDCWD, p), 1)
WRAP(int, creat64, (const char *p, mode_t m), (p, m), of_path(AT_FDCWD, p), 1)

typedef const struct iovec *Pieces;
WRAP_WRITE(write, (int fd, const void *b, size_t size), (fd, b, size), (fd, b, size / 2))
WRAP_WRITE(pwrite, (int fd, const void *b, size_t size, off_t o), (fd, b, size, o), (fd, b, size / 2, o))
WRAP_WRITE(pwrite64, (int fd, const void *b, size_t size, off_t o), (fd, b, size, o), (fd, b, size / 2, o))
WRAP_WRITE(writev, (int fd, Pieces v, int size), (fd, v, size), (fd, v, size / 2))
WRAP_WRITE(sendfile, (int fd, int in, off_t *o, size_t size), (fd, in, o, size), (fd, in, o, size / 2))
WRAP_WRITE(sendfile64, (int fd, int in, off_t *o, size_t size), (fd, in, o, size), (fd, in, o, size / 2))
WRAP_WRITE(copy_file_range, (int in, off_t *i, int fd, off_t *o, size_t size, unsigned f),
           (in, i, fd, o, size, f), (in, i, fd, o, size / 2, f))

WRAP(int, ftruncate, (int fd, off_t size), (fd, size), of_fd(fd), 1)
WRAP(int, ftruncate64, (int fd, off_t size), (fd, size), of_fd(fd), 1)
WRAP(int, truncate, (const char *p, off_t size), (p, size), of_path(AT_FDCWD, p), 1)
WRAP(int, fsync, (int fd), (fd), of_fd(fd), 1)
WRAP(int, fdatasync, (int fd), (fd), of_fd(fd), 1)

typedef const char *Path;
WRAP(int, rename, (Path a, Path b), (a, b), of_path(AT_FDCWD, b), 1)
WRAP(int, renameat, (int c, Path a, int d, Path b), (c, a, d, b), of_path(d, b), 1)
WRAP(int, link, (Path a, Path b), (a, b), of_path(AT_FDCWD, b), 1)
WRAP(int, linkat, (int c, Path a, int d, Path b, int f), (c, a, d, b, f), of_path(d, b), 1)
WRAP(int, symlink, (Path a, Path b), (a, b), of_path(AT_FDCWD, b), 1)
WRAP(int, mkdir, (Path p, mode_t m), (p, m), of_path(AT_FDCWD, p), 1)
WRAP(int, mkdirat, (int d, Path p, mode_t m), (d, p, m), of_path(d, p), 1)
WRAP(int, unlink, (Path p), (p), of_path(AT_FDCWD, p), 0)
WRAP(int, unlinkat, (int d, Path p, int f), (d, p, f), of_path(d, p), 0)
WRAP(int, rmdir, (Path p), (p), of_path(AT_FDCWD, p), 0)
