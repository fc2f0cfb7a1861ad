/**
 * Which markers lie so close that they would cover each other: those are drawn as one circle with their number. Pure.
 *
 * It is worked out now and then, not in a frame. Groups are kept while their members stay near, so that circles neither jump nor
 * flicker while everybody moves; a marker joins a group from nearer than it leaves it.
 */

/** Markers nearer than this to the middle of a group, in CSS pixels, belong to it. */
export const JOIN_PX = 30;
/** A member stays until it is farther away than this. */
export const STAY_PX = 40;
/** Two groups whose middles are nearer than this would cover each other, and are one. */
const MERGE_PX = 36;

export interface Spot {
  id: string;
  /** Where, in CSS pixels of the whole world at the zoom that is looked at: the same however the map is dragged. */
  x: number;
  y: number;
}

export interface Group {
  /** The same for a group as long as it lives. */
  key: number;
  x: number;
  y: number;
  ids: string[];
}

/** Spots in squares, so that only neighbours are compared. */
class Squares {
  private readonly held = new Map<number, Spot[]>();

  constructor(spots: Iterable<Spot>) {
    for (const spot of spots) this.put(spot);
  }

  put(spot: Spot): void {
    const key = keyOf(Math.floor(spot.x / STAY_PX), Math.floor(spot.y / STAY_PX));
    const there = this.held.get(key);
    if (there) there.push(spot);
    else this.held.set(key, [spot]);
  }

  /** Takes away and gives those around a place, within `STAY_PX`, that `may` be taken. */
  take(x: number, y: number, may: (spot: Spot, far: number) => boolean): Spot[] {
    const taken: Spot[] = [];
    const [column, row] = [Math.floor(x / STAY_PX), Math.floor(y / STAY_PX)];
    for (let dx = -1; dx <= 1; dx += 1) {
      for (let dy = -1; dy <= 1; dy += 1) {
        const there = this.held.get(keyOf(column + dx, row + dy));
        if (!there) continue;
        for (let at = there.length - 1; at >= 0; at -= 1) {
          const spot = there[at]!;
          if (!may(spot, Math.hypot(spot.x - x, spot.y - y))) continue;
          taken.push(spot);
          there[at] = there[there.length - 1]!;
          there.pop();
        }
      }
    }
    return taken;
  }
}

/** At the nearest zoom the world has some seven million squares a side. */
const keyOf = (column: number, row: number): number => column * 8_388_608 + row;

export class Gatherer {
  private groups: readonly Group[] = [];
  private members = new Map<string, number>();
  private nextKey = 1;
  private zoom = 0;

  /** The groups of two and more now; every other spot stands alone. */
  gather(spots: readonly Spot[], zoom: number): readonly Group[] {
    const grown = 2 ** (zoom - this.zoom);
    this.zoom = zoom;
    const squares = new Squares(spots);
    const found: Group[] = [];
    const gone = new Set<string>();
    const make = (key: number, taken: readonly Spot[]): void => {
      for (const spot of taken) gone.add(spot.id);
      found.push(groupOf(key, taken));
    };
    // The bigger hold their places before the smaller.
    for (const group of [...this.groups].sort((a, b) => b.ids.length - a.ids.length || a.key - b.key)) {
      const isNear = (spot: Spot, far: number): boolean => far <= (this.members.get(spot.id) === group.key ? STAY_PX : JOIN_PX);
      const taken = squares.take(group.x * grown, group.y * grown, isNear);
      if (taken.length > 1) make(group.key, taken);
      else taken.forEach((spot) => squares.put(spot));
    }
    for (const spot of spots) {
      if (gone.has(spot.id)) continue;
      const others = squares.take(spot.x, spot.y, (other, far) => other !== spot && far <= JOIN_PX);
      if (!others.length) continue;
      squares.take(spot.x, spot.y, (other) => other === spot);
      make(this.nextKey++, [spot, ...others]);
    }
    this.groups = merged(found);
    this.members = new Map(this.groups.flatMap((group) => group.ids.map((id) => [id, group.key] as const)));
    return this.groups;
  }
}

function groupOf(key: number, spots: readonly Spot[]): Group {
  let [x, y] = [0, 0];
  for (const spot of spots) {
    x += spot.x / spots.length;
    y += spot.y / spots.length;
  }
  return { key, x, y, ids: spots.map((spot) => spot.id) };
}

/** Groups that would cover each other as one, the bigger taking the smaller. */
function merged(groups: readonly Group[]): Group[] {
  const squares = new Map<number, Group[]>();
  const kept: Group[] = [];
  for (const group of [...groups].sort((a, b) => b.ids.length - a.ids.length || a.key - b.key)) {
    const [column, row] = [Math.floor(group.x / MERGE_PX), Math.floor(group.y / MERGE_PX)];
    let into: Group | undefined;
    for (let dx = -1; dx <= 1 && !into; dx += 1) {
      for (let dy = -1; dy <= 1 && !into; dy += 1) {
        into = squares.get(keyOf(column + dx, row + dy))?.find((other) => Math.hypot(other.x - group.x, other.y - group.y) < MERGE_PX);
      }
    }
    if (into) {
      into.ids.push(...group.ids);
      continue;
    }
    kept.push(group);
    const there = squares.get(keyOf(column, row));
    if (there) there.push(group);
    else squares.set(keyOf(column, row), [group]);
  }
  return kept;
}
