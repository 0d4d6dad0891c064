import { targetKey, type Conversation, type Message, type Target } from "../message.js";
import { storedCountMax, type Store, type StoredState, type StoreOwner } from "./store.js";

/** Keeps everything in the browser's IndexedDB, one database for each user and server. */
export function indexedDbStore(factory: IDBFactory = indexedDB): Store {
  return new IndexedDbStore(factory);
}

interface MessageRecord {
  inboxSeq: number;
  peerKey: string;
  /** 1 for what counts as unread, as far as it was not read. */
  fromOther: 0 | 1;
  message: Message;
}

interface PendingRecord {
  id: string;
  order: number;
  message: Message;
}

const tables = ["messages", "pending", "read", "position"] as const;
type Table = (typeof tables)[number];
type Tables = Record<Table, IDBObjectStore>;

class IndexedDbStore implements Store {
  readonly #factory: IDBFactory;
  #name = "anser";
  #database: Promise<IDBDatabase> | undefined;
  readonly #orders = new Map<string, number>();
  #order = 0;

  constructor(factory: IDBFactory) {
    this.#factory = factory;
  }

  async open(owner: StoreOwner): Promise<StoredState> {
    this.#name = `anser ${owner.user} ${owner.url}`;
    return this.#run("readonly", async ({ position, pending }) => {
      const records = await answer<PendingRecord[]>(pending.getAll());
      records.sort((left, right) => left.order - right.order);
      for (const record of records) this.#orders.set(record.id, record.order);
      return {
        inboxSeq: (await answer<number | undefined>(position.get("inbox"))) ?? 0,
        pending: records.map((record) => record.message),
      };
    });
  }

  async save(messages: Message[], from: number, to: number): Promise<void> {
    await this.#run("readwrite", async ({ messages: table, pending, position }) => {
      for (const message of messages) {
        const peerKey = targetKey(message.peer);
        const record: MessageRecord = { inboxSeq: message.inboxSeq, peerKey, fromOther: message.own ? 0 : 1, message };
        table.put(record);
        pending.delete(message.id);
        this.#orders.delete(message.id);
      }
      if (to > storedCountMax) table.delete(IDBKeyRange.upperBound(to - storedCountMax));
      const held = (await answer<number | undefined>(position.get("inbox"))) ?? 0;
      if (held >= from && to > held) position.put(to, "inbox");
    });
  }

  async savePending(message: Message): Promise<void> {
    // Time orders the entries of one page after those of an earlier one, and the count those of one page.
    this.#order = Math.max(this.#order + 1, Date.now());
    const order = this.#orders.get(message.id) ?? this.#order;
    this.#orders.set(message.id, order);
    // Nothing is read first: a page that is left right after the sending still gets this written.
    await this.#run("readwrite", async ({ pending }) => {
      pending.put({ id: message.id, order, message } satisfies PendingRecord);
    });
  }

  async removePending(id: string): Promise<void> {
    this.#orders.delete(id);
    await this.#run("readwrite", async ({ pending }) => void pending.delete(id));
  }

  async conversations(): Promise<Conversation[]> {
    return this.#run("readonly", async ({ messages, read }) => {
      const found: Conversation[] = [];
      const byPeer = messages.index("byPeer");
      const unread = messages.index("unread");
      const cursor = byPeer.openCursor(null, "prev");
      for (let at = await answer(cursor); at; at = await answer(cursor)) {
        const { peerKey, message } = at.value as MessageRecord;
        const readUpTo = (await answer<number | undefined>(read.get(peerKey))) ?? 0;
        const above = IDBKeyRange.bound([peerKey, 1, readUpTo], [peerKey, 1, Infinity], true);
        found.push({ peer: message.peer, last: message, unread: await answer(unread.count(above)) });
        // Going backwards, the greatest entry below this one is the last message of the next conversation.
        at.continue([peerKey, 0]);
      }
      return found.sort((left, right) => right.last.inboxSeq - left.last.inboxSeq);
    });
  }

  async history(peer: Target, before: number, limit: number): Promise<Message[]> {
    return this.#run("readonly", async ({ messages }) => {
      const peerKey = targetKey(peer);
      const range = IDBKeyRange.bound([peerKey, 0], [peerKey, before], false, true);
      const found: Message[] = [];
      const cursor = messages.index("byPeer").openCursor(range, "prev");
      for (let at = await answer(cursor); at && found.length < limit; at = await answer(cursor)) {
        found.push((at.value as MessageRecord).message);
        at.continue();
      }
      return found.reverse();
    });
  }

  async markRead(peer: Target, inboxSeq: number): Promise<void> {
    await this.#run("readwrite", async ({ read }) => {
      const peerKey = targetKey(peer);
      const known = (await answer<number | undefined>(read.get(peerKey))) ?? 0;
      if (inboxSeq > known) read.put(inboxSeq, peerKey);
    });
  }

  async clear(): Promise<void> {
    await this.#run("readwrite", async ({ messages, read, position }) => {
      messages.clear();
      read.clear();
      position.clear();
    });
  }

  close(): void {
    const database = this.#database;
    this.#database = undefined;
    void database?.then((open) => open.close(), () => {});
  }

  /** Runs `work` in one transaction and resolves when it is committed. */
  async #run<Result>(mode: IDBTransactionMode, work: (tables: Tables) => Promise<Result>): Promise<Result> {
    let transaction: IDBTransaction;
    try {
      transaction = (await this.#open()).transaction(tables, mode);
    } catch {
      // A browser may close a database by itself, after which it has to be opened again.
      this.#database = undefined;
      transaction = (await this.#open()).transaction(tables, mode);
    }
    const done = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was aborted"));
    });
    // What fails shows in the work's own request first.
    done.catch(() => {});
    const opened = Object.fromEntries(tables.map((table) => [table, transaction.objectStore(table)])) as Tables;
    const result = await work(opened);
    if (mode === "readwrite") transaction.commit();
    await done;
    return result;
  }

  #open(): Promise<IDBDatabase> {
    this.#database ??= new Promise((resolve, reject) => {
      const request = this.#factory.open(this.#name, 1);
      request.onupgradeneeded = () => {
        const messages = request.result.createObjectStore("messages", { keyPath: "inboxSeq" });
        messages.createIndex("byPeer", ["peerKey", "inboxSeq"]);
        messages.createIndex("unread", ["peerKey", "fromOther", "inboxSeq"]);
        request.result.createObjectStore("pending", { keyPath: "id" });
        request.result.createObjectStore("read");
        request.result.createObjectStore("position");
      };
      request.onsuccess = () => {
        request.result.onversionchange = () => this.close();
        resolve(request.result);
      };
      request.onerror = () => reject(request.error);
    });
    return this.#database;
  }
}

function answer<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
