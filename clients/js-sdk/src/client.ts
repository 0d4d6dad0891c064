import { Acknowledger } from "./acknowledger.js";
import { systemClock, type Clock } from "./clock.js";
import { asList, asBody, asNumber, asString, asStrings, decodeMessage, decodePush, type Body } from "./codec.js";
import type { ClientEvents } from "./client_events.js";
import { Connection, type SocketConstructor } from "./connection.js";
import { compareConversations, conversationId, emptyConversation, peerOf, targetKey, type Conversation } from "./conversation.js";
import { Conversations } from "./conversations.js";
import { randomId, tabDevice } from "./device.js";
import { AnserError, asAnserError } from "./error.js";
import { Events } from "./events.js";
import { decodeGroupRequest, Groups } from "./groups.js";
import { Inbox } from "./inbox.js";
import { freshInboxCount, typingThrottleMs } from "./limits.js";
import { compareMessages, isGroupEvent, isRecalled } from "./message.js";
import type { Message, Outgoing, Target } from "./message.js";
import type { ClientOptions } from "./options.js";
import { Outbox } from "./outbox.js";
import { decodePresence, decodePresences, Watched, type Presence } from "./presence.js";
import { Rooms } from "./rooms.js";
import { Seen } from "./seen.js";
import type { State } from "./state.js";
import { memoryStore } from "./store/memory.js";
import type { Batch, Store } from "./store/store.js";
import { Writer } from "./store/writer.js";
import { SuperGroups } from "./super_groups.js";
import { browserWake } from "./wake.js";

/** Which rows of a conversation are wanted. Those after a seq, or by time, come from the server alone. */
export interface HistoryOptions {
  /** The last ones below this seq. */
  before?: number;
  /** The first ones above this seq. */
  after?: number;
  /** The last ones before this time. */
  beforeMs?: number;
  /** The first ones at or after this time. */
  afterMs?: number;
  /** Up to 500. */
  limit?: number;
}

/** A conversation: its id, or whom one talks to there. */
export type Place = string | Target;

/** A user's connection to Anser: it sends, receives, keeps and heals. */
export class AnserClient {
  /** Making, filling and ruling groups. */
  readonly groups: Groups;
  readonly #options: ClientOptions;
  readonly #clock: Clock;
  readonly #events = new Events<ClientEvents>();
  readonly #seen = new Seen();
  readonly #connection: Connection;
  readonly #inbox: Inbox;
  readonly #superGroups: SuperGroups;
  readonly #conversations: Conversations;
  readonly #outbox: Outbox;
  readonly #rooms: Rooms;
  readonly #watched: Watched;
  readonly #acknowledger: Acknowledger;
  readonly #writer: Writer;
  readonly #device: string;
  readonly #typedAtMs = new Map<string, number>();
  #store: Store;
  #user: string;
  #isFresh = false;
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
    const isAuthenticated = (): boolean => this.#connection.isAuthenticated;
    const shared = { clock, random, user: () => this.#user, request, seen: this.#seen };
    this.#connection = new Connection(
      { url: options.url, webSocket: options.webSocket ?? browserSocket(), clock, random, auth: (expired) => this.#auth(expired) },
      {
        state: (state) => this.#changedState(state),
        authenticated: (reply) => void this.#authenticated(reply),
        lost: () => this.#lost(),
        heartbeat: (reply) => this.#beaten(reply),
        push: (name, body) => this.#pushed(name, body),
        kicked: (reason) => this.#events.emit("kicked", reason),
        error: (error) => this.#events.emit("error", error),
      },
    );
    this.#inbox = new Inbox(shared, {
      advanced: (rows, from, to) => this.#writer.add({ messages: rows.map((row) => this.#arrived(row)), inbox: { from, to } }),
      caughtUp: () => this.#caughtUp(),
    });
    this.#superGroups = new SuperGroups(
      {
        ...shared,
        isConverting: (conversation) => this.#conversations.get(conversation)?.kind === "group",
        checkInbox: () => this.#inbox.check(),
      },
      {
        advanced: (conversation, rows, from, to) =>
          this.#writer.add({ messages: rows.map((row) => this.#arrived(row)), groups: new Map([[conversation, { from, to }]]) }),
        placed: (conversation, to) => {
          this.#writer.add({ groups: new Map([[conversation, { from: 0, to }]]) });
          this.#conversations.becameSuper(conversation);
        },
      },
    );
    this.#conversations = new Conversations(shared, {
      changed: (conversation) => this.#changedConversation(conversation),
      stated: (conversation) => this.#stated(conversation),
      versioned: (version) => this.#writer.add({ version }),
    });
    this.#outbox = new Outbox(
      { clock, random, request },
      {
        changed: (message) => this.#changed(message),
        placed: (message) => this.#placed(message),
        dropped: (id) => void this.#guard(this.#store.removePending(id)),
      },
    );
    this.#rooms = new Rooms({ clock, request, isAuthenticated });
    this.#watched = new Watched({ request, isAuthenticated }, (presence) => this.#events.emit("presence", presence));
    this.#acknowledger = new Acknowledger({ clock, request });
    this.#writer = new Writer(() => this.#store, {
      saved: (batch) => this.#saved(batch),
      failed: (error) => this.#events.emit("error", asAnserError(error, "store_failed")),
    });
    this.groups = new Groups({ request, refresh: () => this.#conversations.refresh() });
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

  /** Every conversation, the pinned ones first and then the newest. What is on its way out counts as last. */
  async conversations(): Promise<Conversation[]> {
    await this.#load();
    const all = new Map(this.#conversations.all().map((conversation) => [conversation.conversation, conversation]));
    for (const message of this.#outbox.messages()) {
      if ("room" in message.to) continue;
      const id = conversationId(this.#user, message.to);
      const known = all.get(id) ?? emptyConversation(id, message.to, "user" in message.to ? "single" : "group");
      const isLast = !known.last || compareMessages(known.last, message) <= 0;
      all.set(id, isLast ? { ...known, last: message } : known);
    }
    return [...all.values()].sort(compareConversations);
  }

  /** One conversation as far as it is known here. */
  conversation(place: Place): Conversation | undefined {
    return this.#conversations.get(this.#id(place));
  }

  /**
   * The last `limit` rows of a conversation, 50 by default, oldest first; with `before`, a seq, those below it.
   * They come from the store as far as it has them, and from the server where it can be asked. What is still on its
   * way out comes last. Fewer than `limit` are all that there is, or all that can be had without a connection.
   */
  async history(place: Place, options: HistoryOptions = {}): Promise<Message[]> {
    await this.#load();
    await this.#writer.idle();
    const conversation = this.#id(place);
    const peer = peerOf(conversation, this.#user);
    if (!peer) return [];
    const { before, limit = 50, ...elsewhere } = options;
    if (Object.keys(elsewhere).length > 0) return this.#page({ conversation, limit, ...elsewhere });
    // Read first: what comes into the store meanwhile leaves the outbox.
    const pending = this.#outbox.messages().filter((message) => targetKey(message.peer) === targetKey(peer));
    const stored = await this.#store.history(peer, before ?? Infinity, limit);
    const older = await this.#older(conversation, stored[0]?.seq ?? before, limit - stored.length);
    const rows = [...older, ...stored];
    if (before !== undefined) return rows;
    const known = new Set(rows.map((row) => row.id));
    return [...rows, ...pending.filter((message) => !known.has(message.id))];
  }

  /** Everything up to `seq` is read, on all devices of this user. The server is told when there is a connection. */
  read(place: Place, seq: number): void {
    this.#conversations.read(this.#id(place), seq);
  }

  /** Who has read a message; not in a super group. */
  async readers(place: Place, seq: number): Promise<{ count: number; users: string[] }> {
    const reply = await this.#connection.request("readers", { conversation: this.#id(place), seq });
    return { count: asNumber(reply.count), users: asStrings(reply.users) };
  }

  /** Takes a message back: the sender for a while, a group's owner and admins at any time. */
  async recall(place: Place, seq: number): Promise<void> {
    await this.#connection.request("recall", { conversation: this.#id(place), seq });
  }

  /** Pins a conversation or makes it silent. */
  update(place: Place, change: { pinned?: boolean; muted?: boolean }): Promise<void> {
    return this.#conversations.update(this.#id(place), change);
  }

  /** Tells the others that the user is writing: to be called at every key, said every few seconds. */
  typing(to: Target): void {
    const key = targetKey(to);
    const nowMs = this.#clock.now();
    if (nowMs - (this.#typedAtMs.get(key) ?? 0) < typingThrottleMs || "room" in to) return;
    if (this.#typedAtMs.size > 100) this.#typedAtMs.clear();
    this.#typedAtMs.set(key, nowMs);
    this.#connection.request("typing", { to }).catch(() => {});
  }

  /** Where some users are, up to 1,000. */
  async presence(users: string[]): Promise<Presence[]> {
    return decodePresences(await this.#connection.request("presence", { users }));
  }

  /** Tells where these users are, and from then on when one comes or goes, over all connections. */
  watch(users: string[]): Promise<void> {
    return this.#watched.watch(users);
  }

  unwatch(users: string[]): Promise<void> {
    return this.#watched.unwatch(users);
  }

  /** Who is blocked can write to this user no more. */
  async block(user: string): Promise<void> {
    await this.#connection.request("block", { user });
  }

  async unblock(user: string): Promise<void> {
    await this.#connection.request("unblock", { user });
  }

  async blocks(): Promise<string[]> {
    return asStrings((await this.#connection.request("blocks", {})).users);
  }

  #id(place: Place): string {
    return typeof place === "string" ? place : conversationId(this.#user, place);
  }

  async #page(body: object): Promise<Message[]> {
    const reply = await this.#connection.request("history", body);
    return asList(reply.messages).map((entry) => decodeMessage(asBody(entry), this.#user));
  }

  /** What the server has below `before`. */
  async #older(conversation: string, before: number | undefined, limit: number): Promise<Message[]> {
    if (limit <= 0 || before === 1 || !this.#connection.isAuthenticated) return [];
    try {
      return await this.#page({ conversation, limit, ...(before ? { before } : {}) });
    } catch {
      // What is not known, not allowed or not to be had at the moment is shown as what is here.
      return [];
    }
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
      this.#isFresh = state.inboxSeq === undefined;
      this.#inbox.restore(state.inboxSeq ?? 0);
      this.#superGroups.restore(state.groups);
      this.#conversations.restore(state.conversations, state.version);
      this.#outbox.restore(state.pending);
      this.#acknowledger.stored(state.inboxSeq ?? 0);
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
      ...(this.#isFresh ? {} : { inboxSeq: this.#inbox.held }),
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
    this.#watched.connected();
    const top = asNumber(reply.inboxTop);
    if (this.#isFresh) this.#begin(asNumber(reply.ackedUpTo) || Math.max(0, top - freshInboxCount));
    const isOtherBox = top < this.#inbox.held && (await this.#isOtherBox());
    if (!this.#connection.isAuthenticated) return;
    if (isOtherBox) await this.#reset();
    if (!this.#connection.isAuthenticated) return;
    this.#acknowledger.connected(isOtherBox ? 0 : asNumber(reply.ackedUpTo));
    this.#superGroups.connected(reply.groups, asString(reply.groupsNext));
    this.#conversations.connected();
    this.#inbox.connected(top);
    if (isOtherBox) this.#inbox.replayEnded(top);
  }

  /** Nothing is held: the server replays from its own record of this device, or from near the top. */
  #begin(held: number): void {
    this.#isFresh = false;
    this.#inbox.restore(held);
    this.#writer.add({ inbox: { from: 0, to: held } });
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
    for (const part of [this.#inbox, this.#superGroups, this.#conversations, this.#acknowledger]) part.reset();
    this.#seen.clear();
    await this.#writer.idle();
    await this.#guard(this.#store.clear());
    this.#events.emit("reset", undefined);
  }

  #lost(): void {
    for (const part of [this.#inbox, this.#superGroups, this.#conversations, this.#acknowledger]) part.disconnected();
    this.#outbox.closed();
  }

  #caughtUp(): void {
    this.#superGroups.caughtUp();
    this.#connection.becomeLive();
  }

  #beaten(reply: Body): void {
    this.#inbox.heard(asNumber(reply.inboxTop));
    this.#superGroups.heard(reply.groups);
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
    const conversation = asString(body.conversation);
    const user = asString(body.user);
    switch (name) {
      case "message":
      case "groupEvent":
        return this.#receive(decodeMessage(body, this.#user));
      case "recalled":
        return this.#receive(decodeMessage({ ...body, kind: "recalled" }, this.#user));
      case "room":
        return this.#events.emit("room", this.#rooms.receive(body, this.#user));
      case "push":
        return this.#events.emit("push", decodePush(body));
      case "conversation":
        return this.#conversations.state(body);
      case "receipt": {
        const [delivered, read] = [asNumber(body.delivered), asNumber(body.read)];
        this.#conversations.receipt(conversation, user, delivered, read);
        return this.#events.emit("receipt", { conversation, user, ...(delivered ? { delivered } : {}), ...(read ? { read } : {}) });
      }
      case "typing": {
        const peer = peerOf(conversation, this.#user);
        return peer && this.#events.emit("typing", { conversation, peer, user });
      }
      case "presence":
        return this.#events.emit("presence", decodePresence(body));
      case "groupRequest":
        return this.#events.emit("groupRequest", decodeGroupRequest(body));
      case "syncDone":
        return this.#inbox.replayEnded(asNumber(body.inboxSeq));
      case "gap": {
        const gap = { begin: asNumber(body.begin), end: asNumber(body.end) };
        this.#events.emit("gap", gap);
        return this.#inbox.gap(gap.end);
      }
    }
  }

  #receive(row: Message): void {
    if (row.inboxSeq > 0) this.#inbox.receive(row);
    else if (row.conversation && row.seq > 0) this.#superGroups.receive(row);
  }

  /** The server has a message of this client. One to a group comes back by the group's own way. */
  #placed(message: Message): void {
    if (message.inboxSeq > 0) this.#inbox.receive(message);
    else if (this.#superGroups.has(message.conversation)) this.#superGroups.receive(message);
  }

  /** Tells the application, unless it knows the message because it sent it. Returns the object that it knows. */
  #arrived(record: Message): Message {
    const known = record.own ? this.#outbox.arrived(record) : undefined;
    const row = known ?? record;
    this.#conversations.received(row);
    if (isRecalled(row)) this.#events.emit("recalled", row);
    else if (isGroupEvent(row)) this.#events.emit("groupEvent", row);
    else if (!known) this.#events.emit("message", row);
    // What waited for this row is told after it.
    if (row.kind === "converted" && row.inboxSeq > 0) this.#superGroups.converted(row.conversation, row.seq);
    return row;
  }

  #changedConversation(conversation: Conversation): void {
    this.#writer.add({ conversations: new Map([[conversation.conversation, conversation]]) });
    this.#events.emit("conversation", conversation);
  }

  #stated({ conversation, kind, joined, left, top }: Conversation): void {
    if (left !== undefined) this.#superGroups.exited(conversation, left);
    else if (kind === "super") this.#superGroups.entered(conversation, joined, top);
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

  #saved({ messages, inbox }: Batch): void {
    for (const message of messages) this.#outbox.forget(message.id);
    if (inbox) this.#acknowledger.stored(inbox.to);
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
