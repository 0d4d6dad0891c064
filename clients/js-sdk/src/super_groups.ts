import { backoffMs } from "./backoff.js";
import { Timer, type Clock } from "./clock.js";
import { asBody, asList, asNumber, asString, decodeMessage, type Body } from "./codec.js";
import { AnserError } from "./error.js";
import { aheadCountMax, conversionChecksMax, conversionWaitMs, freshGroupCount, holeWaitMs, pageCountMax, positionsMax } from "./limits.js";
import type { Message } from "./message.js";
import type { Seen } from "./seen.js";

export interface SuperGroupsOptions {
  clock: Clock;
  random: () => number;
  user: () => string;
  request: (name: string, body: object) => Promise<Body>;
  seen: Seen;
  /** True where the conversation was a group with fan-out on write when it was last heard of. */
  isConverting: (conversation: string) => boolean;
  /** Asks whether the inbox has more than it was heard to have. */
  checkInbox: () => void;
}

export interface SuperGroupsListener {
  /** Everything of `conversation` up to `to` is held, and `rows` are what that added, in order. */
  advanced(conversation: string, rows: Message[], from: number, to: number): void;
  /** Watching `conversation` begins after `held`: what lies below comes from history or the inbox. */
  placed(conversation: string, held: number): void;
}

interface Box {
  /** Every seq up to this one is here or does not exist; undefined until it is known where to begin. */
  held: number | undefined;
  top: number;
  joined: number;
  /** The seq with which the user left; what is at or above it is for others. */
  left: number;
  ahead: Map<number, Message>;
  placing: Timer;
}

/**
 * The user's super groups, whose rows are not in the inbox. For each it knows up to which seq everything is held,
 * takes rows in any order and hands them on once each and in order. What is missing in any of them is asked for by
 * one request at a time.
 */
export class SuperGroups {
  readonly #options: SuperGroupsOptions;
  readonly #listener: SuperGroupsListener;
  readonly #boxes = new Map<string, Box>();
  readonly #timer: Timer;
  readonly #topsTimer: Timer;
  #aheadCount = 0;
  #connected = false;
  #caughtUp = false;
  #syncing = false;
  #attempt = 0;
  #batchMax = positionsMax;
  #session = 0;

  constructor(options: SuperGroupsOptions, listener: SuperGroupsListener) {
    this.#options = options;
    this.#listener = listener;
    this.#timer = new Timer(options.clock);
    this.#topsTimer = new Timer(options.clock);
  }

  /** Goes on from the positions that the store has. */
  restore(positions: Map<string, number>): void {
    for (const [conversation, held] of positions) Object.assign(this.#box(conversation), { held, top: held });
  }

  /** True for a conversation whose seqs show holes. */
  has(conversation: string): boolean {
    return this.#boxes.has(conversation);
  }

  /** The server has said where the user's super groups stand, or where more of them are to be asked for. */
  connected(groups: unknown, next: string): void {
    this.#session += 1;
    this.#connected = true;
    this.#syncing = false;
    this.#attempt = 0;
    this.#takeTops(groups);
    if (next) void this.#askTops(next, 0);
    // What was missed while there was no connection is a hole that no push will close.
    if (this.#hasHole()) void this.#sync();
  }

  disconnected(): void {
    this.#session += 1;
    this.#connected = false;
    this.#caughtUp = false;
    this.#timer.stop();
    this.#topsTimer.stop();
    for (const box of this.#boxes.values()) box.placing.stop();
  }

  /** The inbox is up to date, so that a row that turned a group into a super group has been seen. */
  caughtUp(): void {
    this.#caughtUp = true;
    for (const [conversation, box] of this.#boxes) this.#planPlacing(conversation, box);
  }

  /** Takes a row from a push or, for an own message, from the reply to its send. */
  receive(row: Message): void {
    const box = this.#box(row.conversation);
    this.#raise(box, row.seq);
    this.#keep(box, row);
    if (box.held === undefined) this.#planPlacing(row.conversation, box);
    else this.#advance(row.conversation, box, box.held);
    this.#plan();
  }

  /** The server said where some groups stand, which shows the loss of a last row. */
  heard(groups: unknown): void {
    this.#takeTops(groups);
    this.#plan();
  }

  /** The row with this seq is the last that came by the inbox. */
  converted(conversation: string, seq: number): void {
    this.#place(conversation, this.#box(conversation), seq);
    this.#plan();
  }

  /** The user is in a super group since the row `joined`, and its top is `top`. */
  entered(conversation: string, joined: number, top: number): void {
    const box = this.#box(conversation);
    // Somebody who went and came back begins again, and nothing in between is missing.
    if (box.held !== undefined && joined > box.held) this.#place(conversation, box, joined);
    if (joined > box.left) box.left = 0;
    box.joined = Math.max(box.joined, joined);
    this.#raise(box, top);
    this.#planPlacing(conversation, box);
    this.#plan();
  }

  /** The user has left with the row `seq`: what was said below it is still awaited. */
  exited(conversation: string, seq: number): void {
    const box = this.#boxes.get(conversation);
    if (!box) return;
    box.left = seq;
    box.top = seq - 1;
    for (const ahead of [...box.ahead.keys()]) if (ahead >= seq) this.#take(box, ahead);
    this.#dropIfDone(conversation, box);
    this.#plan();
  }

  reset(): void {
    this.disconnected();
    this.#boxes.clear();
    this.#aheadCount = 0;
  }

  #box(conversation: string): Box {
    let box = this.#boxes.get(conversation);
    if (!box) {
      box = { held: undefined, top: 0, joined: 0, left: 0, ahead: new Map(), placing: new Timer(this.#options.clock) };
      this.#boxes.set(conversation, box);
    }
    return box;
  }

  #raise(box: Box, top: number): void {
    box.top = Math.max(box.top, top);
    if (box.left > 0) box.top = Math.min(box.top, box.left - 1);
  }

  #takeTops(groups: unknown): void {
    for (const entry of asList(groups)) {
      const body = asBody(entry);
      const conversation = asString(body.conversation);
      this.entered(conversation, asNumber(body.joined), asNumber(body.top));
    }
  }

  async #askTops(cursor: string, attempt: number): Promise<void> {
    const session = this.#session;
    let reply: Body | undefined;
    try {
      reply = await this.#options.request("groupTops", { cursor });
    } catch {
      // Asked for again below: a group that is not named would stay behind.
    }
    if (session !== this.#session) return;
    if (!reply) {
      const delayMs = backoffMs(attempt, this.#options.random);
      this.#topsTimer.start(delayMs, () => void this.#askTops(cursor, attempt + 1));
      return;
    }
    this.#takeTops(reply.groups);
    const next = asString(reply.next);
    if (next) void this.#askTops(next, 0);
  }

  #drop(conversation: string): void {
    const box = this.#boxes.get(conversation);
    box?.placing.stop();
    this.#aheadCount -= box?.ahead.size ?? 0;
    this.#boxes.delete(conversation);
  }

  #dropIfDone(conversation: string, box: Box): void {
    if (box.left > 0 && (box.held === undefined || box.held >= box.top)) this.#drop(conversation);
  }

  /** Begins with a group that was not watched before, once the inbox says nothing else about it. */
  #planPlacing(conversation: string, box: Box, checkCount = 0): void {
    if (box.held !== undefined || !this.#caughtUp || box.placing.isRunning) return;
    if (this.#options.isConverting(conversation) && checkCount < conversionChecksMax) {
      // The row that says it may be the last of the inbox, whose loss leaves no hole.
      box.placing.start(conversionWaitMs, () => {
        this.#options.checkInbox();
        this.#planPlacing(conversation, box, checkCount + 1);
      });
      return;
    }
    this.#place(conversation, box, Math.max(box.joined, this.#lowest(box) - freshGroupCount, 0));
    this.#plan();
  }

  #lowest(box: Box): number {
    return box.ahead.size > 0 ? Math.min(...box.ahead.keys()) - 1 : box.top;
  }

  #place(conversation: string, box: Box, held: number): void {
    box.placing.stop();
    if (box.held !== undefined && box.held >= held) return;
    for (const seq of [...box.ahead.keys()]) if (seq <= held) this.#take(box, seq);
    box.held = held;
    this.#raise(box, held);
    this.#listener.placed(conversation, held);
    this.#advance(conversation, box, held);
  }

  #keep(box: Box, row: Message): void {
    const isNext = row.seq === (box.held ?? -1) + 1;
    const isPast = row.seq <= (box.held ?? 0) || (box.left > 0 && row.seq >= box.left);
    if (isPast || box.ahead.has(row.seq) || (!isNext && this.#aheadCount >= aheadCountMax)) return;
    box.ahead.set(row.seq, row);
    this.#aheadCount += 1;
  }

  #take(box: Box, seq: number): Message | undefined {
    const row = box.ahead.get(seq);
    if (box.ahead.delete(seq)) this.#aheadCount -= 1;
    return row && this.#options.seen.isFirst(row) ? row : undefined;
  }

  /** Hands on what is contiguous, and everything up to `covered`, below which nothing more exists. */
  #advance(conversation: string, box: Box, covered: number): void {
    const from = box.held ?? 0;
    let to = Math.max(from, covered);
    const below = [...box.ahead.keys()].filter((seq) => seq <= to).sort((left, right) => left - right);
    while (box.ahead.has(to + 1)) below.push((to += 1));
    const rows = below.map((seq) => this.#take(box, seq)).filter((row) => row !== undefined);
    box.held = to;
    if (to > from) this.#listener.advanced(conversation, rows, from, to);
    this.#dropIfDone(conversation, box);
  }

  #holes(): [string, Box & { held: number }][] {
    const isOpen = ([, box]: [string, Box]): boolean => box.held !== undefined && box.top > box.held;
    return [...this.#boxes].filter(isOpen) as [string, Box & { held: number }][];
  }

  #hasHole(): boolean {
    return this.#holes().length > 0;
  }

  #plan(): void {
    if (!this.#connected || this.#syncing) return;
    if (!this.#hasHole()) {
      this.#timer.stop();
      this.#attempt = 0;
      this.#batchMax = positionsMax;
    } else if (!this.#timer.isRunning) {
      this.#timer.start(holeWaitMs, () => void this.#sync());
    }
  }

  async #sync(): Promise<void> {
    const session = this.#session;
    const asked = this.#holes().slice(0, this.#batchMax);
    this.#timer.stop();
    if (asked.length === 0) return this.#plan();
    const positions = asked.map(([conversation, box]) => ({ conversation, begin: box.held + 1 }));
    this.#syncing = true;
    let hasMoved = false;
    try {
      const page = await this.#options.request("syncGroups", { positions, limit: pageCountMax });
      if (session !== this.#session) return;
      for (const group of asList(page.groups)) hasMoved = this.#takePage(asBody(group)) || hasMoved;
    } catch (error) {
      if (session !== this.#session) return;
      if (!(error as AnserError).retryable) hasMoved = this.#refused(asked);
    }
    this.#syncing = false;
    if (hasMoved) {
      this.#attempt = 0;
      // A page is full, not the last: what remains is known to be there and need not be waited for.
      if (this.#hasHole()) void this.#sync();
      else this.#plan();
      return;
    }
    this.#timer.start(backoffMs(this.#attempt, this.#options.random), () => void this.#sync());
    this.#attempt += 1;
  }

  /** One group that may not be asked for must not keep the others waiting: the next are asked for singly. */
  #refused(asked: [string, Box][]): boolean {
    if (asked.length > 1) this.#batchMax = 1;
    else for (const [conversation] of asked) this.#drop(conversation);
    return true;
  }

  /** Returns true where the page covers something that was missing. */
  #takePage(page: Body): boolean {
    const conversation = asString(page.conversation);
    const box = this.#boxes.get(conversation);
    if (box?.held === undefined) return false;
    const held = box.held;
    const next = asNumber(page.next);
    this.#raise(box, asNumber(page.top));
    for (const entry of asList(page.messages)) this.#keep(box, decodeMessage(asBody(entry), this.#options.user()));
    const covered = next > 0 ? next - 1 : asNumber(page.top);
    this.#advance(conversation, box, Math.max(held, Math.min(covered, box.top)));
    return box.held > held;
  }
}
