-- charge_wallet's debit of one cent as a pgbench script: the balance is checked under a row lock,
-- then wallet, transaction and postings are written, and all of it commits once.
\set number random(:first, :last)
BEGIN;
SELECT business_id, wallet_id, env, currency, balance_minor, version
    FROM numbered_wallets JOIN wallets USING (business_id, wallet_id)
    WHERE number = :number FOR UPDATE OF wallets \gset
\if :balance_minor < :cents
ROLLBACK;
\else
UPDATE wallets
    SET balance_minor = :balance_minor::bigint - :cents::bigint,
        version = :version::bigint + 1, updated_at = now()
    WHERE business_id = :business_id AND wallet_id = :wallet_id;
INSERT INTO wallet_transactions (business_id, transaction_id, wallet_id, version, type,
        amount_minor, balance_after_minor, source, reason, created_at)
    VALUES (:business_id, 'WTX-' || uuidv7(), :wallet_id, :version::bigint + 1, 'debit',
        :cents::bigint, :balance_minor::bigint - :cents::bigint, 'system', 'business_charge', now())
    RETURNING transaction_id \gset
INSERT INTO postings (business_id, transaction_id, account, amount_minor, currency)
    VALUES (:business_id, :transaction_id, :wallet_id, -(:cents::bigint), :currency),
           (:business_id, :transaction_id, 'revenue:' || :env || ':' || :currency, :cents::bigint,
            :currency);
COMMIT;
\endif
