import assert from "node:assert/strict";
import { build } from "esbuild";
import test from "node:test";
import { gzipSync } from "node:zlib";

test("the whole SDK is at most 15 kB, minified and compressed", async () => {
  const result = await build({ entryPoints: ["src/index.ts"], bundle: true, minify: true, format: "esm", write: false });
  const byteCount = gzipSync(result.outputFiles[0]!.contents, { level: 9 }).length;
  assert.ok(byteCount <= 15_000, `${byteCount} bytes`);
});
