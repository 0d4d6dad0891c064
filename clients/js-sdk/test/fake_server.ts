import assert from "node:assert/strict";
import type { Socket, SocketConstructor } from "../src/connection.js";
import { settle } from "./fake_clock.js";

type Body = Record<string, unknown>;

export interface Request {
  seq: number;
  name: string;
  body: Body;
}

/** The server's end of one socket. A test reads what came and says what goes back. */
export class FakeSocket implements Socket {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly requests: Request[] = [];
  /** Answers a request by itself when it returns a body. */
  automatic: (request: Request) => Body | undefined = () => undefined;
  isClosedByClient = false;

  constructor(
    readonly url: string,
    readonly protocol: string,
  ) {}

  send(data: string): void {
    const { seq, ...rest } = JSON.parse(data) as { seq: number } & Body;
    const [name, body] = Object.entries(rest)[0] as [string, Body];
    const request = { seq, name, body };
    const answer = this.automatic(request);
    if (answer) queueMicrotask(() => this.say({ seq, [name]: answer }));
    this.requests.push(request);
  }

  close(): void {
    this.isClosedByClient = true;
  }

  open(): void {
    this.onopen?.({} as never);
  }

  say(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  drop(code = 1006, reason = ""): void {
    this.onclose?.({ code, reason });
  }

  reply(request: Request, body: Body = {}): void {
    this.say({ seq: request.seq, [request.name]: body });
  }

  refuse(request: Request, code: string, number: number, retryable: boolean): void {
    this.say({ seq: request.seq, error: { code, number, message: code, retryable } });
  }

  all(name: string): Request[] {
    return this.requests.filter((request) => request.name === name);
  }

  last(name: string): Request {
    const request = this.all(name).at(-1);
    assert.ok(request, `the client sent no ${name}`);
    return request;
  }
}

/** Collects the sockets that a client opens. */
export class FakeServer {
  readonly sockets: FakeSocket[] = [];
  readonly webSocket: SocketConstructor;
  /** What is answered when the conversations are asked for; undefined: nothing. */
  conversations: Body | undefined = { conversations: [], version: 0, more: false };

  constructor() {
    const sockets = this.sockets;
    this.webSocket = class extends FakeSocket {
      constructor(url: string, protocol: string) {
        super(url, protocol);
        sockets.push(this);
      }
    };
  }

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    assert.ok(socket, "the client opened no socket");
    return socket;
  }

  /** Opens the newest socket and answers its auth request. Acks and heartbeats are answered from then on. */
  async accept(reply: Body = {}): Promise<FakeSocket> {
    await settle();
    const socket = this.socket;
    socket.open();
    await settle();
    const full = { user: "alice", connection: "c1", server: "s1", inboxTop: 0, ackedUpTo: 0, heartbeatMs: 20_000, ...reply };
    socket.automatic = (request) => {
      if (request.name === "ack") return {};
      if (request.name === "heartbeat") return { inboxTop: full.inboxTop };
      if (request.name === "conversations") return this.conversations;
      if (request.name === "history") return { messages: [], more: false };
      return undefined;
    };
    socket.reply(socket.last("auth"), full);
    await settle();
    return socket;
  }

  /** The same with an empty replay, after which the client is live. */
  async acceptLive(reply: Body = {}): Promise<FakeSocket> {
    const socket = await this.accept(reply);
    socket.say({ syncDone: { inboxSeq: reply.inboxTop ?? 0 } });
    await settle();
    return socket;
  }
}

/** A message from bob in alice's inbox. */
export function fromBob(inboxSeq: number, fields: Body = {}): Body {
  return {
    inboxSeq,
    conversation: "c-bob",
    seq: inboxSeq,
    messageId: `m${inboxSeq}`,
    sender: "bob",
    to: { user: "alice" },
    clientMessageId: `bob-${inboxSeq}`,
    timeMs: 1_700_000_000_000 + inboxSeq,
    text: `message ${inboxSeq}`,
    ...fields,
  };
}

/** A row of a group in alice's view, with an inbox seq where the group is fanned out on write. */
export function inGroup(group: string, seq: number, fields: Body = {}): Body {
  return {
    conversation: `group:${group}`,
    group,
    seq,
    messageId: `${group}-${seq}`,
    sender: "bob",
    clientMessageId: `bob-${group}-${seq}`,
    timeMs: 1_700_000_000_000 + seq,
    text: `${group} ${seq}`,
    ...fields,
  };
}

export function range(begin: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - begin + 1) }, (_, index) => begin + index);
}
