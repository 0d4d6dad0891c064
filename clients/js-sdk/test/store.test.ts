import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import assert from "node:assert/strict";
import test from "node:test";
import { indexedDbStore, memoryStore, type Batch, type Message, type Store } from "../src/index.js";
import { decodeMessage } from "../src/codec.js";
import { emptyConversation } from "../src/conversation.js";
import { Writer } from "../src/store/writer.js";
import { fromBob, inGroup, range } from "./fake_server.js";
import { fixture, startLive, texts } from "./fixture.js";

Object.assign(globalThis, { IDBKeyRange });

const owner = { url: "ws://server/sub", user: "alice" };
const bob = { user: "bob" };

function message(seq: number, fields: Record<string, unknown> = {}): Message {
  return decodeMessage(fromBob(seq, fields), "alice");
}

function ownTo(user: string, seq: number): Message {
  return message(seq, { sender: "alice", to: { user }, clientMessageId: `own-${seq}`, conversation: `c-${user}` });
}

function batch(messages: Message[], from?: number, to?: number): Batch {
  const inbox = from === undefined || to === undefined ? {} : { inbox: { from, to } };
  return { messages, groups: new Map(), conversations: new Map(), ...inbox };
}

/** Two stores of one kind that share what they keep, as before and after a reload. */
const kinds: Record<string, (rowCountMax?: number) => [before: Store, after: Store]> = {
  memory: (rowCountMax) => {
    const store = memoryStore(rowCountMax);
    return [store, store];
  },
  "indexed database": (rowCountMax) => {
    const factory = new IDBFactory();
    return [indexedDbStore(factory, rowCountMax), indexedDbStore(factory, rowCountMax)];
  },
};

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: an empty store has no position, no conversation and no message`, async () => {
    const [store] = make();
    const empty = { inboxSeq: undefined, groups: new Map(), conversations: [], version: 0, pending: [] };
    assert.deepEqual(await store.open(owner), empty);
    assert.deepEqual(await store.history(bob, Infinity, 10), []);
  });

  test(`${kind}: messages, positions and conversations are there after a reload`, async () => {
    const [before, after] = make();
    await before.open(owner);
    const conversation = { ...emptyConversation("group:g", { group: "g" }, "super"), unread: 3 };
    await before.save({
      ...batch([message(1), message(2)], 0, 2),
      groups: new Map([["group:g", { from: 0, to: 7 }]]),
      conversations: new Map([["group:g", conversation]]),
      version: 12,
    });
    before.close();
    const state = await after.open(owner);
    assert.equal(state.inboxSeq, 2);
    assert.deepEqual([...state.groups], [["group:g", 7]]);
    assert.deepEqual(state.conversations, [conversation]);
    assert.equal(state.version, 12);
    assert.deepEqual(texts(await after.history(bob, Infinity, 10)), ["message 1", "message 2"]);
  });

  test(`${kind}: no position ever passes over rows that are not in the store`, async () => {
    const [store, after] = make();
    await store.open(owner);
    await store.save(batch([message(6)], 5, 6));
    assert.equal((await after.open(owner)).inboxSeq, undefined);
    await store.save(batch([1, 2, 3, 4, 5].map((seq) => message(seq)), 0, 5));
    assert.equal((await after.open(owner)).inboxSeq, 5);
    await store.save(batch([message(3)], 2, 3));
    assert.equal((await after.open(owner)).inboxSeq, 5);
    const move = async (from: number, to: number) => {
      await store.save({ ...batch([]), groups: new Map([["group:g", { from, to }]]) });
      return (await after.open(owner)).groups.get("group:g");
    };
    assert.equal(await move(0, 40), 40);
    assert.equal(await move(45, 50), 40);
    assert.equal(await move(40, 44), 44);
    assert.equal(await move(0, 60), 60);
  });

  test(`${kind}: history gives the last below a seq, oldest first, whatever order they came in`, async () => {
    const [store] = make();
    await store.open(owner);
    await store.save(batch([7, 8, 1, 5, 2, 4].map((seq) => message(seq)), 0, 9));
    await store.save(batch([ownTo("carol", 3), ownTo("carol", 6), message(5)], 0, 9));
    const seqs = async (peer: { user: string }, before: number, limit: number) =>
      (await store.history(peer, before, limit)).map((entry) => entry.seq);
    assert.deepEqual(await seqs(bob, Infinity, 3), [5, 7, 8]);
    assert.deepEqual(await seqs(bob, 5, 3), [1, 2, 4]);
    assert.deepEqual(await seqs({ user: "carol" }, 9, 9), [3, 6]);
    assert.deepEqual(await seqs({ user: "bo" }, Infinity, 9), []);
  });

  test(`${kind}: a recall empties what it names, in the same batch or an earlier one`, async () => {
    const [store] = make();
    await store.open(owner);
    const recall = (seq: number, target: number) =>
      decodeMessage(inGroup("g", seq, { kind: "recalled", target, by: "bob", text: undefined }), "alice");
    const said = (seq: number) => decodeMessage(inGroup("g", seq, { mentions: ["alice"] }), "alice");
    await store.save(batch([said(1), said(2)]));
    await store.save(batch([said(3), recall(4, 1), recall(5, 3), recall(6, 99)]));
    const rows = await store.history({ group: "g" }, Infinity, 9);
    const shown = rows.map((row) => [row.seq, row.text, row.recalled ?? false, row.mentions]);
    assert.deepEqual(shown.slice(0, 3), [[1, undefined, true, undefined], [2, "g 2", false, ["alice"]], [3, undefined, true, undefined]]);
  });

  test(`${kind}: pending messages keep their order and end with being saved`, async () => {
    const [store, after] = make();
    await store.open(owner);
    const [first, second, third] = [1, 2, 3].map((seq) => ({ ...ownTo("bob", seq), status: "sending" as const }));
    for (const entry of [first!, second!, third!]) await store.savePending(entry);
    await store.savePending({ ...first!, status: "failed" });
    await store.removePending(second!.id);
    const pending = (await after.open(owner)).pending;
    assert.deepEqual(pending.map((entry) => [entry.id, entry.status]), [[first!.id, "failed"], [third!.id, "sending"]]);
    await store.save(batch([ownTo("bob", 3)], 0, 3));
    assert.deepEqual((await after.open(owner)).pending.map((entry) => entry.id), [first!.id]);
  });

  test(`${kind}: clearing forgets messages, positions and conversations and keeps what waits to be sent`, async () => {
    const [store, after] = make();
    await store.open(owner);
    await store.save({ ...batch([message(1)], 0, 1), groups: new Map([["group:g", { from: 0, to: 7 }]]), version: 4 });
    await store.savePending(ownTo("bob", 2));
    await store.clear();
    const { pending, ...rest } = await after.open(owner);
    assert.deepEqual(rest, { inboxSeq: undefined, groups: new Map(), conversations: [], version: 0 });
    assert.equal(pending.length, 1);
    assert.deepEqual(await store.history(bob, Infinity, 9), []);
  });

  test(`${kind}: the oldest rows go when there are too many`, async () => {
    const [store] = make(1_000);
    await store.open(owner);
    for (const part of [0, 1, 2]) await store.save(batch(range(part * 700 + 1, part * 700 + 700).map((seq) => message(seq))));
    const seqs = (await store.history(bob, Infinity, 3_000)).map((entry) => entry.seq);
    assert.deepEqual(seqs, range(1_101, 2_100));
  });
}

test("indexed database: two users and two servers do not see each other's messages", async () => {
  const factory = new IDBFactory();
  const [alice, carol, elsewhere] = [indexedDbStore(factory), indexedDbStore(factory), indexedDbStore(factory)];
  await alice.open(owner);
  await alice.save(batch([message(1)], 0, 1));
  assert.equal((await carol.open({ ...owner, user: "carol" })).inboxSeq, undefined);
  assert.equal((await elsewhere.open({ ...owner, url: "ws://elsewhere/sub" })).inboxSeq, undefined);
});

test("a client that starts again states its stored position and shows what it had", async () => {
  const store = memoryStore();
  const earlier = fixture({ store });
  const socket = await startLive(earlier);
  for (const seq of [1, 2, 4]) socket.say({ message: fromBob(seq, { conversation: "single:5:alice:bob" }) });
  await earlier.client.close();
  const later = fixture({ store });
  assert.deepEqual(texts(await later.client.history(bob)), ["message 1", "message 2"]);
  assert.equal((await later.client.conversations())[0]!.unread, 2);
  later.client.read(bob, 2);
  assert.equal((await later.client.conversations())[0]!.unread, 0);
  const again = await startLive(later, { inboxTop: 2 });
  assert.equal(again.last("auth").body.inboxSeq, 2);
  assert.deepEqual(again.last("read").body, { conversation: "single:5:alice:bob", seq: 2 });
});

test("a store that cannot be opened is replaced by memory, and the client says so", async () => {
  const broken = { ...memoryStore(), open: () => Promise.reject(new Error("no storage")) } as Store;
  const made = fixture({ store: broken });
  const socket = await startLive(made);
  socket.say({ message: fromBob(1) });
  assert.deepEqual(made.errors, ["store_unavailable"]);
  assert.equal((await made.client.history(bob)).length, 1);
});

test("after a failed write nothing more is written, so that no stored position has a hole below it", async () => {
  const saved: number[] = [];
  const failures: unknown[] = [];
  const calls: number[] = [];
  const store = { save: async ({ inbox }: Batch) => void (calls.push(inbox!.to), await Promise.reject(new Error("full"))) };
  const writer = new Writer(() => store as unknown as Store, {
    saved: ({ inbox }) => saved.push(inbox!.to),
    failed: (error) => failures.push(error),
  });
  writer.add({ messages: [message(1)], inbox: { from: 0, to: 1 } });
  await writer.idle();
  writer.add({ messages: [message(2)], inbox: { from: 1, to: 2 } });
  await writer.idle();
  assert.deepEqual(calls, [1]);
  assert.deepEqual(saved, [1, 2]);
  assert.equal(failures.length, 1);
});
