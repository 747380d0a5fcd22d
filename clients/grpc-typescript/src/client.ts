/** A connection to the core, as one business: every service, deadlines, and retries that are safe. */

import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Health } from "../gen/grpc_health/v1/health_pb.js";
import { AuthenticationService } from "../gen/nivisco/payments/v1/authentication_pb.js";
import { BusinessService } from "../gen/nivisco/payments/v1/business_pb.js";
import { CardsService } from "../gen/nivisco/payments/v1/cards_pb.js";
import { CredentialsService } from "../gen/nivisco/payments/v1/credentials_pb.js";
import { KeysService } from "../gen/nivisco/payments/v1/keys_pb.js";
import { PaymentsService } from "../gen/nivisco/payments/v1/payments_pb.js";
import { RecurringService } from "../gen/nivisco/payments/v1/recurring_pb.js";
import { UsersService } from "../gen/nivisco/payments/v1/users_pb.js";
import { WalletService } from "../gen/nivisco/payments/v1/wallet_pb.js";
import { retrying } from "./retrying.js";

const DEFAULT_TIMEOUT_MS = 30_000;
const CLOSING_MS = 1_000;
const LOOPBACK = /^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])$/;

/** What the client proves itself with, and whose cores it believes. PEM. */
export interface MutualTls {
  ca: string | Buffer;
  cert: string | Buffer;
  key: string | Buffer;
}

/** Where the core is, who calls, and how long a call may take. */
export interface Options {
  /** `http://127.0.0.1:50051` on this machine's loopback, else `https://host:port`. */
  url: string;
  businessId: string;
  apiKey: string;
  /** Needed with https: the core takes no client that does not prove itself. */
  tls?: MutualTls;
  /** How long a call may take, its retries included. Default: 30 000, as the reference advises. */
  timeoutMs?: number;
  /** How often a call is sent at most. Default: 4; 1 means no retries. */
  attempts?: number;
}

/** One connection; close it when done. `Refusal.from` reads what a failed call throws. */
export interface Payments {
  authentication: Client<typeof AuthenticationService>;
  business: Client<typeof BusinessService>;
  cards: Client<typeof CardsService>;
  credentials: Client<typeof CredentialsService>;
  keys: Client<typeof KeysService>;
  payments: Client<typeof PaymentsService>;
  recurring: Client<typeof RecurringService>;
  users: Client<typeof UsersService>;
  wallet: Client<typeof WalletService>;
  health: Client<typeof Health>;
  /** Close the connection, within a second. A program may end at once. */
  close(): void;
}

/**
 * Open a connection, made at the first call.
 *
 * @throws {TypeError} the URL is none, or credentials could be read on the way there.
 */
export function connect(options: Options): Payments {
  const { tls, timeoutMs = DEFAULT_TIMEOUT_MS, attempts = 4 } = options;
  checkTransport(options.url, tls);
  const session = new Http2SessionManager(options.url, {}, tls && { ...tls });
  const transport = createGrpcTransport({
    baseUrl: options.url,
    sessionManager: session,
    defaultTimeoutMs: timeoutMs,
    interceptors: [retrying(attempts), presenting(options.businessId, options.apiKey)],
  });
  return {
    authentication: createClient(AuthenticationService, transport),
    business: createClient(BusinessService, transport),
    cards: createClient(CardsService, transport),
    credentials: createClient(CredentialsService, transport),
    keys: createClient(KeysService, transport),
    payments: createClient(PaymentsService, transport),
    recurring: createClient(RecurringService, transport),
    users: createClient(UsersService, transport),
    wallet: createClient(WalletService, transport),
    health: createClient(Health, transport),
    // Node ends a program over a broken session's own error, which comes some moments after the
    // call's, where abort() has taken the listener away. Neither timer nor idle session keeps one up.
    close: () => void setTimeout(() => session.abort(), CLOSING_MS).unref(),
  };
}

/** An API key never travels where it can be read. */
function checkTransport(url: string, tls: MutualTls | undefined): void {
  const { protocol, hostname } = new URL(url);
  if (protocol === "http:" && LOOPBACK.test(hostname)) return;
  if (protocol === "https:" && tls !== undefined) return;
  throw new TypeError(
    `${url}: the core is called by http:// on this machine's loopback, and by https:// with tls ` +
      "(ca, cert and key) everywhere else",
  );
}

function presenting(businessId: string, apiKey: string): Interceptor {
  return (next) => (request) => {
    request.header.set("x-business-id", businessId);
    request.header.set("x-api-key", apiKey);
    return next(request);
  };
}
