/* The sandbox container: holds a pod's namespaces, reaps its orphans, ends when told to. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void down(int s) { (void)s; _exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
  struct sigaction a = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
  signal(SIGINT, down); signal(SIGTERM, down); sigaction(SIGCHLD, &a, 0);
  for (;;) pause();
}
