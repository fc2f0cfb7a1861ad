import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

import { defineConfig, type Plugin } from "vite";

import { driveApp } from "./drive.build.ts";
import { emergencyTable } from "./emergency/build.mjs";

const CACHE = "node_modules/.cache/basemap";
const OUT = "../static";

function basemap(): { path: string; maxzoom: number } {
  const { hash, maxzoom } = JSON.parse(readFileSync(`${CACHE}/basemap.json`, "utf8"));
  return { path: `/pages/basemap-${hash}`, maxzoom };
}

/** Compressed copies beside every file that gains by them; the server hands them to whoever accepts br or gzip. */
function compressed(): Plugin {
  const WORTH_BYTES = 2 * 1024;
  const visit = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (!/\.(gz|br|png)$/.test(path) && statSync(path).size > WORTH_BYTES) {
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
        // Brotli takes long: it pays for what everybody waits for, and not for a thousand tiles.
        if (/\.(m?js|css)$/.test(path)) writeFileSync(`${path}.br`, brotliCompressSync(readFileSync(path)));
      }
    }
  };
  return { name: "compressed", apply: "build", closeBundle: () => visit(OUT) };
}

function pages(): Record<string, string> {
  const files = readdirSync(".").filter((name) => name.endsWith(".html"));
  return Object.fromEntries(files.map((name) => [name.replace(".html", ""), name]));
}

export default defineConfig(({ command, mode }) => ({
  base: "/pages/",
  publicDir: `${CACHE}/files`,
  define: mode === "test" ? {} : { __BASEMAP__: JSON.stringify(command === "build" ? basemap() : { path: "", maxzoom: 0 }) },
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 2_000,
    reportCompressedSize: false,
    rolldownOptions: {
      input: { ...pages(), answer: "src/contact/answer.ts" },
      // The page of answers is no file of this build, and asks for its addition by a name that stays.
      output: { entryFileNames: ({ name }) => (name === "answer" ? "answer.js" : "assets/[name]-[hash].js") },
    },
  },
  plugins: [emergencyTable(), driveApp(OUT), compressed()],
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
}));
