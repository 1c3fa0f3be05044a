/**
 * Two clocks in milliseconds: the time that passes, and the processor time of all threads of this process, which other
 * processes hardly disturb.
 */
export const CLOCKS = {
  wall: (): number => performance.now(),
  cpu: (): number => {
    const {user, system} = process.cpuUsage();
    return (user + system) / 1e3;
  },
} as const;
export type ClockName = keyof typeof CLOCKS;
