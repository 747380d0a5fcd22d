<?php

declare(strict_types=1);

namespace Nivisco;

/**
 * The response is not from the API: the URL may be wrong, or a proxy responded.
 */
final class UnexpectedResponseException extends NiviscoException
{
    public int $httpStatus;

    /** Seconds to wait before a retry, if the response has them. */
    public ?int $retryAfter;

    public function __construct(
        int $httpStatus,
        ?int $retryAfter,
        string $requestId,
        ?string $idempotencyKey
    ) {
        parent::__construct(
            "HTTP $httpStatus with a response that is not from the API; check the URL",
            $requestId,
            $idempotencyKey
        );
        $this->httpStatus = $httpStatus;
        $this->retryAfter = $retryAfter;
    }
}
