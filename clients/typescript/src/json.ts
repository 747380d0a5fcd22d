// JSON with exact amounts, and objects that do not print their secrets.

import { inspect } from "node:util";

import { DECIMALS } from "./currencies.js";

const USUAL_DECIMALS = 2;

/** A JSON object whose numbers are strings. */
export type Json = Readonly<Record<string, unknown>>;

const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gs;

/** Reads JSON with every number as a string; null if it is not JSON. */
export function parseExact(text: string): unknown {
  const exact = text.replace(TOKENS, (token) => (token[0] === '"' ? token : `"${token}"`));
  try {
    return JSON.parse(exact);
  } catch {
    return null;
  }
}

/** Names of fields whose keys are the caller's own. */
const MAPS: ReadonlySet<string> = new Set(["metadata"]);

/** Returns fields with the API's names. */
export function toJson(value: unknown): unknown {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new TypeError("an amount is a decimal string, never a number");
  }
  if (value instanceof Date) {
    return value.toISOString().replace(".000Z", "Z"); // without a fraction it is the whole second
  }
  if (Array.isArray(value)) {
    return value.map(toJson);
  }
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([name, each]) => [
        name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        MAPS.has(name) ? each : toJson(each),
      ]),
    );
  }
  return value;
}

/** Hides these properties from console.log and inspect. */
export function hiding<T extends object>(value: T, ...names: (keyof T)[]): T {
  const shown = (): unknown =>
    Object.fromEntries(
      Object.entries(value).filter(([name]) => !names.includes(name as keyof T)),
    );
  return Object.defineProperty(value, inspect.custom, { value: shown, enumerable: false });
}

export function string(value: unknown): string {
  if (typeof value !== "string") {
    throw new TypeError("not a string");
  }
  return value;
}

export function strings(value: unknown): Readonly<Record<string, string>> {
  return object((json) =>
    Object.fromEntries(Object.entries(json).map(([key, each]) => [key, string(each)])),
  )(value);
}

export function integer(value: unknown): number {
  const read = Number(string(value));
  if (!Number.isSafeInteger(read)) {
    throw new TypeError("not a whole number");
  }
  return read;
}

/** Reads an amount with the decimals of its currency, and never fewer than it has. */
export function amount(currency: unknown): (value: unknown) => string {
  return (value) => {
    const text = string(value);
    if (currency === null || !/^-?\d+(\.\d+)?$/.test(text)) {
      return text;
    }
    const [whole = "", decimals = ""] = text.split(".");
    const padded = decimals.padEnd(DECIMALS[string(currency)] ?? USUAL_DECIMALS, "0");
    return padded === "" ? whole : `${whole}.${padded}`;
  };
}

/** Reads a time, which is in UTC. */
export function moment(value: unknown): Date {
  const text = string(value);
  const read = new Date(`${text.replace(" ", "T")}Z`);
  if (!/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(text) || Number.isNaN(read.getTime())) {
    throw new TypeError("not a time");
  }
  return read;
}

export function boolean(value: unknown): boolean {
  if (typeof value !== "boolean") {
    throw new TypeError("not a boolean");
  }
  return value;
}

export function object<T>(read: (json: Json) => T): (value: unknown) => T {
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new TypeError("not an object");
    }
    return read(value as Json);
  };
}

export function list<T>(read: (value: unknown) => T): (value: unknown) => T[] {
  return (value) => {
    if (!Array.isArray(value)) {
      throw new TypeError("not a list");
    }
    return value.map(read);
  };
}

export function nullable<T>(read: (value: unknown) => T): (value: unknown) => T | null {
  return (value) => (value === null ? null : read(value));
}

/** Reads an enum value, also one that is newer than this library. */
export function word<T extends string>(value: unknown): T {
  return string(value) as T;
}
