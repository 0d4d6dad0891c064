import { targetKey, type Conversation } from "../conversation.js";
import { emptyOf, isRecalled, type Message, type Target } from "../message.js";
import { moved, storedCountMax, trimEveryCount, type Batch, type Store, type StoredState, type StoreOwner } from "./store.js";

/** Keeps the last `rowCountMax` rows and the rest in the browser's IndexedDB, one database for each user and server. */
export function indexedDbStore(factory: IDBFactory = indexedDB, rowCountMax = storedCountMax): Store {
  return new IndexedDbStore(factory, rowCountMax);
}

interface RowRecord {
  peerKey: string;
  seq: number;
  timeMs: number;
  message: Message;
}

interface PendingRecord {
  id: string;
  order: number;
  message: Message;
}

const tables = ["rows", "pending", "groups", "conversations", "position"] as const;
type Table = (typeof tables)[number];
type Tables = Record<Table, IDBObjectStore>;

class IndexedDbStore implements Store {
  readonly #factory: IDBFactory;
  #name = "anser";
  #database: Promise<IDBDatabase> | undefined;
  readonly #orders = new Map<string, number>();
  #order = 0;
  #savedCount = 0;

  readonly #rowCountMax: number;

  constructor(factory: IDBFactory, rowCountMax: number) {
    this.#factory = factory;
    this.#rowCountMax = rowCountMax;
  }

  async open(owner: StoreOwner): Promise<StoredState> {
    this.#name = `anser ${owner.user} ${owner.url}`;
    return this.#run("readonly", async ({ position, groups, conversations, pending }) => {
      const records = await answer<PendingRecord[]>(pending.getAll());
      records.sort((left, right) => left.order - right.order);
      for (const record of records) this.#orders.set(record.id, record.order);
      const names = (await answer(groups.getAllKeys())) as string[];
      const held = await answer<number[]>(groups.getAll());
      return {
        inboxSeq: await answer<number | undefined>(position.get("inbox")),
        groups: new Map(names.map((name, index) => [name, held[index] ?? 0])),
        conversations: await answer<Conversation[]>(conversations.getAll()),
        version: (await answer<number | undefined>(position.get("version"))) ?? 0,
        pending: records.map((record) => record.message),
      };
    });
  }

  async save(batch: Batch): Promise<void> {
    await this.#run("readwrite", async ({ rows, pending, groups, conversations, position }) => {
      for (const message of batch.messages) {
        const peerKey = targetKey(message.peer);
        rows.put({ peerKey, seq: message.seq, timeMs: message.timeMs, message } satisfies RowRecord);
        pending.delete(message.id);
        this.#orders.delete(message.id);
        if (isRecalled(message)) await recall(rows, peerKey, message.target);
      }
      for (const conversation of batch.conversations.values()) conversations.put(conversation);
      for (const [conversation, move] of batch.groups) {
        groups.put(moved(await answer<number | undefined>(groups.get(conversation)), move) ?? 0, conversation);
      }
      if (batch.inbox) {
        const held = moved(await answer<number | undefined>(position.get("inbox")), batch.inbox);
        if (held !== undefined) position.put(held, "inbox");
      }
      if (batch.version !== undefined) position.put(batch.version, "version");
      this.#savedCount += batch.messages.length;
      if (this.#savedCount >= trimEveryCount) {
        this.#savedCount = 0;
        await trim(rows, this.#rowCountMax);
      }
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

  async history(peer: Target, before: number, limit: number): Promise<Message[]> {
    return this.#run("readonly", async ({ rows }) => {
      const peerKey = targetKey(peer);
      const range = IDBKeyRange.bound([peerKey, 0], [peerKey, before], false, true);
      const found: Message[] = [];
      const cursor = rows.openCursor(range, "prev");
      for (let at = await answer(cursor); at && found.length < limit; at = await answer(cursor)) {
        found.push((at.value as RowRecord).message);
        at.continue();
      }
      return found.reverse();
    });
  }

  async clear(): Promise<void> {
    await this.#run("readwrite", async ({ rows, groups, conversations, position }) => {
      for (const table of [rows, groups, conversations, position]) table.clear();
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
      const request = this.#factory.open(this.#name, 2);
      request.onupgradeneeded = () => {
        const database = request.result;
        // What another shape of this store kept comes again from the server; what waits to be sent does not.
        for (const name of [...database.objectStoreNames]) if (name !== "pending") database.deleteObjectStore(name);
        const rows = database.createObjectStore("rows", { keyPath: ["peerKey", "seq"] });
        rows.createIndex("byTime", "timeMs");
        database.createObjectStore("groups");
        database.createObjectStore("conversations", { keyPath: "conversation" });
        database.createObjectStore("position");
        if (!database.objectStoreNames.contains("pending")) database.createObjectStore("pending", { keyPath: "id" });
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

async function recall(rows: IDBObjectStore, peerKey: string, seq: number): Promise<void> {
  const record = await answer<RowRecord | undefined>(rows.get([peerKey, seq]));
  if (!record) return;
  emptyOf(record.message);
  rows.put(record);
}

/** Drops the oldest rows beyond what a store may hold. */
async function trim(rows: IDBObjectStore, rowCountMax: number): Promise<void> {
  let excess = (await answer(rows.count())) - rowCountMax;
  const cursor = rows.index("byTime").openCursor();
  for (let at = await answer(cursor); at && excess > 0; at = await answer(cursor)) {
    at.delete();
    excess -= 1;
    at.continue();
  }
}

function answer<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
