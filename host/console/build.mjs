// Bundles src/ into dist/: the page, one script, one style sheet. All but the page have a hash in their names.
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const MOST_COMPRESSED_BYTES = 200_000;

await rm("dist", { recursive: true, force: true });
await mkdir("dist");
const { metafile } = await build({
  entryPoints: ["src/main.tsx", "src/style.css"],
  outdir: "dist",
  entryNames: "[name]-[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  metafile: true,
});
let page = await readFile("index.html", "utf8");
let bytes = 0;
for (const path of Object.keys(metafile.outputs)) {
  const name = basename(path);
  bytes += gzipSync(await readFile(path)).length;
  page = page.replace(name.replace(/-[A-Z0-9]+\./, "."), name);
}
if (bytes > MOST_COMPRESSED_BYTES) {
  throw new Error(`the console has ${bytes} bytes compressed, more than ${MOST_COMPRESSED_BYTES}`);
}
await writeFile("dist/index.html", page);
console.log(`dist: ${bytes} bytes compressed`);
