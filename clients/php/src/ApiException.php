<?php

declare(strict_types=1);

namespace Nivisco;

/**
 * The API returned an error.
 */
final class ApiException extends NiviscoException
{
    public int $httpStatus;

    /** One of ErrorCode, or newer than this library. Null if the response has none. */
    public ?string $errorCode;

    /** @var list<FieldProblem> With INVALID_FIELDS, the invalid fields. */
    public array $fields = [];

    /** With CARD_DECLINED, the gateway's decline code. */
    public ?string $declineCode;

    /** The gateway's id of the payment, if there is one. */
    public ?string $transactionId;

    /** Id of the payment, `PAY-…`, if there is one. */
    public ?string $paymentId;

    /**
     * With AUTHENTICATION_REQUIRED, what Stripe's browser library needs to have the customer
     * authenticate. For that customer's browser only: do not log it.
     */
    public ?string $clientSecret;

    /**
     * @var array<string, mixed> The whole response; it may have more fields than this library
     *                           knows, and the client secret.
     */
    public array $body;

    /** Seconds to wait before a retry, if the API returns them. */
    public ?int $retryAfter;

    /**
     * @param array<string, mixed> $body the response
     */
    public function __construct(
        array $body,
        int $httpStatus,
        ?int $retryAfter,
        string $requestId,
        ?string $idempotencyKey
    ) {
        parent::__construct(self::text($body, 'error') ?? '', $requestId, $idempotencyKey);
        $this->outcomeIsUnknown = $idempotencyKey !== null && $httpStatus >= 500;
        $this->httpStatus = $httpStatus;
        $this->retryAfter = $retryAfter;
        $this->errorCode = self::text($body, 'code') ?? ErrorCode::OF_STATUS[$httpStatus] ?? null;
        $this->declineCode = self::text($body, 'decline_code');
        $this->transactionId = self::text($body, 'transaction_id');
        $this->paymentId = self::text($body, 'payment_id');
        $this->clientSecret = self::text($body, 'client_secret');
        $this->body = $body;
        foreach (is_array($body['fields'] ?? null) ? $body['fields'] : [] as $problem) {
            if (is_array($problem)) {
                $this->fields[] = new FieldProblem(
                    self::text($problem, 'field') ?? '',
                    self::text($problem, 'description') ?? ''
                );
            }
        }
    }

    /**
     * @param array<mixed> $from
     */
    private static function text(array $from, string $name): ?string
    {
        return is_string($from[$name] ?? null) ? $from[$name] : null;
    }
}
