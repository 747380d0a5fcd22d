/** A connection to the core as one business, with every service, deadlines and safe retries. */

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
import { tracking } from "./tracking.js";

const DEFAULT_TIMEOUT_MS = 30_000;
const CLOSING_MS = 1_000;
const LOOPBACK = /^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])$/;

/** The client's certificate and key, and the CA of the core. PEM. */
export interface MutualTls {
  ca: string | Buffer;
  cert: string | Buffer;
  key: string | Buffer;
}

/** Address of the core, credentials, and timeout. */
export interface Options {
  /** `http://127.0.0.1:50051` on loopback, otherwise `https://host:port`. */
  url: string;
  businessId: string;
  apiKey: string;
  /** Required with https: the core accepts only clients with a certificate. */
  tls?: MutualTls;
  /** Timeout of a call with its retries. Defaults to 30 000, as the reference recommends. */
  timeoutMs?: number;
  /** Most attempts of a call. Defaults to 4; 1 means no retries. */
  attempts?: number;
}

/** One connection; close it when done. `ApiError.from` reads the error of a failed call. */
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
  /** Closes the connection within a second. The program may exit before. */
  close(): void;
}

/**
 * Returns a connection, which is opened at the first call.
 *
 * @throws {TypeError} the URL is invalid, or would send the credentials in plain text.
 */
export function connect(options: Options): Payments {
  const { tls, timeoutMs = DEFAULT_TIMEOUT_MS, attempts = 4 } = options;
  checkTransport(options.url, tls);
  const session = new Http2SessionManager(options.url, {}, tls && { ...tls });
  const transport = tracking(
    createGrpcTransport({
      baseUrl: options.url,
      sessionManager: session,
      defaultTimeoutMs: timeoutMs,
      interceptors: [retrying(attempts), withCredentials(options.businessId, options.apiKey)],
    }),
  );
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
    // A broken session emits its error some moments after the call's. Without a listener, which
    // abort() removes, that error would end the program. Neither timer nor session keeps it running.
    close: () => void setTimeout(() => session.abort(), CLOSING_MS).unref(),
  };
}

/** Checks that the API key is never sent in plain text. */
function checkTransport(url: string, tls: MutualTls | undefined): void {
  const { protocol, hostname } = new URL(url);
  if (protocol === "http:" && LOOPBACK.test(hostname)) return;
  if (protocol === "https:" && tls !== undefined) return;
  throw new TypeError(
    `${url}: use http:// on loopback only, and https:// with tls (ca, cert and key) everywhere else`,
  );
}

function withCredentials(businessId: string, apiKey: string): Interceptor {
  return (next) => (request) => {
    request.header.set("x-business-id", businessId);
    request.header.set("x-api-key", apiKey);
    return next(request);
  };
}
