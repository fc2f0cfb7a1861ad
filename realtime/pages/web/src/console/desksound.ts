/** The desk's sound, made here and now: no file. It starts only after a click asked for it, as browsers demand, and so do we. */
import type { Sound } from "./deskalarm";

const KEY = "wayguard.sound";
const EVERY_MS: Record<Exclude<Sound, null>, number> = { alarm: 2_200, chime: 12_000 };
/** Hertz and seconds: two rising pairs that carry through a room, and one soft pair. */
const TONES: Record<Exclude<Sound, null>, readonly (readonly [hertz: number, startS: number, lengthS: number])[]> = {
  alarm: [[740, 0, 0.16], [988, 0.18, 0.24], [740, 0.5, 0.16], [988, 0.68, 0.3]],
  chime: [[587, 0, 0.18], [784, 0.2, 0.34]],
};

export class DeskSound {
  private audio: AudioContext | null = null;
  private wanted: Sound = null;
  private timer = 0;
  /** How often it has sounded; for tests. */
  played = 0;

  /** Whether the reader asked for sound on this device. */
  get isOn(): boolean {
    return localStorage.getItem(KEY) === "on";
  }

  /** Whether it could be heard now: a browser lets nothing sound before the first click or key on the page. */
  get isReady(): boolean {
    return this.isOn && this.audio?.state === "running";
  }

  /** By a click alone. */
  async turn(on: boolean): Promise<void> {
    localStorage.setItem(KEY, on ? "on" : "off");
    if (on) {
      await this.wake();
      this.beat("chime");
    }
    this.retime();
  }

  /** After a reload the first click or key lets it sound again. */
  async wake(): Promise<void> {
    if (!this.isOn) return;
    this.audio ??= new AudioContext();
    if (this.audio.state !== "running") await this.audio.resume();
    this.retime();
  }

  /** What should sound until something else is said. */
  want(sound: Sound): void {
    if (sound === this.wanted) return;
    this.wanted = sound;
    this.retime();
  }

  private retime(): void {
    window.clearInterval(this.timer);
    const sound = this.wanted;
    if (sound === null || !this.isReady) return;
    this.beat(sound);
    this.timer = window.setInterval(() => this.beat(sound), EVERY_MS[sound]);
  }

  private beat(sound: Exclude<Sound, null>): void {
    const audio = this.audio;
    if (!audio || !this.isReady) return;
    this.played += 1;
    for (const [hertz, startS, lengthS] of TONES[sound]) {
      const from = audio.currentTime + 0.02 + startS;
      const tone = audio.createOscillator();
      const volume = audio.createGain();
      tone.type = "triangle";
      tone.frequency.value = hertz;
      volume.gain.setValueAtTime(0, from);
      volume.gain.linearRampToValueAtTime(sound === "alarm" ? 0.5 : 0.22, from + 0.015);
      volume.gain.setValueAtTime(sound === "alarm" ? 0.5 : 0.22, from + lengthS - 0.05);
      volume.gain.linearRampToValueAtTime(0, from + lengthS);
      tone.connect(volume).connect(audio.destination);
      tone.start(from);
      tone.stop(from + lengthS);
    }
  }
}
