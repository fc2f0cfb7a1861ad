/** The pictures that markers are drawn from: icons and rings in one sheet, names in another. */
import type { Palette } from "../common/theme";
import { icons, ICON_SCALE } from "./markers";

export const CELL_PX = 64;
const COLUMNS = 4;
const ROWS = 2;
export const ICON_GRID: readonly [number, number, number] = [COLUMNS, 1 / COLUMNS, 1 / ROWS];

const STATES = ["fresh", "stale", "offline"] as const;
export const RING_CHOSEN = 6;
export const RING_ALARM = 7;

/** The cell of an icon: one for each state, with and without a heading. */
export function iconCell(state: (typeof STATES)[number], heading: boolean): number {
  return STATES.indexOf(state) * 2 + (heading ? 1 : 0);
}

export function iconSheet(palette: Palette, alarm: string): HTMLCanvasElement {
  const sheet = blank(COLUMNS * CELL_PX * ICON_SCALE, ROWS * CELL_PX * ICON_SCALE);
  const pen = sheet.getContext("2d")!;
  const made = icons(palette);
  const corner = (cell: number): [number, number] => [(cell % COLUMNS) * CELL_PX, Math.floor(cell / COLUMNS) * CELL_PX];
  for (const state of STATES) {
    for (const heading of [false, true]) {
      const image = made.get(`${state}-${heading ? "heading" : "plain"}`)!;
      const [x, y] = corner(iconCell(state, heading));
      const inset = (CELL_PX * ICON_SCALE - image.width) / 2;
      pen.putImageData(image, x * ICON_SCALE + inset, y * ICON_SCALE + inset);
    }
  }
  pen.scale(ICON_SCALE, ICON_SCALE);
  drawChosen(pen, palette, corner(RING_CHOSEN));
  drawAlarm(pen, palette, alarm, corner(RING_ALARM));
  return sheet;
}

function drawChosen(pen: CanvasRenderingContext2D, palette: Palette, [x, y]: [number, number]): void {
  ringAt(pen, x, y, 19, 1.5, palette.fresh);
  pen.globalAlpha = 0.18;
  pen.fillStyle = palette.fresh;
  pen.fill();
  pen.globalAlpha = 1;
}

/** Two rings and a badge: it is told from any other marker without its colour too. */
function drawAlarm(pen: CanvasRenderingContext2D, palette: Palette, alarm: string, [x, y]: [number, number]): void {
  ringAt(pen, x, y, 18, 6, palette.ring);
  ringAt(pen, x, y, 18, 3, alarm);
  ringAt(pen, x, y, 23, 1.5, alarm);
  const [badgeX, badgeY] = [x + CELL_PX / 2 + 17, y + CELL_PX / 2 - 17];
  pen.beginPath();
  pen.arc(badgeX, badgeY, 8.5, 0, 2 * Math.PI);
  pen.fillStyle = alarm;
  pen.fill();
  pen.lineWidth = 1.5;
  pen.strokeStyle = palette.ring;
  pen.stroke();
  pen.fillStyle = palette.ring;
  pen.fillRect(badgeX - 1, badgeY - 5, 2, 6);
  pen.fillRect(badgeX - 1, badgeY + 2.5, 2, 2);
}

function ringAt(pen: CanvasRenderingContext2D, x: number, y: number, radius: number, width: number, colour: string): void {
  pen.beginPath();
  pen.arc(x + CELL_PX / 2, y + CELL_PX / 2, radius, 0, 2 * Math.PI);
  pen.lineWidth = width;
  pen.strokeStyle = colour;
  pen.stroke();
}

export const NAME_WIDTH_PX = 168;
export const NAME_HEIGHT_PX = 18;
const NAME_COLUMNS = 4;
export const NAME_SLOTS = 96;
export const NAME_GRID: readonly [number, number, number] = [NAME_COLUMNS, 1 / NAME_COLUMNS, NAME_COLUMNS / NAME_SLOTS];
export const NAME_SHEET_PX: readonly [number, number] = [
  NAME_COLUMNS * NAME_WIDTH_PX * ICON_SCALE,
  (NAME_SLOTS / NAME_COLUMNS) * NAME_HEIGHT_PX * ICON_SCALE,
];

/** The corner of a slot in the sheet of names, in its own pixels. */
export function nameCorner(slot: number): [number, number] {
  const column = slot % NAME_COLUMNS;
  return [column * NAME_WIDTH_PX * ICON_SCALE, Math.floor(slot / NAME_COLUMNS) * NAME_HEIGHT_PX * ICON_SCALE];
}

/** Writes names, one at a time, on a canvas of its own that is read by whoever asked. */
export class NamePen {
  readonly canvas = blank(NAME_WIDTH_PX * ICON_SCALE, NAME_HEIGHT_PX * ICON_SCALE);
  private readonly pen = this.canvas.getContext("2d", { willReadFrequently: true })!;

  constructor(private readonly family: string) {
    this.pen.scale(ICON_SCALE, ICON_SCALE);
    this.pen.textAlign = "center";
    this.pen.textBaseline = "middle";
    this.pen.lineJoin = "round";
  }

  /** Draws `text`; returns how wide it came out, in CSS pixels. */
  write(text: string, palette: Palette, faint: boolean): number {
    const { pen } = this;
    pen.clearRect(0, 0, NAME_WIDTH_PX, NAME_HEIGHT_PX);
    pen.font = `600 12px ${this.family}`;
    pen.globalAlpha = faint ? 0.75 : 1;
    pen.strokeStyle = palette.labelHalo;
    pen.lineWidth = 3;
    const [x, y] = [NAME_WIDTH_PX / 2, NAME_HEIGHT_PX / 2];
    pen.strokeText(text, x, y, NAME_WIDTH_PX - 6);
    pen.fillStyle = palette.label;
    pen.fillText(text, x, y, NAME_WIDTH_PX - 6);
    return Math.min(NAME_WIDTH_PX, pen.measureText(text).width + 6);
  }
}

function blank(width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}
