import { Acknowledger } from "./acknowledger.js";
import { systemClock, type Clock } from "./clock.js";
import { asNumber, asString, decodeMessage, decodePush, type Body } from "./codec.js";
import { Connection, type SocketConstructor } from "./connection.js";
import { randomId, tabDevice } from "./device.js";
import { AnserError, asAnserError, type CloseReason } from "./error.js";
import { Events } from "./events.js";
import { Inbox } from "./inbox.js";
import { compareMessages, targetKey } from "./message.js";
import type { Conversation, Message, Outgoing, Push, RoomMessage, Target } from "./message.js";
import { Outbox } from "./outbox.js";
import { Rooms } from "./rooms.js";
import type { State } from "./state.js";
import { memoryStore } from "./store/memory.js";
import type { Store } from "./store/store.js";
import { Writer } from "./store/writer.js";
import { browserWake, type Wake } from "./wake.js";

export interface ClientOptions {
  /** Where the server listens for WebSockets, such as `ws://localhost:3102/sub`. */
  url: string;
  /** Who connects. May be left out with a token and `memoryStore`: the token says who. */
  user?: string;
  /** Called for every connection. An `AnserError` that is not retryable ends the client. */
  getToken?: (context: { reason: "connect" | "expired" }) => string | Promise<string>;
  /** The device id. A browser's default is one for each tab, elsewhere a random one. */
  device?: string;
  platform?: string;
  /** `memoryStore()` by default. */
  store?: Store;
  webSocket?: SocketConstructor;
  clock?: Clock;
  random?: () => number;
  wake?: Wake;
}

export interface ClientEvents {
  state: State;
  /** A message that this client did not send: in inbox order, each once. */
  message: Message;
  /** The status or the numbers of a message that this client sent changed. */
  status: Message;
  room: RoomMessage;
  push: Push;
  /** More was missed than the server replays; the client fetches it page by page. */
  gap: { begin: number; end: number };
  kicked: CloseReason;
  /** The server's store is another one than before: what was kept is gone and is fetched again. */
  reset: void;
  /** Something went wrong that the client deals with by itself. */
  error: AnserError;
}

/** A user's connection to Anser: it sends, receives, keeps and heals. */
export class AnserClient {
  readonly #options: ClientOptions;
  readonly #clock: Clock;
  readonly #events = new Events<ClientEvents>();
  readonly #connection: Connection;
  readonly #inbox: Inbox;
  readonly #outbox: Outbox;
  readonly #rooms: Rooms;
  readonly #acknowledger: Acknowledger;
  readonly #writer: Writer;
  readonly #device: string;
  #store: Store;
  #user: string;
  #loading: Promise<void> | undefined;
  #stopWake: (() => void) | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#user = options.user ?? "";
    this.#device = options.device ?? tabDevice(this.#user);
    this.#store = options.store ?? memoryStore();
    this.#clock = options.clock ?? systemClock;
    const clock = this.#clock;
    const random = options.random ?? Math.random;
    const request = (name: string, body: object): Promise<Body> => this.#connection.request(name, body);
    this.#connection = new Connection(
      { url: options.url, webSocket: options.webSocket ?? browserSocket(), clock, random, auth: (expired) => this.#auth(expired) },
      {
        state: (state) => this.#changedState(state),
        authenticated: (reply) => void this.#authenticated(reply),
        lost: () => this.#lost(),
        heartbeat: (reply) => this.#inbox.heard(asNumber(reply.inboxTop)),
        push: (name, body) => this.#pushed(name, body),
        kicked: (reason) => this.#events.emit("kicked", reason),
        error: (error) => this.#events.emit("error", error),
      },
    );
    this.#inbox = new Inbox(
      { clock, random, user: () => this.#user, request },
      {
        advanced: (messages, from, to) => this.#writer.add(messages.map((message) => this.#arrived(message)), from, to),
        loose: (message) => void this.#arrived(message),
        caughtUp: () => this.#connection.becomeLive(),
      },
    );
    this.#outbox = new Outbox(
      { clock, random, request },
      {
        changed: (message) => this.#changed(message),
        placed: (message) => this.#inbox.receive(message),
        dropped: (id) => void this.#guard(this.#store.removePending(id)),
      },
    );
    this.#rooms = new Rooms({ clock, request, isAuthenticated: () => this.#connection.isAuthenticated });
    this.#acknowledger = new Acknowledger({ clock, request });
    this.#writer = new Writer(() => this.#store, {
      saved: (messages, to) => this.#saved(messages, to),
      failed: (error) => this.#events.emit("error", asAnserError(error, "store_failed")),
    });
  }

  get state(): State {
    return this.#connection.state;
  }

  get user(): string {
    return this.#user;
  }

  get device(): string {
    return this.#device;
  }

  on<Name extends keyof ClientEvents>(name: Name, listener: (value: ClientEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** Resolves when the client is live for the first time. Rejects only when the server says that there is no use. */
  connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.state.name === "live") return resolve();
      const off = this.on("state", (state) => {
        if (state.name === "live") resolve();
        else if (state.name === "closed") reject(new AnserError(state.code, state.message, false, state.number));
        else return;
        off();
      });
      this.#stopWake ??= (this.#options.wake ?? browserWake)(() => this.#connection.wake());
      this.#connection.open();
    });
  }

  /** Tries at once instead of waiting out a back-off, or checks that a connection still answers. */
  reconnectNow(): void {
    this.#connection.wake();
  }

  /** Ends the connection. Resolves when everything is in the store. */
  async close(): Promise<void> {
    this.#connection.close();
    await this.#writer.idle();
    this.#store.close();
  }

  /**
   * Sends a message, or queues it until there is a connection. The returned object's status changes in place,
   * with a `status` event at each change.
   */
  send(outgoing: Outgoing): Message {
    const id = randomId();
    const { to, ...content } = outgoing;
    const message: Message = {
      ...content,
      id,
      status: "sending",
      own: true,
      sender: this.#user,
      to,
      peer: to,
      clientMessageId: id,
      messageId: "",
      conversation: "",
      seq: 0,
      inboxSeq: 0,
      timeMs: this.#clock.now(),
    };
    this.#enqueue(message);
    return message;
  }

  /** Sends a failed message again, under the same client message id. */
  retry(message: Message): void {
    const known = this.#outbox.get(message.id) ?? message;
    if (known.status === "failed") this.#enqueue(known);
  }

  /** Drops a failed message. */
  discard(message: Message): void {
    if (this.#outbox.get(message.id)?.status === "failed") this.#forget(message.id);
  }

  /** Enters a live room, now and after every reconnect. Resolves when the server has the membership. */
  joinRoom(room: string): Promise<void> {
    return this.#rooms.join(room);
  }

  leaveRoom(room: string): Promise<void> {
    return this.#rooms.leave(room);
  }

  /** Every conversation that the store knows, the newest first, with unread counts. */
  async conversations(): Promise<Conversation[]> {
    await this.#load();
    await this.#writer.idle();
    // Read first: what comes into the store meanwhile leaves the outbox.
    const pending = this.#outbox.messages().filter((message) => !("room" in message.to));
    const conversations = new Map<string, Conversation>();
    for (const conversation of await this.#store.conversations()) {
      conversations.set(targetKey(conversation.peer), conversation);
    }
    for (const message of pending) {
      const known = conversations.get(targetKey(message.peer));
      conversations.set(targetKey(message.peer), { peer: message.peer, unread: known?.unread ?? 0, last: message });
    }
    return [...conversations.values()].sort((left, right) => compareMessages(right.last, left.last));
  }

  /**
   * The newest messages with `peer`, oldest first; with `before`, an inbox seq, those below it.
   * What is still on its way out comes last.
   */
  async history(peer: Target, options: { before?: number; limit?: number } = {}): Promise<Message[]> {
    await this.#load();
    await this.#writer.idle();
    const key = targetKey(peer);
    // Read first: what comes into the store meanwhile leaves the outbox.
    const pending = this.#outbox.messages().filter((message) => targetKey(message.peer) === key);
    const stored = await this.#store.history(peer, options.before ?? Infinity, options.limit ?? 50);
    if (options.before !== undefined) return stored;
    const known = new Set(stored.map((message) => message.id));
    return [...stored, ...pending.filter((message) => !known.has(message.id))];
  }

  /** Everything with `peer` up to `inboxSeq` no longer counts as unread. */
  async markRead(peer: Target, inboxSeq: number): Promise<void> {
    await this.#load();
    await this.#guard(this.#store.markRead(peer, inboxSeq));
  }

  #enqueue(message: Message): void {
    this.#rooms.sent(message);
    this.#outbox.add(message);
  }

  /** Opens the store, once. */
  #load(): Promise<void> {
    this.#loading ??= (async () => {
      const owner = { url: this.#options.url, user: this.#user };
      let state;
      try {
        state = await this.#store.open(owner);
      } catch (error) {
        this.#events.emit("error", asAnserError(error, "store_unavailable"));
        this.#store = memoryStore();
        state = await this.#store.open(owner);
      }
      this.#inbox.restore(state.inboxSeq);
      this.#outbox.restore(state.pending);
      this.#acknowledger.stored(state.inboxSeq);
    })();
    return this.#loading;
  }

  async #auth(tokenExpired: boolean): Promise<object> {
    await this.#load();
    const token = await this.#options.getToken?.({ reason: tokenExpired ? "expired" : "connect" });
    return {
      ...(token ? { token } : {}),
      ...(this.#user ? { user: this.#user } : {}),
      device: this.#device,
      platform: this.#options.platform ?? (typeof document === "undefined" ? "node" : "web"),
      inboxSeq: this.#inbox.held,
      rooms: this.#rooms.names(),
    };
  }

  async #authenticated(reply: Body): Promise<void> {
    const user = asString(reply.user);
    if (this.#user && user && user !== this.#user) {
      // Two users' messages must not meet in one store.
      this.#connection.refuse({ code: "user_mismatch", number: 0, message: `the token belongs to ${user}` });
      return;
    }
    this.#user ||= user;
    this.#rooms.connected();
    const top = asNumber(reply.inboxTop);
    const isOtherBox = top < this.#inbox.held && (await this.#isOtherBox());
    if (!this.#connection.isAuthenticated) return;
    if (isOtherBox) await this.#reset();
    if (!this.#connection.isAuthenticated) return;
    this.#acknowledger.connected(isOtherBox ? 0 : asNumber(reply.ackedUpTo));
    this.#inbox.connected(top);
    if (isOtherBox) this.#inbox.replayEnded(top);
  }

  /** A stated top may be old. Only the server's store knows whether the last message that is held exists there. */
  async #isOtherBox(): Promise<boolean> {
    const held = this.#inbox.held;
    try {
      const page = await this.#connection.request("sync", { begin: held, end: held, limit: 1 });
      return asNumber(page.top) < held;
    } catch {
      return false;
    }
  }

  async #reset(): Promise<void> {
    this.#inbox.reset();
    this.#acknowledger.reset();
    await this.#writer.idle();
    await this.#guard(this.#store.clear());
    this.#events.emit("reset", undefined);
  }

  #lost(): void {
    this.#inbox.disconnected();
    this.#outbox.closed();
    this.#acknowledger.disconnected();
  }

  #changedState(state: State): void {
    if (state.name === "live") this.#outbox.opened();
    if (state.name === "closed") {
      this.#rooms.ended(new AnserError(state.code, state.message, false, state.number));
      this.#stopWake?.();
      this.#stopWake = undefined;
    }
    this.#events.emit("state", state);
  }

  #pushed(name: string, body: Body): void {
    if (name === "message") {
      this.#inbox.receive(decodeMessage(body, this.#user));
    } else if (name === "room") {
      this.#events.emit("room", this.#rooms.receive(body, this.#user));
    } else if (name === "push") {
      this.#events.emit("push", decodePush(body));
    } else if (name === "syncDone") {
      this.#inbox.replayEnded(asNumber(body.inboxSeq));
    } else if (name === "gap") {
      const gap = { begin: asNumber(body.begin), end: asNumber(body.end) };
      this.#events.emit("gap", gap);
      this.#inbox.gap(gap.end);
    }
  }

  /** Tells the application, unless it knows the message because it sent it. Returns the object that it knows. */
  #arrived(record: Message): Message {
    const known = record.own ? this.#outbox.arrived(record) : undefined;
    if (!known) this.#events.emit("message", record);
    else if (record.inboxSeq === 0) this.#forget(record.id);
    return known ?? record;
  }

  #forget(id: string): void {
    this.#outbox.forget(id);
    void this.#guard(this.#store.removePending(id));
  }

  #changed(message: Message): void {
    // A sent message leaves the pending entries together with its coming into the store.
    if (message.status !== "sent" && !("room" in message.to)) void this.#guard(this.#store.savePending(message));
    this.#events.emit("status", message);
  }

  #saved(messages: Message[], to: number): void {
    for (const message of messages) this.#outbox.forget(message.id);
    this.#acknowledger.stored(to);
  }

  async #guard(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#events.emit("error", asAnserError(error, "store_failed"));
    }
  }
}

function browserSocket(): SocketConstructor {
  const found = (globalThis as { WebSocket?: unknown }).WebSocket;
  if (!found) throw new AnserError("no_web_socket", "this runtime has no WebSocket: pass one as `webSocket`", false);
  return found as SocketConstructor;
}
