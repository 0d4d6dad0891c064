import { compareMessages, targetKey, type AnserClient, type Message, type Target } from "anser-client";
import type { Line } from "./lines.js";
import { messageText } from "./words.js";

const pageCount = 50;
/** So many pages are looked through for a message that is answered. */
const jumpPagesMax = 20;
const quoteCharacters = 120;

/** The open conversation: what is shown of it, and what is known of what it refers to. */
export class Opened {
  readonly peer: Target;
  readonly key: string;
  hasOlder = false;
  isLoaded = false;
  /** The first message that was unread when the conversation was opened. */
  firstUnread: string | undefined;
  readonly #client: AnserClient;
  #messages = new Map<string, Message>();
  #loading: Promise<void> | undefined;
  /** Messages that are answered and not shown, by seq; undefined while they are asked for. */
  readonly #quoted = new Map<number, Message | undefined>();

  constructor(client: AnserClient, peer: Target) {
    this.#client = client;
    this.peer = peer;
    this.key = targetKey(peer);
  }

  get isRoom(): boolean {
    return "room" in this.peer;
  }

  /** Reads the newest page; a room's is what was heard of it. */
  async load(line: Line, heard: Message[]): Promise<void> {
    const readUpTo = line.conversation?.readUpTo ?? 0;
    const unread = line.unread;
    const history = this.isRoom ? heard : await this.#client.history(this.peer, { limit: pageCount });
    // What came while the history was read is there already and comes after it.
    const later = [...this.#messages.values()];
    this.#messages = new Map([...history, ...later].map((message) => [message.id, message]));
    this.hasOlder = !this.isRoom && history.length >= pageCount;
    const fromOthers = this.ordered().filter((message) => !message.own && message.kind === undefined);
    const first = this.isRoom ? fromOthers[Math.max(0, fromOthers.length - unread)] : fromOthers.find((message) => message.seq > readUpTo);
    this.firstUnread = unread > 0 ? first?.id : undefined;
    this.isLoaded = true;
  }

  /** Reads one page more. One that is on its way already is waited for instead. */
  showOlder(): Promise<void> {
    this.#loading ??= this.#readOlder().finally(() => (this.#loading = undefined));
    return this.#loading;
  }

  /** The connection is there again: what could not be had without it may be asked for. */
  reconnected(): void {
    if (!this.isRoom && this.#bottom > 1) this.hasOlder = true;
  }

  has(message: Message): boolean {
    return targetKey(message.peer) === this.key;
  }

  put(message: Message): void {
    this.#messages.set(message.id, message);
  }

  remove(message: Message): void {
    this.#messages.delete(message.id);
  }

  at(seq: number): Message | undefined {
    for (const message of this.#messages.values()) if (message.seq === seq) return message;
    return undefined;
  }

  /** The highest seq that is shown; 0 where there is none. */
  get top(): number {
    return Math.max(0, ...[...this.#messages.values()].map((message) => message.seq));
  }

  ordered(): Message[] {
    const messages = [...this.#messages.values()];
    // A room has no numbers: what came later stands below.
    return this.isRoom ? messages : messages.sort(compareMessages);
  }

  /** The message that `message` answers, as a line; it is asked for where it is not shown, and `found` is called. */
  quote(message: Message, found: () => void): string | undefined {
    const seq = message.replyTo;
    if (!seq) return undefined;
    const shown = this.at(seq) ?? this.#quoted.get(seq);
    if (!shown && !this.#quoted.has(seq)) void this.#askQuoted(seq, found);
    if (!shown) return "…";
    const words = messageText(shown);
    const line = words.length > quoteCharacters ? `${words.slice(0, quoteCharacters)}…` : words;
    return shown.recalled ? line : `${shown.own ? "You" : shown.sender}: ${line}`;
  }

  /** Reads back until the message is there. Returns false where it is too far. */
  async reach(seq: number): Promise<boolean> {
    for (let page = 0; page < jumpPagesMax && !this.at(seq) && this.hasOlder; page += 1) await this.showOlder();
    return this.at(seq) !== undefined;
  }

  async #readOlder(): Promise<void> {
    const before = this.#bottom;
    const older = before ? await this.#client.history(this.peer, { before, limit: pageCount }) : [];
    for (const message of older) this.#messages.set(message.id, message);
    this.hasOlder = older.length >= pageCount;
  }

  async #askQuoted(seq: number, found: () => void): Promise<void> {
    this.#quoted.set(seq, undefined);
    const [message] = await this.#client.history(this.peer, { before: seq + 1, limit: 1 });
    if (message?.seq !== seq) return;
    this.#quoted.set(seq, message);
    found();
  }

  /** The lowest seq that is shown; 0 where there is none. */
  get #bottom(): number {
    const seqs = [...this.#messages.values()].map((message) => message.seq).filter((seq) => seq > 0);
    return seqs.length > 0 ? Math.min(...seqs) : 0;
  }
}
