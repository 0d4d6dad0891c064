import { targetKey, type AnserClient, type Conversation, type GroupEvent, type Message, type Presence, type Recalled, type RoomMessage, type Target } from "anser-client";
import { ChatHead } from "./chat_head.js";
import { Composer } from "./composer.js";
import { ConversationList } from "./conversation_list.js";
import { byId, paintAvatar } from "./element.js";
import { GroupPanel } from "./group_panel.js";
import { Lines, type Line } from "./lines.js";
import { nameProblem } from "./login.js";
import { MessageList } from "./message_list.js";
import { NewGroup } from "./new_group.js";
import type { Notices } from "./notices.js";
import { Opened } from "./opened.js";
import { ReadCounts } from "./read_counts.js";
import { ReadersDialog } from "./readers_dialog.js";
import { RoomLog } from "./room_log.js";
import { closePeer, openedPeer, openPeer } from "./route.js";

const drawEveryMs = 50;
const learnAfterMs = 300;
/** Members whose names are offered after an @. */
const offeredCountMax = 500;
/** Users whose coming and going is watched: the server allows 1,000. */
const watchedCountMax = 500;

/** The page after the log-in: what the client tells goes into the list and the open conversation. */
export class Chat {
  readonly #client: AnserClient;
  readonly #notices: Notices;
  readonly #room: RoomLog;
  readonly #lines: Lines;
  readonly #list: ConversationList;
  readonly #head: ChatHead;
  readonly #messages: MessageList;
  readonly #composer: Composer;
  readonly #panel: GroupPanel;
  readonly #readers: ReadersDialog;
  readonly #readCounts: ReadCounts;
  readonly #watched = new Set<string>();
  readonly #page = byId("chat");
  #opened: Opened | undefined;
  /** This user's role in the open group. */
  #role = "";
  #learning: ReturnType<typeof setTimeout> | undefined;
  #drawing: ReturnType<typeof setTimeout> | undefined;
  #drawnAtMs = 0;

  constructor(client: AnserClient, room: string, notices: Notices) {
    this.#client = client;
    this.#notices = notices;
    this.#room = new RoomLog(room);
    this.#lines = new Lines(client);
    this.#list = new ConversationList((peer) => this.#choose(peer));
    this.#panel = new GroupPanel(client, notices);
    this.#readers = new ReadersDialog(client, notices);
    this.#readCounts = new ReadCounts(client, () => this.#draw());
    this.#head = new ChatHead({
      pin: (peer, pinned) => notices.attempt("Nothing was changed", () => client.update(peer, { pinned })),
      mute: (peer, muted) => notices.attempt("Nothing was changed", () => client.update(peer, { muted })),
      showGroup: (group) => void this.#panel.open(group),
    });
    this.#composer = new Composer({
      submitted: (text, references) => this.#opened && client.send({ to: this.#opened.peer, text, ...references }),
      typed: () => this.#opened && client.typing(this.#opened.peer),
    });
    this.#messages = new MessageList({
      retry: (message) => client.retry(message),
      discard: (message) => this.#discard(message),
      reply: (message) => this.#composer.reply(message),
      recall: (message) => notices.attempt("It was not recalled", () => client.recall(message.conversation, message.seq)),
      jump: (seq) => void this.#jump(seq),
      showReaders: (message) => void this.#readers.show(message),
      showOlder: () => void this.#showOlder(),
    });
    new NewGroup(client, notices, (group) => this.#choose({ group }));
    this.#listen(client);
    this.#listenToPage();
  }

  /** Shows what the store has. To be called before the client connects, so that nothing is counted twice. */
  async show(): Promise<void> {
    byId("me").textContent = this.#client.user;
    paintAvatar(byId("me-avatar"), this.#client.user);
    await this.#load();
  }

  #listen(client: AnserClient): void {
    client.on("message", (message) => this.#received(message));
    client.on("status", (message) => this.#changed(message));
    client.on("recalled", (row) => this.#recalled(row));
    client.on("groupEvent", (event) => this.#happened(event));
    client.on("conversation", (conversation) => this.#stands(conversation));
    client.on("receipt", ({ conversation, read }) => read && this.#countReaders(conversation));
    client.on("typing", ({ peer, user }) => this.#opened?.key === targetKey(peer) && this.#head.typing(user));
    client.on("presence", (presence) => this.#isThere(presence));
    client.on("groupRequest", ({ group, user }) => {
      this.#notices.say(`${user} asks to be let into ${this.#lines.of({ group }).name}.`);
      this.#panel.changed(group);
    });
    client.on("room", (message) => this.#heard(message));
    client.on("reset", () => void this.#load());
    client.on("state", ({ name }) => name === "live" && this.#connected());
  }

  #listenToPage(): void {
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

  async #load(): Promise<void> {
    await this.#lines.load();
    this.#lines.of({ room: this.#room.room }).last = this.#room.messages().at(-1);
    for (const line of this.#lines.all()) this.#watch(line.peer);
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
      this.#readCounts.open("");
      this.#draw();
      return;
    }
    if (this.#opened?.key === targetKey(peer)) return;
    const opened = new Opened(this.#client, peer);
    const line = this.#lines.of(peer);
    this.#opened = opened;
    this.#role = "";
    this.#composer.open(opened.key);
    this.#head.open(line);
    this.#watch(peer);
    this.#render();
    void this.#openGroup(opened);
    await opened.load(line, this.#room.messages());
    if (this.#opened !== opened) return;
    this.#read();
    this.#countReaders();
    this.#draw();
  }

  /** Learns who is in the group and what this user may do there. */
  async #openGroup(opened: Opened): Promise<void> {
    const isGroup = "group" in opened.peer;
    const kind = this.#lines.of(opened.peer).conversation?.kind;
    this.#readCounts.open(isGroup && kind !== "super" ? this.#lines.of(opened.peer).conversation?.conversation ?? "" : "");
    if (!("group" in opened.peer)) return;
    const { group } = opened.peer;
    try {
      const [info, page] = await Promise.all([
        this.#client.groups.info(group),
        this.#client.groups.memberPage(group, { limit: offeredCountMax }),
      ]);
      if (this.#opened !== opened) return;
      this.#role = info.role;
      this.#composer.offer([...page.members.map((member) => member.user).filter((user) => user !== this.#client.user), "all"]);
      this.#draw();
    } catch {
      // Without a connection, or without being a member, no names are offered.
    }
  }

  async #showOlder(): Promise<void> {
    await this.#opened?.showOlder();
    this.#draw();
  }

  async #jump(seq: number): Promise<void> {
    const opened = this.#opened;
    const isThere = await opened?.reach(seq);
    if (opened !== this.#opened) return;
    this.#render();
    if (!isThere || !this.#messages.point(seq)) this.#notices.say("That message is not to be found.");
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

  #discard(message: Message): void {
    this.#client.discard(message);
    this.#room.remove(message);
    const isOpen = this.#opened?.has(message);
    this.#opened?.remove(message);
    this.#lines.drop(message, isOpen ? (this.#opened?.ordered() ?? []) : []);
    this.#draw();
  }

  #received(message: Message): void {
    this.#add(message);
    if (this.#opened?.has(message)) this.#head.stopTyping(message.sender);
    this.#read();
    this.#draw();
  }

  #heard(heard: RoomMessage): void {
    if (heard.room !== this.#room.room) return;
    const message = this.#room.hear(heard, this.#client.user);
    if (!message) return;
    if (!message.own) this.#lines.of(message.peer).unread += 1;
    this.#received(message);
  }

  #changed(message: Message): void {
    if ("room" in message.to && !this.#room.messages().includes(message)) this.#room.add(message);
    this.#add(message);
    if (message.status === "sent" && this.#opened?.has(message)) this.#countReaders();
    this.#draw();
  }

  #recalled(row: Recalled): void {
    const opened = this.#opened;
    if (!opened?.has(row)) return;
    opened.put(row);
    const message = opened.at(row.target);
    // What is shown may be another copy than what the client has emptied.
    if (message) opened.put(recalledCopy(message));
    this.#draw();
  }

  #happened(event: GroupEvent): void {
    if (this.#opened?.has(event)) this.#opened.put(event);
    // What happens in a group often happens to many at once.
    clearTimeout(this.#learning);
    this.#learning = setTimeout(() => {
      if ("group" in event.peer) this.#panel.changed(event.peer.group);
      if (this.#opened?.has(event)) void this.#openGroup(this.#opened);
    }, learnAfterMs);
    this.#draw();
  }

  /** What the client counts of a conversation has changed. */
  #stands(conversation: Conversation): void {
    this.#lines.take(conversation);
    this.#watch(conversation.peer);
    this.#read();
    this.#draw();
  }

  #isThere({ user, online, lastSeenMs }: Presence): void {
    const line = this.#lines.of({ user });
    line.isOnline = online;
    line.lastSeenMs = lastSeenMs || line.lastSeenMs;
    this.#draw();
  }

  #watch(peer: Target): void {
    if (!("user" in peer) || this.#watched.has(peer.user) || this.#watched.size >= watchedCountMax) return;
    this.#watched.add(peer.user);
    // Where somebody is cannot be had at the moment; it is asked for again with the next connection.
    this.#client.watch([peer.user]).catch(() => {});
  }

  #connected(): void {
    const opened = this.#opened;
    if (!opened) return;
    opened.reconnected();
    void this.#openGroup(opened).then(() => this.#countReaders());
    this.#draw();
  }

  #countReaders(conversation?: string): void {
    const opened = this.#opened;
    if (!opened || (conversation && this.#lines.of(opened.peer).conversation?.conversation !== conversation)) return;
    this.#readCounts.update(() => opened.ordered());
  }

  #add(message: Message): void {
    this.#lines.add(message);
    if (this.#opened?.has(message)) this.#opened.put(message);
  }

  /** What is open and looked at is read. */
  #read(): void {
    const opened = this.#opened;
    if (!opened?.isLoaded || document.visibilityState !== "visible") return;
    const line = this.#lines.of(opened.peer);
    if (opened.isRoom) line.unread = 0;
    else if (line.unread > 0 || line.conversation?.mentioned) this.#client.read(opened.peer, opened.top);
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
    const lines = this.#lines.all();
    const opened = this.#opened;
    this.#page.classList.toggle("is-open", opened !== undefined);
    this.#list.render(lines, opened?.peer);
    const unread = lines.reduce((sum, line) => sum + (line.conversation?.muted ? 0 : line.unread), 0);
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${this.#client.user} · Anser`;
    if (opened) this.#renderOpened(opened, this.#lines.of(opened.peer));
  }

  #renderOpened(opened: Opened, line: Line): void {
    const hasLeft = line.conversation?.left !== undefined;
    this.#head.draw();
    this.#composer.close(hasLeft ? "You are no longer in this group." : "");
    this.#messages.render({
      peer: opened.peer,
      me: this.#client.user,
      messages: opened.ordered(),
      hasOlder: opened.hasOlder,
      firstUnread: opened.firstUnread,
      canReply: !opened.isRoom && !hasLeft,
      canRecall: (message) => !opened.isRoom && !hasLeft && (message.own || this.#role === "owner" || this.#role === "admin"),
      receipt: (message) => receiptOf(message, line),
      readCount: (message) => this.#readCounts.of(message),
      quote: (message) => opened.quote(message, () => this.#draw()),
    });
  }
}

/** How far the other one of a single chat has come. */
function receiptOf(message: Message, { conversation }: Line): "" | "delivered" | "read" {
  if (!message.own || message.seq === 0 || conversation?.kind !== "single") return "";
  if (message.seq <= conversation.peerReadUpTo) return "read";
  return message.seq <= conversation.peerDeliveredUpTo ? "delivered" : "";
}

function recalledCopy({ text, image, audio, video, file, location, custom, mentions, mentionAll, replyTo, ...rest }: Message): Message {
  return { ...rest, recalled: true };
}
