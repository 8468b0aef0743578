/* Measures how fast this machine starts processes: posix_spawn with one pipe, in the requested number of processes.
 * spawn-ceiling <in flight> <milliseconds> <program> [argument...]; prints how many runs a second. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}

static void run(char *const argv[]) {
  char *env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", NULL};
  char output[4096];
  int ends[2], status;
  pid_t pid;
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  if (pipe(ends) != 0) exit(1);
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, ends[1], 1);
  posix_spawn_file_actions_adddup2(&files, ends[1], 2);
  posix_spawn_file_actions_addclose(&files, ends[0]);
  posix_spawn_file_actions_addclose(&files, ends[1]);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  if (posix_spawn(&pid, argv[0], &files, &attributes, argv, env) != 0) exit(1);
  close(ends[1]);
  while (read(ends[0], output, sizeof output) > 0) continue;
  close(ends[0]);
  waitpid(pid, &status, 0);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (status != 0) exit(1);
}

int main(int argc, char *argv[]) {
  if (argc < 4) return 2;
  int lanes = atoi(argv[1]), counts[2], failed = 0, status;
  double from = now(), until = from + atof(argv[2]) / 1e3;
  long total = 0, count = 0;
  if (pipe(counts) != 0) return 1;
  for (int lane = 0; lane < lanes; lane++) {
    if (fork() != 0) continue;
    for (; now() < until; count++) run(argv + 3);
    _exit(write(counts[1], &count, sizeof count) != sizeof count);
  }
  while (wait(&status) > 0) failed |= status;
  if (failed) return 1;
  for (int lane = 0; lane < lanes; lane++, total += count)
    if (read(counts[0], &count, sizeof count) != sizeof count) return 1;
  printf("%.1f\n", total / (now() - from));
  return 0;
}
