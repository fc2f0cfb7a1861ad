/** Which alert this tab has shown while it was open, over a reload: so that its end is shown then, too. */
const PREFIX = "wayguard.alert.";

export class SeenAlert {
  private readonly key: string;

  constructor(shareId: string) {
    this.key = PREFIX + shareId;
  }

  get(): string | null {
    return attempt(() => sessionStorage.getItem(this.key));
  }

  put(id: string): void {
    attempt(() => sessionStorage.setItem(this.key, id));
  }

  drop(id: string): void {
    if (this.get() === id) this.clear();
  }

  clear(): void {
    attempt(() => sessionStorage.removeItem(this.key));
  }
}

/** Some browsers refuse storage in private windows: the page goes on without it. */
function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}
