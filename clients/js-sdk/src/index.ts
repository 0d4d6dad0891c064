export { AnserClient, type ClientEvents, type ClientOptions } from "./client.js";
export { type Clock } from "./clock.js";
export { type Socket, type SocketConstructor } from "./connection.js";
export { AnserError, type CloseReason } from "./error.js";
export {
  compareMessages,
  targetKey,
  type Content,
  type Conversation,
  type Custom,
  type Failure,
  type Image,
  type Message,
  type Outgoing,
  type Push,
  type RoomMessage,
  type Status,
  type Target,
} from "./message.js";
export { type State } from "./state.js";
export { indexedDbStore } from "./store/indexed_db.js";
export { memoryStore } from "./store/memory.js";
export { type Store, type StoredState, type StoreOwner } from "./store/store.js";
export { type Wake } from "./wake.js";
