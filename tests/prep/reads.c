/* Bytes that a process reads of each file, as the kernel is asked for them: whoever reads (Python,
 * DuckDB, Arrow), and whether or not the file is in the page cache. A mapped file counts as read. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 4096
static struct {
  char path[PATH_MAX];
  long bytes;
} found[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Bytes read of the file with this path, which has no links in it. */
long reads_of(const char *path) {
  for (int n = 0; n < FILES && found[n].path[0]; n++)
    if (!strcmp(found[n].path, path)) return found[n].bytes;
  return 0;
}

static void add(int fd, long bytes) {
  char link[40], path[PATH_MAX];
  if (bytes <= 0) return;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return;
  path[size] = 0;
  pthread_mutex_lock(&lock);
  int n = 0;
  while (n < FILES - 1 && found[n].path[0] && strcmp(found[n].path, path)) n++;
  strcpy(found[n].path, path);
  found[n].bytes += bytes;
  pthread_mutex_unlock(&lock);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRAP(name, declared, passed) \
  ssize_t name declared { \
    ssize_t size = REAL(name) passed; \
    add(fd, size); \
    return size; \
  }
typedef const struct iovec *Pieces;
WRAP(read, (int fd, void *b, size_t n), (fd, b, n))
WRAP(pread, (int fd, void *b, size_t n, off_t o), (fd, b, n, o))
WRAP(pread64, (int fd, void *b, size_t n, off_t o), (fd, b, n, o))
WRAP(readv, (int fd, Pieces v, int n), (fd, v, n))
WRAP(preadv, (int fd, Pieces v, int n, off_t o), (fd, v, n, o))
WRAP(preadv64, (int fd, Pieces v, int n, off_t o), (fd, v, n, o))

#define WRAP_MAP(name) \
  void *name(void *a, size_t n, int p, int flags, int fd, off_t o) { \
    if (fd >= 0) add(fd, n); \
    return REAL(name)(a, n, p, flags, fd, o); \
  }
WRAP_MAP(mmap)
WRAP_MAP(mmap64)
