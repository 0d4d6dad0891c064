import type { Message, RoomMessage } from "anser-client";
import { bytesText } from "./words.js";

const keptCountMax = 300;

/** What was said in the live room since the page was opened. The server keeps nothing of it. */
export class RoomLog {
  readonly room: string;
  #messages: Message[] = [];
  #count = 0;

  constructor(room: string) {
    this.room = room;
  }

  messages(): Message[] {
    return this.#messages;
  }

  /** Adds what another one said. Returns nothing for the echo of what was sent here. */
  hear(heard: RoomMessage, user: string): Message | undefined {
    if (heard.echoOf !== undefined) return undefined;
    const text = heard.body ? { text: bytesText(heard.body, heard.op ?? 0) } : {};
    const { room: _, op: __, body: ___, echoOf: ____, ...content } = heard;
    this.#count += 1;
    return this.add({
      ...content,
      ...text,
      id: `room ${this.#count}`,
      status: "sent",
      own: heard.sender === user,
      to: { room: this.room },
      peer: { room: this.room },
      clientMessageId: "",
      messageId: "",
      conversation: "",
      seq: 0,
      inboxSeq: 0,
    });
  }

  add(message: Message): Message {
    this.#messages = [...this.#messages, message].slice(-keptCountMax);
    return message;
  }

  remove(message: Message): void {
    this.#messages = this.#messages.filter((kept) => kept !== message);
  }
}
