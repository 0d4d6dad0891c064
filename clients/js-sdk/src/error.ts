/** What went wrong, as the server numbers it. `retryable` says whether the same thing may succeed later. */
export class AnserError extends Error {
  readonly code: string;
  readonly number: number;
  readonly retryable: boolean;

  constructor(code: string, message: string, retryable: boolean, number = 0) {
    super(message);
    this.name = "AnserError";
    this.code = code;
    this.number = number;
    this.retryable = retryable;
  }
}

/** Why a connection ended: a close code of the server with its name and words for people. */
export interface CloseReason {
  code: string;
  number: number;
  message: string;
}

const closeReasons: Record<number, [code: string, message: string]> = {
  4001: ["draining", "the server is going away"],
  4004: ["slow_consumer", "what was sent was not read in time"],
  4005: ["idle", "the server heard nothing for too long"],
  4006: ["rate_limited", "too many requests"],
  4007: ["internal", "the server failed"],
  4008: ["full", "the server is full"],
  4501: ["token_rejected", "the token was refused"],
  4502: ["kicked", "the connection was ended by the server"],
  4503: ["replaced_by_device", "this device connected again elsewhere"],
  4504: ["replaced_by_login", "the user signed in on another device"],
  4506: ["protocol_error", "the server did not understand the client"],
  4508: ["frame_too_big", "the client sent a frame that is too big"],
  4509: ["auth_timeout", "the client did not log in in time"],
};

/** The server closes with 4500 to 4999 when connecting again would not help. */
export function isFinal(number: number): boolean {
  return number >= 4500 && number <= 4999;
}

export function closeReason(number: number, message = ""): CloseReason {
  const [code, words] = closeReasons[number] ?? [`close_${number}`, "the connection was closed"];
  return { code, number, message: message || words };
}

export function connectionLost(): AnserError {
  return new AnserError("connection_lost", "the connection was lost", true);
}

export function asAnserError(error: unknown, code: string): AnserError {
  if (error instanceof AnserError) return error;
  return new AnserError(code, error instanceof Error ? error.message : String(error), true);
}
