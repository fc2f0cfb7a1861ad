/** One marker as the map's source wants it. */
import type { Freshness } from "../common/freshness";
import { circle, type Place } from "./motion";

const RANK: Record<Freshness, number> = { offline: 0, stale: 1, fresh: 2 };

export interface Marker {
  id: string;
  name: string;
  place: Place;
  freshness: Freshness;
  /** Whether it is going anywhere: a heading of someone who stands still says nothing. */
  pointed: boolean;
  chosen: boolean;
}

export function markerFeature({ id, name, place, freshness, pointed, chosen }: Marker): GeoJSON.Feature {
  const arrow = pointed && place.headingDeg !== null && freshness === "fresh";
  return {
    type: "Feature",
    geometry: { type: "Point", coordinates: [place.lon, place.lat] },
    properties: {
      id,
      name: name.length > 24 ? `${name.slice(0, 23)}…` : name,
      icon: `${freshness}-${arrow ? "heading" : "plain"}`,
      heading: arrow ? place.headingDeg : 0,
      chosen: chosen ? 1 : 0,
      fresh: freshness === "fresh" ? 1 : 0,
      rank: chosen ? 3 : RANK[freshness],
    },
  };
}

/** The circle the person is somewhere in; none when the accuracy is unknown or too fine to see. */
export function accuracyFeature(place: Place, accuracyM: number | null, freshness: Freshness): GeoJSON.Feature[] {
  if (accuracyM === null || accuracyM < 3) return [];
  return [{ type: "Feature", properties: { fresh: freshness === "fresh" ? 1 : 0 }, geometry: { type: "Polygon", coordinates: [circle(place, accuracyM)] } }];
}
