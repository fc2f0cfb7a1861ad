/** Light or dark: the system's wish until the reader says otherwise; then that, remembered on this device. */

export type Theme = "light" | "dark";

const KEY = "wayguard.theme";
const wish = window.matchMedia("(prefers-color-scheme: dark)");

function stored(): Theme | null {
  const value = localStorage.getItem(KEY);
  return value === "light" || value === "dark" ? value : null;
}

export function currentTheme(): Theme {
  return stored() ?? (wish.matches ? "dark" : "light");
}

export function onTheme(act: (theme: Theme) => void): void {
  const apply = (): void => {
    const theme = currentTheme();
    document.documentElement.dataset["theme"] = theme;
    act(theme);
  };
  wish.addEventListener("change", apply);
  window.addEventListener("wayguard:theme", apply);
  apply();
}

export function toggleTheme(): void {
  localStorage.setItem(KEY, currentTheme() === "dark" ? "light" : "dark");
  window.dispatchEvent(new Event("wayguard:theme"));
}

/** What the map is painted with; the pages' own colours are in style.css. */
export interface Palette {
  sea: string;
  land: string;
  coast: string;
  border: string;
  grid: string;
  name: string;
  nameHalo: string;
  fresh: string;
  stale: string;
  offline: string;
  ring: string;
  label: string;
  labelHalo: string;
  trail: string;
}

export const PALETTES: Record<Theme, Palette> = {
  light: {
    sea: "#d7e4ea",
    land: "#f5f3ee",
    coast: "#a9bec9",
    border: "#d3cabd",
    grid: "#5b7286",
    name: "#77828b",
    nameHalo: "#f5f3ee",
    fresh: "#0a7f76",
    stale: "#8d989f",
    offline: "#8d989f",
    ring: "#ffffff",
    label: "#22313a",
    labelHalo: "#ffffff",
    trail: "#0a9a8e",
  },
  dark: {
    sea: "#0d151d",
    land: "#172029",
    coast: "#33465a",
    border: "#2c3947",
    grid: "#8fb0cc",
    name: "#74879a",
    nameHalo: "#172029",
    fresh: "#35d0be",
    stale: "#6c7a86",
    offline: "#6c7a86",
    ring: "#0c131a",
    label: "#d9e4ec",
    labelHalo: "#0c131a",
    trail: "#35d0be",
  },
};
