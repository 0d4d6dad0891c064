import { backoffMs } from "./backoff.js";
import { Timer, type Clock } from "./clock.js";
import { asBody, asNumber, asString, decodeFrame, encodeRequest, subprotocol, type Body, type Frame } from "./codec.js";
import { AnserError, asAnserError, closeReason, connectionLost, isFinal, type CloseReason } from "./error.js";
import { connectTimeoutMs, heartbeatDefaultMs, replyTimeoutMs, serverDelayMaxMs } from "./limits.js";
import type { State } from "./state.js";

/** The part of a browser's WebSocket that the client uses. */
export interface Socket {
  send(data: string): void;
  close(code?: number): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: never) => void) | null;
}

export type SocketConstructor = new (url: string, protocol: string) => Socket;

export interface ConnectionOptions {
  url: string;
  webSocket: SocketConstructor;
  clock: Clock;
  random: () => number;
  /** Makes the body of the auth request. An error that is not retryable ends the connection for good. */
  auth: (tokenExpired: boolean) => Promise<object>;
}

export interface ConnectionListener {
  state(state: State): void;
  authenticated(reply: Body): void;
  /** The connection is gone and every open request was rejected. */
  lost(): void;
  heartbeat(reply: Body): void;
  push(name: string, body: Body): void;
  kicked(reason: CloseReason): void;
  error(error: AnserError): void;
}

interface OpenRequest {
  timer: Timer;
  resolve: (body: Body) => void;
  reject: (error: AnserError) => void;
}

/**
 * One lasting connection made of many sockets. It logs in, keeps the heartbeat, matches replies to requests
 * and opens the next socket after a back-off, until it is closed or the server says that there is no use.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #listener: ConnectionListener;
  readonly #requests = new Map<number, OpenRequest>();
  readonly #openTimer: Timer;
  readonly #heartbeatTimer: Timer;
  readonly #retryTimer: Timer;
  readonly #moveTimer: Timer;
  #state: State = { name: "idle" };
  #socket: Socket | undefined;
  #authenticated = false;
  #sequence = 0;
  #attempt = 0;
  #heartbeatMs = heartbeatDefaultMs;
  #heardAtMs = 0;
  #tokenExpired = false;
  #nextUrl: string | undefined;
  #moveAtMs = 0;
  #farewell: CloseReason | undefined;

  constructor(options: ConnectionOptions, listener: ConnectionListener) {
    this.#options = options;
    this.#listener = listener;
    this.#openTimer = new Timer(options.clock);
    this.#heartbeatTimer = new Timer(options.clock);
    this.#retryTimer = new Timer(options.clock);
    this.#moveTimer = new Timer(options.clock);
  }

  get state(): State {
    return this.#state;
  }

  get isAuthenticated(): boolean {
    return this.#authenticated;
  }

  open(): void {
    if (this.#state.name !== "idle" && this.#state.name !== "closed") return;
    this.#attempt = 0;
    this.#tokenExpired = false;
    this.#connect();
  }

  close(): void {
    if (this.#state.name === "closed") return;
    this.#finish({ code: "closed_by_client", number: 0, message: "the client closed the connection" });
  }

  /** Ends the connection for a reason that the client found itself. */
  refuse(reason: CloseReason): void {
    this.#finish(reason);
  }

  /** The inbox has caught up: the next failure starts with the shortest back-off again. */
  becomeLive(): void {
    if (this.#state.name !== "syncing") return;
    this.#attempt = 0;
    this.#setState({ name: "live" });
  }

  /** Tries at once when waiting; finds out whether the connection still answers when there is one. */
  wake(): void {
    if (this.#state.name === "waiting") this.#connect();
    else if (this.#authenticated) this.#beat();
  }

  /** Rejects with an `AnserError`: the server's, `reply_timeout` or `connection_lost`. */
  request(name: string, body: object): Promise<Body> {
    if (!this.#authenticated) return Promise.reject(connectionLost());
    return new Promise((resolve, reject) => this.#ask(name, body, resolve, reject));
  }

  #ask(name: string, body: object, resolve: OpenRequest["resolve"], reject: OpenRequest["reject"]): void {
    const seq = ++this.#sequence;
    const timer = new Timer(this.#options.clock);
    this.#requests.set(seq, { timer, resolve, reject });
    timer.start(replyTimeoutMs, () => {
      this.#requests.delete(seq);
      reject(new AnserError("reply_timeout", `the server did not answer ${name}`, true));
    });
    this.#socket?.send(encodeRequest(seq, name, body));
  }

  #connect(): void {
    this.#retryTimer.stop();
    const attempt: State = { name: "connecting" };
    this.#setState(attempt);
    this.#options.auth(this.#tokenExpired).then(
      (auth) => {
        if (this.#state === attempt) this.#openSocket(auth);
      },
      (error: unknown) => {
        if (this.#state !== attempt) return;
        const reason = asAnserError(error, "token_unavailable");
        this.#listener.error(reason);
        if (reason.retryable) this.#wait(reason.code);
        else this.#finish(reason);
      },
    );
  }

  #openSocket(auth: object): void {
    const url = this.#nextUrl ?? this.#options.url;
    // The address that the server named is tried once: if it is gone, the configured one leads back.
    this.#nextUrl = undefined;
    let socket: Socket;
    try {
      socket = new this.#options.webSocket(url, subprotocol);
    } catch (error) {
      this.#finish({ code: "bad_url", number: 0, message: asAnserError(error, "bad_url").message });
      return;
    }
    this.#socket = socket;
    this.#openTimer.start(connectTimeoutMs, () => this.#abandon("connect_timeout"));
    socket.onopen = () => {
      this.#openTimer.stop();
      this.#logIn(auth);
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#ended(event.code, event.reason);
    socket.onerror = () => {};
  }

  #logIn(auth: object): void {
    // Answered without a promise, because the replay may follow the reply in the same turn.
    this.#ask(
      "auth",
      auth,
      (reply) => this.#loggedIn(reply),
      (error) => this.#refused(error),
    );
  }

  #loggedIn(reply: Body): void {
    const socket = this.#socket;
    const heartbeatMs = asNumber(reply.heartbeatMs) || heartbeatDefaultMs;
    this.#heartbeatMs = Math.min(Math.max(heartbeatMs, 1_000), serverDelayMaxMs);
    this.#authenticated = true;
    this.#tokenExpired = false;
    this.#heartbeatTimer.start(this.#heartbeatMs, () => this.#beat());
    this.#setState({ name: "syncing" });
    if (this.#socket === socket) this.#listener.authenticated(reply);
  }

  #refused(error: AnserError): void {
    if (!this.#socket) return;
    this.#listener.error(error);
    // A token that ran out is replaced once; a second refusal in a row is an answer.
    const expired = error.code === "token_expired" && !this.#tokenExpired;
    if (expired) this.#tokenExpired = true;
    if (expired || error.retryable) this.#abandon(error.code);
    else this.#finish(error);
  }

  #receive(data: unknown): void {
    this.#heardAtMs = this.#options.clock.now();
    const frame = decodeFrame(data);
    if (!frame) {
      this.#listener.error(new AnserError("bad_frame", "the server sent something that is no frame", true));
      return;
    }
    if (frame.kind === "push") this.#receivePush(frame.name, frame.body);
    else this.#receiveReply(frame);
  }

  #receiveReply(frame: Exclude<Frame, { kind: "push" }>): void {
    const request = this.#requests.get(frame.seq);
    const error =
      frame.kind === "error" ? new AnserError(frame.code, frame.message, frame.retryable, frame.number) : undefined;
    if (!request) {
      if (error) this.#listener.error(error);
      return;
    }
    this.#requests.delete(frame.seq);
    request.timer.stop();
    if (error) request.reject(error);
    else if (frame.kind === "reply") request.resolve(frame.body);
  }

  #receivePush(name: string, body: Body): void {
    if (name === "kicked") {
      const number = asNumber(body.number);
      const known = closeReason(number, asString(body.message));
      this.#farewell = { ...known, code: asString(body.code) || known.code };
      this.#listener.kicked(this.#farewell);
      if (isFinal(number)) this.#finish(this.#farewell);
    } else if (name === "reconnect") {
      const afterMs = Math.min(Math.max(0, asNumber(body.afterMs)), serverDelayMaxMs);
      const url = asString(body.url);
      if (/^wss?:\/\//.test(url)) this.#nextUrl = url;
      this.#moveAtMs = this.#options.clock.now() + afterMs;
      this.#moveTimer.start(afterMs, () => {
        this.#release();
        this.#connect();
      });
    } else {
      this.#listener.push(name, asBody(body));
    }
  }

  #beat(): void {
    const socket = this.#socket;
    const beatAtMs = this.#options.clock.now();
    // The heartbeat goes out beside other traffic too: its reply is what shows that the last message was lost.
    this.#heartbeatTimer.start(this.#heartbeatMs, () => this.#beat());
    this.request("heartbeat", {}).then(
      (reply) => this.#listener.heartbeat(reply),
      (error: AnserError) => {
        const silent = error.code === "reply_timeout" && this.#heardAtMs <= beatAtMs;
        if (silent && this.#socket === socket) this.#abandon("heartbeat_missed");
      },
    );
  }

  #ended(number: number, message: string): void {
    const reason = this.#farewell ?? closeReason(number, message);
    if (isFinal(number)) {
      this.#finish({ ...reason, number });
      return;
    }
    this.#abandon(reason.code);
  }

  /** Gives the socket up and tries again later. */
  #abandon(code: string): void {
    this.#release();
    this.#wait(code);
  }

  #wait(code: string): void {
    const untilMoveMs = this.#moveAtMs - this.#options.clock.now();
    const retryInMs = untilMoveMs > 0 ? untilMoveMs : backoffMs(this.#attempt, this.#options.random);
    this.#moveAtMs = 0;
    this.#attempt += 1;
    this.#retryTimer.start(retryInMs, () => this.#connect());
    this.#setState({ name: "waiting", retryInMs, attempt: this.#attempt, code });
  }

  #finish(reason: CloseReason): void {
    this.#release();
    this.#retryTimer.stop();
    this.#nextUrl = undefined;
    this.#moveAtMs = 0;
    this.#setState({ name: "closed", code: reason.code, number: reason.number, message: reason.message });
  }

  #release(): void {
    const socket = this.#socket;
    this.#openTimer.stop();
    this.#heartbeatTimer.stop();
    this.#moveTimer.stop();
    this.#socket = undefined;
    this.#authenticated = false;
    this.#farewell = undefined;
    if (!socket) return;
    // A socket that was given up may still speak. What it says then belongs to no state.
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) {
      request.timer.stop();
      request.reject(connectionLost());
    }
    this.#listener.lost();
  }

  #setState(state: State): void {
    this.#state = state;
    this.#listener.state(state);
  }
}
