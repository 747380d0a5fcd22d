/** What a program imports: the connection, money, refusals. Messages are in `gen/`. */

export { Code } from "@connectrpc/connect";
export { connect, type MutualTls, type Options, type Payments } from "./client.js";
export { decimal, money } from "./money.js";
export { type FieldProblem, type Reason, Refusal } from "./refusal.js";
