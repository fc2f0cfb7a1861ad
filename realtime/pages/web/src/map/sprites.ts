/**
 * Thousands of moving markers on a canvas of their own over the map: the map itself does not draw anew when they move, nothing is
 * handed to a worker, and a frame costs a copy of pixels for each marker that is in view.
 */
import type { Palette } from "../common/theme";
import { worldPx } from "./mercator";
import { cellOf, cornerOf, drawAlarm, drawChosen, GroupPictures, iconSheet, NAME_HEIGHT_PX, NAME_WIDTH_PX, NameSheet, type Sheet } from "./spriteatlas";
import { RANK, Records, type Shown } from "./spriterecord";
import { iconScale, lookedAt, type Looked } from "./spriteview";

/** Finer than this no eye sees, and every pixel costs. */
const HIGH_DPR = 2;
const NAME_BELOW_PX = 15;
const MARGIN_PX = 60;
/** Icons are drawn in so many sizes between the smallest and the biggest. */
const SIZES = 20;

/** A group as it is drawn: from one place of the Mercator square to another. */
export interface GroupRecord {
  fromX: number;
  fromY: number;
  toX: number;
  toY: number;
  startMs: number;
  durationMs: number;
  label: string;
  /** Which of the states its colour is. */
  icon: number;
}

export class Sprites {
  readonly canvas = document.createElement("canvas");
  readonly records = new Records();
  /** Markers drawn so far, in all frames. */
  drawn = 0;
  private readonly pen = this.canvas.getContext("2d")!;
  private dpr = 1;
  private sheet: Sheet | null = null;
  private sheetSize = 0;
  private names: NameSheet;
  /** Groups of markers, by their keys. */
  readonly groups = new Map<number, GroupRecord>();
  private pictures: GroupPictures;
  private readonly shown: Shown = { x: 0, y: 0, icon: 0, heading: NaN, rank: 0, chosen: false, alarmed: false, slot: -1 };

  constructor(private palette: Palette, private alarm: string, private readonly family: string) {
    this.names = new NameSheet(family, 1);
    this.pictures = new GroupPictures(family);
  }

  paint(palette: Palette, alarm: string): void {
    this.palette = palette;
    this.alarm = alarm;
    this.sheet = null;
    this.pictures = new GroupPictures(this.family);
  }

  /** Fits the canvas to the map; returns whether names have to be written anew, at another resolution. */
  resize(width: number, height: number): boolean {
    const dpr = Math.min(HIGH_DPR, window.devicePixelRatio || 1);
    this.canvas.width = Math.round(width * dpr);
    this.canvas.height = Math.round(height * dpr);
    const other = dpr !== this.dpr || dpr !== this.names.scale;
    if (other) {
      this.names = new NameSheet(this.family, dpr);
      this.pictures = new GroupPictures(this.family);
      this.sheet = null;
    }
    this.dpr = dpr;
    return other;
  }

  write(slot: number, text: string, faint: boolean): void {
    this.names.write(slot, text, this.palette, faint);
  }

  draw(looked: Looked, nowMs: number): void {
    const { pen, records } = this;
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const sheet = this.sheetFor(looked.zoom);
    const view = lookedAt(looked);
    const world = worldPx(looked.zoom);
    for (let rank: number = RANK.offline; rank <= RANK.marked; rank += 1) {
      // Marked drivers lie above the groups.
      if (rank === RANK.marked) this.drawGroups(looked, nowMs, view, world);
      for (let index = 0; index < records.count; index += 1) {
        if (records.rankAt(index) !== rank || records.isHidden(index)) continue;
        const { shown } = this;
        records.read(index, nowMs, shown);
        let dx = shown.x - view.x;
        dx -= Math.floor(dx + 0.5);
        const x = looked.width / 2 + dx * world;
        const y = looked.height / 2 + (shown.y - view.y) * world;
        if (x < -MARGIN_PX || y < -MARGIN_PX || x > looked.width + MARGIN_PX || y > looked.height + MARGIN_PX) continue;
        this.put(sheet, x * this.dpr, y * this.dpr);
      }
    }
    this.nameAll(looked, nowMs, view, world);
  }

  private put(sheet: Sheet, x: number, y: number): void {
    const { pen, shown, palette } = this;
    if (shown.chosen) drawChosen(pen, x, y, this.dpr, palette);
    if (shown.alarmed) drawAlarm(pen, x, y, this.dpr, palette, this.alarm);
    const { side } = sheet;
    const [sx, sy] = cornerOf(cellOf(shown.icon, shown.heading), side);
    // Whole pixels: the picture is copied as it is.
    pen.drawImage(sheet.canvas, sx, sy, side, side, Math.round(x - side / 2), Math.round(y - side / 2), side, side);
    this.drawn += 1;
  }

  /** Names lie above all markers. */
  private nameAll(looked: Looked, nowMs: number, view: { x: number; y: number }, world: number): void {
    const { pen, records, shown, names, dpr } = this;
    const [width, height] = [NAME_WIDTH_PX * dpr, NAME_HEIGHT_PX * dpr];
    for (let index = 0; index < records.count; index += 1) {
      if (records.slotAt(index) < 0 || records.isHidden(index)) continue;
      records.read(index, nowMs, shown);
      let dx = shown.x - view.x;
      dx -= Math.floor(dx + 0.5);
      const x = (looked.width / 2 + dx * world) * dpr;
      const y = (looked.height / 2 + (shown.y - view.y) * world) * dpr;
      const [sx, sy] = names.corner(shown.slot);
      pen.drawImage(names.canvas, sx * dpr, sy * dpr, width, height, Math.round(x - width / 2), Math.round(y + NAME_BELOW_PX * dpr), width, height);
    }
  }

  private drawGroups(looked: Looked, nowMs: number, view: { x: number; y: number }, world: number): void {
    for (const group of this.groups.values()) {
      const done = group.durationMs > 0 ? Math.min(1, Math.max(0, (nowMs - group.startMs) / group.durationMs)) : 1;
      let dx = group.fromX + (group.toX - group.fromX) * done - view.x;
      dx -= Math.floor(dx + 0.5);
      const x = looked.width / 2 + dx * world;
      const y = looked.height / 2 + (group.fromY + (group.toY - group.fromY) * done - view.y) * world;
      if (x < -MARGIN_PX || y < -MARGIN_PX || x > looked.width + MARGIN_PX || y > looked.height + MARGIN_PX) continue;
      const picture = this.pictures.of(group.label, group.icon, this.palette, this.dpr);
      this.pen.drawImage(picture, Math.round(x * this.dpr - picture.width / 2), Math.round(y * this.dpr - picture.height / 2));
    }
  }

  private sheetFor(zoom: number): Sheet {
    const size = Math.round(iconScale(zoom) * SIZES) / SIZES;
    if (!this.sheet || this.sheetSize !== size) {
      this.sheet = iconSheet(this.palette, size * this.dpr);
      this.sheetSize = size;
    }
    return this.sheet;
  }
}
