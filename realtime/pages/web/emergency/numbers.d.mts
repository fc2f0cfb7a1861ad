export const FALLBACK: string;
export const NUMBERS: Record<string, string[]>;
