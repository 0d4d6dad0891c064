import { compareMessages, targetKey, type AnserClient, type Message, type RoomMessage, type Target } from "anser-client";
import { Composer } from "./composer.js";
import { ConversationList, type Line } from "./conversation_list.js";
import { byId, paintAvatar } from "./element.js";
import { nameProblem } from "./login.js";
import { MessageList } from "./message_list.js";
import { RoomLog } from "./room_log.js";
import { closePeer, openedPeer, openPeer, peerName } from "./route.js";

const pageCount = 50;
const drawEveryMs = 50;

interface Opened {
  peer: Target;
  isLoaded: boolean;
  messages: Map<string, Message>;
  hasOlder: boolean;
  firstUnread: string | undefined;
}

/** The page after the log-in: what the client tells goes into the list and the open conversation. */
export class Chat {
  readonly #client: AnserClient;
  readonly #room: RoomLog;
  readonly #lines = new Map<string, Line>();
  readonly #list: ConversationList;
  readonly #messages: MessageList;
  readonly #composer: Composer;
  readonly #page = byId("chat");
  #opened: Opened | undefined;
  #drawing: ReturnType<typeof setTimeout> | undefined;
  #drawnAtMs = 0;

  constructor(client: AnserClient, room: string) {
    this.#client = client;
    this.#room = new RoomLog(room);
    this.#list = new ConversationList((peer) => this.#choose(peer));
    this.#composer = new Composer((text) => this.#send(text));
    this.#messages = new MessageList({
      retry: (message) => client.retry(message),
      discard: (message) => this.#discard(message),
      showOlder: () => void this.#showOlder(),
    });
    client.on("message", (message) => this.#received(message));
    client.on("status", (message) => this.#changed(message));
    client.on("room", (message) => this.#heard(message));
    client.on("reset", () => void this.#load());
    addEventListener("hashchange", () => void this.#open());
    document.addEventListener("visibilitychange", () => this.#read());
    byId("back").addEventListener("click", () => {
      closePeer();
      void this.#open();
    });
    byId<HTMLFormElement>("new-chat").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start(byId<HTMLInputElement>("new-chat-name"));
    });
  }

  /** Shows what the store has. To be called before the client connects, so that nothing is counted twice. */
  async show(): Promise<void> {
    byId("me").textContent = this.#client.user;
    paintAvatar(byId("me-avatar"), this.#client.user);
    await this.#load();
  }

  async #load(): Promise<void> {
    this.#lines.clear();
    const room = { room: this.#room.room };
    this.#lines.set(targetKey(room), { peer: room, last: this.#room.messages().at(-1), unread: 0 });
    for (const conversation of await this.#client.conversations()) {
      this.#lines.set(targetKey(conversation.peer), { ...conversation });
    }
    this.#opened = undefined;
    await this.#open();
  }

  #choose(peer: Target): void {
    openPeer(peer);
    // The browser tells of the address a moment later, when the next key may have been pressed already.
    void this.#open();
  }

  /** Follows the address. */
  async #open(): Promise<void> {
    const peer = openedPeer();
    if (!peer) {
      this.#opened = undefined;
      this.#draw();
      return;
    }
    if (this.#opened && targetKey(this.#opened.peer) === targetKey(peer)) return;
    const opened: Opened = { peer, isLoaded: false, messages: new Map(), hasOlder: false, firstUnread: undefined };
    this.#opened = opened;
    this.#composer.open(targetKey(peer));
    this.#render();
    const isRoom = "room" in peer;
    const history = isRoom ? this.#room.messages() : await this.#client.history(peer, { limit: pageCount });
    // What came while the history was read is there already and comes after it.
    const later = [...opened.messages.values()];
    opened.messages = new Map([...history, ...later].map((message) => [message.id, message]));
    opened.hasOlder = !isRoom && history.length >= pageCount;
    const received = this.#ordered(opened).filter((message) => !message.own);
    const unread = this.#line(peer).unread;
    opened.firstUnread = unread > 0 ? received[Math.max(0, received.length - unread)]?.id : undefined;
    opened.isLoaded = true;
    this.#read();
    this.#draw();
  }

  async #showOlder(): Promise<void> {
    const opened = this.#opened;
    if (!opened) return;
    const first = [...opened.messages.values()].sort(compareMessages)[0];
    const before = first?.inboxSeq || undefined;
    const older = before ? await this.#client.history(opened.peer, { before, limit: pageCount }) : [];
    for (const message of older) opened.messages.set(message.id, message);
    opened.hasOlder = older.length >= pageCount;
    this.#draw();
  }

  #start(input: HTMLInputElement): void {
    const name = input.value.trim();
    const problem = nameProblem(name);
    input.setCustomValidity(problem);
    if (problem) {
      input.reportValidity();
      input.addEventListener("input", () => input.setCustomValidity(""), { once: true });
      return;
    }
    input.value = "";
    this.#choose({ user: name });
  }

  #send(text: string): void {
    const to = this.#opened?.peer;
    if (to) this.#client.send({ to, text });
  }

  #discard(message: Message): void {
    this.#client.discard(message);
    this.#room.remove(message);
    this.#opened?.messages.delete(message.id);
    const line = this.#line(message.peer);
    if (line.last?.id === message.id) line.last = this.#newest(message.peer);
    this.#draw();
  }

  #received(message: Message): void {
    this.#add(message);
    if (!message.own) this.#line(message.peer).unread += 1;
    this.#read();
    this.#draw();
  }

  #heard(heard: RoomMessage): void {
    if (heard.room !== this.#room.room) return;
    const message = this.#room.hear(heard, this.#client.user);
    if (message) this.#received(message);
  }

  #changed(message: Message): void {
    if ("room" in message.to && !this.#room.messages().includes(message)) this.#room.add(message);
    this.#add(message);
    this.#draw();
  }

  #add(message: Message): void {
    const line = this.#line(message.peer);
    if ("room" in message.peer) line.last = this.#room.messages().at(-1);
    else if (!line.last || compareMessages(line.last, message) <= 0) line.last = message;
    if (this.#opened && targetKey(this.#opened.peer) === targetKey(message.peer)) {
      this.#opened.messages.set(message.id, message);
    }
  }

  #line(peer: Target): Line {
    const key = targetKey(peer);
    let line = this.#lines.get(key);
    if (!line) this.#lines.set(key, (line = { peer, last: undefined, unread: 0 }));
    return line;
  }

  #newest(peer: Target): Message | undefined {
    if (!this.#opened || targetKey(this.#opened.peer) !== targetKey(peer)) return undefined;
    return this.#ordered(this.#opened).at(-1);
  }

  /** What is open and looked at is read. */
  #read(): void {
    const opened = this.#opened;
    if (!opened?.isLoaded || document.visibilityState !== "visible") return;
    const line = this.#line(opened.peer);
    if (line.unread === 0) return;
    line.unread = 0;
    const top = Math.max(0, ...[...opened.messages.values()].map((message) => message.inboxSeq));
    if (top > 0) void this.#client.markRead(opened.peer, top);
    this.#draw();
  }

  #ordered(opened: Opened): Message[] {
    const messages = [...opened.messages.values()];
    // A room has no numbers: what came later stands below.
    return "room" in opened.peer ? messages : messages.sort(compareMessages);
  }

  /** Draws soon after a change, and under many changes no more often than an eye can follow. */
  #draw(): void {
    if (this.#drawing !== undefined) return;
    const sinceMs = Date.now() - this.#drawnAtMs;
    this.#drawing = setTimeout(() => this.#render(), Math.max(0, drawEveryMs - sinceMs));
  }

  #render(): void {
    clearTimeout(this.#drawing);
    this.#drawing = undefined;
    this.#drawnAtMs = Date.now();
    const lines = [...this.#lines.values()];
    const opened = this.#opened;
    this.#page.classList.toggle("is-open", opened !== undefined);
    this.#list.render(lines, opened?.peer);
    const unread = lines.reduce((sum, line) => sum + line.unread, 0);
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${this.#client.user} · Anser`;
    if (!opened) return;
    const isRoom = "room" in opened.peer;
    byId("chat-title").textContent = peerName(opened.peer);
    byId("chat-subtitle").textContent = isRoom ? "Live: nothing is kept here" : "";
    paintAvatar(byId("chat-avatar"), peerName(opened.peer), isRoom);
    this.#messages.render({ ...opened, messages: this.#ordered(opened) });
  }
}
