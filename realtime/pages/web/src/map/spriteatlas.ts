/**
 * The pictures that markers are drawn from. Every icon is there at the size and in the direction it is drawn, so that a marker is
 * a copy of pixels: cheap also on a machine without a graphics card.
 */
import type { Palette } from "../common/theme";
import { icons } from "./markers";

export const STATES = ["fresh", "stale", "offline"] as const;
/** Directions an arrow is drawn in. */
export const DIRECTIONS = 48;
const BOX_PX = 42;
const COLUMNS = 9;

export interface Sheet {
  canvas: HTMLCanvasElement;
  /** Side of a picture, in pixels of the device. */
  side: number;
}

/** The picture of an icon: without an arrow one a state, with one (only who is fresh has it) one a direction. */
export function cellOf(icon: number, headingDeg: number): number {
  if (Number.isNaN(headingDeg)) return icon;
  const direction = Math.round((headingDeg / 360) * DIRECTIONS);
  return STATES.length + (((direction % DIRECTIONS) + DIRECTIONS) % DIRECTIONS);
}

export function cornerOf(cell: number, side: number): [number, number] {
  return [(cell % COLUMNS) * side, Math.floor(cell / COLUMNS) * side];
}

/** All icons, `scale` pixels of the device a pixel of the drawing. */
export function iconSheet(palette: Palette, scale: number): Sheet {
  const side = Math.ceil(BOX_PX * scale);
  const cells = STATES.length + DIRECTIONS;
  const canvas = blank(COLUMNS * side, Math.ceil(cells / COLUMNS) * side);
  const pen = canvas.getContext("2d")!;
  pen.imageSmoothingQuality = "high";
  const pictures = new Map([...icons(palette)].map(([name, image]) => [name, pictureOf(image)]));
  const draw = (cell: number, picture: HTMLCanvasElement, turn: number): void => {
    const [x, y] = cornerOf(cell, side);
    const size = (picture.width / 2) * scale;
    pen.setTransform(1, 0, 0, 1, x + side / 2, y + side / 2);
    pen.rotate(turn);
    pen.drawImage(picture, -size / 2, -size / 2, size, size);
  };
  STATES.forEach((state, cell) => draw(cell, pictures.get(`${state}-plain`)!, 0));
  const arrow = pictures.get("fresh-heading")!;
  for (let n = 0; n < DIRECTIONS; n += 1) draw(STATES.length + n, arrow, (n / DIRECTIONS) * 2 * Math.PI);
  return { canvas, side };
}

/** The ring of whoever is chosen. */
export function drawChosen(pen: CanvasRenderingContext2D, x: number, y: number, scale: number, palette: Palette): void {
  ring(pen, x, y, 19 * scale, 1.5 * scale, palette.fresh);
  pen.globalAlpha = 0.18;
  pen.fillStyle = palette.fresh;
  pen.fill();
  pen.globalAlpha = 1;
}

/** The sign of whoever is in an alert: two rings and a badge, told from any other marker without its colour too. */
export function drawAlarm(pen: CanvasRenderingContext2D, x: number, y: number, scale: number, palette: Palette, alarm: string): void {
  ring(pen, x, y, 18 * scale, 6 * scale, palette.ring);
  ring(pen, x, y, 18 * scale, 3 * scale, alarm);
  ring(pen, x, y, 23 * scale, 1.5 * scale, alarm);
  const [badgeX, badgeY] = [x + 17 * scale, y - 17 * scale];
  ring(pen, badgeX, badgeY, 8.5 * scale, 1.5 * scale, palette.ring);
  pen.fillStyle = alarm;
  pen.fill();
  pen.fillStyle = palette.ring;
  pen.fillRect(badgeX - scale, badgeY - 5 * scale, 2 * scale, 6 * scale);
  pen.fillRect(badgeX - scale, badgeY + 2.5 * scale, 2 * scale, 2 * scale);
}

function ring(pen: CanvasRenderingContext2D, x: number, y: number, radius: number, width: number, colour: string): void {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.lineWidth = width;
  pen.strokeStyle = colour;
  pen.stroke();
}

/** Circles with a number in them, each drawn once and then copied. */
export class GroupPictures {
  private readonly made = new Map<string, HTMLCanvasElement>();

  constructor(private readonly family: string) {}

  of(label: string, icon: number, palette: Palette, scale: number): HTMLCanvasElement {
    const key = `${icon} ${label}`;
    const known = this.made.get(key);
    if (known) return known;
    // There are as many as numbers that are seen; a long day makes no more of them than this.
    if (this.made.size >= MOST_PICTURES) this.made.clear();
    const radius = groupRadiusPx(label.length);
    const side = Math.ceil((radius + 5) * 2 * scale);
    const canvas = blank(side, side);
    const pen = canvas.getContext("2d")!;
    pen.setTransform(scale, 0, 0, scale, side / 2, side / 2);
    const colour = palette[STATES[icon] ?? "fresh"];
    pen.globalAlpha = 0.3;
    pen.fillStyle = colour;
    pen.beginPath();
    pen.arc(0, 0, radius + 4, 0, 2 * Math.PI);
    pen.fill();
    pen.globalAlpha = 1;
    pen.beginPath();
    pen.arc(0, 0, radius, 0, 2 * Math.PI);
    pen.fill();
    pen.lineWidth = 2;
    pen.strokeStyle = palette.ring;
    pen.stroke();
    pen.fillStyle = palette.ring;
    pen.font = `700 12.5px ${this.family}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(label, 0, 0.5);
    this.made.set(key, canvas);
    return canvas;
  }
}

const MOST_PICTURES = 512;

/** How wide the circle of a group is, by the length of its number. */
export function groupRadiusPx(letters: number): number {
  return 10 + 3 * letters;
}

export const NAME_WIDTH_PX = 168;
export const NAME_HEIGHT_PX = 18;
export const NAME_SLOTS = 96;
const NAME_COLUMNS = 4;

/** Names as pictures, each written once and then only copied. */
export class NameSheet {
  readonly canvas: HTMLCanvasElement;
  private readonly pen: CanvasRenderingContext2D;

  constructor(
    private readonly family: string,
    readonly scale: number,
  ) {
    this.canvas = blank(Math.ceil(NAME_COLUMNS * NAME_WIDTH_PX * scale), Math.ceil((NAME_SLOTS / NAME_COLUMNS) * NAME_HEIGHT_PX * scale));
    this.pen = this.canvas.getContext("2d")!;
  }

  /** The corner of a slot, in CSS pixels. */
  corner(slot: number): [number, number] {
    return [(slot % NAME_COLUMNS) * NAME_WIDTH_PX, Math.floor(slot / NAME_COLUMNS) * NAME_HEIGHT_PX];
  }

  write(slot: number, text: string, palette: Palette, faint: boolean): void {
    const { pen } = this;
    const [x, y] = this.corner(slot);
    pen.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    pen.clearRect(x, y, NAME_WIDTH_PX, NAME_HEIGHT_PX);
    pen.font = `600 12px ${this.family}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    pen.globalAlpha = faint ? 0.75 : 1;
    pen.strokeStyle = palette.labelHalo;
    pen.lineWidth = 3;
    const place = [x + NAME_WIDTH_PX / 2, y + NAME_HEIGHT_PX / 2, NAME_WIDTH_PX - 6] as const;
    pen.strokeText(text, ...place);
    pen.fillStyle = palette.label;
    pen.fillText(text, ...place);
  }
}

function pictureOf(image: ImageData): HTMLCanvasElement {
  const canvas = blank(image.width, image.height);
  canvas.getContext("2d")!.putImageData(image, 0, 0);
  return canvas;
}

function blank(width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}
