import type { Target } from "anser-client";
import { byId, paintAvatar } from "./element.js";
import type { Line } from "./lines.js";
import { presenceText } from "./words.js";

export interface ChatHeadListener {
  pin(peer: Target, pinned: boolean): Promise<unknown>;
  mute(peer: Target, muted: boolean): Promise<unknown>;
  showGroup(group: string): void;
}

/** Somebody who writes says so every few seconds. */
const typingShownMs = 5_000;

/** What stands above the open conversation: who it is with, what the other side does, and what can be set. */
export class ChatHead {
  readonly #title = byId("chat-title");
  readonly #subtitle = byId("chat-subtitle");
  readonly #avatar = byId("chat-avatar");
  readonly #pin = byId<HTMLButtonElement>("chat-pin");
  readonly #mute = byId<HTMLButtonElement>("chat-mute");
  readonly #group = byId<HTMLButtonElement>("chat-group");
  readonly #typing = new Map<string, ReturnType<typeof setTimeout>>();
  #line: Line | undefined;

  constructor(listener: ChatHeadListener) {
    this.#pin.addEventListener("click", () => this.#line && listener.pin(this.#line.peer, !this.#line.conversation?.pinned));
    this.#mute.addEventListener("click", () => this.#line && listener.mute(this.#line.peer, !this.#line.conversation?.muted));
    this.#group.addEventListener("click", () => {
      if (this.#line && "group" in this.#line.peer) listener.showGroup(this.#line.peer.group);
    });
  }

  open(line: Line): void {
    for (const user of [...this.#typing.keys()]) this.stopTyping(user);
    this.#line = line;
    this.draw();
  }

  draw(): void {
    const line = this.#line;
    if (!line) return;
    const kind = "room" in line.peer ? "room" : "group" in line.peer ? "group" : "person";
    this.#title.textContent = line.name;
    paintAvatar(this.#avatar, line.name, kind);
    this.#avatar.classList.toggle("online", line.isOnline === true);
    this.#group.hidden = kind !== "group";
    for (const [button, isOn] of [[this.#pin, line.conversation?.pinned], [this.#mute, line.conversation?.muted]] as const) {
      button.hidden = !line.conversation;
      button.setAttribute("aria-pressed", String(isOn === true));
    }
    const words = this.#words(line, kind);
    if (this.#subtitle.textContent !== words) this.#subtitle.textContent = words;
  }

  typing(user: string): void {
    this.stopTyping(user);
    this.#typing.set(user, setTimeout(() => this.stopTyping(user), typingShownMs));
    this.draw();
  }

  stopTyping(user: string): void {
    clearTimeout(this.#typing.get(user));
    if (this.#typing.delete(user)) this.draw();
  }

  #words(line: Line, kind: string): string {
    const names = [...this.#typing.keys()];
    if (kind === "person" && names.length > 0) return "is writing…";
    if (names.length > 2) return `${names.length} people are writing…`;
    if (names.length > 0) return `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} writing…`;
    if (kind === "room") return "Live: nothing is kept here";
    if (kind === "person") return presenceText(line.isOnline, line.lastSeenMs);
    return line.conversation?.kind === "super" ? "Group for many members" : "Group";
  }
}
