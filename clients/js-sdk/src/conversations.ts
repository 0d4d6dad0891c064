import { backoffMs } from "./backoff.js";
import { Timer, type Clock } from "./clock.js";
import { asBody, asList, asNumber, asString, decodeMessage, type Body } from "./codec.js";
import { emptyConversation, peerOf, type Conversation } from "./conversation.js";
import type { AnserError } from "./error.js";
import { conversationsPageCount, readRetryMs, readThrottleMs, recentCountMax } from "./limits.js";
import { emptyOf, isRecalled, type Message } from "./message.js";

export interface ConversationsOptions {
  clock: Clock;
  random: () => number;
  user: () => string;
  request: (name: string, body: object) => Promise<Body>;
}

export interface ConversationsListener {
  changed(conversation: Conversation): void;
  /** What the server says of a conversation: since when the user is in it, and whether still. */
  stated(conversation: Conversation): void;
  versioned(version: number): void;
}

/** What a row that came after the server's word means for the count of unread messages. */
interface Recent {
  seq: number;
  message: Message | undefined;
  isOwn: boolean;
  isMention: boolean;
}

interface Line {
  conversation: Conversation;
  /** Rows above what the server has counted, ascending. */
  recent: Recent[];
}

/**
 * The user's conversations. The server says how each stands, when it is asked and when something changes that no row
 * tells; the rows that come meanwhile are counted on top of that.
 */
export class Conversations {
  readonly #options: ConversationsOptions;
  readonly #listener: ConversationsListener;
  readonly #lines = new Map<string, Line>();
  readonly #reads = new Map<string, number>();
  readonly #naming = new Set<string>();
  readonly #readTimer: Timer;
  readonly #retryTimer: Timer;
  #version = 0;
  #connected = false;
  #session = 0;
  #asking: Promise<void> | undefined;
  #isStale = false;
  #attempt = 0;

  constructor(options: ConversationsOptions, listener: ConversationsListener) {
    this.#options = options;
    this.#listener = listener;
    this.#readTimer = new Timer(options.clock);
    this.#retryTimer = new Timer(options.clock);
  }

  all(): Conversation[] {
    return [...this.#lines.values()].map((line) => line.conversation);
  }

  get(conversation: string): Conversation | undefined {
    return this.#lines.get(conversation)?.conversation;
  }

  /** Goes on from what the store has. */
  restore(conversations: Conversation[], version: number): void {
    this.#version = version;
    for (const conversation of conversations) this.#lines.set(conversation.conversation, { conversation, recent: [] });
  }

  connected(): void {
    this.#session += 1;
    this.#connected = true;
    this.#attempt = 0;
    void this.refresh();
    if (this.#reads.size > 0) this.#sendReads();
  }

  disconnected(): void {
    this.#session += 1;
    this.#connected = false;
    this.#asking = undefined;
    this.#readTimer.stop();
    this.#retryTimer.stop();
  }

  reset(): void {
    this.disconnected();
    this.#lines.clear();
    this.#reads.clear();
    this.#version = 0;
  }

  /** Asks what has changed since it was asked last. Resolves when that is known, or cannot be. */
  refresh(): Promise<void> {
    if (!this.#connected) return Promise.resolve();
    // What changes while an answer is on its way may not be in it.
    if (this.#asking) this.#isStale = true;
    else this.#asking = this.#ask();
    return this.#asking;
  }

  /** Counts a row that is told for the first time. */
  received(row: Message): void {
    let line = this.#lines.get(row.conversation);
    if (!line) {
      this.#lines.set(row.conversation, (line = { conversation: begin(row), recent: [] }));
      void this.refresh();
    }
    const { conversation } = line;
    if (row.kind === "updated") void this.#askName(conversation);
    // Who answers has read what was said before.
    if (conversation.kind === "single" && !row.own) raisePeer(conversation, row.seq, row.seq);
    if (isRecalled(row) && conversation.last?.seq === row.target) emptyOf(conversation.last);
    if (row.seq > conversation.top) {
      const recent: Recent = {
        seq: row.seq,
        message: row.kind === undefined ? row : undefined,
        isOwn: row.own,
        isMention: row.mentionAll === true || row.mentions?.includes(this.#options.user()) === true,
      };
      count(conversation, recent);
      line.recent.push(recent);
      if (line.recent.length > recentCountMax) line.recent.shift();
    }
    this.#listener.changed(conversation);
  }

  /** What is said in a conversation from here on has its place in the conversation alone. */
  becameSuper(conversation: string): void {
    const known = this.get(conversation);
    if (!known || known.kind === "super") return;
    known.kind = "super";
    this.#listener.changed(known);
  }

  /** The server says how one conversation stands. */
  state(body: Body): void {
    const stated = this.#decode(body);
    if (!stated) return;
    // Told first: a group of before that is a super group now is known by what it was until here.
    this.#listener.stated(stated);
    const line = this.#lines.get(stated.conversation);
    const conversation = line ? this.#merge(line, stated) : stated;
    if (!line) this.#lines.set(stated.conversation, { conversation, recent: [] });
    this.#listener.changed(conversation);
  }

  /** Another user's device has received or read something, or this user has read on another device. */
  receipt(conversation: string, user: string, delivered: number, read: number): void {
    const line = this.#lines.get(conversation);
    if (!line) return;
    if (user === this.#options.user()) return this.#markRead(line, read);
    const { conversation: known } = line;
    raisePeer(known, delivered, read);
    this.#listener.changed(known);
  }

  /** Everything up to `seq` is read: here at once, and for the other devices when the server has been told. */
  read(conversation: string, seq: number): void {
    const line = this.#lines.get(conversation);
    if (!line || seq <= Math.max(line.conversation.readUpTo, this.#reads.get(conversation) ?? 0)) return;
    this.#reads.set(conversation, seq);
    this.#markRead(line, seq);
    if (this.#connected && !this.#readTimer.isRunning) this.#readTimer.start(readThrottleMs, () => this.#sendReads());
  }

  async update(conversation: string, change: { pinned?: boolean; muted?: boolean }): Promise<void> {
    await this.#options.request("conversationUpdate", { conversation, ...change });
    const known = this.get(conversation);
    if (known) this.#listener.changed(Object.assign(known, change));
  }

  #markRead(line: Line, seq: number): void {
    const { conversation, recent } = line;
    if (seq <= conversation.readUpTo) return;
    conversation.readUpTo = seq;
    const ownSeq = recent.reduce((last, entry) => (entry.isOwn ? entry.seq : last), 0);
    const above = recent.filter((entry) => entry.seq > Math.max(seq, ownSeq) && entry.message);
    const isCounted = seq >= conversation.top || (recent[0] !== undefined && recent[0].seq <= seq + 1);
    if (isCounted) {
      conversation.unread = above.length;
      conversation.mentioned = above.some((entry) => entry.isMention);
    }
    this.#listener.changed(conversation);
  }

  /** Returns the line's own object, because the application may hold it. */
  #merge(line: Line, stated: Conversation): Conversation {
    const { conversation: known, recent } = line;
    const { unread, mentioned, top, last, readUpTo, ...rest } = stated;
    const isSameStay = stated.joined === known.joined;
    if (stated.left === undefined) delete known.left;
    const { peerDeliveredUpTo, peerReadUpTo } = known;
    // The last rows of a group come by the inbox, and until they are here it is one.
    if (isSameStay && known.kind === "group") rest.kind = "group";
    Object.assign(known, rest);
    raisePeer(known, peerDeliveredUpTo, peerReadUpTo);
    // A word that was said before this device read on counts what is read already.
    if (isSameStay && readUpTo < known.readUpTo) {
      if (stated.left !== undefined) known.top = Math.min(known.top, stated.top);
      return known;
    }
    if (known.last && last && known.last.id === last.id && !last.recalled) Object.assign(stated, { last: known.last });
    Object.assign(known, { unread, mentioned, top, readUpTo }, stated.last ? { last: stated.last } : {});
    line.recent = recent.filter((entry) => entry.seq > top && stated.left === undefined);
    for (const entry of line.recent) count(known, entry);
    return known;
  }

  async #ask(): Promise<void> {
    const session = this.#session;
    let more = true;
    try {
      while (more) {
        this.#isStale = false;
        const page = await this.#options.request("conversations", { version: this.#version, limit: conversationsPageCount });
        if (session !== this.#session) return;
        for (const entry of asList(page.conversations)) this.state(asBody(entry));
        this.#version = asNumber(page.version);
        this.#listener.versioned(this.#version);
        more = page.more === true || this.#isStale;
      }
      this.#attempt = 0;
    } catch (error) {
      if (session !== this.#session) return;
      if ((error as AnserError).retryable) {
        this.#retryTimer.start(backoffMs(this.#attempt, this.#options.random), () => void this.refresh());
        this.#attempt += 1;
      }
    }
    this.#asking = undefined;
  }

  /** The row that says that a group was changed does not say its name, and a super group's moves no version. */
  async #askName(conversation: Conversation): Promise<void> {
    if (!this.#connected || !("group" in conversation.peer) || this.#naming.has(conversation.conversation)) return;
    this.#naming.add(conversation.conversation);
    try {
      const { name } = await this.#options.request("groupInfo", { group: conversation.peer.group });
      conversation.name = asString(name) || conversation.name;
      this.#listener.changed(conversation);
    } catch {
      // The name stays as it was until the conversations are asked for again.
    }
    this.#naming.delete(conversation.conversation);
  }

  #sendReads(): void {
    const session = this.#session;
    for (const [conversation, seq] of this.#reads) {
      const done = (): void => void (this.#reads.get(conversation) === seq && this.#reads.delete(conversation));
      this.#options.request("read", { conversation, seq }).then(
        () => {
          done();
          const known = this.get(conversation);
          // How many are left above a place in the middle is the server's to count.
          if (session === this.#session && known && seq < known.top) void this.refresh();
        },
        (error: AnserError) => {
          if (!error.retryable) done();
          else if (session === this.#session) this.#readTimer.start(readRetryMs, () => this.#sendReads());
        },
      );
    }
  }

  #decode(body: Body): Conversation | undefined {
    const conversation = asString(body.conversation);
    const user = this.#options.user();
    const peer = peerOf(conversation, user);
    if (!peer) return undefined;
    const kind = asString(body.kind);
    return {
      ...emptyConversation(conversation, peer, kind === "group" || kind === "super" ? kind : "single"),
      ...(body.name ? { name: asString(body.name) } : {}),
      top: asNumber(body.top),
      readUpTo: asNumber(body.readUpTo),
      unread: asNumber(body.unread),
      mentioned: body.mentioned === true,
      ...(body.last ? { last: decodeMessage(asBody(body.last), user) } : {}),
      pinned: body.pinned === true,
      muted: body.muted === true,
      joined: asNumber(body.joined),
      ...(body.left !== undefined ? { left: asNumber(body.left) } : {}),
      peerDeliveredUpTo: asNumber(body.peerDeliveredUpTo),
      peerReadUpTo: asNumber(body.peerReadUpTo),
    };
  }
}

/** A conversation that is known by nothing but its first row. */
function begin(row: Message): Conversation {
  const kind = "group" in row.peer ? (row.inboxSeq > 0 ? "group" : "super") : "single";
  return emptyConversation(row.conversation, row.peer, kind);
}

function raisePeer(conversation: Conversation, delivered: number, read: number): void {
  conversation.peerReadUpTo = Math.max(conversation.peerReadUpTo, read);
  conversation.peerDeliveredUpTo = Math.max(conversation.peerDeliveredUpTo, delivered, conversation.peerReadUpTo);
}

function count(conversation: Conversation, { seq, message, isOwn, isMention }: Recent): void {
  conversation.top = Math.max(conversation.top, seq);
  if (!message) return;
  conversation.last = message;
  if (isOwn) {
    conversation.unread = 0;
    conversation.mentioned = false;
  } else if (seq > conversation.readUpTo) {
    conversation.unread += 1;
    conversation.mentioned ||= isMention;
  }
}
