/**
 * What makes /drive an app that can be installed: its icons, its manifest, and its service worker, which knows by name every
 * file that the page was built into.
 */
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { build, type Plugin, type Rollup } from "vite";

const BASE = "/pages/";
const PAGE = "drive.html";
const ICONS = "src/drive/icons";

const digest = (...parts: (string | Buffer)[]): string => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("base64url").replace(/[^A-Za-z0-9]/g, "0");

/** The file in `static/` of an icon; its name changes with it. */
function iconFile(name: string): string {
  return `assets/${name}-${digest(readFileSync(join(ICONS, `${name}.png`))).slice(0, 8)}.png`;
}

function manifest(): string {
  const icon = (name: string, size: number, purpose: string) => ({ src: BASE + iconFile(name), sizes: `${size}x${size}`, type: "image/png", purpose });
  return JSON.stringify({
    id: "/drive",
    name: "Wayguard Drive",
    short_name: "Wayguard",
    start_url: "/drive",
    scope: "/drive",
    display: "standalone",
    dir: "auto",
    background_color: "#0d151d",
    theme_color: "#0a7f76",
    icons: [icon("icon-192", 192, "any"), icon("icon-512", 512, "any"), icon("maskable-512", 512, "maskable")],
  });
}

/** The files that the page is made of, whatever loads them and when. */
function filesOf(bundle: Rollup.OutputBundle, html: string): string[] {
  const found = new Set<string>([...html.matchAll(/"\/pages\/([^"]+)"/g)].map((match) => match[1]!));
  for (const name of found) {
    const chunk = bundle[name];
    if (chunk?.type !== "chunk") continue;
    const styles = [...(chunk.viteMetadata?.importedCss ?? []), ...(chunk.viteMetadata?.importedAssets ?? [])];
    for (const other of [...chunk.imports, ...chunk.dynamicImports, ...styles]) found.add(other);
  }
  return [...found].sort();
}

async function serviceWorker(shell: { version: string; files: string[] }): Promise<string> {
  const built = (await build({
    configFile: false,
    logLevel: "error",
    publicDir: false,
    define: { __SHELL__: JSON.stringify(shell) },
    build: { write: false, target: "es2022", modulePreload: false, rolldownOptions: { input: "src/drive/sw.ts", output: { format: "iife" } } },
  })) as Rollup.RollupOutput;
  return built.output[0].code;
}

export function driveApp(out: string): Plugin {
  return {
    name: "drive-app",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler: (_html, { path }) =>
        path.endsWith(PAGE)
          ? [
              { tag: "link", attrs: { rel: "manifest", href: "/drive/manifest.webmanifest" }, injectTo: "head" },
              { tag: "link", attrs: { rel: "apple-touch-icon", href: BASE + iconFile("icon-192") }, injectTo: "head" },
            ]
          : [],
    },
    async writeBundle(_options, bundle) {
      for (const name of ["icon-192", "icon-512", "maskable-512"]) copyFileSync(join(ICONS, `${name}.png`), join(out, iconFile(name)));
      writeFileSync(join(out, "manifest.webmanifest"), manifest());
      const html = readFileSync(join(out, PAGE), "utf8");
      const files = filesOf(bundle, html);
      const version = digest(html, manifest(), ...files).slice(0, 12);
      const shell = { version, files: ["/drive", "/drive/manifest.webmanifest", ...files.map((name) => BASE + name)] };
      writeFileSync(join(out, "sw.js"), await serviceWorker(shell));
    },
  };
}
