/** One tab of this browser drives: the others say so, and take over when it closes or when they are told to. */

const NAME = "wayguard-drive";

export interface LockEvents {
  gained(): void;
  /** Another tab has taken it. */
  lost(): void;
}

export class TabLock {
  mine = false;
  private waiting: AbortController | null = null;

  constructor(private readonly events: LockEvents) {}

  /** Waits for it, behind whoever has it. */
  wait(): void {
    this.waiting = new AbortController();
    this.request({ signal: this.waiting.signal });
  }

  /** Takes it from whoever has it. */
  take(): void {
    this.waiting?.abort();
    this.request({ steal: true });
  }

  private request(options: LockOptions): void {
    if (!("locks" in navigator)) return this.gained();
    const held = navigator.locks.request(NAME, options, () => {
      this.gained();
      return new Promise<void>(() => undefined);
    });
    // It ends in no other way than by being taken, or by our own giving up of the place in the queue.
    held.catch(() => {
      if (!this.mine) return;
      this.mine = false;
      this.events.lost();
    });
  }

  private gained(): void {
    this.mine = true;
    this.events.gained();
  }
}
