import type { Clock } from "../src/clock.js";

interface Entry {
  atMs: number;
  run: () => void;
}

/** Time that moves only when a test says so. */
export class FakeClock implements Clock {
  #nowMs = 1_700_000_000_000;
  #entries = new Set<Entry>();

  now(): number {
    return this.#nowMs;
  }

  setTimeout(run: () => void, delayMs: number): unknown {
    const entry = { atMs: this.#nowMs + delayMs, run };
    this.#entries.add(entry);
    return entry;
  }

  clearTimeout(handle: unknown): void {
    this.#entries.delete(handle as Entry);
  }

  /** Lets everything happen that is due within `durationMs`, in order. */
  async advance(durationMs: number): Promise<void> {
    const untilMs = this.#nowMs + durationMs;
    await settle();
    for (;;) {
      const due = [...this.#entries].filter((entry) => entry.atMs <= untilMs);
      const next = due.sort((left, right) => left.atMs - right.atMs)[0];
      if (!next) break;
      this.#entries.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      await settle();
    }
    this.#nowMs = untilMs;
  }
}

/** Lets every promise that can go on do so. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
