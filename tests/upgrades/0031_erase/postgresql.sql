SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.api_keys (
    business_id character varying(64) NOT NULL,
    key_id character varying(64) NOT NULL,
    key_hash character varying(64) NOT NULL,
    name character varying(200) NOT NULL,
    scopes character varying(64) NOT NULL,
    last4 character varying(4),
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    replaced_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone,
    replaced_by character varying(64)
);
CREATE TABLE public.authorize_credentials (
    business_id character varying(64) NOT NULL,
    env character varying(32) NOT NULL,
    api_login_id character varying(64) NOT NULL,
    sealed_transaction_key text NOT NULL,
    sealed_signature_key text,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_authorize_credentials_env_is_known CHECK (((env)::text = ANY ((ARRAY['TEST'::character varying, 'LIVE'::character varying])::text[])))
);
CREATE TABLE public.businesses (
    business_id character varying(64) NOT NULL,
    name character varying(200) NOT NULL,
    email character varying(254) NOT NULL,
    domain character varying(253) NOT NULL,
    active boolean NOT NULL,
    api_key_hash character varying(64) NOT NULL,
    default_env character varying(32) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    settle_receivables boolean DEFAULT false NOT NULL,
    retry_days character varying(64),
    max_failed_cycles integer,
    api_key_last4 character varying(4),
    api_key_created_at timestamp with time zone,
    api_key_used_at timestamp with time zone,
    suspended_at timestamp with time zone,
    suspended_reason character varying(500),
    CONSTRAINT ck_businesses_default_env_is_known CHECK (((default_env)::text = ANY ((ARRAY['TEST'::character varying, 'LIVE'::character varying])::text[]))),
    CONSTRAINT ck_businesses_max_failed_cycles_is_positive CHECK ((max_failed_cycles > 0))
);
CREATE TABLE public.cards (
    business_id character varying(64) NOT NULL,
    card_id character varying(64) NOT NULL,
    user_id character varying(64) NOT NULL,
    env character varying(32) NOT NULL,
    gateway character varying(32) NOT NULL,
    customer_id character varying(255) NOT NULL,
    gateway_card_id character varying(255) NOT NULL,
    brand character varying(32) NOT NULL,
    last4 character varying(4) NOT NULL,
    exp_month integer NOT NULL,
    exp_year integer NOT NULL,
    is_primary boolean NOT NULL,
    created_at timestamp with time zone NOT NULL,
    fingerprint character varying(64),
    CONSTRAINT ck_cards_env_is_known CHECK (((env)::text = ANY ((ARRAY['TEST'::character varying, 'LIVE'::character varying])::text[]))),
    CONSTRAINT ck_cards_gateway_is_known CHECK (((gateway)::text = ANY ((ARRAY['stripe'::character varying, 'authorize'::character varying])::text[])))
);
CREATE TABLE public.decisions (
    business_id character varying(64) NOT NULL,
    decision_id character varying(64) NOT NULL,
    subject character varying(32) NOT NULL,
    subject_id character varying(320) NOT NULL,
    action character varying(32) NOT NULL,
    resolution character varying(32),
    transaction_id character varying(255),
    previous_status character varying(32),
    is_forced boolean NOT NULL,
    decided_by character varying(200) NOT NULL,
    reason character varying(1000) NOT NULL,
    findings text NOT NULL,
    decided_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_decisions_action_is_known CHECK (((action)::text = ANY ((ARRAY['resolve'::character varying, 'retry'::character varying, 'release'::character varying, 'erase'::character varying])::text[]))),
    CONSTRAINT ck_decisions_resolution_is_known CHECK (((resolution)::text = ANY ((ARRAY['succeeded'::character varying, 'declined'::character varying, 'failed'::character varying])::text[]))),
    CONSTRAINT ck_decisions_resolution_of_resolve CHECK ((((action)::text = 'resolve'::text) = (resolution IS NOT NULL))),
    CONSTRAINT ck_decisions_subject_is_known CHECK (((subject)::text = ANY ((ARRAY['payment'::character varying, 'recurring_job'::character varying, 'webhook_event'::character varying, 'refund'::character varying, 'wallet_hold'::character varying, 'user'::character varying])::text[])))
);
CREATE TABLE public.gateway_customers (
    business_id character varying(64) NOT NULL,
    user_id character varying(64) NOT NULL,
    env character varying(32) NOT NULL,
    gateway character varying(32) NOT NULL,
    customer_id character varying(255) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_gateway_customers_env_is_known CHECK (((env)::text = ANY ((ARRAY['TEST'::character varying, 'LIVE'::character varying])::text[]))),
    CONSTRAINT ck_gateway_customers_gateway_is_known CHECK (((gateway)::text = ANY ((ARRAY['stripe'::character varying, 'authorize'::character varying])::text[])))
);
CREATE TABLE public.idempotency_records (
    business_id character varying(64) NOT NULL,
    key character varying(80) NOT NULL,
    action character varying(64) NOT NULL,
    fingerprint character varying(64) NOT NULL,
    fingerprint_key_id character varying(64) NOT NULL,
    api_key_hash character varying(64) NOT NULL,
    payment_id character varying(64),
    sealed_answer text,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    answer_schema integer
);
CREATE TABLE public.keyring_canaries (
    business_id character varying(64) NOT NULL,
    key_id character varying(64) NOT NULL,
    sealed text NOT NULL
);
CREATE TABLE public.metadata_pairs (
    business_id character varying(64) NOT NULL,
    digest character varying(64) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    resource_id character varying(64) NOT NULL
);
CREATE TABLE public.payments (
    business_id character varying(64) NOT NULL,
    payment_id character varying(64) NOT NULL,
    user_id character varying(64) NOT NULL,
    env character varying(32) NOT NULL,
    gateway character varying(32) NOT NULL,
    kind character varying(32) NOT NULL,
    amount_minor bigint NOT NULL,
    currency character varying(3) NOT NULL,
    description character varying(500),
    idempotency_key character varying(64),
    customer_id character varying(255) NOT NULL,
    gateway_card_id character varying(255) NOT NULL,
    gateway_key character varying(255) NOT NULL,
    status character varying(32) NOT NULL,
    attempt character varying(32),
    transaction_id character varying(255),
    decline_code character varying(255),
    answered boolean NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    lease_owner character varying(64),
    leased_until timestamp with time zone,
    joinable boolean NOT NULL,
    look_at timestamp with time zone,
    checks integer NOT NULL,
    sent_at timestamp with time zone,
    amount_refunded_minor bigint DEFAULT 0 NOT NULL,
    set_aside_at timestamp with time zone,
    set_aside_error character varying(500),
    failed_looks integer DEFAULT 0 NOT NULL,
    cancel_at timestamp with time zone,
    succeeded_at timestamp with time zone,
    first_outcome character varying(32),
    first_outcome_at timestamp with time zone,
    authorized_minor bigint,
    closing character varying(32),
    closing_minor bigint,
    closing_key character varying(64),
    metadata text,
    void_reason character varying(32),
    CONSTRAINT ck_payments_amount_is_positive CHECK ((amount_minor > 0)),
    CONSTRAINT ck_payments_amount_is_within_authorized CHECK ((((authorized_minor IS NULL) AND ((status)::text <> 'authorized'::text) AND (closing IS NULL)) OR ((authorized_minor IS NOT NULL) AND (authorized_minor >= amount_minor) AND ((kind)::text = 'charge'::text)))),
    CONSTRAINT ck_payments_attempt_is_known CHECK (((attempt)::text = ANY ((ARRAY['running'::character varying, 'unknown'::character varying, 'not_sent'::character varying])::text[]))),
    CONSTRAINT ck_payments_attempt_while_pending CHECK ((((status)::text = 'pending'::text) = (attempt IS NOT NULL))),
    CONSTRAINT ck_payments_capture_has_an_amount CHECK ((((closing IS NOT NULL) AND ((closing)::text = 'capture'::text)) = (closing_minor IS NOT NULL))),
    CONSTRAINT ck_payments_closing_is_known CHECK (((closing)::text = ANY ((ARRAY['capture'::character varying, 'void'::character varying])::text[]))),
    CONSTRAINT ck_payments_env_is_known CHECK (((env)::text = ANY ((ARRAY['TEST'::character varying, 'LIVE'::character varying])::text[]))),
    CONSTRAINT ck_payments_gateway_is_known CHECK (((gateway)::text = ANY ((ARRAY['stripe'::character varying, 'authorize'::character varying])::text[]))),
    CONSTRAINT ck_payments_kind_is_known CHECK (((kind)::text = ANY ((ARRAY['charge'::character varying, 'fund'::character varying])::text[]))),
    CONSTRAINT ck_payments_lease_while_running CHECK (((leased_until IS NOT NULL) = ((attempt IS NOT NULL) AND ((attempt)::text = 'running'::text)))),
    CONSTRAINT ck_payments_looked_at_while_pending CHECK ((((status)::text <> 'pending'::text) OR (look_at IS NOT NULL))),
    CONSTRAINT ck_payments_refunded_is_within_amount CHECK (((amount_refunded_minor >= 0) AND (amount_refunded_minor <= amount_minor))),
    CONSTRAINT ck_payments_set_aside_with_error CHECK (((set_aside_at IS NULL) = (set_aside_error IS NULL))),
    CONSTRAINT ck_payments_status_is_known CHECK (((status)::text = ANY ((ARRAY['pending'::character varying, 'succeeded'::character varying, 'declined'::character varying, 'requires_action'::character varying, 'failed'::character varying, 'needs_review'::character varying, 'held_for_review'::character varying, 'voided'::character varying, 'partially_refunded'::character varying, 'refunded'::character varying, 'disputed'::character varying, 'authorized'::character varying])::text[]))),
    CONSTRAINT ck_payments_success_has_a_transaction CHECK ((((status)::text <> 'succeeded'::text) OR (transaction_id IS NOT NULL))),
    CONSTRAINT ck_payments_void_reason_is_known CHECK (((void_reason)::text = ANY ((ARRAY['duplicate'::character varying, 'fraudulent'::character varying, 'requested_by_customer'::character varying, 'abandoned'::character varying])::text[])))
);
CREATE TABLE public.postings (
    business_id character varying(64) NOT NULL,
    transaction_id character varying(64) NOT NULL,
    account character varying(64) NOT NULL,
    amount_minor bigint NOT NULL,
    currency character varying(3) NOT NULL,
    CONSTRAINT ck_postings_amount_is_not_zero CHECK ((amount_minor <> 0))
);
CREATE TABLE public.recurring_jobs (
    business_id character varying(64) NOT NULL,
    recurring_id character varying(64) NOT NULL,
    user_id character varying(64) NOT NULL,
    env character varying(32) NOT NULL,
    amount_minor bigint NOT NULL,
    currency character varying(3) NOT NULL,
    source character varying(32),
    description character varying(500),
    interval_type character varying(32) NOT NULL,
    interval_value integer NOT NULL,
    starts_local character varying(32) NOT NULL,
    timezone character varying(64) NOT NULL,
    counts_from timestamp with time zone NOT NULL,
    end_at timestamp with time zone,
    max_cycles integer,
    catch_up character varying(32) NOT NULL,
    status character varying(32) NOT NULL,
    next_run timestamp with time zone,
    last_run timestamp with time zone,
    executed_cycles integer NOT NULL,
    failed_cycles integer NOT NULL,
    open_occurrence timestamp with time zone,
    due_at timestamp with time zone,
    lease_owner character varying(64),
    leased_until timestamp with time zone,
    fencing_token bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    last_cycle_local character varying(32),
    set_aside_at timestamp with time zone,
    set_aside_error character varying(500),
    failed_looks integer DEFAULT 0 NOT NULL,
    paused_at timestamp with time zone,
    paused_reason character varying(32),
    retry_days character varying(64),
    max_failed_cycles integer,
    metadata text,
    CONSTRAINT ck_recurring_jobs_amount_is_positive CHECK ((amount_minor > 0)),
    CONSTRAINT ck_recurring_jobs_catch_up_is_known CHECK (((catch_up)::text = ANY ((ARRAY['latest'::character varying, 'all'::character varying, 'skip'::character varying])::text[]))),
    CONSTRAINT ck_recurring_jobs_due_while_active CHECK (((due_at IS NOT NULL) = (((status)::text = 'active'::text) OR (open_occurrence IS NOT NULL)))),
    CONSTRAINT ck_recurring_jobs_env_is_known CHECK (((env)::text = ANY ((ARRAY['TEST'::character varying, 'LIVE'::character varying])::text[]))),
    CONSTRAINT ck_recurring_jobs_executed_cycles_is_not_negative CHECK ((executed_cycles >= 0)),
    CONSTRAINT ck_recurring_jobs_failed_cycles_is_not_negative CHECK ((failed_cycles >= 0)),
    CONSTRAINT ck_recurring_jobs_fencing_token_is_not_negative CHECK ((fencing_token >= 0)),
    CONSTRAINT ck_recurring_jobs_interval_is_positive CHECK ((interval_value > 0)),
    CONSTRAINT ck_recurring_jobs_interval_type_is_known CHECK (((interval_type)::text = ANY ((ARRAY['day'::character varying, 'week'::character varying, 'month'::character varying, 'year'::character varying])::text[]))),
    CONSTRAINT ck_recurring_jobs_lease_has_owner_and_end CHECK (((lease_owner IS NULL) = (leased_until IS NULL))),
    CONSTRAINT ck_recurring_jobs_max_cycles_is_positive CHECK ((max_cycles > 0)),
    CONSTRAINT ck_recurring_jobs_max_failed_cycles_is_positive CHECK ((max_failed_cycles > 0)),
    CONSTRAINT ck_recurring_jobs_next_run_while_active CHECK ((((status)::text = 'active'::text) OR (next_run IS NULL))),
    CONSTRAINT ck_recurring_jobs_paused_reason_is_known CHECK (((paused_reason)::text = ANY ((ARRAY['requested'::character varying, 'failed_cycles'::character varying])::text[]))),
    CONSTRAINT ck_recurring_jobs_set_aside_with_error CHECK (((set_aside_at IS NULL) = (set_aside_error IS NULL))),
    CONSTRAINT ck_recurring_jobs_source_is_known CHECK (((source)::text = ANY ((ARRAY['stripe'::character varying, 'authorize'::character varying, 'wallet'::character varying])::text[]))),
    CONSTRAINT ck_recurring_jobs_status_is_known CHECK (((status)::text = ANY ((ARRAY['active'::character varying, 'paused'::character varying, 'cancelled'::character varying, 'completed'::character varying])::text[])))
);
CREATE TABLE public.recurring_logs (
    business_id character varying(64) NOT NULL,
    log_id character varying(64) NOT NULL,
    recurring_id character varying(64) NOT NULL,
    user_id character varying(64) NOT NULL,
    occurrence timestamp with time zone NOT NULL,
    attempt integer NOT NULL,
    status character varying(32) NOT NULL,
    message character varying(500) NOT NULL,
    transaction_id character varying(255),
    payment_id character varying(64),
    attempted_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_recurring_logs_attempt_is_not_negative CHECK ((attempt >= 0)),
    CONSTRAINT ck_recurring_logs_status_is_known CHECK (((status)::text = ANY ((ARRAY['succeeded'::character varying, 'declined'::character varying, 'requires_action'::character varying, 'failed'::character varying, 'skipped'::character varying])::text[])))
);
CREATE TABLE public.recurring_occurrences (
    business_id character varying(64) NOT NULL,
    recurring_id character varying(64) NOT NULL,
    occurrence timestamp with time zone NOT NULL,
    amount_minor bigint NOT NULL,
    currency character varying(3) NOT NULL,
    source character varying(32),
    description character varying(500),
    attempt integer NOT NULL,
    payment_id character varying(64),
    checks integer NOT NULL,
    status character varying(32) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_recurring_occurrences_amount_is_positive CHECK ((amount_minor > 0)),
    CONSTRAINT ck_recurring_occurrences_attempt_is_positive CHECK ((attempt > 0)),
    CONSTRAINT ck_recurring_occurrences_checks_is_not_negative CHECK ((checks >= 0)),
    CONSTRAINT ck_recurring_occurrences_source_is_known CHECK (((source)::text = ANY ((ARRAY['stripe'::character varying, 'authorize'::character varying, 'wallet'::character varying])::text[]))),
    CONSTRAINT ck_recurring_occurrences_status_is_known CHECK (((status)::text = ANY ((ARRAY['open'::character varying, 'succeeded'::character varying, 'declined'::character varying, 'requires_action'::character varying, 'failed'::character varying, 'skipped'::character varying])::text[])))
);
CREATE TABLE public.refunds (
    business_id character varying(64) NOT NULL,
    refund_id character varying(64) NOT NULL,
    payment_id character varying(64) NOT NULL,
    user_id character varying(64) NOT NULL,
    env character varying(32) NOT NULL,
    gateway character varying(32) NOT NULL,
    amount_minor bigint NOT NULL,
    currency character varying(3) NOT NULL,
    is_whole boolean NOT NULL,
    reason character varying(32),
    description character varying(500),
    idempotency_key character varying(64),
    gateway_key character varying(255) NOT NULL,
    status character varying(32) NOT NULL,
    attempt character varying(32),
    lease_owner character varying(64),
    leased_until timestamp with time zone,
    look_at timestamp with time zone,
    checks integer NOT NULL,
    first_sent_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone NOT NULL,
    gateway_refund_id character varying(255),
    failure_code character varying(255),
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    set_aside_at timestamp with time zone,
    set_aside_error character varying(500),
    failed_looks integer DEFAULT 0 NOT NULL,
    metadata text,
    CONSTRAINT ck_refunds_amount_is_positive CHECK ((amount_minor > 0)),
    CONSTRAINT ck_refunds_attempt_is_known CHECK (((attempt)::text = ANY ((ARRAY['running'::character varying, 'unknown'::character varying, 'unsettled'::character varying])::text[]))),
    CONSTRAINT ck_refunds_attempt_while_pending CHECK (((attempt IS NULL) OR ((status)::text = 'pending'::text))),
    CONSTRAINT ck_refunds_env_is_known CHECK (((env)::text = ANY ((ARRAY['TEST'::character varying, 'LIVE'::character varying])::text[]))),
    CONSTRAINT ck_refunds_gateway_is_known CHECK (((gateway)::text = ANY ((ARRAY['stripe'::character varying, 'authorize'::character varying])::text[]))),
    CONSTRAINT ck_refunds_lease_has_owner_and_end CHECK (((lease_owner IS NULL) = (leased_until IS NULL))),
    CONSTRAINT ck_refunds_lease_while_running CHECK (((leased_until IS NOT NULL) = ((attempt IS NOT NULL) AND ((attempt)::text = 'running'::text)))),
    CONSTRAINT ck_refunds_looked_at_during_attempt CHECK (((attempt IS NULL) = (look_at IS NULL))),
    CONSTRAINT ck_refunds_reason_is_known CHECK (((reason)::text = ANY ((ARRAY['duplicate'::character varying, 'fraudulent'::character varying, 'requested_by_customer'::character varying])::text[]))),
    CONSTRAINT ck_refunds_set_aside_with_error CHECK (((set_aside_at IS NULL) = (set_aside_error IS NULL))),
    CONSTRAINT ck_refunds_status_is_known CHECK (((status)::text = ANY ((ARRAY['pending'::character varying, 'succeeded'::character varying, 'failed'::character varying, 'canceled'::character varying])::text[])))
);
CREATE TABLE public.removed_cards (
    business_id character varying(64) NOT NULL,
    card_id character varying(64) NOT NULL,
    user_id character varying(64) NOT NULL,
    env character varying(32) NOT NULL,
    gateway character varying(32) NOT NULL,
    customer_id character varying(255) NOT NULL,
    gateway_card_id character varying(255) NOT NULL,
    brand character varying(32) NOT NULL,
    last4 character varying(4) NOT NULL,
    exp_month integer NOT NULL,
    exp_year integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    removed_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_removed_cards_env_is_known CHECK (((env)::text = ANY ((ARRAY['TEST'::character varying, 'LIVE'::character varying])::text[]))),
    CONSTRAINT ck_removed_cards_gateway_is_known CHECK (((gateway)::text = ANY ((ARRAY['stripe'::character varying, 'authorize'::character varying])::text[])))
);
CREATE TABLE public.stripe_credentials (
    business_id character varying(64) NOT NULL,
    env character varying(32) NOT NULL,
    sealed_secret_key text NOT NULL,
    public_key character varying(255) NOT NULL,
    sealed_webhook_secret text,
    account_id character varying(128),
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_stripe_credentials_env_is_known CHECK (((env)::text = ANY ((ARRAY['TEST'::character varying, 'LIVE'::character varying])::text[])))
);
CREATE TABLE public.test_clocks (
    business_id character varying(64) NOT NULL,
    env character varying(32) NOT NULL,
    ahead_microseconds bigint NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_test_clocks_ahead_is_not_negative CHECK ((ahead_microseconds >= 0)),
    CONSTRAINT ck_test_clocks_env_is_known CHECK (((env)::text = 'TEST'::text))
);
CREATE TABLE public.users (
    business_id character varying(64) NOT NULL,
    user_id character varying(64) NOT NULL,
    name character varying(200) NOT NULL,
    email character varying(254) NOT NULL,
    active boolean NOT NULL,
    currency character varying(3) NOT NULL,
    default_gateway character varying(32),
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    metadata text,
    suspended_at timestamp with time zone,
    CONSTRAINT ck_users_default_gateway_is_known CHECK (((default_gateway)::text = ANY ((ARRAY['stripe'::character varying, 'authorize'::character varying])::text[])))
);
CREATE TABLE public.wallet_holds (
    business_id character varying(64) NOT NULL,
    hold_id character varying(64) NOT NULL,
    wallet_id character varying(64) NOT NULL,
    user_id character varying(64) NOT NULL,
    env character varying(32) NOT NULL,
    currency character varying(3) NOT NULL,
    amount_minor bigint NOT NULL,
    captured_minor bigint,
    status character varying(32) NOT NULL,
    description character varying(500),
    transaction_id character varying(64),
    expires_at timestamp with time zone NOT NULL,
    look_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    set_aside_at timestamp with time zone,
    set_aside_error character varying(500),
    failed_looks integer DEFAULT 0 NOT NULL,
    metadata text,
    CONSTRAINT ck_wallet_holds_amount_is_positive CHECK ((amount_minor > 0)),
    CONSTRAINT ck_wallet_holds_captured_is_within_amount CHECK (((captured_minor > 0) AND (captured_minor <= amount_minor))),
    CONSTRAINT ck_wallet_holds_captured_with_a_transaction CHECK (((((status)::text = 'captured'::text) = (captured_minor IS NOT NULL)) AND (((status)::text = 'captured'::text) = (transaction_id IS NOT NULL)))),
    CONSTRAINT ck_wallet_holds_env_is_known CHECK (((env)::text = ANY ((ARRAY['TEST'::character varying, 'LIVE'::character varying])::text[]))),
    CONSTRAINT ck_wallet_holds_looked_at_while_open CHECK (((((status)::text = 'open'::text) = (look_at IS NOT NULL)) AND (((status)::text = 'open'::text) = (closed_at IS NULL)))),
    CONSTRAINT ck_wallet_holds_set_aside_with_error CHECK (((set_aside_at IS NULL) = (set_aside_error IS NULL))),
    CONSTRAINT ck_wallet_holds_status_is_known CHECK (((status)::text = ANY ((ARRAY['open'::character varying, 'captured'::character varying, 'released'::character varying, 'expired'::character varying])::text[])))
);
CREATE TABLE public.wallet_transactions (
    business_id character varying(64) NOT NULL,
    transaction_id character varying(64) NOT NULL,
    wallet_id character varying(64) NOT NULL,
    version bigint NOT NULL,
    type character varying(32) NOT NULL,
    amount_minor bigint NOT NULL,
    balance_after_minor bigint NOT NULL,
    source character varying(32) NOT NULL,
    reason character varying(32) NOT NULL,
    description character varying(500),
    payment_id character varying(64),
    created_at timestamp with time zone NOT NULL,
    taken_before_minor bigint DEFAULT 0 NOT NULL,
    transfer_id character varying(64),
    other_user_id character varying(64),
    CONSTRAINT ck_wallet_transactions_amount_is_positive CHECK ((amount_minor > 0)),
    CONSTRAINT ck_wallet_transactions_balance_after_is_not_negative CHECK ((balance_after_minor >= 0)),
    CONSTRAINT ck_wallet_transactions_reason_is_known CHECK (((reason)::text = ANY ((ARRAY['business_charge'::character varying, 'manual_credit'::character varying, 'wallet_fund'::character varying, 'refund'::character varying, 'dispute'::character varying, 'recurring_charge'::character varying, 'receivable'::character varying, 'transfer'::character varying, 'hold_capture'::character varying])::text[]))),
    CONSTRAINT ck_wallet_transactions_source_is_known CHECK (((source)::text = ANY ((ARRAY['system'::character varying, 'manual'::character varying, 'stripe'::character varying, 'authorize'::character varying, 'recurring'::character varying])::text[]))),
    CONSTRAINT ck_wallet_transactions_transfer_has_an_other_user CHECK ((((transfer_id IS NOT NULL) = ((reason)::text = 'transfer'::text)) AND ((transfer_id IS NULL) = (other_user_id IS NULL)))),
    CONSTRAINT ck_wallet_transactions_type_is_known CHECK (((type)::text = ANY ((ARRAY['credit'::character varying, 'debit'::character varying])::text[]))),
    CONSTRAINT ck_wallet_transactions_version_is_positive CHECK ((version > 0))
);
CREATE TABLE public.wallets (
    business_id character varying(64) NOT NULL,
    wallet_id character varying(64) NOT NULL,
    user_id character varying(64) NOT NULL,
    env character varying(32) NOT NULL,
    currency character varying(3) NOT NULL,
    balance_minor bigint NOT NULL,
    version bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    held_minor bigint DEFAULT 0 NOT NULL,
    receivable_minor bigint DEFAULT 0 NOT NULL,
    receivable_since timestamp with time zone,
    CONSTRAINT ck_wallets_balance_is_not_negative CHECK ((balance_minor >= 0)),
    CONSTRAINT ck_wallets_env_is_known CHECK (((env)::text = ANY ((ARRAY['TEST'::character varying, 'LIVE'::character varying])::text[]))),
    CONSTRAINT ck_wallets_held_is_within_balance CHECK (((held_minor = 0) OR ((held_minor > 0) AND (held_minor <= balance_minor)))),
    CONSTRAINT ck_wallets_receivable_since_owed CHECK (((receivable_minor >= 0) AND ((receivable_minor > 0) = (receivable_since IS NOT NULL)))),
    CONSTRAINT ck_wallets_version_is_not_negative CHECK ((version >= 0))
);
CREATE TABLE public.webhook_events (
    business_id character varying(64) NOT NULL,
    gateway character varying(32) NOT NULL,
    env character varying(32) NOT NULL,
    event_id character varying(255) NOT NULL,
    type character varying(255) NOT NULL,
    transaction_id character varying(255),
    payment_id character varying(64),
    fact text,
    needs_lookup boolean NOT NULL,
    state character varying(32) NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    look_at timestamp with time zone,
    checks integer NOT NULL,
    set_aside_at timestamp with time zone,
    set_aside_error character varying(500),
    failed_looks integer DEFAULT 0 NOT NULL,
    refund_id character varying(64),
    CONSTRAINT ck_webhook_events_env_is_known CHECK (((env)::text = ANY ((ARRAY['TEST'::character varying, 'LIVE'::character varying])::text[]))),
    CONSTRAINT ck_webhook_events_gateway_is_known CHECK (((gateway)::text = ANY ((ARRAY['stripe'::character varying, 'authorize'::character varying])::text[]))),
    CONSTRAINT ck_webhook_events_looked_at_while_waiting CHECK (((look_at IS NOT NULL) = ((state)::text = 'waiting'::text))),
    CONSTRAINT ck_webhook_events_set_aside_with_error CHECK (((set_aside_at IS NULL) = (set_aside_error IS NULL))),
    CONSTRAINT ck_webhook_events_state_is_known CHECK (((state)::text = ANY ((ARRAY['waiting'::character varying, 'applied'::character varying, 'contradicting'::character varying, 'ignored'::character varying])::text[])))
);
INSERT INTO public.alembic_version VALUES ('0031_erase');
INSERT INTO public.api_keys VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'KEY-01M8HK4NK6AHM1Y17G0MGJTXQ5', '0e21993400e9e33a0a56b6ab6c7eff95a9ced640c4777f4921465437a130e64f', 'Reports', 'read', 'c4e5', '2026-11-28 17:27:11.205969+00', NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.authorize_credentials VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'TEST', 'login5e74d3b13c0a', 'v2:k1:Mbj3aBNZnVAqFw/gxLgo0YuXCLKgYpRTlesamYwiQMK9R87Jb/OojzBbQ8I=', NULL, '2026-11-28 17:27:09.725845+00', '2026-11-28 17:27:09.725845+00');
INSERT INTO public.businesses VALUES ('ADMIN-BUSINESS', 'Administration', 'admin@admin.invalid', 'admin.invalid', true, '079bbe02ef9b8a04f355ab03fe2370d4c7adeb588190887593291fedd0c41ddd', 'TEST', '2026-11-28 17:27:09.673944+00', '2026-11-28 17:27:09.673944+00', false, NULL, NULL, 'e59f', '2026-11-28 17:27:09.673944+00', NULL, NULL, NULL);
INSERT INTO public.businesses VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'northwind', 'owner@northwind.example.com', 'northwind.example.com', true, '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'TEST', '2026-11-28 17:27:09.70059+00', '2026-11-28 17:27:09.70059+00', false, NULL, NULL, '31e3', '2026-11-28 17:27:09.70059+00', NULL, NULL, NULL);
INSERT INTO public.cards VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'CRD-01M8HK4M8QP505G8055YGXN73Q', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 'cus_j9RTllhh4CC5UL', 'pm_AW5WCv4kLj25tio4R2ifFwAg', 'visa', '4242', 11, 2027, true, '2026-11-28 17:27:09.84493+00', '52732deed8f96f62');
INSERT INTO public.cards VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'CRD-01M8HK4MAPVN0MNKX44TTX4V3V', 'USR-01M8HK4M97WH05TJZ9Q59F6AAN', 'TEST', 'stripe', 'cus_LBZd4116pnuX1M', 'pm_KIQxO7Ip4fi4xpEoMdOSa57f', 'visa', '0341', 11, 2027, true, '2026-11-28 17:27:09.909739+00', '7185df042da082dd');
INSERT INTO public.cards VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'CRD-01M8HK4MF7AEBE1676YPM8JVG5', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'authorize', '51116428117', '52126849523', 'visa', '1111', 12, 2060, true, '2026-11-28 17:27:10.054314+00', NULL);
INSERT INTO public.cards VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'CRD-01M8HK4NNT6YPR6CNDFJ51ABKP', 'USR-01M8HK4NM4DAN2K02DHMHM9JDM', 'TEST', 'stripe', 'cus_vTKHLzaMAPSwW2', 'pm_HLJdcEzJD3phbyS7LcZbf3Yu', 'visa', '3184', 11, 2027, true, '2026-11-28 17:27:11.289567+00', '549003358e2b2145');
INSERT INTO public.gateway_customers VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 'cus_j9RTllhh4CC5UL', '2026-11-28 17:27:09.816787+00');
INSERT INTO public.gateway_customers VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'USR-01M8HK4M97WH05TJZ9Q59F6AAN', 'TEST', 'stripe', 'cus_LBZd4116pnuX1M', '2026-11-28 17:27:09.879155+00');
INSERT INTO public.gateway_customers VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'authorize', '51116428117', '2026-11-28 17:27:10.040921+00');
INSERT INTO public.gateway_customers VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'USR-01M8HK4NM4DAN2K02DHMHM9JDM', 'TEST', 'stripe', 'cus_vTKHLzaMAPSwW2', '2026-11-28 17:27:11.269298+00');
INSERT INTO public.idempotency_records VALUES ('ADMIN-BUSINESS', 'call:01M8HK4M3WY7E4189CKG6GR8ZR', 'RegisterBusiness', '', 'k1', '079bbe02ef9b8a04f355ab03fe2370d4c7adeb588190887593291fedd0c41ddd', NULL, NULL, '2026-11-28 17:27:09.70059+00', '2026-11-28 18:27:09.70059+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'call:01M8HK4M4E8XY6VMR42EKV5CGT', 'AddStripeCredentials', '', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, NULL, '2026-11-28 17:27:09.710281+00', '2026-11-28 18:27:09.710281+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'call:01M8HK4M4XG548FT67AB2DXB9M', 'AddAuthorizeCredentials', '', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, NULL, '2026-11-28 17:27:09.725845+00', '2026-11-28 18:27:09.725845+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'call:01M8HK4M56MGBNCWD8KDH0YXH0', 'CreateUser', '', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, NULL, '2026-11-28 17:27:09.734624+00', '2026-11-28 18:27:09.734624+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'call:01M8HK4M97WH05TJZ9Q59F6AAM', 'CreateUser', '', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, NULL, '2026-11-28 17:27:09.863829+00', '2026-11-28 18:27:09.863829+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:kept-0', 'FundCustomer', '3c5085263206c850be30cc5ca77834ec82173cfb5fb42b171d888500a086b26f', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'PAY-2NGE0QFH0B8VEDEH', 'v2:k1:BprZbLL4yBO2bLJFjdelz7PjVQGQqwPfC+ElSBJ5XERISaHhbPQHcqzwSsAJnY8Q/70y1/MOOSmE5vVBVtlRF/Xt3xeyHoB7sCgZHLpGeWVO4NNQE0h32kg0PrH8M6Wft91F6FZHe9RWDCEcWtbaDth8EEB88lue5KWFhor1pdtVl9jxy9vmIjBgyflY92+vmeUpFJDgv//ZK5yqnE4hKNXgT9nWzwAHE6cs1wqBP425KUh6wRhqGwh76UxB+m24U91gjBrqz+XDWu2eMlZSPA==', '2026-11-28 17:27:10.065808+00', '2026-11-29 17:27:10.073771+00', 2);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:kept-1', 'FundCustomer', 'af8380d28c3a0581acfa8695c3a98d20f2950d54589055d09b3fd7682956b5b3', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'PAY-2NGE0QG9CGTAEDFB', 'v2:k1:+atOtRL6fg1SGK/FiJO4q874bngeBfP8jWfrr+Qxz3pykpwdnAz5xEp7ewdnszi2vwYSRGFxcA/vtiEk9BPtguq0Z6MZdzxezsDJPEcYhDJBGEvEIZPxav+JHrR3DvSxDxx2zwfNhMfSuNMNDYtKchzYXhEEI5NZ/lP/v6xrZMh42QusrlE1Fm3iQmlIAGeAXPk4u5JRHEG3Mpb6PGd9c3qMePKeRH8Ds+Pra47lTGlF1T5OuS7lUUHKfQGkUyB0', '2026-11-28 17:27:10.089766+00', '2026-11-29 17:27:10.099795+00', 2);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:kept-2', 'ChargeCustomer', '18ade7dabc071a1438822cbb62c262a465a7a2a20fb11d70d4cb7041283727b1', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'PAY-2NGE0QGPB6153BXJ', 'v2:k1:LuXqA0BnprLR8DcVGYN3LEgyipRBQ3oN1X3c1V6iLf/wG13qN3Gl4gTE7nFGMl71FuV4FqfGb3nyp4NIcM8k1D8NBX3L6sB90igtqGB19SC6lguC4wsw+Rs0GZgbPTA=', '2026-11-28 17:27:10.102517+00', '2026-11-29 17:27:10.106481+00', 2);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:kept-3', 'ChargeCustomer', '69ad4bd8444c2da4733d320ec34df34ea86410e770fe8dc782c5d7f913d41874', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'PAY-2NGE0QGW5PGBJYTE', 'v2:k1:Wwwk0sCCOhXysG1cnXwom+2A3aIbCWOrNeGY3souvhTFD6yh0IOs1VMdhv0xVt/oceqY81Jh9mUonU4jlcGHozNdvsrMEMviKzqa7J7EyM67NWgV9mlLdHauacFc3LxR1zABUg1qyKr/3ReABLC674y8B6uUjjSXe1PvNe1/kTpj3YQ8iWAuVU+3pJy0zfS99uzlYIgykgYfsY0Z/CL6FV9xhiGly2lADRW8OwHAdcz315vNL/p7r/pSgECzJumCCLMzBi2HhP5TMsovifnrtcRZUcwuPxdi', '2026-11-28 17:27:10.108316+00', '2026-11-29 17:27:10.138753+00', 2);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:kept-4', 'ChargeWallet', '808a62f5900334372c9b55e6201a1d4ec77af796bc0c18449cd3b2cd3e660283', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, 'v2:k1:FQby3BBrG6ZVXMOHDsER6mCJP4OYAFsXn7cHd2SqI/o/Dyx1km9Gjwf58Plz+2TG9ZBoBo4u78XibQE4J5dEqo+w4fO4CCKCh8OWMy70qHvQ5/xrUe5/GlY7r2aYd9L1bB+gk6z3zA/wU2+XhRGXaTnFYdP94GsF83aeRc28jn6pfHhLdsjVJ66GiGwbyiwqG6ZMeW4JuULD8Hd6XEfuRVkKIvZciOR24zciqFMJ3dk7PlTy', '2026-11-28 17:27:10.156984+00', '2026-11-29 17:27:10.156984+00', 2);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:kept-5', 'CreateUser', '0aa0decd6209241b976093edad7df2ee7e978fbccca52e09d8fef4d742885da7', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, 'v2:k1:AejEQRkkGH4sVYszD4GOa/ZfMrPtZLgvcMZqg09E0eWNLe7+hOcVCjBIR3KClg1g/bh+IaXXr3d9bH1KuGPnxlnHtFMAoygR6tpJMA26YmEorxRlAm3jQrFCSZwXMiljhkLFoINTG6/j0G53Wzwdgg3S+bnWPTVousFVv9R/juKtpKB/pvp2cZge24TaSAYry80F7LLjuDRGzho3f9D1JOmQHToRcR/92OfRQrD2vKiJ/vIGLQuqL+qg6CiRhGytV2VadBxtLe7TMtYQneHMHfHem+bcfFzrJnF5fGguAzwR0g==', '2026-11-28 17:27:10.188351+00', '2026-11-29 17:27:10.188351+00', 2);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:kept-6', 'AddWalletFunds', 'abadfb6aa9a63a1231dfd1644c858748a11ab1cd00c5badbd4d1517815b05ce7', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, 'v2:k1:mHdt0EFOEqStW5cYmb6uHYBan5XbyDT2HkVNBCcC6DDfPw9LjAOgSr2WDx7fXiJ5bHFhLJyerff3iS3AtI0cV3y/1ZNa6r7S/4QxCKopygvCWHDf/RG7338hk3N6Rk0OFPFWKxo17ZS6PuQmYWt2ZuXAz08Ow/Cj2micXFl0eKrUFc+iWL5D3gLqO+OjSbaTjliIL1P9fAvPkqMn8txDB9/gS9VgrVlGLRP02tj3AuD2d06N', '2026-11-28 17:27:10.201288+00', '2026-11-29 17:27:10.201288+00', 2);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:kept-7', 'RefundPayment', '8d76990fdd8b281918b6389d189987f02c7ff55820a850c86634c4611f13f8aa', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'REF-2NGE0QNYCZ7Q9RDE', 'v2:k1:vX/eVBwwUnNBk9p7U1ByN1eDJx5sv4JdFIDGWyTeTOhAvs0BLWE3dtL6TdSnqge7qt+0BJw1NjfOyLttxqPA+w6BpqrISsv6mrJFRXSUHj07hqQzH+NqdY5c2b700gvJA3Dq3Bxr/kTZAOuhzrymHVBi27AeXHBE07PijQa30es6JBGNvd+GoAfJ9BwPn2BTM+OZD23ka/mv/QStzsWqIiLjTg3StY06fmeYKChpARBo0Ey4', '2026-11-28 17:27:10.270548+00', '2026-11-29 17:27:10.340694+00', 2);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'call:01M8HK4MSDZBDP44GGQ19HSB2H', 'CreateRecurring', '', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, NULL, '2026-11-28 17:27:10.381493+00', '2026-11-28 18:27:10.381493+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'call:01M8HK4MXHZ9W1X56FATGKH337', 'CreateRecurring', '', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, NULL, '2026-11-28 17:27:10.51335+00', '2026-11-28 18:27:10.51335+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'call:01M8HK4MY50JHHB0J0T8TKGPN3', 'HoldWallet', '', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, NULL, '2026-11-28 17:27:10.533283+00', '2026-11-28 18:27:10.533283+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'call:01M8HK4NH7R5PTPKKGBW37C3SV', 'HoldWallet', '', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, NULL, '2026-11-28 17:27:11.14399+00', '2026-11-28 18:27:11.14399+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:second-key', 'CreateApiKey', '53a32a73856f4e2c897ef33ce6cc3ed395c0bcff31147cdc52ce65b36df1be4f', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, 'v2:k1:yhtfnO3nVX47kXpth4e8PG20GtLEyiqQlT80aqIrUxiddeobriYUPz61LHNDmJU65MFKq3rIYlmdbtXOS8VjyQK/3kdAIUEdVnlkKvubJqjqkGWA+WkarHOaTOoM5jiOzeqLkTl1+cO/wcpdiCfnhyS2lVv+RXHtTtWPFGa+uOR1QqoKW5yBZquvex6LYcYDiMGGYvqUoAe1SlQd5Aq+IOAPMqjFTCKqXPP4EIqlj23o', '2026-11-28 17:27:11.205969+00', '2026-11-29 17:27:11.205969+00', 2);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'call:01M8HK4NKXH61F5600KRP0TXR6', 'CreateUser', '', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', NULL, NULL, '2026-11-28 17:27:11.23671+00', '2026-11-28 18:27:11.23671+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:waits', 'ChargeCustomer', '625b91165d64cffac3632faa0758d442c901521806992c7498272c4ca98a2fe9', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'PAY-2NGE0RPH4J5G36SR', 'v2:k1:jUYvCJ55noAu3r3CgddydrNYOMKLQ2lPCX8leON+jhXoq8qgdrtqk9As6x23A7JWN7Uayahe59D3W/Q6JpkztylAqLIPiqam8k1ZSpszrwzmd8wNp1ev4f8j9Kyn6VFk0B5Up2dsMrQXoH9emmqYWg8+uw6xPoTS3/NOq1+CO9IIoQvbmAezApJdIXBfbWe7bmQfWhnz2brJjaM199luw3OvYWFaP6S8fKjYBdl3MRf/O/L2JtlTEGTq1Hd/MgOcNeWtlAXmSX+fiJ6sNHtuUFW+pqT+kdH5hqz84CDvrEdngl6Mp859wS3INN3+Nmj7eFbYPHjctMNfLuRoqhoghvBwsGwXe3X5oxizNlIP0Xa9TwxOJPRhIcvbe+VX29RtPUKUUtqmACtA18k6Vxc2swKXtXPT', '2026-11-28 17:27:11.31304+00', '2026-11-29 17:27:11.330991+00', 2);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:open-0', 'FundCustomer', '5b47837db62ba4f7376ab3b0d1fcb5e5f6370ffec934eb6e90f886710ba4d302', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'PAY-2NGE0RTAM927JS8N', NULL, '2026-11-28 17:27:11.434582+00', '2026-11-29 17:27:11.434582+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:open-1', 'FundCustomer', 'd5f63ccd33396e0e7bcd89becf43d008344cecf41df6435387efefc28d0d1906', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'PAY-2NGE0RW8C5SSRTM0', NULL, '2026-11-28 17:27:11.496926+00', '2026-11-29 17:27:11.496926+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:open-2', 'FundCustomer', 'e171c50ada11eea31bc64155a8b0278d477c800e4b5fa1ac65849ec377e60d1b', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'PAY-2NGE0RXYXMP6EC6N', NULL, '2026-11-28 17:27:11.550492+00', '2026-11-29 17:27:11.550492+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:open-3', 'FundCustomer', '0d5e05d1e60a67ad6ded12672ad4e61f1e1758bf3eb0b7851b11a08c2c6d409c', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'PAY-2NGE0RZ5MX8RFV0V', NULL, '2026-11-28 17:27:11.589092+00', '2026-11-29 17:27:11.589092+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:open-refund', 'RefundPayment', '0dc0070e63262aa988593e3724ede084bf04a919e1fb038f76e59c274f805622', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'REF-2NGE0S1BJ44DT97P', NULL, '2026-11-28 17:27:11.659207+00', '2026-11-29 17:27:11.659207+00', NULL);
INSERT INTO public.idempotency_records VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'key:open-running', 'FundCustomer', '42a4e847c2139ec4c0a7fe73787c68b850b84bc9a297b66d7f2b57967074225d', 'k1', '5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d', 'PAY-2NGE0S4WTZV7M28H', NULL, '2026-11-28 17:27:11.772013+00', '2026-11-29 17:27:11.772013+00', NULL);
INSERT INTO public.keyring_canaries VALUES ('ADMIN-BUSINESS', 'k1', 'v2:k1:PzFPBdvyG02AJLgxHvKn/fvXcRVj8bGmJr5Pslagfh3bQw==');
INSERT INTO public.metadata_pairs VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', '7c63ffba0b5297c21a4fd2baaea01ef4', '2026-11-28 17:27:10.102517+00', 'PAY-2NGE0QGPB6153BXJ');
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0QFH0B8VEDEH', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 'fund', 9000, 'usd', NULL, 'kept-0', 'cus_j9RTllhh4CC5UL', 'pm_AW5WCv4kLj25tio4R2ifFwAg', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0QFH0B8VEDEH', 'succeeded', NULL, 'pi_GLHfD5wjSgazGk7Np3siXb2m', NULL, false, '2026-11-28 17:27:10.065808+00', '2026-11-28 17:27:10.073771+00', NULL, NULL, false, NULL, 0, NULL, 0, NULL, NULL, 0, NULL, '2026-11-28 17:27:10.073771+00', 'succeeded', '2026-11-28 17:27:10.073771+00', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0QG9CGTAEDFB', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'authorize', 'fund', 3000, 'usd', NULL, 'kept-1', '51116428117', '52126849523', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0QG9CGTAEDFB', 'succeeded', NULL, '60463362386', NULL, false, '2026-11-28 17:27:10.089766+00', '2026-11-28 17:27:10.099795+00', NULL, NULL, false, NULL, 0, NULL, 0, NULL, NULL, 0, NULL, '2026-11-28 17:27:10.099795+00', 'succeeded', '2026-11-28 17:27:10.099795+00', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0QGPB6153BXJ', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 'charge', 2500, 'usd', 'A blue lamp', 'kept-2', 'cus_j9RTllhh4CC5UL', 'pm_AW5WCv4kLj25tio4R2ifFwAg', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0QGPB6153BXJ', 'succeeded', NULL, 'pi_7dHoyc8HSAmLDnV9UCns7gAW', NULL, false, '2026-11-28 17:27:10.102517+00', '2026-11-28 17:27:10.106481+00', NULL, NULL, false, NULL, 0, NULL, 0, NULL, NULL, 0, NULL, '2026-11-28 17:27:10.106481+00', 'succeeded', '2026-11-28 17:27:10.106481+00', NULL, NULL, NULL, NULL, '{"order":"A-1"}', NULL);
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0QGW5PGBJYTE', 'USR-01M8HK4M97WH05TJZ9Q59F6AAN', 'TEST', 'stripe', 'charge', 2500, 'usd', NULL, 'kept-3', 'cus_LBZd4116pnuX1M', 'pm_KIQxO7Ip4fi4xpEoMdOSa57f', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0QGW5PGBJYTE', 'declined', NULL, 'pi_MuIrmRw9aNaaXhcNiVqYfZsV', 'generic_decline', true, '2026-11-28 17:27:10.108316+00', '2026-11-28 17:27:10.138753+00', NULL, NULL, false, NULL, 0, NULL, 0, NULL, NULL, 0, NULL, NULL, 'declined', '2026-11-28 17:27:10.138753+00', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0QM7T1KGNC9X', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 'charge', 1700, 'usd', NULL, NULL, 'cus_j9RTllhh4CC5UL', 'pm_AW5WCv4kLj25tio4R2ifFwAg', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0QM7T1KGNC9X', 'refunded', NULL, 'pi_DuhcCjkV3vekURwjrXRWLcDV', NULL, true, '2026-11-28 17:27:10.215978+00', '2026-11-28 17:27:10.340694+00', NULL, NULL, false, NULL, 0, NULL, 1700, NULL, NULL, 0, NULL, '2026-11-28 17:27:10.252114+00', 'succeeded', '2026-11-28 17:27:10.252114+00', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0RHN80V7NZGV', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 'charge', 4000, 'usd', NULL, NULL, 'cus_j9RTllhh4CC5UL', 'pm_AW5WCv4kLj25tio4R2ifFwAg', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RHN80V7NZGV', 'authorized', NULL, 'pi_qIxBEJRh5nkWU8Kj7FRw6ULC', NULL, true, '2026-11-28 17:27:11.157174+00', '2026-11-28 17:27:11.224001+00', NULL, NULL, false, '2026-11-28 17:42:11.189037+00', 0, NULL, 0, NULL, NULL, 0, NULL, NULL, 'authorized', '2026-11-28 17:27:11.189037+00', 4000, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0RPH4J5G36SR', 'USR-01M8HK4NM4DAN2K02DHMHM9JDM', 'TEST', 'stripe', 'charge', 1200, 'usd', NULL, 'waits', 'cus_vTKHLzaMAPSwW2', 'pm_HLJdcEzJD3phbyS7LcZbf3Yu', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RPH4J5G36SR', 'requires_action', NULL, 'pi_AGR57nHeiGm3Q3tOHntdUS0z', NULL, true, '2026-11-28 17:27:11.31304+00', '2026-11-28 17:27:11.330991+00', NULL, NULL, false, '2026-11-28 17:27:41.330991+00', 0, NULL, 0, NULL, NULL, 0, NULL, NULL, 'requires_action', '2026-11-28 17:27:11.330991+00', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0RRHGAJA8B6M', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 'charge', 2100, 'usd', NULL, NULL, 'cus_j9RTllhh4CC5UL', 'pm_AW5WCv4kLj25tio4R2ifFwAg', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RRHGAJA8B6M', 'partially_refunded', NULL, 'pi_N8bOisVejlfQUecF9cwSk4SX', NULL, true, '2026-11-28 17:27:11.377192+00', '2026-11-28 17:27:11.713223+00', NULL, NULL, false, NULL, 0, NULL, 600, NULL, NULL, 0, NULL, '2026-11-28 17:27:11.394836+00', 'succeeded', '2026-11-28 17:27:11.394836+00', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0RTAM927JS8N', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 'fund', 6000, 'usd', NULL, 'open-0', 'cus_j9RTllhh4CC5UL', 'pm_AW5WCv4kLj25tio4R2ifFwAg', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RTAM927JS8N', 'pending', 'unknown', NULL, NULL, false, '2026-11-28 17:27:11.434582+00', '2026-11-28 17:27:11.467548+00', NULL, NULL, false, '2026-11-28 17:27:16.467548+00', 1, NULL, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0RW8C5SSRTM0', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 'fund', 6100, 'usd', NULL, 'open-1', 'cus_j9RTllhh4CC5UL', 'pm_AW5WCv4kLj25tio4R2ifFwAg', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RW8C5SSRTM0', 'pending', 'unknown', NULL, NULL, false, '2026-11-28 17:27:11.496926+00', '2026-11-28 17:27:11.522605+00', NULL, NULL, false, '2026-11-28 17:27:16.522605+00', 1, NULL, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0RXYXMP6EC6N', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 'fund', 6200, 'usd', NULL, 'open-2', 'cus_j9RTllhh4CC5UL', 'pm_AW5WCv4kLj25tio4R2ifFwAg', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RXYXMP6EC6N', 'pending', 'not_sent', NULL, NULL, false, '2026-11-28 17:27:11.550492+00', '2026-11-28 17:27:11.56278+00', NULL, NULL, false, '2026-11-28 17:42:11.56278+00', 1, NULL, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0RZ5MX8RFV0V', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'authorize', 'fund', 6300, 'usd', NULL, 'open-3', '51116428117', '52126849523', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RZ5MX8RFV0V', 'pending', 'unknown', NULL, NULL, false, '2026-11-28 17:27:11.589092+00', '2026-11-28 17:27:11.630722+00', NULL, NULL, false, '2026-11-28 17:27:16.630722+00', 1, NULL, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.payments VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'PAY-2NGE0S4WTZV7M28H', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 'fund', 7000, 'usd', NULL, 'open-running', 'cus_j9RTllhh4CC5UL', 'pm_AW5WCv4kLj25tio4R2ifFwAg', 'ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0S4WTZV7M28H', 'pending', 'running', NULL, NULL, false, '2026-11-28 17:27:11.772013+00', '2026-11-28 17:27:11.772013+00', '01M8HK4M0X39DZBEFR2MJZMSHE', '2026-11-28 17:27:17.772013+00', false, '2026-11-28 17:27:17.772013+00', 0, NULL, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.postings VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WTX-01M8HK4MFW8W6WHG4CXF1AMMXP', 'WAL-01M8HK4M5JWPM619PDFHAMJMKK', 9000, 'usd');
INSERT INTO public.postings VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WTX-01M8HK4MFW8W6WHG4CXF1AMMXP', 'funding:TEST:usd', -9000, 'usd');
INSERT INTO public.postings VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WTX-01M8HK4MGMRYW7BFXHE7QDCTCG', 'WAL-01M8HK4M5JWPM619PDFHAMJMKK', 3000, 'usd');
INSERT INTO public.postings VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WTX-01M8HK4MGMRYW7BFXHE7QDCTCG', 'funding:TEST:usd', -3000, 'usd');
INSERT INTO public.postings VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WTX-01M8HK4MJSFQHDA72MQE0YGWVB', 'WAL-01M8HK4M5JWPM619PDFHAMJMKK', -500, 'usd');
INSERT INTO public.postings VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WTX-01M8HK4MJSFQHDA72MQE0YGWVB', 'revenue:TEST:usd', 500, 'usd');
INSERT INTO public.postings VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WTX-01M8HK4MKSQZATE1BG65PZA52A', 'WAL-01M8HK4M98G9C0FEJ1HTDKFQ7X', 800, 'usd');
INSERT INTO public.postings VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WTX-01M8HK4MKSQZATE1BG65PZA52A', 'funding:TEST:usd', -800, 'usd');
INSERT INTO public.recurring_jobs VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'REC-01M8HK4MSEM340C6EJAH7C304X', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 100, 'usd', 'wallet', NULL, 'day', 1, '2026-11-28T17:37:10', 'UTC', '2026-11-28 17:27:10.381493+00', NULL, NULL, 'latest', 'active', '2026-11-28 17:37:10+00', NULL, 0, 0, NULL, '2026-11-28 17:37:10+00', NULL, NULL, 0, '2026-11-28 17:27:10.381493+00', '2026-11-28 17:27:10.381493+00', NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.recurring_jobs VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'REC-01M8HK4MXHZ9W1X56FATGKH338', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 100, 'usd', 'stripe', NULL, 'day', 1, '2026-11-28T17:37:10', 'UTC', '2026-11-28 17:27:10.51335+00', NULL, NULL, 'latest', 'active', '2026-11-28 17:37:10+00', NULL, 0, 0, NULL, '2026-11-28 17:37:10+00', NULL, NULL, 0, '2026-11-28 17:27:10.51335+00', '2026-11-28 17:27:10.51335+00', NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.refunds VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'REF-2NGE0QNYCZ7Q9RDE', 'PAY-2NGE0QM7T1KGNC9X', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 1700, 'usd', true, NULL, NULL, 'kept-7', 'ea176668-eefe-47d7-8d7c-cce35be0042d/REF-2NGE0QNYCZ7Q9RDE', 'succeeded', NULL, NULL, NULL, NULL, 0, '2026-11-28 17:27:10.270548+00', '2026-11-28 17:27:10.270548+00', 're_SiIUuVV6gp0BAqkBJEVQcJo1', NULL, '2026-11-28 17:27:10.270548+00', '2026-11-28 17:27:10.340694+00', NULL, NULL, 0, NULL);
INSERT INTO public.refunds VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'REF-2NGE0S1BJ44DT97P', 'PAY-2NGE0RRHGAJA8B6M', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'stripe', 600, 'usd', false, NULL, NULL, 'open-refund', 'ea176668-eefe-47d7-8d7c-cce35be0042d/REF-2NGE0S1BJ44DT97P', 'pending', 'unknown', NULL, NULL, '2026-11-28 17:27:16.713223+00', 1, '2026-11-28 17:27:11.659207+00', '2026-11-28 17:27:11.659207+00', NULL, NULL, '2026-11-28 17:27:11.659207+00', '2026-11-28 17:27:11.713223+00', NULL, NULL, 0, NULL);
INSERT INTO public.stripe_credentials VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'TEST', 'v2:k1:QMGNi1zUXTbzN8aYVYPEx2RaGOWK3Op83x1oPA8ErB1Y184+OOIbrBnAM6692dPVkuqibBEY', 'pk_test_obviously_fake', NULL, NULL, '2026-11-28 17:27:09.710281+00', '2026-11-28 17:27:09.710281+00');
INSERT INTO public.users VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'Alicia Gomez', 'alicia@example.com', true, 'usd', 'stripe', '2026-11-28 17:27:09.734624+00', '2026-11-28 17:27:09.84493+00', NULL, NULL);
INSERT INTO public.users VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'USR-01M8HK4M97WH05TJZ9Q59F6AAN', 'Alicia Gomez', 'alicia@example.com', true, 'usd', 'stripe', '2026-11-28 17:27:09.863829+00', '2026-11-28 17:27:09.909739+00', NULL, NULL);
INSERT INTO public.users VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'USR-01M8HK4MKD9WYDD4AX46AYGYRJ', 'Ben', 'ben@example.com', true, 'usd', NULL, '2026-11-28 17:27:10.188351+00', '2026-11-28 17:27:10.188351+00', NULL, NULL);
INSERT INTO public.users VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'USR-01M8HK4NM4DAN2K02DHMHM9JDM', 'Alicia Gomez', 'alicia@example.com', true, 'usd', 'stripe', '2026-11-28 17:27:11.23671+00', '2026-11-28 17:27:11.289567+00', NULL, NULL);
INSERT INTO public.wallet_holds VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'HLD-01M8HK4MY50JHHB0J0T8TKGPN4', 'WAL-01M8HK4M5JWPM619PDFHAMJMKK', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'usd', 300, NULL, 'open', NULL, NULL, '2026-11-29 17:27:10.533283+00', '2026-11-29 17:27:10.533283+00', '2026-11-28 17:27:10.533283+00', NULL, NULL, NULL, 0, NULL);
INSERT INTO public.wallet_holds VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'HLD-01M8HK4NH89MEMZG71J1JMDHED', 'WAL-01M8HK4M5JWPM619PDFHAMJMKK', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'usd', 300, NULL, 'open', NULL, NULL, '2026-11-28 17:37:11.14399+00', '2026-11-28 17:37:11.14399+00', '2026-11-28 17:27:11.14399+00', NULL, NULL, NULL, 0, NULL);
INSERT INTO public.wallet_transactions VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WTX-01M8HK4MFW8W6WHG4CXF1AMMXP', 'WAL-01M8HK4M5JWPM619PDFHAMJMKK', 1, 'credit', 9000, 9000, 'stripe', 'wallet_fund', NULL, 'PAY-2NGE0QFH0B8VEDEH', '2026-11-28 17:27:10.073771+00', 0, NULL, NULL);
INSERT INTO public.wallet_transactions VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WTX-01M8HK4MGMRYW7BFXHE7QDCTCG', 'WAL-01M8HK4M5JWPM619PDFHAMJMKK', 2, 'credit', 3000, 12000, 'authorize', 'wallet_fund', NULL, 'PAY-2NGE0QG9CGTAEDFB', '2026-11-28 17:27:10.099795+00', 0, NULL, NULL);
INSERT INTO public.wallet_transactions VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WTX-01M8HK4MJSFQHDA72MQE0YGWVB', 'WAL-01M8HK4M5JWPM619PDFHAMJMKK', 3, 'debit', 500, 11500, 'system', 'business_charge', NULL, NULL, '2026-11-28 17:27:10.156984+00', 0, NULL, NULL);
INSERT INTO public.wallet_transactions VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WTX-01M8HK4MKSQZATE1BG65PZA52A', 'WAL-01M8HK4M98G9C0FEJ1HTDKFQ7X', 1, 'credit', 800, 800, 'manual', 'manual_credit', NULL, NULL, '2026-11-28 17:27:10.201288+00', 0, NULL, NULL);
INSERT INTO public.wallets VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WAL-01M8HK4M5JWPM619PDFHAMJMKK', 'USR-01M8HK4M56MGBNCWD8KDH0YXH1', 'TEST', 'usd', 11500, 3, '2026-11-28 17:27:09.734624+00', '2026-11-28 17:27:11.14399+00', 600, 0, NULL);
INSERT INTO public.wallets VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WAL-01M8HK4M98G9C0FEJ1HTDKFQ7X', 'USR-01M8HK4M97WH05TJZ9Q59F6AAN', 'TEST', 'usd', 800, 1, '2026-11-28 17:27:09.863829+00', '2026-11-28 17:27:10.201288+00', 0, 0, NULL);
INSERT INTO public.wallets VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WAL-01M8HK4MKD9WYDD4AX46AYGYRK', 'USR-01M8HK4MKD9WYDD4AX46AYGYRJ', 'TEST', 'usd', 0, 0, '2026-11-28 17:27:10.188351+00', '2026-11-28 17:27:10.188351+00', 0, 0, NULL);
INSERT INTO public.wallets VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'WAL-01M8HK4NM5QT0F65GT27DJS8K8', 'USR-01M8HK4NM4DAN2K02DHMHM9JDM', 'TEST', 'usd', 0, 0, '2026-11-28 17:27:11.23671+00', '2026-11-28 17:27:11.23671+00', 0, 0, NULL);
INSERT INTO public.webhook_events VALUES ('ea176668-eefe-47d7-8d7c-cce35be0042d', 'stripe', 'TEST', 'read re_SiIUuVV6gp0BAqkBJEVQcJo1 2026-11-28T17:27:10.270548+00:00', 'nivisco.read', 'pi_DuhcCjkV3vekURwjrXRWLcDV', 'PAY-2NGE0QM7T1KGNC9X', '{"amount_minor": 1700, "currency": "usd", "decline_code": null, "is_lost": false, "kind": "refund", "message": null, "object_id": "re_SiIUuVV6gp0BAqkBJEVQcJo1"}', false, 'applied', '2026-11-28 17:27:10.270548+00', '2026-11-28 17:27:10.270548+00', NULL, 0, NULL, NULL, 0, 'REF-2NGE0QNYCZ7Q9RDE');
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT pk_api_keys PRIMARY KEY (business_id, key_id);
ALTER TABLE ONLY public.authorize_credentials
    ADD CONSTRAINT pk_authorize_credentials PRIMARY KEY (business_id, env);
ALTER TABLE ONLY public.businesses
    ADD CONSTRAINT pk_businesses PRIMARY KEY (business_id);
ALTER TABLE ONLY public.cards
    ADD CONSTRAINT pk_cards PRIMARY KEY (business_id, card_id);
ALTER TABLE ONLY public.decisions
    ADD CONSTRAINT pk_decisions PRIMARY KEY (business_id, decision_id);
ALTER TABLE ONLY public.gateway_customers
    ADD CONSTRAINT pk_gateway_customers PRIMARY KEY (business_id, user_id, env, gateway);
ALTER TABLE ONLY public.idempotency_records
    ADD CONSTRAINT pk_idempotency_records PRIMARY KEY (business_id, key);
ALTER TABLE ONLY public.keyring_canaries
    ADD CONSTRAINT pk_keyring_canaries PRIMARY KEY (business_id, key_id);
ALTER TABLE ONLY public.metadata_pairs
    ADD CONSTRAINT pk_metadata_pairs PRIMARY KEY (business_id, digest, created_at, resource_id);
ALTER TABLE ONLY public.payments
    ADD CONSTRAINT pk_payments PRIMARY KEY (business_id, payment_id);
ALTER TABLE ONLY public.postings
    ADD CONSTRAINT pk_postings PRIMARY KEY (business_id, transaction_id, account);
ALTER TABLE ONLY public.recurring_jobs
    ADD CONSTRAINT pk_recurring_jobs PRIMARY KEY (business_id, recurring_id);
ALTER TABLE ONLY public.recurring_logs
    ADD CONSTRAINT pk_recurring_logs PRIMARY KEY (business_id, log_id);
ALTER TABLE ONLY public.recurring_occurrences
    ADD CONSTRAINT pk_recurring_occurrences PRIMARY KEY (business_id, recurring_id, occurrence);
ALTER TABLE ONLY public.refunds
    ADD CONSTRAINT pk_refunds PRIMARY KEY (business_id, refund_id);
ALTER TABLE ONLY public.removed_cards
    ADD CONSTRAINT pk_removed_cards PRIMARY KEY (business_id, card_id);
ALTER TABLE ONLY public.stripe_credentials
    ADD CONSTRAINT pk_stripe_credentials PRIMARY KEY (business_id, env);
ALTER TABLE ONLY public.test_clocks
    ADD CONSTRAINT pk_test_clocks PRIMARY KEY (business_id, env);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT pk_users PRIMARY KEY (business_id, user_id);
ALTER TABLE ONLY public.wallet_holds
    ADD CONSTRAINT pk_wallet_holds PRIMARY KEY (business_id, hold_id);
ALTER TABLE ONLY public.wallet_transactions
    ADD CONSTRAINT pk_wallet_transactions PRIMARY KEY (business_id, transaction_id);
ALTER TABLE ONLY public.wallets
    ADD CONSTRAINT pk_wallets PRIMARY KEY (business_id, wallet_id);
ALTER TABLE ONLY public.webhook_events
    ADD CONSTRAINT pk_webhook_events PRIMARY KEY (business_id, gateway, env, event_id);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT uq_api_keys_business_id_key_hash UNIQUE (business_id, key_hash);
ALTER TABLE ONLY public.cards
    ADD CONSTRAINT uq_cards_business_id_env_gateway_gateway_card_id UNIQUE (business_id, env, gateway, gateway_card_id);
ALTER TABLE ONLY public.recurring_logs
    ADD CONSTRAINT uq_recurring_logs_business_id_recurring_id_occurrence_attempt UNIQUE (business_id, recurring_id, occurrence, attempt);
ALTER TABLE ONLY public.wallet_transactions
    ADD CONSTRAINT uq_wallet_transactions_business_id_wallet_id_version UNIQUE (business_id, wallet_id, version);
ALTER TABLE ONLY public.wallet_transactions
    ADD CONSTRAINT uq_wallet_transactions_step UNIQUE (business_id, payment_id, reason, taken_before_minor);
ALTER TABLE ONLY public.wallets
    ADD CONSTRAINT uq_wallets_business_id_user_id_env UNIQUE (business_id, user_id, env);
CREATE INDEX ix_cards_business_id_user_id ON public.cards USING btree (business_id, user_id, env);
CREATE INDEX ix_decisions_business_id_subject ON public.decisions USING btree (business_id, subject, subject_id, decided_at);
CREATE INDEX ix_gateway_customers_customer_id ON public.gateway_customers USING btree (business_id, env, gateway, customer_id);
CREATE INDEX ix_idempotency_records_expires_at ON public.idempotency_records USING btree (expires_at);
CREATE INDEX ix_payments_business_id_transaction_id ON public.payments USING btree (business_id, transaction_id);
CREATE INDEX ix_payments_by_status ON public.payments USING btree (business_id, env, gateway, status, created_at, payment_id);
CREATE INDEX ix_payments_by_user ON public.payments USING btree (business_id, user_id, env, gateway, status, created_at, payment_id);
CREATE INDEX ix_payments_due ON public.payments USING btree (gateway, look_at) WHERE ((look_at IS NOT NULL) AND (set_aside_at IS NULL));
CREATE INDEX ix_payments_due_by_business ON public.payments USING btree (gateway, business_id, look_at) WHERE ((look_at IS NOT NULL) AND (set_aside_at IS NULL));
CREATE INDEX ix_payments_newest ON public.payments USING btree (business_id, env, created_at, payment_id);
CREATE INDEX ix_payments_set_aside ON public.payments USING btree (set_aside_at) WHERE (set_aside_at IS NOT NULL);
CREATE INDEX ix_payments_unanswered ON public.payments USING btree (business_id, user_id) WHERE (NOT answered);
CREATE INDEX ix_postings_business_id_account ON public.postings USING btree (business_id, account);
CREATE INDEX ix_recurring_jobs_by_status ON public.recurring_jobs USING btree (business_id, env, status, created_at, recurring_id);
CREATE INDEX ix_recurring_jobs_by_user ON public.recurring_jobs USING btree (business_id, user_id, env, status, created_at, recurring_id);
CREATE INDEX ix_recurring_jobs_due ON public.recurring_jobs USING btree (due_at) WHERE ((due_at IS NOT NULL) AND (set_aside_at IS NULL));
CREATE INDEX ix_recurring_jobs_due_by_business ON public.recurring_jobs USING btree (business_id, due_at) WHERE ((due_at IS NOT NULL) AND (set_aside_at IS NULL));
CREATE INDEX ix_recurring_jobs_set_aside ON public.recurring_jobs USING btree (set_aside_at) WHERE (set_aside_at IS NOT NULL);
CREATE INDEX ix_recurring_logs_by_job ON public.recurring_logs USING btree (business_id, recurring_id, status, attempted_at, log_id);
CREATE INDEX ix_recurring_logs_by_status ON public.recurring_logs USING btree (business_id, status, attempted_at, log_id);
CREATE INDEX ix_recurring_logs_by_user ON public.recurring_logs USING btree (business_id, user_id, status, attempted_at, log_id);
CREATE INDEX ix_refunds_by_payment ON public.refunds USING btree (business_id, payment_id, env, status, created_at, refund_id);
CREATE INDEX ix_refunds_by_status ON public.refunds USING btree (business_id, env, status, created_at, refund_id);
CREATE INDEX ix_refunds_by_user ON public.refunds USING btree (business_id, user_id, env, status, created_at, refund_id);
CREATE INDEX ix_refunds_due ON public.refunds USING btree (gateway, look_at) WHERE ((look_at IS NOT NULL) AND (set_aside_at IS NULL));
CREATE INDEX ix_refunds_due_by_business ON public.refunds USING btree (gateway, business_id, look_at) WHERE ((look_at IS NOT NULL) AND (set_aside_at IS NULL));
CREATE INDEX ix_refunds_set_aside ON public.refunds USING btree (set_aside_at) WHERE (set_aside_at IS NOT NULL);
CREATE INDEX ix_removed_cards_gateway_card_id ON public.removed_cards USING btree (business_id, env, gateway, gateway_card_id);
CREATE INDEX ix_users_active ON public.users USING btree (business_id, created_at, user_id) WHERE active;
CREATE INDEX ix_wallet_holds_by_status ON public.wallet_holds USING btree (business_id, env, status, created_at, hold_id);
CREATE INDEX ix_wallet_holds_by_user ON public.wallet_holds USING btree (business_id, user_id, env, status, created_at, hold_id);
CREATE INDEX ix_wallet_holds_due ON public.wallet_holds USING btree (look_at) WHERE ((look_at IS NOT NULL) AND (set_aside_at IS NULL));
CREATE INDEX ix_wallet_holds_due_by_business ON public.wallet_holds USING btree (business_id, look_at) WHERE ((look_at IS NOT NULL) AND (set_aside_at IS NULL));
CREATE INDEX ix_wallet_holds_set_aside ON public.wallet_holds USING btree (set_aside_at) WHERE (set_aside_at IS NOT NULL);
CREATE INDEX ix_wallet_transactions_receivable ON public.wallet_transactions USING btree (business_id, wallet_id) WHERE ((reason)::text = 'receivable'::text);
CREATE INDEX ix_wallets_owing ON public.wallets USING btree (business_id, env, receivable_since, wallet_id) WHERE (receivable_minor > 0);
CREATE INDEX ix_webhook_events_business_id_payment_id ON public.webhook_events USING btree (business_id, payment_id);
CREATE INDEX ix_webhook_events_business_id_transaction_id ON public.webhook_events USING btree (business_id, transaction_id, gateway, env);
CREATE INDEX ix_webhook_events_due ON public.webhook_events USING btree (gateway, look_at) WHERE ((look_at IS NOT NULL) AND (set_aside_at IS NULL));
CREATE INDEX ix_webhook_events_due_by_business ON public.webhook_events USING btree (gateway, business_id, look_at) WHERE ((look_at IS NOT NULL) AND (set_aside_at IS NULL));
CREATE INDEX ix_webhook_events_set_aside ON public.webhook_events USING btree (set_aside_at) WHERE (set_aside_at IS NOT NULL);
CREATE UNIQUE INDEX uq_cards_one_primary ON public.cards USING btree (business_id, user_id, gateway, env) WHERE is_primary;
CREATE UNIQUE INDEX uq_wallet_transactions_transfer ON public.wallet_transactions USING btree (business_id, transfer_id, type) WHERE (transfer_id IS NOT NULL);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT fk_api_keys_businesses FOREIGN KEY (business_id) REFERENCES public.businesses(business_id);
ALTER TABLE ONLY public.authorize_credentials
    ADD CONSTRAINT fk_authorize_credentials_businesses FOREIGN KEY (business_id) REFERENCES public.businesses(business_id);
ALTER TABLE ONLY public.cards
    ADD CONSTRAINT fk_cards_users FOREIGN KEY (business_id, user_id) REFERENCES public.users(business_id, user_id);
ALTER TABLE ONLY public.decisions
    ADD CONSTRAINT fk_decisions_businesses FOREIGN KEY (business_id) REFERENCES public.businesses(business_id);
ALTER TABLE ONLY public.gateway_customers
    ADD CONSTRAINT fk_gateway_customers_users FOREIGN KEY (business_id, user_id) REFERENCES public.users(business_id, user_id);
ALTER TABLE ONLY public.idempotency_records
    ADD CONSTRAINT fk_idempotency_records_businesses FOREIGN KEY (business_id) REFERENCES public.businesses(business_id);
ALTER TABLE ONLY public.payments
    ADD CONSTRAINT fk_payments_users FOREIGN KEY (business_id, user_id) REFERENCES public.users(business_id, user_id);
ALTER TABLE ONLY public.postings
    ADD CONSTRAINT fk_postings_wallet_transactions FOREIGN KEY (business_id, transaction_id) REFERENCES public.wallet_transactions(business_id, transaction_id);
ALTER TABLE ONLY public.recurring_jobs
    ADD CONSTRAINT fk_recurring_jobs_users FOREIGN KEY (business_id, user_id) REFERENCES public.users(business_id, user_id);
ALTER TABLE ONLY public.recurring_logs
    ADD CONSTRAINT fk_recurring_logs_recurring_jobs FOREIGN KEY (business_id, recurring_id) REFERENCES public.recurring_jobs(business_id, recurring_id);
ALTER TABLE ONLY public.recurring_occurrences
    ADD CONSTRAINT fk_recurring_occurrences_recurring_jobs FOREIGN KEY (business_id, recurring_id) REFERENCES public.recurring_jobs(business_id, recurring_id);
ALTER TABLE ONLY public.refunds
    ADD CONSTRAINT fk_refunds_payments FOREIGN KEY (business_id, payment_id) REFERENCES public.payments(business_id, payment_id);
ALTER TABLE ONLY public.removed_cards
    ADD CONSTRAINT fk_removed_cards_users FOREIGN KEY (business_id, user_id) REFERENCES public.users(business_id, user_id);
ALTER TABLE ONLY public.stripe_credentials
    ADD CONSTRAINT fk_stripe_credentials_businesses FOREIGN KEY (business_id) REFERENCES public.businesses(business_id);
ALTER TABLE ONLY public.test_clocks
    ADD CONSTRAINT fk_test_clocks_businesses FOREIGN KEY (business_id) REFERENCES public.businesses(business_id);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT fk_users_businesses FOREIGN KEY (business_id) REFERENCES public.businesses(business_id);
ALTER TABLE ONLY public.wallet_holds
    ADD CONSTRAINT fk_wallet_holds_wallets FOREIGN KEY (business_id, wallet_id) REFERENCES public.wallets(business_id, wallet_id);
ALTER TABLE ONLY public.wallet_transactions
    ADD CONSTRAINT fk_wallet_transactions_wallets FOREIGN KEY (business_id, wallet_id) REFERENCES public.wallets(business_id, wallet_id);
ALTER TABLE ONLY public.wallets
    ADD CONSTRAINT fk_wallets_users FOREIGN KEY (business_id, user_id) REFERENCES public.users(business_id, user_id);
ALTER TABLE ONLY public.webhook_events
    ADD CONSTRAINT fk_webhook_events_businesses FOREIGN KEY (business_id) REFERENCES public.businesses(business_id);
