/* load MIB [MIB_PER_SECOND [HOT_MIB]]: a workload whose memory is told from outside.

   Holds MIB of anonymous memory and goes to the number that stands in /tmp/mib whenever that changes, at most
   MIB_PER_SECOND (default 1000) up or down. The first HOT_MIB (default: all) are touched every 100 ms, the rest stays
   cold. One line on stdout per change that is reached: "holding N MiB". Pages differ, so nothing shares or compresses them to nothing. */
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
  for (size_t i = 0; i < 1 << 20; i += sizeof(unsigned)) *(unsigned *)(p + i) = (unsigned)random();
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
  long want = argc > 1 ? atol(argv[1]) : 16, rate = argc > 2 ? atol(argv[2]) : 1000, hot = argc > 3 ? atol(argv[3]) : MOST, held = 0, said = -1;
  signal(SIGTERM, down); signal(SIGINT, down); setvbuf(stdout, 0, _IOLBF, 0);
  for (long step = rate / 10 > 0 ? rate / 10 : 1;; usleep(100000)) {
    want = told(want);
    for (long n = 0; n < step && held < want; n++) block[held++] = take();
    for (long n = 0; n < step && held > want; n++) munmap(block[--held], 1 << 20);
    for (long b = 0; b < held && b < hot; b++) for (size_t i = 0; i < 1 << 20; i += 4096) ((volatile char *)block[b])[i]++;
    if (held == want && said != held) printf("holding %ld MiB\n", said = held);
  }
}
