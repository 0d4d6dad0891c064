export { AnserClient, type HistoryOptions, type Place } from "./client.js";
export { type ClientEvents, type Receipt } from "./client_events.js";
export { type Clock } from "./clock.js";
export { type Socket, type SocketConstructor } from "./connection.js";
export { compareConversations, conversationId, peerOf, targetKey, type Conversation } from "./conversation.js";
export { AnserError, type CloseReason } from "./error.js";
export { Groups, type GroupInfo, type GroupRequest, type GroupSettings, type Member, type Role } from "./groups.js";
export {
  compareMessages,
  isGroupEvent,
  isRecalled,
  type Audio,
  type Content,
  type Custom,
  type Failure,
  type File,
  type GroupEvent,
  type Image,
  type Location,
  type Message,
  type Outgoing,
  type Push,
  type Recalled,
  type References,
  type RoomMessage,
  type Status,
  type Target,
  type Video,
} from "./message.js";
export { type ClientOptions } from "./options.js";
export { type Presence } from "./presence.js";
export { type State } from "./state.js";
export { indexedDbStore } from "./store/indexed_db.js";
export { memoryStore } from "./store/memory.js";
export { type Batch, type Move, type Store, type StoredState, type StoreOwner } from "./store/store.js";
export { type Wake } from "./wake.js";
