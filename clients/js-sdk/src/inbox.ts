import { backoffMs } from "./backoff.js";
import { Timer, type Clock } from "./clock.js";
import { asBody, asList, asNumber, decodeMessage, type Body } from "./codec.js";
import { aheadCountMax, holeWaitMs, pageCountMax, replayStallMs } from "./limits.js";
import type { Message } from "./message.js";
import type { Seen } from "./seen.js";

export interface InboxOptions {
  clock: Clock;
  random: () => number;
  user: () => string;
  request: (name: string, body: object) => Promise<Body>;
  seen: Seen;
}

export interface InboxListener {
  /**
   * Everything up to `to` is held, and `rows` are what that added, in inbox order.
   * Nothing is missing between `from`, the position before, and `to`.
   */
  advanced(rows: Message[], from: number, to: number): void;
  /** What the server had when the connection began is here. */
  caughtUp(): void;
}

/**
 * The user's box of numbered rows of single chats and groups. It takes them in any order and as often as they
 * come, and hands them on once each and in order. A number that is missing is asked for by one sync at a time.
 */
export class Inbox {
  readonly #options: InboxOptions;
  readonly #listener: InboxListener;
  readonly #ahead = new Map<number, Message>();
  readonly #timer: Timer;
  #held = 0;
  /** The highest number that the server has spoken of. */
  #top = 0;
  #connected = false;
  #replaying = false;
  #catchingUp = false;
  #syncing = false;
  #attempt = 0;
  #session = 0;

  constructor(options: InboxOptions, listener: InboxListener) {
    this.#options = options;
    this.#listener = listener;
    this.#timer = new Timer(options.clock);
  }

  /** Every number up to this one is here or does not exist. */
  get held(): number {
    return this.#held;
  }

  /** Goes on from the position that the store has. */
  restore(held: number): void {
    this.#held = held;
    this.#top = held;
  }

  /** The server begins to replay from `held`. */
  connected(top: number): void {
    this.#session += 1;
    this.#connected = true;
    this.#replaying = true;
    this.#catchingUp = true;
    this.#syncing = false;
    this.#attempt = 0;
    this.#raiseTop(top);
    this.#plan();
  }

  disconnected(): void {
    this.#session += 1;
    this.#connected = false;
    this.#syncing = false;
    this.#timer.stop();
  }

  /** Takes a row from a push or, for an own message, from the reply to its send. */
  receive(message: Message): void {
    this.#raiseTop(message.inboxSeq);
    this.#keep(message);
    this.#advance(this.#held);
    // A replay that still brings messages is not late, however long it is.
    if (this.#replaying) this.#timer.stop();
    this.#plan();
  }

  /** The server said that its top is `top`, which shows the loss of a last message. */
  heard(top: number): void {
    this.#raiseTop(top);
    this.#plan();
  }

  /** Asks what lies above the position, also where nothing was heard of it. */
  check(): void {
    if (this.#connected && !this.#replaying && !this.#syncing) void this.#sync();
  }

  replayEnded(top: number): void {
    this.#replaying = false;
    this.#raiseTop(top);
    this.#timer.stop();
    this.#plan();
  }

  /** The server replays no further than this, so that the rest is asked for at once. */
  gap(end: number): void {
    this.#replaying = false;
    this.#raiseTop(end);
    this.#timer.stop();
    if (this.#hasHole() && !this.#syncing) void this.#sync();
    else this.#plan();
  }

  /** Forgets what it held, because the server's box is another one than before. */
  reset(): void {
    this.disconnected();
    this.#held = 0;
    this.#top = 0;
    this.#ahead.clear();
  }

  #raiseTop(top: number): void {
    this.#top = Math.max(this.#top, top);
  }

  #hasHole(): boolean {
    return this.#top > this.#held;
  }

  #keep(message: Message): void {
    if (message.inboxSeq <= this.#held || this.#ahead.has(message.inboxSeq)) return;
    const isNext = message.inboxSeq === this.#held + 1;
    if (!isNext && this.#ahead.size >= aheadCountMax) return;
    this.#ahead.set(message.inboxSeq, message);
  }

  /** Hands on what is contiguous, and everything up to `covered`, below which nothing more exists. */
  #advance(covered: number): void {
    const from = this.#held;
    const messages: Message[] = [];
    if (covered > this.#held) {
      const below = [...this.#ahead.keys()].filter((seq) => seq <= covered);
      for (const seq of below.sort((left, right) => left - right)) this.#take(seq, messages);
      this.#held = covered;
    }
    while (this.#ahead.has(this.#held + 1)) {
      this.#held += 1;
      this.#take(this.#held, messages);
    }
    if (this.#held > from) this.#listener.advanced(messages, from, this.#held);
  }

  #take(seq: number, messages: Message[]): void {
    const message = this.#ahead.get(seq);
    this.#ahead.delete(seq);
    if (message && this.#options.seen.isFirst(message)) messages.push(message);
  }

  /** Sees to it that a hole is healed and that the end of catching up is told. */
  #plan(): void {
    if (!this.#connected) return;
    if (!this.#hasHole()) {
      this.#timer.stop();
      this.#attempt = 0;
      this.#endCatchingUp();
    } else if (!this.#syncing && !this.#timer.isRunning) {
      this.#timer.start(this.#replaying ? replayStallMs : holeWaitMs, () => void this.#sync());
    }
  }

  #endCatchingUp(): void {
    if (!this.#catchingUp) return;
    this.#catchingUp = false;
    this.#replaying = false;
    this.#listener.caughtUp();
  }

  async #sync(): Promise<void> {
    const session = this.#session;
    const begin = this.#held + 1;
    // What is held above the hole ends the range, and 0 stands for the top.
    const end = this.#ahead.size > 0 ? Math.min(...this.#ahead.keys()) : 0;
    this.#timer.stop();
    this.#replaying = false;
    this.#syncing = true;
    let page: Body | undefined;
    try {
      page = await this.#options.request("sync", { begin, end, limit: pageCountMax });
    } catch {
      // A refusal, silence or a lost connection: the hole is still there and is asked for again.
    }
    if (session !== this.#session) return;
    this.#syncing = false;
    if (page && this.#takePage(page, end) >= begin) {
      this.#attempt = 0;
      if (asNumber(page.next) > 0 && this.#hasHole() && session === this.#session) void this.#sync();
      else this.#plan();
      return;
    }
    this.#timer.start(backoffMs(this.#attempt, this.#options.random), () => this.#retry());
    this.#attempt += 1;
    // A server that can store but cannot page must not keep what the user writes.
    if (this.#attempt >= 3) this.#endCatchingUp();
  }

  #retry(): void {
    if (this.#hasHole()) void this.#sync();
    else this.#plan();
  }

  /** Returns the number up to which the page leaves nothing open. */
  #takePage(page: Body, end: number): number {
    const top = asNumber(page.top);
    const next = asNumber(page.next);
    for (const entry of asList(page.messages)) {
      const message = decodeMessage(asBody(entry), this.#options.user());
      if (message.inboxSeq > 0) this.#keep(message);
    }
    this.#raiseTop(top);
    const covered = Math.min(next > 0 ? next - 1 : end > 0 ? Math.min(end, top) : top, this.#top);
    this.#advance(Math.max(this.#held, covered));
    if (next === 0 && end === 0) this.#endCatchingUp();
    return covered;
  }
}
