/* Shared memory that dead ranks left behind. Open MPI gives each rank a file
 * /dev/shm/vader_segment.HOST.UID.JOB.RANK (4 MB). mpirun removes it when a rank dies, but
 * not when everything is killed at once, as a batch system does after its grace time; it
 * then stays until the machine is booted, and takes memory. */
#ifndef CX_CLI_SEGMENTS_H
#define CX_CLI_SEGMENTS_H

/* Removes such files in `dir` that are ours, of this machine, older than a minute, and
 * mapped by no process: a rank maps its own as long as it lives. Where that cannot be
 * found out nothing is removed. Returns how many were. */
int cx_segments_clean(const char *dir);

#endif
