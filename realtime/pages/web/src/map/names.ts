/** Whose name is shown: those that matter most, as many as fit without lying over each other. Pure. */

export interface Candidate {
  id: string;
  /** Where the marker is on the screen. */
  x: number;
  y: number;
  /** Width of the name in pixels. */
  width: number;
  /** The higher, the sooner; who is shown already stays among equals, so that names do not take turns. */
  weight: number;
}

const HEIGHT_PX = 20;
const CELL_PX = 40;

/** The ids to name, at most `most`, in order of weight. */
export function chooseNames(candidates: readonly Candidate[], most: number): string[] {
  const taken = new Map<string, Candidate[]>();
  const chosen: string[] = [];
  for (const candidate of [...candidates].sort((a, b) => b.weight - a.weight)) {
    if (chosen.length >= most) break;
    const cells = cellsOf(candidate);
    if (cells.some((cell) => taken.get(cell)?.some((other) => overlap(candidate, other)))) continue;
    for (const cell of cells) {
      const there = taken.get(cell);
      if (there) there.push(candidate);
      else taken.set(cell, [candidate]);
    }
    chosen.push(candidate.id);
  }
  return chosen;
}

function overlap(a: Candidate, b: Candidate): boolean {
  return Math.abs(a.x - b.x) < (a.width + b.width) / 2 && Math.abs(a.y - b.y) < HEIGHT_PX;
}

/** The cells of a grid that a name touches. */
function cellsOf({ x, y, width }: Candidate): string[] {
  const cells: string[] = [];
  for (let row = Math.floor((y - HEIGHT_PX / 2) / CELL_PX); row <= Math.floor((y + HEIGHT_PX / 2) / CELL_PX); row += 1) {
    for (let column = Math.floor((x - width / 2) / CELL_PX); column <= Math.floor((x + width / 2) / CELL_PX); column += 1) {
      cells.push(`${column}:${row}`);
    }
  }
  return cells;
}
