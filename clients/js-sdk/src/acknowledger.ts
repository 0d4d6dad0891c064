import { Timer, type Clock } from "./clock.js";
import type { Body } from "./codec.js";
import { ackThrottleMs, replyTimeoutMs } from "./limits.js";

export interface AcknowledgerOptions {
  clock: Clock;
  request: (name: string, body: object) => Promise<Body>;
}

/** Tells the server, not too often, up to where this device has stored its inbox. */
export class Acknowledger {
  readonly #options: AcknowledgerOptions;
  readonly #timer: Timer;
  #connected = false;
  #stored = 0;
  #acked = 0;

  constructor(options: AcknowledgerOptions) {
    this.#options = options;
    this.#timer = new Timer(options.clock);
  }

  connected(ackedUpTo: number): void {
    this.#connected = true;
    this.#acked = ackedUpTo;
    this.#plan(ackThrottleMs);
  }

  disconnected(): void {
    this.#connected = false;
    this.#timer.stop();
  }

  stored(inboxSeq: number): void {
    this.#stored = Math.max(this.#stored, inboxSeq);
    this.#plan(ackThrottleMs);
  }

  reset(): void {
    this.disconnected();
    this.#stored = 0;
  }

  #plan(delayMs: number): void {
    if (!this.#connected || this.#stored <= this.#acked || this.#timer.isRunning) return;
    this.#timer.start(delayMs, () => void this.#send());
  }

  async #send(): Promise<void> {
    const inboxSeq = this.#stored;
    try {
      await this.#options.request("ack", { inboxSeq });
      this.#acked = Math.max(this.#acked, inboxSeq);
      this.#plan(ackThrottleMs);
    } catch {
      // An ack is only repeated: what is lost meanwhile costs a longer replay and nothing else.
      this.#plan(replyTimeoutMs);
    }
  }
}
