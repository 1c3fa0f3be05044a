/** Two ways to read the time: what passes, and what this process computes (all threads); the second hardly sees other processes. */
export const CLOCKS = {
  wall: (): number => performance.now(),
  cpu: (): number => {
    const {user, system} = process.cpuUsage();
    return (user + system) / 1e3;
  },
} as const;
export type ClockName = keyof typeof CLOCKS;
