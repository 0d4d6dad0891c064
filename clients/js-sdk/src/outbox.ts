import { backoffMs } from "./backoff.js";
import { Timer, type Clock } from "./clock.js";
import { asNumber, asString, encodeContent, encodeReferences, encodeRequest, type Body } from "./codec.js";
import { targetKey } from "./conversation.js";
import { AnserError } from "./error.js";
import { queuedCountMax, requestBytesMax, sendsInFlightMax, textCharactersMax } from "./limits.js";
import { emptyOf, type Message, type Status } from "./message.js";

export interface OutboxOptions {
  clock: Clock;
  random: () => number;
  request: (name: string, body: object) => Promise<Body>;
}

export interface OutboxListener {
  /** The status or the numbers of `message` changed. */
  changed(message: Message): void;
  /** The server stored `message` and gave it a place in its conversation. */
  placed(message: Message): void;
  /** A failed message was dropped, because too many have failed since. */
  dropped(id: string): void;
}

/** What happens with the messages to one receiver: one is under way, or the next waits out a refusal. */
interface Lane {
  attempt: number;
  inFlight: boolean;
  pause: Timer;
}

/**
 * What this user sends, until the server has it. Messages to one receiver leave one after the other, so that
 * they arrive in the order in which they were written. An unanswered one goes out again under the same client
 * message id, which the server answers as it did the first time.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #listener: OutboxListener;
  readonly #messages = new Map<string, Message>();
  readonly #lanes = new Map<string, Lane>();
  #inFlightCount = 0;
  #open = false;

  constructor(options: OutboxOptions, listener: OutboxListener) {
    this.#options = options;
    this.#listener = listener;
  }

  /** Everything that is not safely in the store yet, in the order of writing. */
  messages(): Message[] {
    return [...this.#messages.values()];
  }

  get(id: string): Message | undefined {
    return this.#messages.get(id);
  }

  /** Takes back what an earlier run of the client left. */
  restore(messages: Message[]): void {
    const written = this.messages();
    this.#messages.clear();
    for (const message of [...messages, ...written]) this.#messages.set(message.id, message);
  }

  /** Queues a message. One that cannot be sent at all fails on the spot. */
  add(message: Message): void {
    message.status = "sending";
    delete message.failure;
    // A message that is sent again goes behind what was written since.
    this.#messages.delete(message.id);
    this.#messages.set(message.id, message);
    const refusal = this.#refusal(message);
    if (refusal) {
      this.#fail(message, refusal);
    } else {
      this.#listener.changed(message);
      this.#flush();
    }
  }

  /** Sends are allowed: the connection is live. */
  opened(): void {
    this.#open = true;
    this.#flush();
  }

  closed(): void {
    this.#open = false;
    for (const lane of this.#lanes.values()) lane.pause.stop();
    this.#lanes.clear();
    this.#inFlightCount = 0;
  }

  /** The server's own record of a message that this client sent: the answer that was lost, or a second sign of it. */
  arrived(record: Message): Message | undefined {
    const message = this.#messages.get(record.clientMessageId);
    if (!message) return undefined;
    this.#settle(message, record);
    if (record.recalled) emptyOf(message);
    return message;
  }

  forget(id: string): void {
    this.#messages.delete(id);
  }

  #refusal(message: Message): AnserError | undefined {
    const text = message.text ?? "";
    if (text.length > textCharactersMax && [...text].length > textCharactersMax) {
      return new AnserError("too_large", `a text has at most ${textCharactersMax} characters`, false, 41301);
    }
    const request = encodeRequest(Number.MAX_SAFE_INTEGER, "send", sendBody(message));
    if (new TextEncoder().encode(request).length > requestBytesMax) {
      return new AnserError("too_large", `a message has at most ${requestBytesMax} bytes`, false, 41301);
    }
    if (this.#having("sending").length > queuedCountMax) {
      return new AnserError("queue_full", `${queuedCountMax} messages are waiting already`, true);
    }
    return undefined;
  }

  #flush(): void {
    if (!this.#open) return;
    for (const message of this.messages()) {
      if (message.status !== "sending") continue;
      const key = targetKey(message.to);
      const lane = this.#lane(key);
      if (lane.inFlight || lane.pause.isRunning) continue;
      if (this.#inFlightCount >= sendsInFlightMax) return;
      void this.#transmit(message, lane);
    }
  }

  #lane(key: string): Lane {
    let lane = this.#lanes.get(key);
    if (!lane) this.#lanes.set(key, (lane = { attempt: 0, inFlight: false, pause: new Timer(this.#options.clock) }));
    return lane;
  }

  async #transmit(message: Message, lane: Lane): Promise<void> {
    const key = targetKey(message.to);
    lane.inFlight = true;
    this.#inFlightCount += 1;
    let reply: Body | undefined;
    let refusal: AnserError | undefined;
    try {
      reply = await this.#options.request("send", sendBody(message));
    } catch (error) {
      refusal = error as AnserError;
    }
    // The connection went away in between: the message stays queued and nothing of the old lane counts.
    if (this.#lanes.get(key) !== lane) return;
    lane.inFlight = false;
    this.#inFlightCount -= 1;
    if (reply) {
      this.#lanes.delete(key);
      this.#answered(message, reply);
    } else if (refusal?.retryable) {
      lane.pause.start(backoffMs(lane.attempt, this.#options.random), () => this.#flush());
      lane.attempt += 1;
    } else {
      this.#lanes.delete(key);
      if (refusal && message.status === "sending") this.#fail(message, refusal);
    }
    this.#flush();
  }

  #answered(message: Message, reply: Body): void {
    this.#settle(message, {
      messageId: asString(reply.messageId),
      conversation: asString(reply.conversation),
      seq: asNumber(reply.seq),
      inboxSeq: asNumber(reply.inboxSeq),
      timeMs: asNumber(reply.timeMs) || message.timeMs,
    });
    // A room stores nothing, so its answer is the last that is heard of a message.
    if ("room" in message.to) this.forget(message.id);
    else this.#listener.placed(message);
  }

  #settle(message: Message, numbers: Pick<Message, "messageId" | "conversation" | "seq" | "inboxSeq" | "timeMs">): void {
    if (message.status === "sent" && message.inboxSeq === numbers.inboxSeq) return;
    message.messageId = numbers.messageId;
    message.conversation = numbers.conversation;
    message.seq = numbers.seq;
    message.inboxSeq = numbers.inboxSeq;
    message.timeMs = numbers.timeMs;
    message.status = "sent";
    delete message.failure;
    this.#listener.changed(message);
  }

  #fail(message: Message, error: AnserError): void {
    message.status = "failed";
    message.failure = { code: error.code, number: error.number, message: error.message, retryable: error.retryable };
    this.#listener.changed(message);
    const failed = this.#having("failed");
    const oldest = failed[0];
    if (!oldest || failed.length <= queuedCountMax) return;
    this.forget(oldest.id);
    this.#listener.dropped(oldest.id);
  }

  #having(status: Status): Message[] {
    return this.messages().filter((message) => message.status === status);
  }
}

function sendBody(message: Message): object {
  return { to: message.to, clientMessageId: message.clientMessageId, ...encodeContent(message), ...encodeReferences(message) };
}
