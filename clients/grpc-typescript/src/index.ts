/** The exports: connection, money, errors. Messages are in `gen/`. */

export { Code } from "@connectrpc/connect";
export { connect, type MutualTls, type Options, type Payments } from "./client.js";
export { decimal, money } from "./money.js";
export { type FieldProblem, type Reason, ApiError } from "./api-error.js";
