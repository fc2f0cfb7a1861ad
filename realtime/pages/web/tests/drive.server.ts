/** A server of the driver's protocol, small enough to read: logs of journeys that are 1..n or refuse. */
import type { Ask } from "../src/drive/outbox";

interface Log {
  id: string;
  points: (unknown[] | null)[];
  lastSeq: number | null;
  expired: boolean;
}

type Answer = Record<string, unknown>;

const refused = (code: string, more: Answer = {}): Answer => ({ ok: false, error: { code, message: code, retryable: false, ...more } });

export class Ledger {
  expiries = 0;
  /** Skipped seqs: points that were said to be lost. */
  holes = 0;
  private readonly byClient = new Map<string, Log>();

  answer({ event, payload }: Ask): Answer {
    if (event === "journey:start") return this.start(payload["client_journey_id"] as string);
    const log = [...this.byClient.values()].find((one) => one.id === payload["journey_id"]);
    if (!log) return refused("not_found");
    if (event === "journey:end") {
      log.lastSeq ??= payload["last_seq"] as number;
      return { ok: true };
    }
    return log.expired ? refused("journey_expired") : this.positions(log, payload);
  }

  expireOne(random: () => number): void {
    const logs = [...this.byClient.values()];
    const log = logs[Math.floor(random() * logs.length)];
    if (!log || log.expired) return;
    log.expired = true;
    this.expiries++;
  }

  /** What identifies each stored point (its latitude), journey by journey in the order in which they were first seen. */
  logs(): number[][] {
    return [...this.byClient.values()].map((log) => log.points.filter((point) => point !== null).map((point) => point[2] as number)).filter((log) => log.length > 0);
  }

  through(): number[] {
    return [...this.byClient.values()].map((log) => log.points.length);
  }

  private start(clientId: string): Answer {
    let log = this.byClient.get(clientId);
    if (!log) this.byClient.set(clientId, (log = { id: `j${this.byClient.size + 1}`, points: [], lastSeq: null, expired: false }));
    if (log.expired) return refused("journey_expired");
    return { ok: true, journey_id: log.id, next_seq: log.points.length + 1, ...(log.lastSeq === null ? {} : { last_seq: log.lastSeq }) };
  }

  private positions(log: Log, payload: Answer): Answer {
    const points = payload["points"] as unknown[][];
    const [from, to] = (payload["skip"] as [number, number] | undefined) ?? [1, 0];
    const rows: [number, unknown[] | null][] = [];
    for (let seq = from; seq <= to; seq++) rows.push([seq, null]);
    for (const point of points) rows.push([point[0] as number, point]);
    const n = log.points.length;
    if (rows.some(([seq], index) => index > 0 && seq !== rows[index - 1]![0] + 1)) return refused("invalid");
    if (rows[0] && rows[0][0] > n + 1) return refused("expected_seq", { retryable: true, expected: n + 1 });
    if (log.lastSeq !== null && rows.some(([seq]) => seq > log.lastSeq!)) return refused("journey_ended");
    const conflicts = rows.filter(([seq, point]) => seq <= n && JSON.stringify(log.points[seq - 1]) !== JSON.stringify(point)).map(([seq]) => seq);
    if (conflicts.length > 0) return refused("conflict", { conflicts });
    for (const [seq, point] of rows) {
      if (seq <= n) continue;
      if (point === null) this.holes++;
      log.points.push(point);
    }
    return { ok: true, through: log.points.length, voided: [] };
  }
}

/** The same numbers for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
