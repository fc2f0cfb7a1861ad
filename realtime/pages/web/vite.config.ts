import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { defineConfig, type Plugin } from "vite";

const CACHE = "node_modules/.cache/basemap";
const OUT = "../static";

function basemap(): { path: string; maxzoom: number } {
  const { hash, maxzoom } = JSON.parse(readFileSync(`${CACHE}/basemap.json`, "utf8"));
  return { path: `/pages/basemap-${hash}`, maxzoom };
}

/** A compressed copy beside every file that gains by it; the server hands it to whoever accepts gzip. */
function compressed(): Plugin {
  const WORTH_BYTES = 8 * 1024;
  const visit = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (!path.endsWith(".gz") && statSync(path).size > WORTH_BYTES) {
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
      }
    }
  };
  return { name: "compressed", apply: "build", closeBundle: () => visit(OUT) };
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
    rolldownOptions: { input: ["index.html", "share.html"] },
  },
  plugins: [compressed()],
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
}));
