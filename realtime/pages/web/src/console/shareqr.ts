/** A QR code, drawn square by square: no picture comes from outside, and none is made of markup. */
import { encodeQR } from "qr";

const SVG = "http://www.w3.org/2000/svg";
/** The quiet zone that readers want, in squares. */
const BORDER = 4;

/** The code for a text as a drawing that says `label` to whoever cannot see it. */
export function qrDrawing(text: string, label: string): SVGSVGElement {
  const rows = encodeQR(text, "raw", { ecc: "medium", border: BORDER });
  const svg = document.createElementNS(SVG, "svg");
  const side = rows.length;
  for (const [name, value] of [["viewBox", `0 0 ${side} ${side}`], ["class", "qr"], ["role", "img"], ["aria-label", label], ["shape-rendering", "crispEdges"]] as const) {
    svg.setAttribute(name, value);
  }
  const dark = document.createElementNS(SVG, "path");
  dark.setAttribute("d", squares(rows));
  svg.append(dark);
  return svg;
}

/** One path for all dark squares, those beside each other in one go. */
export function squares(rows: readonly (readonly boolean[])[]): string {
  const parts: string[] = [];
  rows.forEach((row, y) => {
    for (let x = 0; x < row.length; x += 1) {
      if (!row[x]) continue;
      const start = x;
      while (row[x + 1]) x += 1;
      parts.push(`M${start} ${y}h${x - start + 1}v1h-${x - start + 1}z`);
    }
  });
  return parts.join("");
}
