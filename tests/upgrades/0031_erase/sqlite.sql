BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0031_erase');
CREATE TABLE api_keys (
	business_id VARCHAR(64) NOT NULL, 
	key_id VARCHAR(64) NOT NULL, 
	key_hash VARCHAR(64) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	scopes VARCHAR(64) NOT NULL, 
	last4 VARCHAR(4), 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME, 
	replaced_at DATETIME, 
	revoked_at DATETIME, 
	last_used_at DATETIME, replaced_by VARCHAR(64), 
	CONSTRAINT pk_api_keys PRIMARY KEY (business_id, key_id), 
	CONSTRAINT fk_api_keys_businesses FOREIGN KEY(business_id) REFERENCES businesses (business_id), 
	CONSTRAINT uq_api_keys_business_id_key_hash UNIQUE (business_id, key_hash)
);
INSERT INTO "api_keys" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','KEY-01M8HK4NK6AHM1Y17G0MGJTXQ5','0e21993400e9e33a0a56b6ab6c7eff95a9ced640c4777f4921465437a130e64f','Reports','read','c4e5','2026-11-28 17:27:11.205969',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE authorize_credentials (
	business_id VARCHAR(64) NOT NULL, 
	env VARCHAR(32) NOT NULL, 
	api_login_id VARCHAR(64) NOT NULL, 
	sealed_transaction_key TEXT NOT NULL, 
	sealed_signature_key TEXT, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_authorize_credentials PRIMARY KEY (business_id, env), 
	CONSTRAINT ck_authorize_credentials_env_is_known CHECK (env IN ('TEST', 'LIVE')), 
	CONSTRAINT fk_authorize_credentials_businesses FOREIGN KEY(business_id) REFERENCES businesses (business_id)
);
INSERT INTO "authorize_credentials" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','TEST','login5e74d3b13c0a','v2:k1:Mbj3aBNZnVAqFw/gxLgo0YuXCLKgYpRTlesamYwiQMK9R87Jb/OojzBbQ8I=',NULL,'2026-11-28 17:27:09.725845','2026-11-28 17:27:09.725845');
CREATE TABLE "businesses" (
	business_id VARCHAR(64) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	email VARCHAR(254) NOT NULL, 
	domain VARCHAR(253) NOT NULL, 
	active BOOLEAN NOT NULL, 
	api_key_hash VARCHAR(64) NOT NULL, 
	default_env VARCHAR(32) NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	settle_receivables BOOLEAN DEFAULT (false) NOT NULL, 
	retry_days VARCHAR(64), 
	max_failed_cycles INTEGER, api_key_last4 VARCHAR(4), api_key_created_at DATETIME, api_key_used_at DATETIME, suspended_at DATETIME, suspended_reason VARCHAR(500), 
	CONSTRAINT pk_businesses PRIMARY KEY (business_id), 
	CONSTRAINT ck_businesses_default_env_is_known CHECK (default_env IN ('TEST', 'LIVE')), 
	CONSTRAINT ck_businesses_max_failed_cycles_is_positive CHECK (max_failed_cycles > 0)
);
INSERT INTO "businesses" VALUES('ADMIN-BUSINESS','Administration','admin@admin.invalid','admin.invalid',1,'079bbe02ef9b8a04f355ab03fe2370d4c7adeb588190887593291fedd0c41ddd','TEST','2026-11-28 17:27:09.673944','2026-11-28 17:27:09.673944',0,NULL,NULL,'e59f','2026-11-28 17:27:09.673944',NULL,NULL,NULL);
INSERT INTO "businesses" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','northwind','owner@northwind.example.com','northwind.example.com',1,'5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','TEST','2026-11-28 17:27:09.700590','2026-11-28 17:27:09.700590',0,NULL,NULL,'31e3','2026-11-28 17:27:09.700590',NULL,NULL,NULL);
CREATE TABLE "cards" (
	business_id VARCHAR(64) NOT NULL, 
	card_id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	env VARCHAR(32) NOT NULL, 
	gateway VARCHAR(32) NOT NULL, 
	customer_id VARCHAR(255) NOT NULL, 
	gateway_card_id VARCHAR(255) NOT NULL, 
	brand VARCHAR(32) NOT NULL, 
	last4 VARCHAR(4) NOT NULL, 
	exp_month INTEGER NOT NULL, 
	exp_year INTEGER NOT NULL, 
	is_primary BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, fingerprint VARCHAR(64), 
	CONSTRAINT pk_cards PRIMARY KEY (business_id, card_id), 
	CONSTRAINT fk_cards_users FOREIGN KEY(business_id, user_id) REFERENCES users (business_id, user_id), 
	CONSTRAINT uq_cards_business_id_env_gateway_gateway_card_id UNIQUE (business_id, env, gateway, gateway_card_id), 
	CONSTRAINT ck_cards_env_is_known CHECK (env IN ('TEST', 'LIVE')), 
	CONSTRAINT ck_cards_gateway_is_known CHECK (gateway IN ('stripe', 'authorize'))
);
INSERT INTO "cards" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','CRD-01M8HK4M8QP505G8055YGXN73Q','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe','cus_j9RTllhh4CC5UL','pm_AW5WCv4kLj25tio4R2ifFwAg','visa','4242',11,2027,1,'2026-11-28 17:27:09.844930','52732deed8f96f62');
INSERT INTO "cards" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','CRD-01M8HK4MAPVN0MNKX44TTX4V3V','USR-01M8HK4M97WH05TJZ9Q59F6AAN','TEST','stripe','cus_LBZd4116pnuX1M','pm_KIQxO7Ip4fi4xpEoMdOSa57f','visa','0341',11,2027,1,'2026-11-28 17:27:09.909739','7185df042da082dd');
INSERT INTO "cards" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','CRD-01M8HK4MF7AEBE1676YPM8JVG5','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','authorize','51116428117','52126849523','visa','1111',12,2060,1,'2026-11-28 17:27:10.054314',NULL);
INSERT INTO "cards" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','CRD-01M8HK4NNT6YPR6CNDFJ51ABKP','USR-01M8HK4NM4DAN2K02DHMHM9JDM','TEST','stripe','cus_vTKHLzaMAPSwW2','pm_HLJdcEzJD3phbyS7LcZbf3Yu','visa','3184',11,2027,1,'2026-11-28 17:27:11.289567','549003358e2b2145');
CREATE TABLE "decisions" (
	business_id VARCHAR(64) NOT NULL, 
	decision_id VARCHAR(64) NOT NULL, 
	subject VARCHAR(32) NOT NULL, 
	subject_id VARCHAR(320) NOT NULL, 
	action VARCHAR(32) NOT NULL, 
	resolution VARCHAR(32), 
	transaction_id VARCHAR(255), 
	previous_status VARCHAR(32), 
	is_forced BOOLEAN NOT NULL, 
	decided_by VARCHAR(200) NOT NULL, 
	reason VARCHAR(1000) NOT NULL, 
	findings TEXT NOT NULL, 
	decided_at DATETIME NOT NULL, 
	CONSTRAINT pk_decisions PRIMARY KEY (business_id, decision_id), 
	CONSTRAINT fk_decisions_businesses FOREIGN KEY(business_id) REFERENCES businesses (business_id), 
	CONSTRAINT ck_decisions_resolution_of_resolve CHECK ((action = 'resolve') = (resolution IS NOT NULL)), 
	CONSTRAINT ck_decisions_resolution_is_known CHECK (resolution IN ('succeeded', 'declined', 'failed')), 
	CONSTRAINT ck_decisions_subject_is_known CHECK (subject IN ('payment', 'recurring_job', 'webhook_event', 'refund', 'wallet_hold', 'user')), 
	CONSTRAINT ck_decisions_action_is_known CHECK (action IN ('resolve', 'retry', 'release', 'erase'))
);
CREATE TABLE "gateway_customers" (
	business_id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	env VARCHAR(32) NOT NULL, 
	gateway VARCHAR(32) NOT NULL, 
	customer_id VARCHAR(255) NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_gateway_customers PRIMARY KEY (business_id, user_id, env, gateway), 
	CONSTRAINT fk_gateway_customers_users FOREIGN KEY(business_id, user_id) REFERENCES users (business_id, user_id), 
	CONSTRAINT ck_gateway_customers_env_is_known CHECK (env IN ('TEST', 'LIVE')), 
	CONSTRAINT ck_gateway_customers_gateway_is_known CHECK (gateway IN ('stripe', 'authorize'))
);
INSERT INTO "gateway_customers" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe','cus_j9RTllhh4CC5UL','2026-11-28 17:27:09.816787');
INSERT INTO "gateway_customers" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','USR-01M8HK4M97WH05TJZ9Q59F6AAN','TEST','stripe','cus_LBZd4116pnuX1M','2026-11-28 17:27:09.879155');
INSERT INTO "gateway_customers" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','authorize','51116428117','2026-11-28 17:27:10.040921');
INSERT INTO "gateway_customers" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','USR-01M8HK4NM4DAN2K02DHMHM9JDM','TEST','stripe','cus_vTKHLzaMAPSwW2','2026-11-28 17:27:11.269298');
CREATE TABLE idempotency_records (
	business_id VARCHAR(64) NOT NULL, 
	"key" VARCHAR(80) NOT NULL, 
	action VARCHAR(64) NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	fingerprint_key_id VARCHAR(64) NOT NULL, 
	api_key_hash VARCHAR(64) NOT NULL, 
	payment_id VARCHAR(64), 
	sealed_answer TEXT, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME NOT NULL, answer_schema INTEGER, 
	CONSTRAINT pk_idempotency_records PRIMARY KEY (business_id, "key"), 
	CONSTRAINT fk_idempotency_records_businesses FOREIGN KEY(business_id) REFERENCES businesses (business_id)
);
INSERT INTO "idempotency_records" VALUES('ADMIN-BUSINESS','call:01M8HK4M3WY7E4189CKG6GR8ZR','RegisterBusiness','','k1','079bbe02ef9b8a04f355ab03fe2370d4c7adeb588190887593291fedd0c41ddd',NULL,NULL,'2026-11-28 17:27:09.700590','2026-11-28 18:27:09.700590',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','call:01M8HK4M4E8XY6VMR42EKV5CGT','AddStripeCredentials','','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,NULL,'2026-11-28 17:27:09.710281','2026-11-28 18:27:09.710281',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','call:01M8HK4M4XG548FT67AB2DXB9M','AddAuthorizeCredentials','','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,NULL,'2026-11-28 17:27:09.725845','2026-11-28 18:27:09.725845',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','call:01M8HK4M56MGBNCWD8KDH0YXH0','CreateUser','','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,NULL,'2026-11-28 17:27:09.734624','2026-11-28 18:27:09.734624',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','call:01M8HK4M97WH05TJZ9Q59F6AAM','CreateUser','','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,NULL,'2026-11-28 17:27:09.863829','2026-11-28 18:27:09.863829',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:kept-0','FundCustomer','3c5085263206c850be30cc5ca77834ec82173cfb5fb42b171d888500a086b26f','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','PAY-2NGE0QFH0B8VEDEH','v2:k1:BprZbLL4yBO2bLJFjdelz7PjVQGQqwPfC+ElSBJ5XERISaHhbPQHcqzwSsAJnY8Q/70y1/MOOSmE5vVBVtlRF/Xt3xeyHoB7sCgZHLpGeWVO4NNQE0h32kg0PrH8M6Wft91F6FZHe9RWDCEcWtbaDth8EEB88lue5KWFhor1pdtVl9jxy9vmIjBgyflY92+vmeUpFJDgv//ZK5yqnE4hKNXgT9nWzwAHE6cs1wqBP425KUh6wRhqGwh76UxB+m24U91gjBrqz+XDWu2eMlZSPA==','2026-11-28 17:27:10.065808','2026-11-29 17:27:10.073771',2);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:kept-1','FundCustomer','af8380d28c3a0581acfa8695c3a98d20f2950d54589055d09b3fd7682956b5b3','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','PAY-2NGE0QG9CGTAEDFB','v2:k1:+atOtRL6fg1SGK/FiJO4q874bngeBfP8jWfrr+Qxz3pykpwdnAz5xEp7ewdnszi2vwYSRGFxcA/vtiEk9BPtguq0Z6MZdzxezsDJPEcYhDJBGEvEIZPxav+JHrR3DvSxDxx2zwfNhMfSuNMNDYtKchzYXhEEI5NZ/lP/v6xrZMh42QusrlE1Fm3iQmlIAGeAXPk4u5JRHEG3Mpb6PGd9c3qMePKeRH8Ds+Pra47lTGlF1T5OuS7lUUHKfQGkUyB0','2026-11-28 17:27:10.089766','2026-11-29 17:27:10.099795',2);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:kept-2','ChargeCustomer','18ade7dabc071a1438822cbb62c262a465a7a2a20fb11d70d4cb7041283727b1','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','PAY-2NGE0QGPB6153BXJ','v2:k1:LuXqA0BnprLR8DcVGYN3LEgyipRBQ3oN1X3c1V6iLf/wG13qN3Gl4gTE7nFGMl71FuV4FqfGb3nyp4NIcM8k1D8NBX3L6sB90igtqGB19SC6lguC4wsw+Rs0GZgbPTA=','2026-11-28 17:27:10.102517','2026-11-29 17:27:10.106481',2);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:kept-3','ChargeCustomer','69ad4bd8444c2da4733d320ec34df34ea86410e770fe8dc782c5d7f913d41874','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','PAY-2NGE0QGW5PGBJYTE','v2:k1:Wwwk0sCCOhXysG1cnXwom+2A3aIbCWOrNeGY3souvhTFD6yh0IOs1VMdhv0xVt/oceqY81Jh9mUonU4jlcGHozNdvsrMEMviKzqa7J7EyM67NWgV9mlLdHauacFc3LxR1zABUg1qyKr/3ReABLC674y8B6uUjjSXe1PvNe1/kTpj3YQ8iWAuVU+3pJy0zfS99uzlYIgykgYfsY0Z/CL6FV9xhiGly2lADRW8OwHAdcz315vNL/p7r/pSgECzJumCCLMzBi2HhP5TMsovifnrtcRZUcwuPxdi','2026-11-28 17:27:10.108316','2026-11-29 17:27:10.138753',2);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:kept-4','ChargeWallet','808a62f5900334372c9b55e6201a1d4ec77af796bc0c18449cd3b2cd3e660283','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,'v2:k1:FQby3BBrG6ZVXMOHDsER6mCJP4OYAFsXn7cHd2SqI/o/Dyx1km9Gjwf58Plz+2TG9ZBoBo4u78XibQE4J5dEqo+w4fO4CCKCh8OWMy70qHvQ5/xrUe5/GlY7r2aYd9L1bB+gk6z3zA/wU2+XhRGXaTnFYdP94GsF83aeRc28jn6pfHhLdsjVJ66GiGwbyiwqG6ZMeW4JuULD8Hd6XEfuRVkKIvZciOR24zciqFMJ3dk7PlTy','2026-11-28 17:27:10.156984','2026-11-29 17:27:10.156984',2);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:kept-5','CreateUser','0aa0decd6209241b976093edad7df2ee7e978fbccca52e09d8fef4d742885da7','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,'v2:k1:AejEQRkkGH4sVYszD4GOa/ZfMrPtZLgvcMZqg09E0eWNLe7+hOcVCjBIR3KClg1g/bh+IaXXr3d9bH1KuGPnxlnHtFMAoygR6tpJMA26YmEorxRlAm3jQrFCSZwXMiljhkLFoINTG6/j0G53Wzwdgg3S+bnWPTVousFVv9R/juKtpKB/pvp2cZge24TaSAYry80F7LLjuDRGzho3f9D1JOmQHToRcR/92OfRQrD2vKiJ/vIGLQuqL+qg6CiRhGytV2VadBxtLe7TMtYQneHMHfHem+bcfFzrJnF5fGguAzwR0g==','2026-11-28 17:27:10.188351','2026-11-29 17:27:10.188351',2);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:kept-6','AddWalletFunds','abadfb6aa9a63a1231dfd1644c858748a11ab1cd00c5badbd4d1517815b05ce7','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,'v2:k1:mHdt0EFOEqStW5cYmb6uHYBan5XbyDT2HkVNBCcC6DDfPw9LjAOgSr2WDx7fXiJ5bHFhLJyerff3iS3AtI0cV3y/1ZNa6r7S/4QxCKopygvCWHDf/RG7338hk3N6Rk0OFPFWKxo17ZS6PuQmYWt2ZuXAz08Ow/Cj2micXFl0eKrUFc+iWL5D3gLqO+OjSbaTjliIL1P9fAvPkqMn8txDB9/gS9VgrVlGLRP02tj3AuD2d06N','2026-11-28 17:27:10.201288','2026-11-29 17:27:10.201288',2);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:kept-7','RefundPayment','8d76990fdd8b281918b6389d189987f02c7ff55820a850c86634c4611f13f8aa','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','REF-2NGE0QNYCZ7Q9RDE','v2:k1:vX/eVBwwUnNBk9p7U1ByN1eDJx5sv4JdFIDGWyTeTOhAvs0BLWE3dtL6TdSnqge7qt+0BJw1NjfOyLttxqPA+w6BpqrISsv6mrJFRXSUHj07hqQzH+NqdY5c2b700gvJA3Dq3Bxr/kTZAOuhzrymHVBi27AeXHBE07PijQa30es6JBGNvd+GoAfJ9BwPn2BTM+OZD23ka/mv/QStzsWqIiLjTg3StY06fmeYKChpARBo0Ey4','2026-11-28 17:27:10.270548','2026-11-29 17:27:10.340694',2);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','call:01M8HK4MSDZBDP44GGQ19HSB2H','CreateRecurring','','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,NULL,'2026-11-28 17:27:10.381493','2026-11-28 18:27:10.381493',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','call:01M8HK4MXHZ9W1X56FATGKH337','CreateRecurring','','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,NULL,'2026-11-28 17:27:10.513350','2026-11-28 18:27:10.513350',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','call:01M8HK4MY50JHHB0J0T8TKGPN3','HoldWallet','','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,NULL,'2026-11-28 17:27:10.533283','2026-11-28 18:27:10.533283',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','call:01M8HK4NH7R5PTPKKGBW37C3SV','HoldWallet','','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,NULL,'2026-11-28 17:27:11.143990','2026-11-28 18:27:11.143990',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:second-key','CreateApiKey','53a32a73856f4e2c897ef33ce6cc3ed395c0bcff31147cdc52ce65b36df1be4f','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,'v2:k1:yhtfnO3nVX47kXpth4e8PG20GtLEyiqQlT80aqIrUxiddeobriYUPz61LHNDmJU65MFKq3rIYlmdbtXOS8VjyQK/3kdAIUEdVnlkKvubJqjqkGWA+WkarHOaTOoM5jiOzeqLkTl1+cO/wcpdiCfnhyS2lVv+RXHtTtWPFGa+uOR1QqoKW5yBZquvex6LYcYDiMGGYvqUoAe1SlQd5Aq+IOAPMqjFTCKqXPP4EIqlj23o','2026-11-28 17:27:11.205969','2026-11-29 17:27:11.205969',2);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','call:01M8HK4NKXH61F5600KRP0TXR6','CreateUser','','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d',NULL,NULL,'2026-11-28 17:27:11.236710','2026-11-28 18:27:11.236710',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:waits','ChargeCustomer','625b91165d64cffac3632faa0758d442c901521806992c7498272c4ca98a2fe9','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','PAY-2NGE0RPH4J5G36SR','v2:k1:jUYvCJ55noAu3r3CgddydrNYOMKLQ2lPCX8leON+jhXoq8qgdrtqk9As6x23A7JWN7Uayahe59D3W/Q6JpkztylAqLIPiqam8k1ZSpszrwzmd8wNp1ev4f8j9Kyn6VFk0B5Up2dsMrQXoH9emmqYWg8+uw6xPoTS3/NOq1+CO9IIoQvbmAezApJdIXBfbWe7bmQfWhnz2brJjaM199luw3OvYWFaP6S8fKjYBdl3MRf/O/L2JtlTEGTq1Hd/MgOcNeWtlAXmSX+fiJ6sNHtuUFW+pqT+kdH5hqz84CDvrEdngl6Mp859wS3INN3+Nmj7eFbYPHjctMNfLuRoqhoghvBwsGwXe3X5oxizNlIP0Xa9TwxOJPRhIcvbe+VX29RtPUKUUtqmACtA18k6Vxc2swKXtXPT','2026-11-28 17:27:11.313040','2026-11-29 17:27:11.330991',2);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:open-0','FundCustomer','5b47837db62ba4f7376ab3b0d1fcb5e5f6370ffec934eb6e90f886710ba4d302','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','PAY-2NGE0RTAM927JS8N',NULL,'2026-11-28 17:27:11.434582','2026-11-29 17:27:11.434582',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:open-1','FundCustomer','d5f63ccd33396e0e7bcd89becf43d008344cecf41df6435387efefc28d0d1906','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','PAY-2NGE0RW8C5SSRTM0',NULL,'2026-11-28 17:27:11.496926','2026-11-29 17:27:11.496926',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:open-2','FundCustomer','e171c50ada11eea31bc64155a8b0278d477c800e4b5fa1ac65849ec377e60d1b','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','PAY-2NGE0RXYXMP6EC6N',NULL,'2026-11-28 17:27:11.550492','2026-11-29 17:27:11.550492',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:open-3','FundCustomer','0d5e05d1e60a67ad6ded12672ad4e61f1e1758bf3eb0b7851b11a08c2c6d409c','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','PAY-2NGE0RZ5MX8RFV0V',NULL,'2026-11-28 17:27:11.589092','2026-11-29 17:27:11.589092',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:open-refund','RefundPayment','0dc0070e63262aa988593e3724ede084bf04a919e1fb038f76e59c274f805622','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','REF-2NGE0S1BJ44DT97P',NULL,'2026-11-28 17:27:11.659207','2026-11-29 17:27:11.659207',NULL);
INSERT INTO "idempotency_records" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','key:open-running','FundCustomer','42a4e847c2139ec4c0a7fe73787c68b850b84bc9a297b66d7f2b57967074225d','k1','5143462a4a25e9a88cbf4fb03541522b3873af9cb390817109a9a1d8f605c79d','PAY-2NGE0S4WTZV7M28H',NULL,'2026-11-28 17:27:11.772013','2026-11-29 17:27:11.772013',NULL);
CREATE TABLE keyring_canaries (
	business_id VARCHAR(64) NOT NULL, 
	key_id VARCHAR(64) NOT NULL, 
	sealed TEXT NOT NULL, 
	CONSTRAINT pk_keyring_canaries PRIMARY KEY (business_id, key_id)
);
INSERT INTO "keyring_canaries" VALUES('ADMIN-BUSINESS','k1','v2:k1:PzFPBdvyG02AJLgxHvKn/fvXcRVj8bGmJr5Pslagfh3bQw==');
CREATE TABLE metadata_pairs (
	business_id VARCHAR(64) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	resource_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_metadata_pairs PRIMARY KEY (business_id, digest, created_at, resource_id)
);
INSERT INTO "metadata_pairs" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','7c63ffba0b5297c21a4fd2baaea01ef4','2026-11-28 17:27:10.102517','PAY-2NGE0QGPB6153BXJ');
CREATE TABLE "payments" (
	business_id VARCHAR(64) NOT NULL, 
	payment_id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	env VARCHAR(32) NOT NULL, 
	gateway VARCHAR(32) NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	amount_minor BIGINT NOT NULL, 
	currency VARCHAR(3) NOT NULL, 
	description VARCHAR(500), 
	idempotency_key VARCHAR(64), 
	customer_id VARCHAR(255) NOT NULL, 
	gateway_card_id VARCHAR(255) NOT NULL, 
	gateway_key VARCHAR(255) NOT NULL, 
	status VARCHAR(32) NOT NULL, 
	attempt VARCHAR(32), 
	transaction_id VARCHAR(255), 
	decline_code VARCHAR(255), 
	answered BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	lease_owner VARCHAR(64), 
	leased_until DATETIME, 
	joinable BOOLEAN NOT NULL, 
	look_at DATETIME, 
	checks INTEGER NOT NULL, 
	sent_at DATETIME, 
	amount_refunded_minor BIGINT DEFAULT 0 NOT NULL, 
	set_aside_at DATETIME, 
	set_aside_error VARCHAR(500), 
	failed_looks INTEGER DEFAULT 0 NOT NULL, 
	cancel_at DATETIME, 
	succeeded_at DATETIME, 
	first_outcome VARCHAR(32), 
	first_outcome_at DATETIME, 
	authorized_minor BIGINT, 
	closing VARCHAR(32), 
	closing_minor BIGINT, 
	closing_key VARCHAR(64), 
	metadata TEXT, 
	void_reason VARCHAR(32), 
	CONSTRAINT pk_payments PRIMARY KEY (business_id, payment_id), 
	CONSTRAINT fk_payments_users FOREIGN KEY(business_id, user_id) REFERENCES users (business_id, user_id), 
	CONSTRAINT ck_payments_amount_is_positive CHECK (amount_minor > 0), 
	CONSTRAINT ck_payments_closing_is_known CHECK (closing IN ('capture', 'void')), 
	CONSTRAINT ck_payments_kind_is_known CHECK (kind IN ('charge', 'fund')), 
	CONSTRAINT ck_payments_looked_at_while_pending CHECK (status <> 'pending' OR look_at IS NOT NULL), 
	CONSTRAINT ck_payments_set_aside_with_error CHECK ((set_aside_at IS NULL) = (set_aside_error IS NULL)), 
	CONSTRAINT ck_payments_status_is_known CHECK (status IN ('pending', 'succeeded', 'declined', 'requires_action', 'failed', 'needs_review', 'held_for_review', 'voided', 'partially_refunded', 'refunded', 'disputed', 'authorized')), 
	CONSTRAINT ck_payments_attempt_while_pending CHECK ((status = 'pending') = (attempt IS NOT NULL)), 
	CONSTRAINT ck_payments_env_is_known CHECK (env IN ('TEST', 'LIVE')), 
	CONSTRAINT ck_payments_refunded_is_within_amount CHECK (amount_refunded_minor >= 0 AND amount_refunded_minor <= amount_minor), 
	CONSTRAINT ck_payments_success_has_a_transaction CHECK (status <> 'succeeded' OR transaction_id IS NOT NULL), 
	CONSTRAINT ck_payments_amount_is_within_authorized CHECK ((authorized_minor IS NULL AND status <> 'authorized' AND closing IS NULL) OR (authorized_minor IS NOT NULL AND authorized_minor >= amount_minor AND kind = 'charge')), 
	CONSTRAINT ck_payments_capture_has_an_amount CHECK ((closing IS NOT NULL AND closing = 'capture') = (closing_minor IS NOT NULL)), 
	CONSTRAINT ck_payments_lease_while_running CHECK ((leased_until IS NOT NULL) = (attempt IS NOT NULL AND attempt = 'running')), 
	CONSTRAINT ck_payments_gateway_is_known CHECK (gateway IN ('stripe', 'authorize')), 
	CONSTRAINT ck_payments_attempt_is_known CHECK (attempt IN ('running', 'unknown', 'not_sent')), 
	CONSTRAINT ck_payments_void_reason_is_known CHECK (void_reason IN ('duplicate', 'fraudulent', 'requested_by_customer', 'abandoned'))
);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0QFH0B8VEDEH','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe','fund',9000,'usd',NULL,'kept-0','cus_j9RTllhh4CC5UL','pm_AW5WCv4kLj25tio4R2ifFwAg','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0QFH0B8VEDEH','succeeded',NULL,'pi_GLHfD5wjSgazGk7Np3siXb2m',NULL,0,'2026-11-28 17:27:10.065808','2026-11-28 17:27:10.073771',NULL,NULL,0,NULL,0,NULL,0,NULL,NULL,0,NULL,'2026-11-28 17:27:10.073771','succeeded','2026-11-28 17:27:10.073771',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0QG9CGTAEDFB','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','authorize','fund',3000,'usd',NULL,'kept-1','51116428117','52126849523','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0QG9CGTAEDFB','succeeded',NULL,'60463362386',NULL,0,'2026-11-28 17:27:10.089766','2026-11-28 17:27:10.099795',NULL,NULL,0,NULL,0,NULL,0,NULL,NULL,0,NULL,'2026-11-28 17:27:10.099795','succeeded','2026-11-28 17:27:10.099795',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0QGPB6153BXJ','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe','charge',2500,'usd','A blue lamp','kept-2','cus_j9RTllhh4CC5UL','pm_AW5WCv4kLj25tio4R2ifFwAg','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0QGPB6153BXJ','succeeded',NULL,'pi_7dHoyc8HSAmLDnV9UCns7gAW',NULL,0,'2026-11-28 17:27:10.102517','2026-11-28 17:27:10.106481',NULL,NULL,0,NULL,0,NULL,0,NULL,NULL,0,NULL,'2026-11-28 17:27:10.106481','succeeded','2026-11-28 17:27:10.106481',NULL,NULL,NULL,NULL,'{"order":"A-1"}',NULL);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0QGW5PGBJYTE','USR-01M8HK4M97WH05TJZ9Q59F6AAN','TEST','stripe','charge',2500,'usd',NULL,'kept-3','cus_LBZd4116pnuX1M','pm_KIQxO7Ip4fi4xpEoMdOSa57f','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0QGW5PGBJYTE','declined',NULL,'pi_MuIrmRw9aNaaXhcNiVqYfZsV','generic_decline',1,'2026-11-28 17:27:10.108316','2026-11-28 17:27:10.138753',NULL,NULL,0,NULL,0,NULL,0,NULL,NULL,0,NULL,NULL,'declined','2026-11-28 17:27:10.138753',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0QM7T1KGNC9X','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe','charge',1700,'usd',NULL,NULL,'cus_j9RTllhh4CC5UL','pm_AW5WCv4kLj25tio4R2ifFwAg','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0QM7T1KGNC9X','refunded',NULL,'pi_DuhcCjkV3vekURwjrXRWLcDV',NULL,1,'2026-11-28 17:27:10.215978','2026-11-28 17:27:10.340694',NULL,NULL,0,NULL,0,NULL,1700,NULL,NULL,0,NULL,'2026-11-28 17:27:10.252114','succeeded','2026-11-28 17:27:10.252114',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0RHN80V7NZGV','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe','charge',4000,'usd',NULL,NULL,'cus_j9RTllhh4CC5UL','pm_AW5WCv4kLj25tio4R2ifFwAg','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RHN80V7NZGV','authorized',NULL,'pi_qIxBEJRh5nkWU8Kj7FRw6ULC',NULL,1,'2026-11-28 17:27:11.157174','2026-11-28 17:27:11.224001',NULL,NULL,0,'2026-11-28 17:42:11.189037',0,NULL,0,NULL,NULL,0,NULL,NULL,'authorized','2026-11-28 17:27:11.189037',4000,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0RPH4J5G36SR','USR-01M8HK4NM4DAN2K02DHMHM9JDM','TEST','stripe','charge',1200,'usd',NULL,'waits','cus_vTKHLzaMAPSwW2','pm_HLJdcEzJD3phbyS7LcZbf3Yu','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RPH4J5G36SR','requires_action',NULL,'pi_AGR57nHeiGm3Q3tOHntdUS0z',NULL,1,'2026-11-28 17:27:11.313040','2026-11-28 17:27:11.330991',NULL,NULL,0,'2026-11-28 17:27:41.330991',0,NULL,0,NULL,NULL,0,NULL,NULL,'requires_action','2026-11-28 17:27:11.330991',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0RRHGAJA8B6M','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe','charge',2100,'usd',NULL,NULL,'cus_j9RTllhh4CC5UL','pm_AW5WCv4kLj25tio4R2ifFwAg','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RRHGAJA8B6M','partially_refunded',NULL,'pi_N8bOisVejlfQUecF9cwSk4SX',NULL,1,'2026-11-28 17:27:11.377192','2026-11-28 17:27:11.713223',NULL,NULL,0,NULL,0,NULL,600,NULL,NULL,0,NULL,'2026-11-28 17:27:11.394836','succeeded','2026-11-28 17:27:11.394836',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0RTAM927JS8N','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe','fund',6000,'usd',NULL,'open-0','cus_j9RTllhh4CC5UL','pm_AW5WCv4kLj25tio4R2ifFwAg','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RTAM927JS8N','pending','unknown',NULL,NULL,0,'2026-11-28 17:27:11.434582','2026-11-28 17:27:11.467548',NULL,NULL,0,'2026-11-28 17:27:16.467548',1,NULL,0,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0RW8C5SSRTM0','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe','fund',6100,'usd',NULL,'open-1','cus_j9RTllhh4CC5UL','pm_AW5WCv4kLj25tio4R2ifFwAg','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RW8C5SSRTM0','pending','unknown',NULL,NULL,0,'2026-11-28 17:27:11.496926','2026-11-28 17:27:11.522605',NULL,NULL,0,'2026-11-28 17:27:16.522605',1,NULL,0,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0RXYXMP6EC6N','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe','fund',6200,'usd',NULL,'open-2','cus_j9RTllhh4CC5UL','pm_AW5WCv4kLj25tio4R2ifFwAg','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RXYXMP6EC6N','pending','not_sent',NULL,NULL,0,'2026-11-28 17:27:11.550492','2026-11-28 17:27:11.562780',NULL,NULL,0,'2026-11-28 17:42:11.562780',1,NULL,0,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0RZ5MX8RFV0V','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','authorize','fund',6300,'usd',NULL,'open-3','51116428117','52126849523','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0RZ5MX8RFV0V','pending','unknown',NULL,NULL,0,'2026-11-28 17:27:11.589092','2026-11-28 17:27:11.630722',NULL,NULL,0,'2026-11-28 17:27:16.630722',1,NULL,0,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "payments" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','PAY-2NGE0S4WTZV7M28H','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe','fund',7000,'usd',NULL,'open-running','cus_j9RTllhh4CC5UL','pm_AW5WCv4kLj25tio4R2ifFwAg','ea176668-eefe-47d7-8d7c-cce35be0042d/PAY-2NGE0S4WTZV7M28H','pending','running',NULL,NULL,0,'2026-11-28 17:27:11.772013','2026-11-28 17:27:11.772013','01M8HK4M0X39DZBEFR2MJZMSHE','2026-11-28 17:27:17.772013',0,'2026-11-28 17:27:17.772013',0,NULL,0,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE "postings" (
	business_id VARCHAR(64) NOT NULL, 
	transaction_id VARCHAR(64) NOT NULL, 
	account VARCHAR(64) NOT NULL, 
	amount_minor BIGINT NOT NULL, 
	currency VARCHAR(3) NOT NULL, 
	CONSTRAINT pk_postings PRIMARY KEY (business_id, transaction_id, account), 
	CONSTRAINT fk_postings_wallet_transactions FOREIGN KEY(business_id, transaction_id) REFERENCES wallet_transactions (business_id, transaction_id), 
	CONSTRAINT ck_postings_amount_is_not_zero CHECK (amount_minor <> 0)
);
INSERT INTO "postings" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WTX-01M8HK4MFW8W6WHG4CXF1AMMXP','WAL-01M8HK4M5JWPM619PDFHAMJMKK',9000,'usd');
INSERT INTO "postings" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WTX-01M8HK4MFW8W6WHG4CXF1AMMXP','funding:TEST:usd',-9000,'usd');
INSERT INTO "postings" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WTX-01M8HK4MGMRYW7BFXHE7QDCTCG','WAL-01M8HK4M5JWPM619PDFHAMJMKK',3000,'usd');
INSERT INTO "postings" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WTX-01M8HK4MGMRYW7BFXHE7QDCTCG','funding:TEST:usd',-3000,'usd');
INSERT INTO "postings" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WTX-01M8HK4MJSFQHDA72MQE0YGWVB','WAL-01M8HK4M5JWPM619PDFHAMJMKK',-500,'usd');
INSERT INTO "postings" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WTX-01M8HK4MJSFQHDA72MQE0YGWVB','revenue:TEST:usd',500,'usd');
INSERT INTO "postings" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WTX-01M8HK4MKSQZATE1BG65PZA52A','WAL-01M8HK4M98G9C0FEJ1HTDKFQ7X',800,'usd');
INSERT INTO "postings" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WTX-01M8HK4MKSQZATE1BG65PZA52A','funding:TEST:usd',-800,'usd');
CREATE TABLE "recurring_jobs" (
	business_id VARCHAR(64) NOT NULL, 
	recurring_id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	env VARCHAR(32) NOT NULL, 
	amount_minor BIGINT NOT NULL, 
	currency VARCHAR(3) NOT NULL, 
	source VARCHAR(32), 
	description VARCHAR(500), 
	interval_type VARCHAR(32) NOT NULL, 
	interval_value INTEGER NOT NULL, 
	starts_local VARCHAR(32) NOT NULL, 
	timezone VARCHAR(64) NOT NULL, 
	counts_from DATETIME NOT NULL, 
	end_at DATETIME, 
	max_cycles INTEGER, 
	catch_up VARCHAR(32) NOT NULL, 
	status VARCHAR(32) NOT NULL, 
	next_run DATETIME, 
	last_run DATETIME, 
	executed_cycles INTEGER NOT NULL, 
	failed_cycles INTEGER NOT NULL, 
	open_occurrence DATETIME, 
	due_at DATETIME, 
	lease_owner VARCHAR(64), 
	leased_until DATETIME, 
	fencing_token BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	last_cycle_local VARCHAR(32), 
	set_aside_at DATETIME, 
	set_aside_error VARCHAR(500), 
	failed_looks INTEGER DEFAULT 0 NOT NULL, 
	paused_at DATETIME, 
	paused_reason VARCHAR(32), 
	retry_days VARCHAR(64), 
	max_failed_cycles INTEGER, metadata TEXT, 
	CONSTRAINT pk_recurring_jobs PRIMARY KEY (business_id, recurring_id), 
	CONSTRAINT ck_recurring_jobs_amount_is_positive CHECK (amount_minor > 0), 
	CONSTRAINT fk_recurring_jobs_users FOREIGN KEY(business_id, user_id) REFERENCES users (business_id, user_id), 
	CONSTRAINT ck_recurring_jobs_lease_has_owner_and_end CHECK ((lease_owner IS NULL) = (leased_until IS NULL)), 
	CONSTRAINT ck_recurring_jobs_set_aside_with_error CHECK ((set_aside_at IS NULL) = (set_aside_error IS NULL)), 
	CONSTRAINT ck_recurring_jobs_due_while_active CHECK ((due_at IS NOT NULL) = (status = 'active' OR open_occurrence IS NOT NULL)), 
	CONSTRAINT ck_recurring_jobs_executed_cycles_is_not_negative CHECK (executed_cycles >= 0), 
	CONSTRAINT ck_recurring_jobs_failed_cycles_is_not_negative CHECK (failed_cycles >= 0), 
	CONSTRAINT ck_recurring_jobs_fencing_token_is_not_negative CHECK (fencing_token >= 0), 
	CONSTRAINT ck_recurring_jobs_interval_is_positive CHECK (interval_value > 0), 
	CONSTRAINT ck_recurring_jobs_interval_type_is_known CHECK (interval_type IN ('day', 'week', 'month', 'year')), 
	CONSTRAINT ck_recurring_jobs_max_cycles_is_positive CHECK (max_cycles > 0), 
	CONSTRAINT ck_recurring_jobs_next_run_while_active CHECK (status = 'active' OR next_run IS NULL), 
	CONSTRAINT ck_recurring_jobs_source_is_known CHECK (source IN ('stripe', 'authorize', 'wallet')), 
	CONSTRAINT ck_recurring_jobs_status_is_known CHECK (status IN ('active', 'paused', 'cancelled', 'completed')), 
	CONSTRAINT ck_recurring_jobs_catch_up_is_known CHECK (catch_up IN ('latest', 'all', 'skip')), 
	CONSTRAINT ck_recurring_jobs_env_is_known CHECK (env IN ('TEST', 'LIVE')), 
	CONSTRAINT ck_recurring_jobs_paused_reason_is_known CHECK (paused_reason IN ('requested', 'failed_cycles')), 
	CONSTRAINT ck_recurring_jobs_max_failed_cycles_is_positive CHECK (max_failed_cycles > 0)
);
INSERT INTO "recurring_jobs" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','REC-01M8HK4MSEM340C6EJAH7C304X','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST',100,'usd','wallet',NULL,'day',1,'2026-11-28T17:37:10','UTC','2026-11-28 17:27:10.381493',NULL,NULL,'latest','active','2026-11-28 17:37:10.000000',NULL,0,0,NULL,'2026-11-28 17:37:10.000000',NULL,NULL,0,'2026-11-28 17:27:10.381493','2026-11-28 17:27:10.381493',NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "recurring_jobs" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','REC-01M8HK4MXHZ9W1X56FATGKH338','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST',100,'usd','stripe',NULL,'day',1,'2026-11-28T17:37:10','UTC','2026-11-28 17:27:10.513350',NULL,NULL,'latest','active','2026-11-28 17:37:10.000000',NULL,0,0,NULL,'2026-11-28 17:37:10.000000',NULL,NULL,0,'2026-11-28 17:27:10.513350','2026-11-28 17:27:10.513350',NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE recurring_logs (
	business_id VARCHAR(64) NOT NULL, 
	log_id VARCHAR(64) NOT NULL, 
	recurring_id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	occurrence DATETIME NOT NULL, 
	attempt INTEGER NOT NULL, 
	status VARCHAR(32) NOT NULL, 
	message VARCHAR(500) NOT NULL, 
	transaction_id VARCHAR(255), 
	payment_id VARCHAR(64), 
	attempted_at DATETIME NOT NULL, 
	CONSTRAINT pk_recurring_logs PRIMARY KEY (business_id, log_id), 
	CONSTRAINT ck_recurring_logs_attempt_is_not_negative CHECK (attempt >= 0), 
	CONSTRAINT ck_recurring_logs_status_is_known CHECK (status IN ('succeeded', 'declined', 'requires_action', 'failed', 'skipped')), 
	CONSTRAINT fk_recurring_logs_recurring_jobs FOREIGN KEY(business_id, recurring_id) REFERENCES recurring_jobs (business_id, recurring_id), 
	CONSTRAINT uq_recurring_logs_business_id_recurring_id_occurrence_attempt UNIQUE (business_id, recurring_id, occurrence, attempt)
);
CREATE TABLE recurring_occurrences (
	business_id VARCHAR(64) NOT NULL, 
	recurring_id VARCHAR(64) NOT NULL, 
	occurrence DATETIME NOT NULL, 
	amount_minor BIGINT NOT NULL, 
	currency VARCHAR(3) NOT NULL, 
	source VARCHAR(32), 
	description VARCHAR(500), 
	attempt INTEGER NOT NULL, 
	payment_id VARCHAR(64), 
	checks INTEGER NOT NULL, 
	status VARCHAR(32) NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_recurring_occurrences PRIMARY KEY (business_id, recurring_id, occurrence), 
	CONSTRAINT ck_recurring_occurrences_amount_is_positive CHECK (amount_minor > 0), 
	CONSTRAINT ck_recurring_occurrences_attempt_is_positive CHECK (attempt > 0), 
	CONSTRAINT ck_recurring_occurrences_checks_is_not_negative CHECK (checks >= 0), 
	CONSTRAINT ck_recurring_occurrences_source_is_known CHECK (source IN ('stripe', 'authorize', 'wallet')), 
	CONSTRAINT ck_recurring_occurrences_status_is_known CHECK (status IN ('open', 'succeeded', 'declined', 'requires_action', 'failed', 'skipped')), 
	CONSTRAINT fk_recurring_occurrences_recurring_jobs FOREIGN KEY(business_id, recurring_id) REFERENCES recurring_jobs (business_id, recurring_id)
);
CREATE TABLE refunds (
	business_id VARCHAR(64) NOT NULL, 
	refund_id VARCHAR(64) NOT NULL, 
	payment_id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	env VARCHAR(32) NOT NULL, 
	gateway VARCHAR(32) NOT NULL, 
	amount_minor BIGINT NOT NULL, 
	currency VARCHAR(3) NOT NULL, 
	is_whole BOOLEAN NOT NULL, 
	reason VARCHAR(32), 
	description VARCHAR(500), 
	idempotency_key VARCHAR(64), 
	gateway_key VARCHAR(255) NOT NULL, 
	status VARCHAR(32) NOT NULL, 
	attempt VARCHAR(32), 
	lease_owner VARCHAR(64), 
	leased_until DATETIME, 
	look_at DATETIME, 
	checks INTEGER NOT NULL, 
	first_sent_at DATETIME NOT NULL, 
	sent_at DATETIME NOT NULL, 
	gateway_refund_id VARCHAR(255), 
	failure_code VARCHAR(255), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	set_aside_at DATETIME, 
	set_aside_error VARCHAR(500), 
	failed_looks INTEGER DEFAULT 0 NOT NULL, metadata TEXT, 
	CONSTRAINT pk_refunds PRIMARY KEY (business_id, refund_id), 
	CONSTRAINT ck_refunds_amount_is_positive CHECK (amount_minor > 0), 
	CONSTRAINT ck_refunds_attempt_while_pending CHECK (attempt IS NULL OR status = 'pending'), 
	CONSTRAINT ck_refunds_lease_while_running CHECK ((leased_until IS NOT NULL) = (attempt IS NOT NULL AND attempt = 'running')), 
	CONSTRAINT ck_refunds_lease_has_owner_and_end CHECK ((lease_owner IS NULL) = (leased_until IS NULL)), 
	CONSTRAINT ck_refunds_looked_at_during_attempt CHECK ((attempt IS NULL) = (look_at IS NULL)), 
	CONSTRAINT ck_refunds_set_aside_with_error CHECK ((set_aside_at IS NULL) = (set_aside_error IS NULL)), 
	CONSTRAINT ck_refunds_env_is_known CHECK (env IN ('TEST', 'LIVE')), 
	CONSTRAINT ck_refunds_gateway_is_known CHECK (gateway IN ('stripe', 'authorize')), 
	CONSTRAINT ck_refunds_reason_is_known CHECK (reason IN ('duplicate', 'fraudulent', 'requested_by_customer')), 
	CONSTRAINT ck_refunds_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed', 'canceled')), 
	CONSTRAINT ck_refunds_attempt_is_known CHECK (attempt IN ('running', 'unknown', 'unsettled')), 
	CONSTRAINT fk_refunds_payments FOREIGN KEY(business_id, payment_id) REFERENCES payments (business_id, payment_id)
);
INSERT INTO "refunds" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','REF-2NGE0QNYCZ7Q9RDE','PAY-2NGE0QM7T1KGNC9X','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe',1700,'usd',1,NULL,NULL,'kept-7','ea176668-eefe-47d7-8d7c-cce35be0042d/REF-2NGE0QNYCZ7Q9RDE','succeeded',NULL,NULL,NULL,NULL,0,'2026-11-28 17:27:10.270548','2026-11-28 17:27:10.270548','re_SiIUuVV6gp0BAqkBJEVQcJo1',NULL,'2026-11-28 17:27:10.270548','2026-11-28 17:27:10.340694',NULL,NULL,0,NULL);
INSERT INTO "refunds" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','REF-2NGE0S1BJ44DT97P','PAY-2NGE0RRHGAJA8B6M','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','stripe',600,'usd',0,NULL,NULL,'open-refund','ea176668-eefe-47d7-8d7c-cce35be0042d/REF-2NGE0S1BJ44DT97P','pending','unknown',NULL,NULL,'2026-11-28 17:27:16.713223',1,'2026-11-28 17:27:11.659207','2026-11-28 17:27:11.659207',NULL,NULL,'2026-11-28 17:27:11.659207','2026-11-28 17:27:11.713223',NULL,NULL,0,NULL);
CREATE TABLE removed_cards (
	business_id VARCHAR(64) NOT NULL, 
	card_id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	env VARCHAR(32) NOT NULL, 
	gateway VARCHAR(32) NOT NULL, 
	customer_id VARCHAR(255) NOT NULL, 
	gateway_card_id VARCHAR(255) NOT NULL, 
	brand VARCHAR(32) NOT NULL, 
	last4 VARCHAR(4) NOT NULL, 
	exp_month INTEGER NOT NULL, 
	exp_year INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	removed_at DATETIME NOT NULL, 
	CONSTRAINT pk_removed_cards PRIMARY KEY (business_id, card_id), 
	CONSTRAINT ck_removed_cards_env_is_known CHECK (env IN ('TEST', 'LIVE')), 
	CONSTRAINT ck_removed_cards_gateway_is_known CHECK (gateway IN ('stripe', 'authorize')), 
	CONSTRAINT fk_removed_cards_users FOREIGN KEY(business_id, user_id) REFERENCES users (business_id, user_id)
);
CREATE TABLE stripe_credentials (
	business_id VARCHAR(64) NOT NULL, 
	env VARCHAR(32) NOT NULL, 
	sealed_secret_key TEXT NOT NULL, 
	public_key VARCHAR(255) NOT NULL, 
	sealed_webhook_secret TEXT, 
	account_id VARCHAR(128), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_stripe_credentials PRIMARY KEY (business_id, env), 
	CONSTRAINT ck_stripe_credentials_env_is_known CHECK (env IN ('TEST', 'LIVE')), 
	CONSTRAINT fk_stripe_credentials_businesses FOREIGN KEY(business_id) REFERENCES businesses (business_id)
);
INSERT INTO "stripe_credentials" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','TEST','v2:k1:QMGNi1zUXTbzN8aYVYPEx2RaGOWK3Op83x1oPA8ErB1Y184+OOIbrBnAM6692dPVkuqibBEY','pk_test_obviously_fake',NULL,NULL,'2026-11-28 17:27:09.710281','2026-11-28 17:27:09.710281');
CREATE TABLE test_clocks (
	business_id VARCHAR(64) NOT NULL, 
	env VARCHAR(32) NOT NULL, 
	ahead_microseconds BIGINT NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_test_clocks PRIMARY KEY (business_id, env), 
	CONSTRAINT ck_test_clocks_ahead_is_not_negative CHECK (ahead_microseconds >= 0), 
	CONSTRAINT ck_test_clocks_env_is_known CHECK (env IN ('TEST')), 
	CONSTRAINT fk_test_clocks_businesses FOREIGN KEY(business_id) REFERENCES businesses (business_id)
);
CREATE TABLE "users" (
	business_id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	email VARCHAR(254) NOT NULL, 
	active BOOLEAN NOT NULL, 
	currency VARCHAR(3) NOT NULL, 
	default_gateway VARCHAR(32), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, metadata TEXT, suspended_at DATETIME, 
	CONSTRAINT pk_users PRIMARY KEY (business_id, user_id), 
	CONSTRAINT fk_users_businesses FOREIGN KEY(business_id) REFERENCES businesses (business_id), 
	CONSTRAINT ck_users_default_gateway_is_known CHECK (default_gateway IN ('stripe', 'authorize'))
);
INSERT INTO "users" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','USR-01M8HK4M56MGBNCWD8KDH0YXH1','Alicia Gomez','alicia@example.com',1,'usd','stripe','2026-11-28 17:27:09.734624','2026-11-28 17:27:09.844930',NULL,NULL);
INSERT INTO "users" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','USR-01M8HK4M97WH05TJZ9Q59F6AAN','Alicia Gomez','alicia@example.com',1,'usd','stripe','2026-11-28 17:27:09.863829','2026-11-28 17:27:09.909739',NULL,NULL);
INSERT INTO "users" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','USR-01M8HK4MKD9WYDD4AX46AYGYRJ','Ben','ben@example.com',1,'usd',NULL,'2026-11-28 17:27:10.188351','2026-11-28 17:27:10.188351',NULL,NULL);
INSERT INTO "users" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','USR-01M8HK4NM4DAN2K02DHMHM9JDM','Alicia Gomez','alicia@example.com',1,'usd','stripe','2026-11-28 17:27:11.236710','2026-11-28 17:27:11.289567',NULL,NULL);
CREATE TABLE wallet_holds (
	business_id VARCHAR(64) NOT NULL, 
	hold_id VARCHAR(64) NOT NULL, 
	wallet_id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	env VARCHAR(32) NOT NULL, 
	currency VARCHAR(3) NOT NULL, 
	amount_minor BIGINT NOT NULL, 
	captured_minor BIGINT, 
	status VARCHAR(32) NOT NULL, 
	description VARCHAR(500), 
	transaction_id VARCHAR(64), 
	expires_at DATETIME NOT NULL, 
	look_at DATETIME, 
	created_at DATETIME NOT NULL, 
	closed_at DATETIME, 
	set_aside_at DATETIME, 
	set_aside_error VARCHAR(500), 
	failed_looks INTEGER DEFAULT 0 NOT NULL, metadata TEXT, 
	CONSTRAINT pk_wallet_holds PRIMARY KEY (business_id, hold_id), 
	CONSTRAINT ck_wallet_holds_amount_is_positive CHECK (amount_minor > 0), 
	CONSTRAINT ck_wallet_holds_captured_is_within_amount CHECK (captured_minor > 0 AND captured_minor <= amount_minor), 
	CONSTRAINT ck_wallet_holds_captured_with_a_transaction CHECK ((status = 'captured') = (captured_minor IS NOT NULL) AND (status = 'captured') = (transaction_id IS NOT NULL)), 
	CONSTRAINT ck_wallet_holds_looked_at_while_open CHECK ((status = 'open') = (look_at IS NOT NULL) AND (status = 'open') = (closed_at IS NULL)), 
	CONSTRAINT ck_wallet_holds_env_is_known CHECK (env IN ('TEST', 'LIVE')), 
	CONSTRAINT ck_wallet_holds_status_is_known CHECK (status IN ('open', 'captured', 'released', 'expired')), 
	CONSTRAINT ck_wallet_holds_set_aside_with_error CHECK ((set_aside_at IS NULL) = (set_aside_error IS NULL)), 
	CONSTRAINT fk_wallet_holds_wallets FOREIGN KEY(business_id, wallet_id) REFERENCES wallets (business_id, wallet_id)
);
INSERT INTO "wallet_holds" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','HLD-01M8HK4MY50JHHB0J0T8TKGPN4','WAL-01M8HK4M5JWPM619PDFHAMJMKK','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','usd',300,NULL,'open',NULL,NULL,'2026-11-29 17:27:10.533283','2026-11-29 17:27:10.533283','2026-11-28 17:27:10.533283',NULL,NULL,NULL,0,NULL);
INSERT INTO "wallet_holds" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','HLD-01M8HK4NH89MEMZG71J1JMDHED','WAL-01M8HK4M5JWPM619PDFHAMJMKK','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','usd',300,NULL,'open',NULL,NULL,'2026-11-28 17:37:11.143990','2026-11-28 17:37:11.143990','2026-11-28 17:27:11.143990',NULL,NULL,NULL,0,NULL);
CREATE TABLE "wallet_transactions" (
	business_id VARCHAR(64) NOT NULL, 
	transaction_id VARCHAR(64) NOT NULL, 
	wallet_id VARCHAR(64) NOT NULL, 
	version BIGINT NOT NULL, 
	type VARCHAR(32) NOT NULL, 
	amount_minor BIGINT NOT NULL, 
	balance_after_minor BIGINT NOT NULL, 
	source VARCHAR(32) NOT NULL, 
	reason VARCHAR(32) NOT NULL, 
	description VARCHAR(500), 
	payment_id VARCHAR(64), 
	created_at DATETIME NOT NULL, 
	taken_before_minor BIGINT DEFAULT 0 NOT NULL, 
	transfer_id VARCHAR(64), 
	other_user_id VARCHAR(64), 
	CONSTRAINT pk_wallet_transactions PRIMARY KEY (business_id, transaction_id), 
	CONSTRAINT fk_wallet_transactions_wallets FOREIGN KEY(business_id, wallet_id) REFERENCES wallets (business_id, wallet_id), 
	CONSTRAINT ck_wallet_transactions_balance_after_is_not_negative CHECK (balance_after_minor >= 0), 
	CONSTRAINT ck_wallet_transactions_type_is_known CHECK (type IN ('credit', 'debit')), 
	CONSTRAINT ck_wallet_transactions_amount_is_positive CHECK (amount_minor > 0), 
	CONSTRAINT uq_wallet_transactions_business_id_wallet_id_version UNIQUE (business_id, wallet_id, version), 
	CONSTRAINT ck_wallet_transactions_version_is_positive CHECK (version > 0), 
	CONSTRAINT ck_wallet_transactions_source_is_known CHECK (source IN ('system', 'manual', 'stripe', 'authorize', 'recurring')), 
	CONSTRAINT uq_wallet_transactions_step UNIQUE (business_id, payment_id, reason, taken_before_minor), 
	CONSTRAINT ck_wallet_transactions_reason_is_known CHECK (reason IN ('business_charge', 'manual_credit', 'wallet_fund', 'refund', 'dispute', 'recurring_charge', 'receivable', 'transfer', 'hold_capture')), 
	CONSTRAINT ck_wallet_transactions_transfer_has_an_other_user CHECK ((transfer_id IS NOT NULL) = (reason = 'transfer') AND (transfer_id IS NULL) = (other_user_id IS NULL))
);
INSERT INTO "wallet_transactions" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WTX-01M8HK4MFW8W6WHG4CXF1AMMXP','WAL-01M8HK4M5JWPM619PDFHAMJMKK',1,'credit',9000,9000,'stripe','wallet_fund',NULL,'PAY-2NGE0QFH0B8VEDEH','2026-11-28 17:27:10.073771',0,NULL,NULL);
INSERT INTO "wallet_transactions" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WTX-01M8HK4MGMRYW7BFXHE7QDCTCG','WAL-01M8HK4M5JWPM619PDFHAMJMKK',2,'credit',3000,12000,'authorize','wallet_fund',NULL,'PAY-2NGE0QG9CGTAEDFB','2026-11-28 17:27:10.099795',0,NULL,NULL);
INSERT INTO "wallet_transactions" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WTX-01M8HK4MJSFQHDA72MQE0YGWVB','WAL-01M8HK4M5JWPM619PDFHAMJMKK',3,'debit',500,11500,'system','business_charge',NULL,NULL,'2026-11-28 17:27:10.156984',0,NULL,NULL);
INSERT INTO "wallet_transactions" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WTX-01M8HK4MKSQZATE1BG65PZA52A','WAL-01M8HK4M98G9C0FEJ1HTDKFQ7X',1,'credit',800,800,'manual','manual_credit',NULL,NULL,'2026-11-28 17:27:10.201288',0,NULL,NULL);
CREATE TABLE "wallets" (
	business_id VARCHAR(64) NOT NULL, 
	wallet_id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	env VARCHAR(32) NOT NULL, 
	currency VARCHAR(3) NOT NULL, 
	balance_minor BIGINT NOT NULL, 
	version BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	held_minor BIGINT DEFAULT 0 NOT NULL, 
	receivable_minor BIGINT DEFAULT 0 NOT NULL, 
	receivable_since DATETIME, 
	CONSTRAINT pk_wallets PRIMARY KEY (business_id, wallet_id), 
	CONSTRAINT ck_wallets_version_is_not_negative CHECK (version >= 0), 
	CONSTRAINT ck_wallets_balance_is_not_negative CHECK (balance_minor >= 0), 
	CONSTRAINT ck_wallets_env_is_known CHECK (env IN ('TEST', 'LIVE')), 
	CONSTRAINT uq_wallets_business_id_user_id_env UNIQUE (business_id, user_id, env), 
	CONSTRAINT ck_wallets_held_is_within_balance CHECK (held_minor = 0 OR (held_minor > 0 AND held_minor <= balance_minor)), 
	CONSTRAINT fk_wallets_users FOREIGN KEY(business_id, user_id) REFERENCES users (business_id, user_id), 
	CONSTRAINT ck_wallets_receivable_since_owed CHECK (receivable_minor >= 0 AND (receivable_minor > 0) = (receivable_since IS NOT NULL))
);
INSERT INTO "wallets" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WAL-01M8HK4M5JWPM619PDFHAMJMKK','USR-01M8HK4M56MGBNCWD8KDH0YXH1','TEST','usd',11500,3,'2026-11-28 17:27:09.734624','2026-11-28 17:27:11.143990',600,0,NULL);
INSERT INTO "wallets" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WAL-01M8HK4M98G9C0FEJ1HTDKFQ7X','USR-01M8HK4M97WH05TJZ9Q59F6AAN','TEST','usd',800,1,'2026-11-28 17:27:09.863829','2026-11-28 17:27:10.201288',0,0,NULL);
INSERT INTO "wallets" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WAL-01M8HK4MKD9WYDD4AX46AYGYRK','USR-01M8HK4MKD9WYDD4AX46AYGYRJ','TEST','usd',0,0,'2026-11-28 17:27:10.188351','2026-11-28 17:27:10.188351',0,0,NULL);
INSERT INTO "wallets" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','WAL-01M8HK4NM5QT0F65GT27DJS8K8','USR-01M8HK4NM4DAN2K02DHMHM9JDM','TEST','usd',0,0,'2026-11-28 17:27:11.236710','2026-11-28 17:27:11.236710',0,0,NULL);
CREATE TABLE "webhook_events" (
	business_id VARCHAR(64) NOT NULL, 
	gateway VARCHAR(32) NOT NULL, 
	env VARCHAR(32) NOT NULL, 
	event_id VARCHAR(255) NOT NULL, 
	type VARCHAR(255) NOT NULL, 
	transaction_id VARCHAR(255), 
	payment_id VARCHAR(64), 
	fact TEXT, 
	needs_lookup BOOLEAN NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	received_at DATETIME NOT NULL, 
	look_at DATETIME, 
	checks INTEGER NOT NULL, 
	set_aside_at DATETIME, 
	set_aside_error VARCHAR(500), 
	failed_looks INTEGER DEFAULT 0 NOT NULL, refund_id VARCHAR(64), 
	CONSTRAINT pk_webhook_events PRIMARY KEY (business_id, gateway, env, event_id), 
	CONSTRAINT ck_webhook_events_set_aside_with_error CHECK ((set_aside_at IS NULL) = (set_aside_error IS NULL)), 
	CONSTRAINT ck_webhook_events_gateway_is_known CHECK (gateway IN ('stripe', 'authorize')), 
	CONSTRAINT fk_webhook_events_businesses FOREIGN KEY(business_id) REFERENCES businesses (business_id), 
	CONSTRAINT ck_webhook_events_looked_at_while_waiting CHECK ((look_at IS NOT NULL) = (state = 'waiting')), 
	CONSTRAINT ck_webhook_events_env_is_known CHECK (env IN ('TEST', 'LIVE')), 
	CONSTRAINT ck_webhook_events_state_is_known CHECK (state IN ('waiting', 'applied', 'contradicting', 'ignored'))
);
INSERT INTO "webhook_events" VALUES('ea176668-eefe-47d7-8d7c-cce35be0042d','stripe','TEST','read re_SiIUuVV6gp0BAqkBJEVQcJo1 2026-11-28T17:27:10.270548+00:00','nivisco.read','pi_DuhcCjkV3vekURwjrXRWLcDV','PAY-2NGE0QM7T1KGNC9X','{"amount_minor": 1700, "currency": "usd", "decline_code": null, "is_lost": false, "kind": "refund", "message": null, "object_id": "re_SiIUuVV6gp0BAqkBJEVQcJo1"}',0,'applied','2026-11-28 17:27:10.270548','2026-11-28 17:27:10.270548',NULL,0,NULL,NULL,0,'REF-2NGE0QNYCZ7Q9RDE');
CREATE INDEX ix_cards_business_id_user_id ON cards (business_id, user_id, env);
CREATE UNIQUE INDEX uq_cards_one_primary ON cards (business_id, user_id, gateway, env) WHERE is_primary;
CREATE INDEX ix_postings_business_id_account ON postings (business_id, account);
CREATE INDEX ix_idempotency_records_expires_at ON idempotency_records (expires_at);
CREATE INDEX ix_webhook_events_due ON webhook_events (gateway, look_at) WHERE look_at IS NOT NULL AND set_aside_at IS NULL;
CREATE INDEX ix_webhook_events_business_id_transaction_id ON webhook_events (business_id, transaction_id, gateway, env);
CREATE INDEX ix_webhook_events_due_by_business ON webhook_events (gateway, business_id, look_at) WHERE look_at IS NOT NULL AND set_aside_at IS NULL;
CREATE INDEX ix_webhook_events_business_id_payment_id ON webhook_events (business_id, payment_id);
CREATE INDEX ix_webhook_events_set_aside ON webhook_events (set_aside_at) WHERE set_aside_at IS NOT NULL;
CREATE INDEX ix_recurring_logs_by_status ON recurring_logs (business_id, status, attempted_at, log_id);
CREATE INDEX ix_recurring_logs_by_user ON recurring_logs (business_id, user_id, status, attempted_at, log_id);
CREATE INDEX ix_recurring_logs_by_job ON recurring_logs (business_id, recurring_id, status, attempted_at, log_id);
CREATE INDEX ix_users_active ON users (business_id, created_at, user_id) WHERE active;
CREATE INDEX ix_refunds_by_payment ON refunds (business_id, payment_id, env, status, created_at, refund_id);
CREATE INDEX ix_refunds_by_status ON refunds (business_id, env, status, created_at, refund_id);
CREATE INDEX ix_refunds_by_user ON refunds (business_id, user_id, env, status, created_at, refund_id);
CREATE INDEX ix_refunds_due ON refunds (gateway, look_at) WHERE look_at IS NOT NULL AND set_aside_at IS NULL;
CREATE INDEX ix_refunds_due_by_business ON refunds (gateway, business_id, look_at) WHERE look_at IS NOT NULL AND set_aside_at IS NULL;
CREATE INDEX ix_refunds_set_aside ON refunds (set_aside_at) WHERE set_aside_at IS NOT NULL;
CREATE INDEX ix_removed_cards_gateway_card_id ON removed_cards (business_id, env, gateway, gateway_card_id);
CREATE INDEX ix_recurring_jobs_due_by_business ON recurring_jobs (business_id, due_at) WHERE due_at IS NOT NULL AND set_aside_at IS NULL;
CREATE INDEX ix_recurring_jobs_set_aside ON recurring_jobs (set_aside_at) WHERE set_aside_at IS NOT NULL;
CREATE INDEX ix_recurring_jobs_by_status ON recurring_jobs (business_id, env, status, created_at, recurring_id);
CREATE INDEX ix_recurring_jobs_due ON recurring_jobs (due_at) WHERE due_at IS NOT NULL AND set_aside_at IS NULL;
CREATE INDEX ix_recurring_jobs_by_user ON recurring_jobs (business_id, user_id, env, status, created_at, recurring_id);
CREATE UNIQUE INDEX uq_wallet_transactions_transfer ON wallet_transactions (business_id, transfer_id, type) WHERE transfer_id IS NOT NULL;
CREATE INDEX ix_wallet_holds_by_status ON wallet_holds (business_id, env, status, created_at, hold_id);
CREATE INDEX ix_wallet_holds_by_user ON wallet_holds (business_id, user_id, env, status, created_at, hold_id);
CREATE INDEX ix_wallet_holds_due ON wallet_holds (look_at) WHERE look_at IS NOT NULL AND set_aside_at IS NULL;
CREATE INDEX ix_wallet_holds_due_by_business ON wallet_holds (business_id, look_at) WHERE look_at IS NOT NULL AND set_aside_at IS NULL;
CREATE INDEX ix_wallet_holds_set_aside ON wallet_holds (set_aside_at) WHERE set_aside_at IS NOT NULL;
CREATE INDEX ix_wallet_transactions_receivable ON wallet_transactions (business_id, wallet_id) WHERE reason = 'receivable';
CREATE INDEX ix_wallets_owing ON wallets (business_id, env, receivable_since, wallet_id) WHERE receivable_minor > 0;
CREATE INDEX ix_gateway_customers_customer_id ON gateway_customers (business_id, env, gateway, customer_id);
CREATE INDEX ix_payments_business_id_transaction_id ON payments (business_id, transaction_id);
CREATE INDEX ix_payments_by_user ON payments (business_id, user_id, env, gateway, status, created_at, payment_id);
CREATE INDEX ix_payments_set_aside ON payments (set_aside_at) WHERE set_aside_at IS NOT NULL;
CREATE INDEX ix_payments_newest ON payments (business_id, env, created_at, payment_id);
CREATE INDEX ix_payments_due ON payments (gateway, look_at) WHERE look_at IS NOT NULL AND set_aside_at IS NULL;
CREATE INDEX ix_payments_unanswered ON payments (business_id, user_id) WHERE NOT answered;
CREATE INDEX ix_payments_by_status ON payments (business_id, env, gateway, status, created_at, payment_id);
CREATE INDEX ix_payments_due_by_business ON payments (gateway, business_id, look_at) WHERE look_at IS NOT NULL AND set_aside_at IS NULL;
CREATE INDEX ix_decisions_business_id_subject ON decisions (business_id, subject, subject_id, decided_at);
COMMIT;
