<?php

declare(strict_types=1);

namespace Nivisco\Payments;

/** The API refused the call. */
class ApiException extends NiviscoException
{
    /** The reasons of a 5xx that say that nothing happened. */
    private const SURE = ['NOT_IMPLEMENTED', 'GATEWAY_REFUSED', 'GATEWAY_UNAVAILABLE'];

    private int $status;
    /** @var array<string, mixed> */
    private array $body;
    private ?int $retryAfter;
    private ?string $requestId;

    /** @param array<string, mixed> $body */
    public function __construct(
        string $action,
        ?string $idempotencyKey,
        int $status,
        array $body,
        ?int $retryAfter,
        ?string $requestId
    ) {
        parent::__construct((string) ($body['error'] ?? "HTTP $status"), $action, $idempotencyKey);
        $this->status = $status;
        $this->body = $body;
        $this->retryAfter = $retryAfter;
        $this->requestId = $requestId;
    }

    /** The HTTP status. */
    public function getStatus(): int
    {
        return $this->status;
    }

    /** The reason, such as `USER_NOT_FOUND`; some refusals have none. */
    public function getErrorCode(): ?string
    {
        return $this->body['code'] ?? null;
    }

    public function getDetails(): ?string
    {
        return $this->body['details'] ?? null;
    }

    /** Why the card was declined. */
    public function getDeclineCode(): ?string
    {
        return $this->body['decline_code'] ?? null;
    }

    /** @return list<array{field: string, description: string}> what is wrong with which field */
    public function getFields(): array
    {
        return $this->body['fields'] ?? [];
    }

    /** After how many seconds to repeat the call. */
    public function getRetryAfter(): ?int
    {
        return $this->retryAfter;
    }

    /** What to quote to support. */
    public function getRequestId(): ?string
    {
        return $this->requestId;
    }

    /** @return array<string, mixed> the whole answer; its numbers are the texts that were sent */
    public function getBody(): array
    {
        return $this->body;
    }

    public function isOutcomeUnknown(): bool
    {
        // A 429 says nothing of the attempts before it.
        $isOpen = $this->status === 429
            || ($this->status >= 500 && !in_array($this->getErrorCode(), self::SURE, true));

        return $this->getIdempotencyKey() !== null && $isOpen;
    }
}
