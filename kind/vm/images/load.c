/* load MIB [MIB_PER_MINUTE [HOT_MIB [FIRST_MIB]]]: a workload whose memory is told from outside.

   Takes FIRST_MIB (default: MIB) of anonymous memory at once, then goes to MIB, or to the number that stands in /tmp/mib
   whenever that changes, at most MIB_PER_MINUTE (default 60000) up or down. The first HOT_MIB (default: all) are touched every 100 ms, the rest stays cold.
   Prints "holding N MiB" for each number it reaches. Pages hold random words, so nothing shares or compresses them away. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#define MOST 65536
static char *block[MOST];
static void down(int s) { (void)s; _exit(0); }
static char *take(void) {
  char *p = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) { perror("mmap"); exit(1); }
  for (size_t i = 0; i < 1 << 20; i += sizeof(int)) *(int *)(p + i) = (int)random();
  return p;
}
static long told(long otherwise) {
  FILE *f = fopen("/tmp/mib", "r");
  long mib;
  if (!f) return otherwise;
  if (fscanf(f, "%ld", &mib) != 1 || mib < 0 || mib > MOST) mib = otherwise;
  fclose(f);
  return mib;
}
int main(int argc, char **argv) {
  long want = argc > 1 ? atol(argv[1]) : 16, hot = argc > 3 ? atol(argv[3]) : MOST, first = argc > 4 ? atol(argv[4]) : want;
  long held = 0, said = -1;
  double rate = argc > 2 ? atof(argv[2]) : 60000, budget = 0;
  if (want < 0 || want > MOST) { fprintf(stderr, "load: %s MiB cannot be held\n", argv[1]); return 1; }
  signal(SIGTERM, down); signal(SIGINT, down); setvbuf(stdout, 0, _IOLBF, 0);
  while (held < want && held < first) block[held++] = take();
  for (;; usleep(100000)) {
    want = told(want);
    budget = held == want ? 0 : budget + rate / 600;
    for (; budget >= 1 && held < want; budget--) block[held++] = take();
    for (; budget >= 1 && held > want; budget--) munmap(block[--held], 1 << 20);
    for (long b = 0; b < held && b < hot; b++) for (size_t i = 0; i < 1 << 20; i += 4096) ((volatile char *)block[b])[i]++;
    if (held == want && said != held) printf("holding %ld MiB\n", said = held);
  }
}
