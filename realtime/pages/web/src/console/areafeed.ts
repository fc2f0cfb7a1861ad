/**
 * The area feed: watches what the map shows, and while there is no map yet (or none can be drawn) the whole world, since the alerts of
 * all that may be seen come with it.
 */
import { areaRequest, type Bounds } from "./area";
import type { Context } from "./context";
import type { FleetModel } from "./fleetmodel";
import type { Feed } from "../common/session";
import type { Snapshot } from "../common/wire";

const AREA = "area";
const WORLD = { bounds: { south: -85, west: -180, north: 85, east: 180 }, zoom: 0 };

export class AreaFeed implements Feed {
  readonly name = AREA;
  private view: { bounds: Bounds; zoom: number } = WORLD;
  private readonly counted = new Set<() => void>();

  constructor(
    private readonly context: Context,
    private readonly model: FleetModel,
  ) {
    context.hear({
      counts: (feed, raw) => {
        if (feed === AREA && model.board.counted(raw)) this.tellCounts();
      },
    });
    context.vendors.listen(() => this.vendorsChanged());
    context.allVendors.listen(() => context.session.rewatch(AREA));
    context.session.watch(this);
  }

  onCounts(listener: () => void): void {
    this.counted.add(listener);
  }

  /** The map shows something else; the line asks at most twice a second. */
  look(view: { bounds: Bounds; zoom: number }): void {
    this.view = view;
    this.context.session.rewatch(AREA);
  }

  request(): Record<string, unknown> {
    const { vendors, allVendors } = this.context;
    const named = allVendors.get() || !vendors.get().length ? null : vendors.get();
    return areaRequest(this.view.bounds, this.view.zoom, named);
  }

  snapshot(snapshot: Snapshot): void {
    for (const [driver, presence] of snapshot.presence) this.model.fleet.hear(driver, presence, this.model.now());
    this.model.changed(this.model.board.answer(snapshot));
    this.tellCounts();
  }

  /** A view that the server does not take: the world will do. */
  refused(): void {
    if (this.view === WORLD) return;
    this.view = WORLD;
    this.context.session.watch(this);
  }

  private vendorsChanged(): void {
    const gone = this.model.board.clear();
    this.model.tell([...gone, ...this.model.fleet.keepVendors(this.context.vendors.get())]);
    this.tellCounts();
    // What was shown is forgotten, so the answer must not be a difference to it.
    this.context.session.unwatch(AREA);
    this.context.session.watch(this);
  }

  private tellCounts(): void {
    for (const listener of this.counted) listener();
  }
}
