/** Calls the Nivisco Payments API from a server. */
export { Client } from "./client.js";
export type * from "./actions.js";
export { ApiError, DeclinedError, NiviscoError, NoAnswerError } from "./errors.js";
export type { FieldProblem } from "./errors.js";
export type { Options } from "./transport.js";
export { VERSION } from "./version.js";
