/** Time as the client sees it, so that tests can hold it still. */
export interface Clock {
  now(): number;
  setTimeout(run: () => void, delayMs: number): unknown;
  clearTimeout(handle: unknown): void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (run, delayMs) => setTimeout(run, delayMs),
  clearTimeout: (handle) => clearTimeout(handle as ReturnType<typeof setTimeout>),
};

/** One timer that is either running or not. Starting it again replaces what was set before. */
export class Timer {
  readonly #clock: Clock;
  #handle: unknown;
  #running = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isRunning(): boolean {
    return this.#running;
  }

  start(delayMs: number, run: () => void): void {
    this.stop();
    this.#running = true;
    this.#handle = this.#clock.setTimeout(() => {
      this.#running = false;
      run();
    }, delayMs);
  }

  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    this.#clock.clearTimeout(this.#handle);
  }
}
