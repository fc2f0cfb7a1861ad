/** Keeps the names on the map: which are shown is decided when the map rests or a little time has passed, never in a frame. */
import { chooseNames, type Candidate } from "../map/names";
import { NAME_SLOTS } from "../map/spriteatlas";
import { RANK } from "../map/spriterecord";
import type { Sprites } from "../map/sprites";
import { project, type Looked } from "../map/spriteview";
import type { Actor, Troupe } from "../map/troupe";
import { clean } from "../common/words";

/** Nearer than this everybody is named; from farther away only who is chosen or in an alert. */
const NAMES_FROM_ZOOM = 11;
const LONGEST_NAME = 24;
const PX_A_LETTER = 7;
const MARGIN_PX = 40;
/** Names written at a time; the others follow with the next look. */
const WRITTEN_AT_ONCE = 32;

export class Names {
  private readonly shown = new Map<string, { slot: number; faint: boolean; text: string }>();
  private readonly free = Array.from({ length: NAME_SLOTS }, (_, slot) => slot);

  constructor(
    private readonly troupe: Troupe,
    private readonly sprites: Sprites,
    private readonly nameOf: (id: string) => string,
  ) {}

  choose(looked: Looked, nowMs: number): void {
    const wanted = new Set(chooseNames(this.candidates(looked, nowMs), NAME_SLOTS));
    for (const id of [...this.shown.keys()]) if (!wanted.has(id)) this.hide(id);
    let written = 0;
    for (const id of wanted) {
      const actor = this.troupe.actors.get(id);
      if (actor && written < WRITTEN_AT_ONCE && this.write(actor)) written += 1;
    }
  }

  hide(id: string): void {
    const shown = this.shown.get(id);
    if (!shown) return;
    this.shown.delete(id);
    this.free.push(shown.slot);
    const actor = this.troupe.actors.get(id);
    if (actor) this.troupe.name(actor, -1);
  }

  /** Everything has to be written anew: another theme, or the card has lost it. */
  forget(): void {
    for (const id of [...this.shown.keys()]) this.hide(id);
  }

  /** Writes a name that is new or has changed its strength; returns whether it did. */
  private write(actor: Actor): boolean {
    const faint = actor.look.rank < RANK.fresh;
    const shown = this.shown.get(actor.id);
    const text = clean(this.nameOf(actor.id), LONGEST_NAME);
    if (shown?.faint === faint && shown.text === text) return false;
    const slot = shown?.slot ?? this.free.pop();
    if (slot === undefined) return false;
    this.sprites.write(slot, text, faint);
    this.shown.set(actor.id, { slot, faint, text });
    if (!shown) this.troupe.name(actor, slot);
    return true;
  }

  private candidates(looked: Looked, nowMs: number): Candidate[] {
    const near = looked.zoom >= NAMES_FROM_ZOOM;
    const found: Candidate[] = [];
    for (const actor of this.troupe.actors.values()) {
      if ((!near && actor.look.rank < RANK.marked) || actor.gathered) continue;
      const place = actor.glide.at(nowMs);
      const { x, y } = project(looked, place.lon, place.lat);
      if (x < -MARGIN_PX || y < -MARGIN_PX || x > looked.width + MARGIN_PX || y > looked.height + MARGIN_PX) continue;
      const width = Math.min(LONGEST_NAME, this.nameOf(actor.id).length) * PX_A_LETTER + 8;
      const weight = actor.look.rank * 2 + (this.shown.has(actor.id) ? 1 : 0);
      found.push({ id: actor.id, x, y, width, weight });
    }
    return found;
  }
}
