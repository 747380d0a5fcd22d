/** Converts google.type.Money to and from decimal strings, by bigint, never a number. */

import { create } from "@bufbuild/protobuf";
import { type Money, MoneySchema } from "../gen/google/type/money_pb.js";
import { DECIMALS } from "./currencies.js";

const NANO_DIGITS = 9;
const USUAL_DECIMALS = 2;
const NANOS_PER_UNIT = 10n ** BigInt(NANO_DIGITS);
const MAX_INT64 = 2n ** 63n - 1n;
const DECIMAL = /^(-?)([0-9]+)(?:\.([0-9]{1,9}))?$/;

/**
 * Returns the amount of a decimal such as "25.50". The currency defaults to the wallet's.
 *
 * The server checks how many digits and decimals an amount may have.
 *
 * @throws {RangeError} it is not a plain decimal, or Money cannot hold it exactly.
 */
export function money(decimal: string, currency = ""): Money {
  const parts = DECIMAL.exec(decimal);
  if (parts === null) {
    throw new RangeError(
      `${JSON.stringify(decimal)} is not a decimal of at most 9 decimals, for example "25.50"`,
    );
  }
  const [, minus, whole = "", decimals = ""] = parts;
  const sign = minus === "-" ? -1n : 1n;
  const units = sign * BigInt(whole);
  if (units > MAX_INT64 || units < -MAX_INT64) {
    throw new RangeError(`${decimal} does not fit in 64 bits`);
  }
  return create(MoneySchema, {
    currencyCode: currency.toUpperCase(),
    units,
    nanos: Number(sign * BigInt(decimals.padEnd(NANO_DIGITS, "0"))), // below 2^53
  });
}

/**
 * Returns an amount as a decimal: "25.50". It has at least `decimals` digits after the point, by
 * default as many as its currency has.
 *
 * @throws {RangeError} units and nanos contradict each other.
 */
export function decimal(amount: Money, decimals = decimalsOf(amount.currencyCode)): string {
  const nanos = BigInt(amount.nanos);
  if (nanos <= -NANOS_PER_UNIT || nanos >= NANOS_PER_UNIT || amount.units * nanos < 0n) {
    throw new RangeError(`units ${amount.units} and nanos ${nanos} are not an amount`);
  }
  const total = amount.units * NANOS_PER_UNIT + nanos;
  const size = total < 0n ? -total : total;
  const rest = (size % NANOS_PER_UNIT).toString().padStart(NANO_DIGITS, "0");
  const shown = rest.replace(/0+$/, "").padEnd(decimals, "0");
  return `${total < 0n ? "-" : ""}${size / NANOS_PER_UNIT}${shown && `.${shown}`}`;
}

/** The amounts of a request may leave the currency to the wallet. */
function decimalsOf(currency: string): number {
  return currency === "" ? 0 : (DECIMALS[currency.toLowerCase()] ?? USUAL_DECIMALS);
}
