import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import assert from "node:assert/strict";
import test from "node:test";
import { indexedDbStore, memoryStore, type Message, type Store } from "../src/index.js";
import { Writer } from "../src/store/writer.js";
import { fromBob, range } from "./fake_server.js";
import { decodeMessage } from "../src/codec.js";
import { fixture, startLive, texts } from "./fixture.js";

Object.assign(globalThis, { IDBKeyRange });

const owner = { url: "ws://server/sub", user: "alice" };
const bob = { user: "bob" };

function message(inboxSeq: number, fields: Record<string, unknown> = {}): Message {
  return decodeMessage(fromBob(inboxSeq, fields), "alice");
}

function ownTo(user: string, inboxSeq: number): Message {
  return message(inboxSeq, { sender: "alice", to: { user }, clientMessageId: `own-${inboxSeq}` });
}

/** Two stores of one kind that share what they keep, as before and after a reload. */
const kinds: Record<string, () => [before: Store, after: Store]> = {
  memory: () => {
    const store = memoryStore();
    return [store, store];
  },
  "indexed database": () => {
    const factory = new IDBFactory();
    return [indexedDbStore(factory), indexedDbStore(factory)];
  },
};

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: an empty store has no position, no conversation and no message`, async () => {
    const [store] = make();
    assert.deepEqual(await store.open(owner), { inboxSeq: 0, pending: [] });
    assert.deepEqual(await store.conversations(), []);
    assert.deepEqual(await store.history(bob, Infinity, 10), []);
  });

  test(`${kind}: messages and position are there after a reload`, async () => {
    const [before, after] = make();
    await before.open(owner);
    await before.save([message(1), message(2)], 0, 2);
    before.close();
    assert.equal((await after.open(owner)).inboxSeq, 2);
    assert.deepEqual(texts(await after.history(bob, Infinity, 10)), ["message 1", "message 2"]);
  });

  test(`${kind}: the position never passes over messages that are not in the store`, async () => {
    const [store, after] = make();
    await store.open(owner);
    await store.save([message(6)], 5, 6);
    assert.equal((await after.open(owner)).inboxSeq, 0);
    await store.save([1, 2, 3, 4, 5].map((seq) => message(seq)), 0, 5);
    assert.equal((await after.open(owner)).inboxSeq, 5);
    await store.save([message(3)], 2, 3);
    assert.equal((await after.open(owner)).inboxSeq, 5);
  });

  test(`${kind}: history gives the newest below a number, oldest first`, async () => {
    const [store] = make();
    await store.open(owner);
    await store.save(range(1, 9).map((seq) => (seq % 3 === 0 ? ownTo("carol", seq) : message(seq))), 0, 9);
    assert.deepEqual((await store.history(bob, Infinity, 3)).map((entry) => entry.inboxSeq), [5, 7, 8]);
    assert.deepEqual((await store.history(bob, 5, 3)).map((entry) => entry.inboxSeq), [1, 2, 4]);
    assert.deepEqual((await store.history({ user: "carol" }, 9, 9)).map((entry) => entry.inboxSeq), [3, 6]);
    assert.deepEqual(await store.history({ user: "bo" }, Infinity, 9), []);
  });

  test(`${kind}: unread counts what others sent above the read mark, which never goes back`, async () => {
    const [store] = make();
    await store.open(owner);
    const messages = [message(1), ownTo("bob", 2), message(3), message(4), ownTo("carol", 5)];
    await store.save(messages, 0, 5);
    const counts = async () => (await store.conversations()).map(({ peer, unread, last }) => [peer, unread, last.inboxSeq]);
    assert.deepEqual(await counts(), [[{ user: "carol" }, 0, 5], [bob, 3, 4]]);
    await store.markRead(bob, 3);
    await store.markRead(bob, 1);
    assert.deepEqual(await counts(), [[{ user: "carol" }, 0, 5], [bob, 1, 4]]);
    await store.save([message(6)], 5, 6);
    assert.deepEqual(await counts(), [[bob, 2, 6], [{ user: "carol" }, 0, 5]]);
  });

  test(`${kind}: pending messages keep their order and end with being saved`, async () => {
    const [store, after] = make();
    await store.open(owner);
    const first = { ...ownTo("bob", 1), status: "sending" as const };
    const second = { ...ownTo("bob", 2), status: "sending" as const };
    const third = { ...ownTo("bob", 3), status: "sending" as const };
    for (const entry of [first, second, third]) await store.savePending(entry);
    await store.savePending({ ...first, status: "failed" });
    await store.removePending(second.id);
    const pending = (await after.open(owner)).pending;
    assert.deepEqual(pending.map((entry) => [entry.id, entry.status]), [[first.id, "failed"], [third.id, "sending"]]);
    await store.save([ownTo("bob", 3)], 0, 3);
    assert.deepEqual((await after.open(owner)).pending.map((entry) => entry.id), [first.id]);
  });

  test(`${kind}: clearing forgets messages, position and read marks and keeps what waits to be sent`, async () => {
    const [store, after] = make();
    await store.open(owner);
    await store.save([message(1)], 0, 1);
    await store.markRead(bob, 1);
    await store.savePending(ownTo("bob", 2));
    await store.clear();
    const state = await after.open(owner);
    assert.equal(state.inboxSeq, 0);
    assert.equal(state.pending.length, 1);
    await store.save([message(1)], 0, 1);
    assert.equal((await store.conversations())[0]!.unread, 1);
  });

  test(`${kind}: the oldest messages go when there are too many`, async () => {
    const [store] = make();
    await store.open(owner);
    await store.save([message(1), message(2)], 0, 2);
    await store.save([message(20_001)], 2, 20_001);
    assert.deepEqual((await store.history(bob, Infinity, 9)).map((entry) => entry.inboxSeq), [2, 20_001]);
  });
}

test("indexed database: two users and two servers do not see each other's messages", async () => {
  const factory = new IDBFactory();
  const [alice, carol, elsewhere] = [indexedDbStore(factory), indexedDbStore(factory), indexedDbStore(factory)];
  await alice.open(owner);
  await alice.save([message(1)], 0, 1);
  assert.equal((await carol.open({ ...owner, user: "carol" })).inboxSeq, 0);
  assert.equal((await elsewhere.open({ ...owner, url: "ws://elsewhere/sub" })).inboxSeq, 0);
});

test("a client that starts again states its stored position and shows what it had", async () => {
  const store = memoryStore();
  const earlier = fixture({ store });
  const socket = await startLive(earlier);
  for (const seq of [1, 2, 4]) socket.say({ message: fromBob(seq) });
  await earlier.client.close();
  const later = fixture({ store });
  assert.deepEqual(texts(await later.client.history(bob)), ["message 1", "message 2"]);
  assert.equal((await later.client.conversations())[0]!.unread, 2);
  await later.client.markRead(bob, 2);
  assert.equal((await later.client.conversations())[0]!.unread, 0);
  const again = await startLive(later, { inboxTop: 2 });
  assert.equal(again.last("auth").body.inboxSeq, 2);
});

test("a store that cannot be opened is replaced by memory, and the client says so", async () => {
  const broken = { ...memoryStore(), open: () => Promise.reject(new Error("no storage")) } as Store;
  const made = fixture({ store: broken });
  const socket = await startLive(made);
  socket.say({ message: fromBob(1) });
  assert.deepEqual(made.errors, ["store_unavailable"]);
  assert.equal((await made.client.history(bob)).length, 1);
});

test("after a failed write nothing more is written, so that the stored position has no hole below it", async () => {
  const saved: number[] = [];
  const failures: unknown[] = [];
  const calls: number[] = [];
  const store = { save: async (_: Message[], __: number, to: number) => void (calls.push(to), await Promise.reject(new Error("full"))) };
  const writer = new Writer(() => store as unknown as Store, {
    saved: (_, to) => saved.push(to),
    failed: (error) => failures.push(error),
  });
  writer.add([message(1)], 0, 1);
  await writer.idle();
  writer.add([message(2)], 1, 2);
  await writer.idle();
  assert.deepEqual(calls, [1]);
  assert.deepEqual(saved, [1, 2]);
  assert.equal(failures.length, 1);
});
