export const backoffMinMs = 500;
export const backoffMaxMs = 20_000;

/**
 * Full jitter between 0.5 s and 20 s: clients that were cut off together do not come back together.
 * `attempt` counts from 0, `random` gives [0, 1).
 */
export function backoffMs(attempt: number, random: () => number): number {
  const span = Math.min(backoffMaxMs - backoffMinMs, backoffMinMs * 2 ** Math.min(attempt, 16));
  return Math.round(backoffMinMs + random() * span);
}
