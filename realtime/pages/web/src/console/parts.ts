/** The fleet's parts of the console: the map, the list of drivers, and what is known of the one that is chosen. */
import "./fleet.css";

import { Cost } from "./areacost";
import { AreaFeed } from "./areafeed";
import type { AreaWatch } from "./areawatch";
import type { Context, Places } from "./context";
import { DriverPanel } from "./driver";
import { FleetModel } from "./fleetmodel";
import { FleetList } from "./list";
import { ListPoll } from "./listpoll";
import { lend } from "../common/probe";

const SECOND_MS = 1_000;

export function mountFleet(context: Context, places: Places, raised: (alertId: string) => void = () => undefined): void {
  const cost = new Cost();
  const model = new FleetModel(context);
  const feed = new AreaFeed(context, model);
  let area: AreaWatch | null = null;
  const panel = new DriverPanel(context, model, () => area, raised);
  const list = new FleetList(context, model, () => area?.frameAll());
  const poll = new ListPoll(context, model, () => second());
  const second = (): void =>
    cost.measure(() => {
      list.update();
      panel.update();
      context.drivers.set(model.fleet.drivers.size);
    });
  const lookAgain = (): void => {
    area?.second();
    if (poll.rounds > 0) area?.frameOnce();
  };
  places.side.append(list.element);
  places.panel.append(panel.element);
  context.vendors.listen(() => poll.start());
  document.addEventListener("visibilitychange", () => !document.hidden && poll.start());
  poll.start();
  // Half a second apart, so that no frame has the work of both.
  window.setInterval(second, SECOND_MS);
  window.setTimeout(() => window.setInterval(() => cost.measure(() => lookAgain()), SECOND_MS), SECOND_MS / 2);
  lend(
    () => ({ ...probe(context, model), ...(area?.map.probe() ?? {}), ...panel.probe(), map_ready: area?.isReady ?? false, framed: area?.isFramed ?? false, rounds: poll.rounds }),
    (id) => area?.map.at(id) ?? null,
  );
  // The map is the heavy part of the page: the list and the desk do not wait for it.
  import("./areawatch")
    .then((loaded) => {
      area = new loaded.AreaWatch(context, places, model, panel, feed, cost);
    })
    .catch(() => context.tell(context.words.say("shell.no_map")));
}

function probe(context: Context, model: FleetModel): object {
  const drivers = [...model.fleet.drivers.values()].map((driver) => [
    driver.id,
    {
      name: context.names.of(driver.id),
      under_way: model.rowOf(driver).onJourney,
      vendor: driver.vendor,
      lat: driver.point?.lat,
      lon: driver.point?.lon,
      seq: driver.point?.seq,
      journey: driver.journey,
      freshness: model.freshnessOf(driver),
      age_ms: model.fleet.ageOf(driver, model.now()),
      on_map: model.isOnMap(driver.id),
    },
  ]);
  return {
    chosen: context.chosen.get(),
    drivers: Object.fromEntries(drivers),
    mode: model.board.mode,
    shown: model.board.shown.size,
    cells: [...model.board.cells.values()],
    alarmed: [...model.alarmed.keys()],
  };
}
