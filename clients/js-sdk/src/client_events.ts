import type { Conversation } from "./conversation.js";
import type { AnserError, CloseReason } from "./error.js";
import type { GroupRequest } from "./groups.js";
import type { GroupEvent, Message, Push, Recalled, RoomMessage, Target } from "./message.js";
import type { Presence } from "./presence.js";
import type { State } from "./state.js";

/** What a client tells, by name. */
export interface ClientEvents {
  state: State;
  /** A message that this client did not send: each once, and in the order of its conversation. */
  message: Message;
  /** A message was recalled: what was said under seq `target` is gone. */
  recalled: Recalled;
  /** A group has changed. */
  groupEvent: GroupEvent;
  /** How a conversation stands has changed. It is the same object for as long as the client lives. */
  conversation: Conversation;
  /** Another one has received or read a conversation up to a seq. */
  receipt: Receipt;
  typing: { conversation: string; peer: Target; user: string };
  /** A watched user came or went. */
  presence: Presence;
  /** Somebody asks to be let into a group of which this user is owner or admin. */
  groupRequest: GroupRequest;
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

/** Up to where somebody has received or read. */
export interface Receipt {
  conversation: string;
  user: string;
  delivered?: number;
  read?: number;
}
