/* stress hold | burst: what presses on memory, and what feels it.

   hold HOT_MIB: holds as many MiB as the last number on standard input says; the first HOT_MIB are touched every 100 ms, the
     rest stays cold. Half of each page is random, so zram packs two into one. Prints "holding N" when a number is reached.
   burst LEAST MOST HOLD_MS PAUSE_MS SEED: takes LEAST to MOST MiB (each time another number) on huge pages where there are any,
     touches every page, holds them and gives them back; prints "MIB MICROSECONDS" a time. A burst is what an application
     waits for, so it is what a request's response time is made of. Whatever is killed by the OOM killer should be this one. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#define MIB (1L << 20)
#define MOST_MIB 65536
static uint64_t state = 88172645463325252ULL;
static uint64_t number(void) { state ^= state << 13; state ^= state >> 7; return state ^= state << 17; }
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static void wait_ms(long ms) { struct timespec t = {ms / 1000, ms % 1000 * 1000000}; nanosleep(&t, 0); }
static char *take(long mib, int huge) {
  char *p = mmap(0, mib * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) { perror("mmap"); exit(1); }
  if (huge) madvise(p, mib * MIB, MADV_HUGEPAGE);
  return p;
}
static void fill(char *p) { for (long page = 0; page < MIB; page += 4096) for (long i = 0; i < 2048; i += 8) *(uint64_t *)(p + page + i) = number(); }
static int hold(long hot) {
  static char *block[MOST_MIB];
  char line[64];
  long held = 0, want = 0, said = 0;
  fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
  for (;; wait_ms(100)) {
    ssize_t n = read(0, line, sizeof line - 1);
    if (n == 0) return 0;
    if (n > 0) { line[n] = 0; char *last = strrchr(line, '\n'); if (last) *last = 0; last = strrchr(line, '\n'); want = atol(last ? last + 1 : line); }
    if (want < 0 || want > MOST_MIB) want = held;
    while (held < want) fill(block[held++] = take(1, 0));
    while (held > want) munmap(block[--held], MIB);
    for (long b = 0; b < held && b < hot; b++) for (long i = 0; i < MIB; i += 4096) ((volatile char *)block[b])[i]++;
    if (said != held) printf("holding %ld\n", said = held);
  }
}
static _Noreturn void burst(long least, long most, long hold_ms, long pause_ms) {
  for (;;) {
    long mib = least + (long)(number() % (uint64_t)(most - least + 1));
    double began = now();
    char *p = take(mib, 1);
    for (long i = 0; i < mib * MIB; i += 4096) *(uint64_t *)(p + i) = number();
    printf("%ld %.0f\n", mib, (now() - began) * 1e6);
    wait_ms(hold_ms);
    munmap(p, mib * MIB);
    wait_ms(pause_ms);
  }
}
int main(int argc, char **argv) {
  setvbuf(stdout, 0, _IOLBF, 0);
  if (argc == 3 && !strcmp(argv[1], "hold")) return hold(atol(argv[2]));
  if (argc == 7 && !strcmp(argv[1], "burst") && atol(argv[3]) >= atol(argv[2])) {
    state ^= (uint64_t)atol(argv[6]) * 2654435761u;
    burst(atol(argv[2]), atol(argv[3]), atol(argv[4]), atol(argv[5]));
  }
  fprintf(stderr, "usage: stress hold HOT_MIB | burst LEAST MOST HOLD_MS PAUSE_MS SEED\n");
  return 2;
}
