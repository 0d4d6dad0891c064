// Builds the page into dist/: index.html, app.js and app.css, which the binary carries.
import { build } from "esbuild";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
copyFileSync("src/index.html", "dist/index.html");
await build({
  entryPoints: { app: "src/app.ts" },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  logLevel: "warning",
  // The SDK is taken from its sources, so that the page needs no build of it.
  alias: { "anser-client": "../js-sdk/src/index.ts" },
});
await build({ entryPoints: { app: "src/app.css" }, outdir: "dist", bundle: true, minify: true, logLevel: "warning" });
